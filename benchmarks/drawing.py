"""Cost against the size of the group, drawn with nothing but text: strips for a terminal, SVG for a page."""

import math
from collections.abc import Iterator, Sequence

from benchmarks.measure import Figure

STRIP_WIDTH = 72
WIDTH, HEIGHT, MARGIN, LEGEND = 760, 460, 56, 170
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
    """Time against n, both logarithmic, a line for each operation and suite."""
    low = math.floor(math.log10(min(each.median_s for each in figures)))
    high = math.ceil(math.log10(max(each.median_s for each in figures)))
    left, right = math.log10(min(each.n for each in figures)), math.log10(max(each.n for each in figures))

    def x(n: int) -> float:
        return MARGIN + (math.log10(n) - left) / (right - left or 1) * (WIDTH - MARGIN - LEGEND)

    def y(seconds: float) -> float:
        return HEIGHT - MARGIN - (math.log10(seconds) - low) / (high - low or 1) * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif"'
        ' font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for power in range(low, high + 1):
        level = y(10.0**power)
        parts.append(f'<path d="M{MARGIN} {level:.1f}H{WIDTH - LEGEND}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{level + 4:.1f}" text-anchor="end">{_named(power)}</text>')
    below = HEIGHT - MARGIN + 18
    sizes = sorted({each.n for each in figures})
    parts += [f'<text x="{x(n):.1f}" y="{below}" text-anchor="middle">{n}</text>' for n in sizes]
    parts.append(f'<text x="{(MARGIN + WIDTH - LEGEND) / 2}" y="{HEIGHT - 16}" text-anchor="middle">members</text>')
    lines = list(dict.fromkeys((each.suite, each.operation) for each in figures))
    for number, (suite_id, operation) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = sorted(
            (each.n, each.median_s) for each in figures if (each.suite, each.operation) == (suite_id, operation)
        )
        path = " ".join(f"{x(n):.1f},{y(seconds):.1f}" for n, seconds in points)
        dashes = ' stroke-dasharray="4 3"' if number // len(COLOURS) % 2 else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>')
        row = MARGIN + number * (HEIGHT - 2 * MARGIN) / max(1, len(lines))
        label = f"{operation}, {suite_id:#06x}"
        parts.append(f'<text x="{WIDTH - LEGEND + 12}" y="{row + 8:.1f}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _named(power: int) -> str:
    """A power of ten seconds in words."""
    unit = {0: "s", -3: "ms", -6: "us", -9: "ns"}
    base = 3 * (power // 3)
    return f"{10 ** (power - base)} {unit[base]}" if base in unit else f"1e{power} s"
