"""What a person reads at a terminal: prices, the table, growth with the size of the group, other engines' times."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.drawing import strip
from benchmarks.measure import Figure
from mls.crypto import suite


@dataclass(frozen=True, slots=True)
class Priced:
    """A figure, and what the primitives cost while it was measured, in seconds."""

    figure: Figure
    prices: dict[str, float]


QUOTED_S = {"verify": 0.13e-3, "HPKE seal": 0.11e-3}
"""Primitives on the machine on which the other engines were measured, each at its best."""

OTHERS_MS = {
    "add_all": (2000.0, 5170.0),
    "join": (170.0, 617.0),
    "commit_addonly": (160.0, 1180.0),
    "process_addonly": (29.0, 178.0),
    "seal": (0.15, 4.7),
    "open": (0.4, 3.7),
}
"""MLSpp (C++, release build) and ts-mls 2.0 rc (Node 20) with suite 1 and 1 000 members, each at its best."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operation's time here, and what the others would take here, in ms."""

    operation: str
    ours: float
    mlspp: float
    ts_mls: float


def print_report(measured: Sequence[Priced]) -> None:
    figures = [each.figure for each in measured]
    for suite_id in dict.fromkeys(figure.suite for figure in figures):
        of_suite = [each for each in measured if each.figure.suite == suite_id]
        print(f"\n{suite(suite_id).name} ({suite_id:#06x})\n")
        print(f"primitives, us: {price_list(of_suite)}\n")
        _print_table(each.figure for each in of_suite)
        _print_growth([each.figure for each in of_suite])
        for line in fits([each.figure for each in of_suite]):
            print(line)
    _print_others(list(comparisons(measured)))


def price_list(measured: Sequence[Priced]) -> str:
    """What the primitives cost at the end of a run."""
    short = {name: price for name, price in measured[-1].prices.items() if not name.endswith("byte")}
    return ", ".join(f"{name} {price * 1e6:.1f}" for name, price in short.items())


def _print_table(figures: Iterable[Figure]) -> None:
    print(f"{'operation':<16}{'n':>7}{'time ms':>12}{'floor ms':>12}{'ratio':>8}{'bytes':>12}{'peak KiB':>11}")
    for each in sorted(figures, key=lambda figure: figure.n):
        floor = f"{each.floor_s * 1e3:.3f}" if each.floor_s else "-"
        ratio = f"{each.ratio:.2f}" if each.ratio else "-"
        memory = "-" if each.memory is None else f"{each.memory // 1024}"
        timed = f"{each.median_s * 1e3:.3f}"
        print(f"{each.operation:<16}{each.n:>7}{timed:>12}{floor:>12}{ratio:>8}{each.size:>12}{memory:>11}")


def _print_growth(figures: Sequence[Figure]) -> None:
    sizes = sorted({each.n for each in figures})
    if len(sizes) < 2:
        return
    marks = "abcdefgh"
    print("\ntime against n: " + ", ".join(f"{mark} = {n}" for mark, n in zip(marks, sizes, strict=False)))
    for line in strip(figures, sizes, marks):
        print(line)
    print()


def fits(figures: Sequence[Figure]) -> Iterator[str]:
    """A path Commit on a full tree grows with log n: a straight line over log2 n, and how far the points are off."""
    commits = [each for each in figures if each.operation == "commit_full"]
    if len({each.n for each in commits}) < 3:
        return
    for what, unit, scale, of in (
        ("time", "us", 1e6, lambda each: each.median_s),
        ("bytes", "B", 1.0, lambda each: float(each.size)),
    ):
        points = [(math.ceil(math.log2(each.n)), of(each) * scale) for each in commits]
        start, slope = _line(points)
        off = max(abs(y - start - slope * x) / y for x, y in points)
        yield f"commit_full, {what}: {start:.0f} + {slope:.0f} x ceil(log2 n) {unit}; furthest point off by {off:.0%}"


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: (value at 0, slope)."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - slope * mean_x, slope


def comparisons(measured: Iterable[Priced]) -> Iterator[Comparison]:
    """Their times scaled by the primitive that has gained most on the machine they are quoted from."""
    for each in measured:
        figure = each.figure
        if (figure.suite, figure.n) == (1, 1000) and figure.operation in OTHERS_MS:
            scale = min(each.prices[name] / quoted for name, quoted in QUOTED_S.items())
            mlspp, ts_mls = OTHERS_MS[figure.operation]
            yield Comparison(figure.operation, figure.median_s * 1e3, mlspp * scale, ts_mls * scale)


def _print_others(rows: Sequence[Comparison]) -> None:
    if not rows:
        return
    print("\nother engines, suite 1, n = 1000, ms, scaled to this machine by the primitives' own times\n")
    print(f"{'operation':<16}{'ours':>10}{'MLSpp':>10}{'ts-mls':>10}")
    for each in rows:
        print(f"{each.operation:<16}{each.ours:>10.3f}{each.mlspp:>10.3f}{each.ts_mls:>10.3f}")
