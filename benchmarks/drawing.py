"""Cost against the size of the group, drawn with nothing but text: strips for a terminal, SVG for a page."""

import math
from collections.abc import Callable, Iterator, Sequence

from benchmarks.measure import Figure

STRIP_WIDTH = 72
PANEL, HEIGHT, MARGIN, GAP, LEGEND = 230, 440, 56, 34, 130
COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#b91c1c", "#0f766e", "#a16207", "#1d4ed8", "#be185d", "#525252")


def strip(figures: Sequence[Figure], sizes: Sequence[int], marks: str) -> Iterator[str]:
    """A line for each operation: its time at each size, on one logarithmic scale."""
    low = math.floor(math.log10(min(each.median_s for each in figures)))
    high = math.ceil(math.log10(max(each.median_s for each in figures)))

    def place(seconds: float) -> int:
        return round((math.log10(seconds) - low) / (high - low) * STRIP_WIDTH)

    scale = [" "] * (STRIP_WIDTH + 8)
    for power in range(low, high + 1):
        column = place(10.0**power)
        scale[column : column + 6] = list(f"|{_named(power):<5}")
    yield " " * 16 + "".join(scale).rstrip()
    for operation in dict.fromkeys(each.operation for each in figures):
        line = ["."] * (STRIP_WIDTH + 1)
        for mark, n in zip(marks, sizes, strict=False):
            for each in figures:
                if (each.operation, each.n) == (operation, n):
                    line[place(each.median_s)] = mark
        yield f"{operation:<16}" + "".join(line)


def chart(figures: Sequence[Figure]) -> str:
    """Time against n, both logarithmic: a panel for each suite, a line for each operation."""
    low = math.floor(math.log10(min(each.median_s for each in figures)))
    high = math.ceil(math.log10(max(each.median_s for each in figures)))
    suites = list(dict.fromkeys(each.suite for each in figures))
    width = MARGIN + len(suites) * (PANEL + GAP) + LEGEND

    def y(seconds: float) -> float:
        return HEIGHT - MARGIN - (math.log10(seconds) - low) / (high - low or 1) * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" font-family="sans-serif"'
        ' font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    parts += [
        f'<text x="{MARGIN - 6}" y="{y(10.0**power) + 4:.1f}" text-anchor="end">{_named(power)}</text>'
        for power in range(low, high + 1)
    ]
    levels = [y(10.0**power) for power in range(low, high + 1)]
    strokes = {name: _stroke(number) for number, name in enumerate(_slowest_first(figures))}
    for number, suite_id in enumerate(suites):
        of_suite = [each for each in figures if each.suite == suite_id]
        parts += _panel(MARGIN + number * (PANEL + GAP), suite_id, of_suite, levels, y, strokes)
    for number, (name, stroke) in enumerate(strokes.items()):
        row, left = MARGIN + 18 * number, width - LEGEND
        parts.append(f'<path d="M{left} {row}h24" {stroke}/><text x="{left + 30}" y="{row + 4}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    left: int,
    suite_id: int,
    figures: Sequence[Figure],
    levels: Sequence[float],
    y: Callable[[float], float],
    strokes: dict[str, str],
) -> Iterator[str]:
    first, last = (math.log10(end(each.n for each in figures)) for end in (min, max))

    def x(n: int) -> float:
        return left + (math.log10(n) - first) / (last - first or 1) * PANEL

    yield from (f'<path d="M{left} {level:.1f}h{PANEL}" stroke="#ddd"/>' for level in levels)
    yield f'<text x="{left + PANEL / 2}" y="{MARGIN - 18}" text-anchor="middle">suite {suite_id:#06x}</text>'
    yield f'<text x="{left + PANEL / 2}" y="{HEIGHT - 16}" text-anchor="middle">members</text>'
    for n in sorted({each.n for each in figures}):
        yield f'<text x="{x(n):.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{n}</text>'
    for name in dict.fromkeys(each.operation for each in figures):
        points = sorted((each.n, each.median_s) for each in figures if each.operation == name)
        path = " ".join(f"{x(n):.1f},{y(seconds):.1f}" for n, seconds in points)
        yield f'<polyline points="{path}" {strokes[name]}/>'


def _slowest_first(figures: Sequence[Figure]) -> list[str]:
    """The operations as their lines end at the right, from above."""
    most = max(each.n for each in figures)
    ends = {each.operation: each.median_s for each in figures if each.n == most}
    return sorted(ends, key=lambda name: -ends[name])


def _stroke(number: int) -> str:
    dashes = ' stroke-dasharray="4 3"' if number // len(COLOURS) % 2 else ""
    return f'fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.6"{dashes}'


def _named(power: int) -> str:
    """A power of ten seconds in words."""
    unit = {0: "s", -3: "ms", -6: "us", -9: "ns"}
    base = 3 * (power // 3)
    return f"{10 ** (power - base)} {unit[base]}" if base in unit else f"1e{power} s"
