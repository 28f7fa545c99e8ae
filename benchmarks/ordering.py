"""What agreement costs: in message delays, on loopback, under loss, under contention, and after an absence."""

import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file: this directory would hide the package of this name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks import ordering_contention, ordering_delays, ordering_loopback, ordering_loss
from benchmarks.ordering_figures import Figure
from benchmarks.ordering_report import missed, table, write_page

BENCHES: Final[dict[str, Callable[..., Iterator[Figure]]]] = {
    "latency": ordering_loopback.latency,  # the forking ones first, while this process has never had a thread
    "rate": ordering_loopback.rate,
    "catch-up": ordering_loopback.catch_up,
    "delays": ordering_delays.figures,
    "contention": ordering_contention.figures,
    "loss": ordering_loss.figures,
}
PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks-ordering.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything was measured; whether a target was met is said, and is not an error."""
    asked = _parser().parse_args(arguments)
    names = [name for name in BENCHES if name in (asked.only or BENCHES)]
    measured: dict[str, list[Figure]] = {name: [] for name in names}
    failed = False
    for name in names:
        began_s = time.monotonic()
        try:
            for figure in BENCHES[name](quick=asked.quick):
                measured[name].append(figure)
                if asked.json:
                    print(json.dumps(figure.as_json()), flush=True)
        except Exception:  # noqa: BLE001 - one benchmark that cannot be run here must not cost the others
            traceback.print_exc()
            failed = True
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    if not asked.json:
        for name in names:
            print(f"\n{name}\n\n{table(measured[name])}")
        print("\n" + missed(measured))
    if asked.docs:
        only = "".join(f" --only {name}" for name in names) if asked.only else ""
        write_page(asked.docs, "python -m benchmarks.ordering" + only + (" --quick" if asked.quick else ""), measured)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ordering", description=__doc__)
    parser.add_argument("--only", choices=tuple(BENCHES), action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds: under two minutes")
    parser.add_argument("--json", action="store_true", help="one line for each figure and nothing else")
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=PAGE, help=f"write a page and its plots, docs/{PAGE.name} if not named"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
