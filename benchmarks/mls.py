"""What the MLS engine's operations cost, beside the floor that the primitives under them set."""

import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file: this directory would hide the package of this name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
import os
from collections.abc import Iterator, Sequence

from benchmarks.drawing import chart
from benchmarks.measure import QUICK, Figure, Pace, measured
from benchmarks.operations import COMPANIONS, OPERATIONS, Scene
from benchmarks.page import write_page
from benchmarks.primitives import Prices
from benchmarks.report import Priced, print_report
from mls.crypto import suite, supported_suites
from mls.registry import CipherSuiteId

TBD1 = CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519
SIZES, QUICK_SIZES = (10, 100, 1_000, 10_000), (10, 100, 1_000)


def figures(
    suites: Sequence[int], sizes: Sequence[int], operations: Sequence[str], pace: Pace
) -> Iterator[tuple[Figure, Prices]]:
    """Every figure asked for, as soon as it is measured, with the prices of that moment."""
    for suite_id in suites:
        prices = Prices(suite(suite_id))
        for n in sizes:
            scene = Scene(suite_id, n)
            for name in operations:
                yield measured(scene.operation(name), suite_id, n, prices, pace), prices


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends quietly where nobody reads on, as in `| head`."""
    try:
        _run(_parser().parse_args(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit


def _run(asked: argparse.Namespace) -> None:
    offered = supported_suites()
    suites = asked.suite or [id for id in ((1,) if asked.quick else (1, 2, TBD1)) if id in offered]
    sizes = asked.n or (QUICK_SIZES if asked.quick else SIZES)
    operations = asked.operation or (*OPERATIONS, *COMPANIONS)
    measured_here: list[Priced] = []
    for figure, prices in figures(suites, sizes, operations, QUICK if asked.quick else Pace(memory=not asked.json)):
        if asked.json:
            print(json.dumps(figure.as_json()), flush=True)
            continue
        measured_here.append(Priced(figure, prices.listed()))
        _show_progress(f"{figure.suite:#06x} {figure.n:>6} {figure.operation:<16}")
    if not measured_here:
        return
    _show_progress(" " * 30 + "\r")
    if asked.svg:
        asked.svg.write_text(chart([each.figure for each in measured_here]))
    if asked.page:
        write_page(asked.page, measured_here, asked.machine)
    print_report(measured_here)


def _show_progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mls", description=__doc__)
    parser.add_argument("--suite", type=_suite, action="append", help="a code point, or TBD1; may be repeated")
    parser.add_argument("--n", type=int, action="append", help="members; may be repeated")
    parser.add_argument("--operation", choices=(*OPERATIONS, *COMPANIONS), action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="suite 1 up to 1 000 members, few rounds, no memory")
    parser.add_argument("--json", action="store_true", help="one line for each figure and nothing else")
    parser.add_argument("--svg", type=Path, help="where to draw cost against n")
    parser.add_argument("--page", type=Path, help="where to write a page of all of it, Markdown with a plot beside it")
    parser.add_argument("--machine", default="not named", help="what the page says of the machine")
    return parser


def _suite(text: str) -> int:
    id = int(TBD1) if text.upper() == "TBD1" else int(text, 0)
    if id not in supported_suites():
        raise argparse.ArgumentTypeError(f"this engine does not offer suite {text}")
    return id


if __name__ == "__main__":
    main()
