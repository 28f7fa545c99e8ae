"""`python -m tests.model`: search the rules for a broken promise, and their mutants for the one each must break."""

from __future__ import annotations

import argparse
import os
import sys

from tests.model.agreement import COMPARED, python_edges
from tests.model.replay import replay
from tests.model.runs import LONG, MUTANTS, QUICK, RULES
from tests.model.spin import MISSING, edges, missing, search

SEEDS = 1000


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only: seconds")
    parser.add_argument("--long", action="store_true", help="larger sizes too: many minutes")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many simulated runs to replay")
    options = parser.parse_args(arguments)
    if missing():
        print(MISSING, file=sys.stderr)
        return 2
    os.nice(10)
    runs = (QUICK if options.quick else RULES) + (LONG if options.long else ()) + MUTANTS
    failed = 0
    print(f"{'states':>10} {'transitions':>12} {'depth':>6} {'s':>6}")
    for run in runs:
        result = search(run)
        verdict = "every promise kept" if result.broken is None else f"breaks {result.broken}"
        failed += not result.as_expected
        unexpected = "" if result.as_expected else f"   NOT AS EXPECTED: {run.breaks or 'every promise kept'}"
        print(
            f"{result.states:>10} {result.transitions:>12} {result.depth:>6} {result.search_s:>6.1f}"
            f"  {run.name}: {verdict}{unexpected}",
            flush=True,
        )
    for run in COMPARED:
        ours, theirs = python_edges(run), edges(run)
        failed += ours != theirs
        print(f"{len(ours):>10} transitions in Python, {len(ours ^ theirs)} differ from SPIN's: {run.name}", flush=True)
    steps = replay(range(50 if options.quick else options.seeds))
    print(f"{sum(steps.values()):>10} steps of the simulated core are allowed: {dict(steps)}")
    print("all as expected" if not failed else f"{failed} not as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
