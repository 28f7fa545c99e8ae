"""A whole run as a page of the documentation, and the plot beside it."""

import datetime
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.drawing import chart
from benchmarks.measure import Figure
from benchmarks.operations import COMPANIONS
from benchmarks.report import Priced, comparisons, fits, price_list
from mls.crypto import suite

INTRODUCTION = """\
# What the MLS engine costs

Written by `python -m benchmarks.mls --page docs/benchmarks-mls.md --machine ...` on {date}, not by hand.
Machine: {machine}. Python {python}, cryptography {cryptography}.

The *floor* of an operation is what the primitives in it cost that no implementation can do without: RFC 9420 counted
step by step (`benchmarks/floors.py`), at the prices of the same minutes. A cell is the time, and × how many times the
floor that is; encoding, decoding and snapshots have no floor. Times are medians, of the processor time of one process;
those of `join` and `add_all` are the wall clock's: their signature checks are spread over the cores, those of
`_one_thread` are not.

`commit_full`, `process`, `join`, `remove`, `add_one` are of a group in which everybody has committed, so that every
parent of the tree has a key; `_addonly` of one in which nobody has but the founder, who added all (`add_all`): there a
path is sealed to each member by itself. Identities have 13 bytes, messages 100. The last column is the ratio at the
largest size over that at 1 000."""


def write_page(path: Path, measured: Sequence[Priced], machine: str) -> None:
    """`path`, and a plot of the same name."""
    plot = path.with_suffix(".svg")
    figures = [each.figure for each in measured]
    plot.write_text(chart([each for each in figures if each.operation not in COMPANIONS]))
    path.write_text("\n".join(_lines(measured, machine, plot.name)) + "\n")


def _lines(measured: Sequence[Priced], machine: str, plot: str) -> Iterator[str]:
    yield INTRODUCTION.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=machine,
        python=platform.python_version(),
        cryptography=version("cryptography"),
    )
    yield f"\n![Time against the number of members, for each suite]({plot})"
    for suite_id in dict.fromkeys(each.figure.suite for each in measured):
        of_suite = [each for each in measured if each.figure.suite == suite_id]
        figures = [each.figure for each in of_suite]
        yield f"\n## Suite {suite_id:#06x}\n\n{suite(suite_id).name}. Primitives, µs: {price_list(of_suite)}.\n"
        yield from _times(figures)
        yield "\nBytes that the operation makes or takes in, and the most that Python had allocated meanwhile:\n"
        yield from _sizes(figures)
        if lines := list(fits(figures)):
            yield "\n" + "\n".join(f"- {line}" for line in lines)
    if rows := list(comparisons(measured)):
        yield "\n## Other engines\n"
        yield "Suite 1, 1 000 members, ms; measured on another machine and scaled by what an HPKE encryption and a"
        yield "signature check cost there and here, whichever favours them more.\n"
        yield "| operation | ours | MLSpp (C++) | ts-mls |\n|---|---|---|---|"
        for row in rows:
            yield f"| {row.operation} | {row.ours:.2f} | {row.mlspp:.2f} | {row.ts_mls:.2f} |"


def _times(figures: Sequence[Figure]) -> Iterator[str]:
    sizes = sorted({each.n for each in figures})
    yield from _head(sizes, "×")
    for name, row in _rows(figures):
        reference, last = row.get(1000), row.get(sizes[-1])
        growth = "" if not (reference and last and reference.ratio and last.ratio) else last.ratio / reference.ratio
        shown = f"{growth:.2f}" if growth else ""
        yield f"| {name} | " + " | ".join(_time(row[n]) for n in sizes) + f" | {shown} |"


def _sizes(figures: Sequence[Figure]) -> Iterator[str]:
    sizes = sorted({each.n for each in figures})
    yield from _head(sizes)
    for name, row in _rows(figures):
        cells = [f"{row[n].size:,} B" + ("" if row[n].memory is None else f", {_kib(row[n])}") for n in sizes]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _head(sizes: Sequence[int], *more: str) -> Iterator[str]:
    columns = ["n", *map(str, sizes), *more]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"


def _rows(figures: Sequence[Figure]) -> Iterator[tuple[str, dict[int, Figure]]]:
    for name in dict.fromkeys(each.operation for each in figures):
        yield name, {each.n: each for each in figures if each.operation == name}


def _time(figure: Figure) -> str:
    milliseconds = figure.median_s * 1e3
    digits = 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2 if milliseconds >= 1 else 3
    ratio = f" ×{figure.ratio:.2f}" if figure.ratio else ""
    return f"{milliseconds:.{digits}f} ms{ratio}"


def _kib(figure: Figure) -> str:
    assert figure.memory is not None
    return f"{figure.memory / 1024:,.0f} KiB"
