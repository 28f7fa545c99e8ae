"""`python -m tests.sim`: run a range of seeds, or show one run step by step."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from multiprocessing import Pool
from typing import Any

from ordering import Model
from tests.sim.plan import draw
from tests.sim.show import Tape
from tests.sim.simulation import Outcome, Simulation

MODELS = {"byzantine": Model.BYZANTINE, "crash": Model.CRASH}


def play(job: tuple[int, dict[str, Any]]) -> Outcome:
    """One seed, from its number to its outcome."""
    seed, fixed = job
    return Simulation(draw(seed, **fixed)).run()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=100, help="how many seeds")
    parser.add_argument("--n", type=int, help="this many seats instead of a drawn number")
    parser.add_argument("--model", choices=sorted(MODELS), help="this fault model instead of a drawn one")
    parser.add_argument("--hard", action="store_true", help="long runs, bad weather, as many liars as there may be")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="show one run step by step")
    parser.add_argument("--member", type=int, help="with --replay: only this member's steps")
    parser.add_argument("--trace", action="store_true", help="print the hash of every run's trace")
    options = parser.parse_args(arguments)
    fixed: dict[str, Any] = {"hard": True} if options.hard else {}
    if options.n is not None:
        fixed["seated"] = options.n
    if options.model is not None:
        fixed["model"] = MODELS[options.model]
    if options.replay is not None:
        return replay(options.replay, fixed, options.member)
    seeds = range(options.start, options.start + options.count)
    if options.trace:
        for seed in seeds:
            tape = Tape()
            Simulation(draw(seed, **fixed), tape).run()
            print(seed, tape.line_count, tape.digest)
        return 0
    return run(seeds, fixed, options.jobs)


def replay(seed: int, fixed: dict[str, Any], only: int | None) -> int:
    """Show one run."""
    plan = draw(seed, **fixed)
    print(f"seed {seed}: {plan}")
    outcome = Simulation(plan, Tape(print, only=only)).run()
    print(f"seed {seed}: {outcome.reason or 'passed'}")
    return 0 if outcome.passed else 1


def run(seeds: range, fixed: dict[str, Any], jobs: int) -> int:
    """Run them all; failures as they come, the score last."""
    failed = 0
    views: Counter[int] = Counter()
    work = [(seed, fixed) for seed in seeds]
    with Pool(jobs) as pool:
        for outcome in pool.imap(play, work, chunksize=8) if jobs > 1 else map(play, work):
            views[max(0, outcome.views_after_healing)] += 1
            if not outcome.passed:
                failed += 1
                print(f"seed {outcome.plan.seed}: {outcome.reason} [{outcome.plan}]", flush=True)
    spread = ", ".join(f"{count} in {view}" for view, count in sorted(views.items()))
    print(f"views after healing: {spread}")
    print(f"{len(work) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
