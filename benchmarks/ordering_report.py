"""The figures of the ordering as a person reads them: tables, plots, and the page in docs/."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.drawing import COLOURS
from benchmarks.ordering_figures import Figure

WIDTH, HEIGHT, MARGIN, LEGEND = 760, 460, 64, 190

HEADS: Final = {
    "latency": (
        "Decisions of real daemons on loopback",
        "One change at a time, n voters, a process each; from the change durable at the node that was asked to its"
        " certificate durable there. CPU and bytes are those of all nodes together, bytes with TCP's and IP's headers.",
        "voters",
    ),
    "rate": (
        "Decisions in a second",
        "Four nodes. One client for each group; it asks for the next change when the last is certified. A committer"
        " that won lately lets others go first for up to 50 ms, so one client alone is slower than members in turn.",
        "groups",
    ),
    "catch-up": (
        "Catching up",
        "A node of four is down while the others make commits and send messages; seconds since it is started again.",
        "nodes",
    ),
    "delays": (
        "Message delays",
        "Virtual time, every link takes δ = 50 ms: from the commit being made until the last voter has its certificate."
        " The bounds: 3 δ, 4 δ, and a leader timeout (2 Δ₀ = 20 δ) + 4 δ.",
        "voters",
    ),
    "contention": (
        "Contention",
        "Eight members, seven of them voters, all changes asked for in one instant; virtual time, links of δ = 10 ms.",
        "changes",
    ),
    "loss": (
        "Loss",
        "Every message is lost with this chance (per cent), and nothing below repeats it; three rival commits an epoch."
        " After a minute without a decision at all members the links heal.",
        "loss, %",
    ),
}
PLOTS: Final = {
    "latency": ("p50", "as the caller waits, p50", "least"),
    "loss": ("half have it, p50", "all have it, p50"),
    "contention": ("until the last is certified", "median wait"),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a plot."""

    name: str
    points: tuple[tuple[float, float], ...]


def table(figures: Sequence[Figure]) -> str:
    """A row for each thing measured, a column for each n; aligned, and Markdown as well."""
    sizes = list(dict.fromkeys(sorted(each.n for each in figures)))
    rows = [["", *map(str, sizes), "unit", "target"]]
    for bench in dict.fromkeys(each.bench for each in figures):
        of = {each.n: each for each in figures if each.bench == bench}
        targets = dict.fromkeys(
            f"{each.target} {_mark(each)} (n = {each.n})" if len(sizes) > 1 else f"{each.target} {_mark(each)}"
            for each in of.values()
            if each.target is not None
        )
        said = ", ".join(targets) if len(targets) < 2 else _in_short(list(of.values()))
        unit = next(iter(of.values())).unit
        rows.append([bench.partition("/")[2], *(_said(of.get(n)) for n in sizes), unit, said])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) if figures else "(nothing was measured)"


def missed(measured: Mapping[str, Sequence[Figure]]) -> str:
    """Which figures were not what they were to be."""
    judged = [each for figures in measured.values() for each in figures if each.target is not None]
    off = [each for each in judged if each.target is not None and not each.target.is_met(each.value)]
    lines = [f"missed: {each.bench}, n = {each.n}: {_said(each)} {each.unit}, to be {each.target}" for each in off]
    return "\n".join([f"{len(judged) - len(off)} of {len(judged)} targets met", *lines])


def write_page(page: Path, command: str, measured: Mapping[str, Sequence[Figure]]) -> None:
    """The page and a plot for each benchmark that has one."""
    lines = [
        "# Benchmarks of the ordering",
        "",
        f"`{command} --docs`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores. `make bench` runs a short form.",
        "",
        missed(measured),
    ]
    for name, figures in measured.items():
        title, explained, axis = HEADS[name]
        lines += ["", f"## {title}", "", explained, "", table(figures)]
        curves = _curves(name, figures)
        if curves:
            plot = page.with_name(f"{page.stem}-{name}.svg")
            plot.write_text(chart(curves, axis, figures[0].unit if name != "loss" else "s"), encoding="utf-8")
            lines += ["", f"![{title}]({plot.name})"]
    page.write_text("\n".join([*lines, ""]), encoding="utf-8")


def chart(curves: Sequence[Curve], x_name: str, y_name: str) -> str:
    """Lines over logarithmic axes, as SVG."""
    xs = sorted({x for curve in curves for x, _ in curve.points})
    ys = [y for curve in curves for _, y in curve.points if y > 0]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    left, right = math.log10(xs[0]), math.log10(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - left) / (right - left or 1) * (WIDTH - MARGIN - LEGEND)
        up = (math.log10(max(y, 10.0**low)) - low) / (high - low or 1) * (HEIGHT - 2 * MARGIN)
        return MARGIN + across, HEIGHT - MARGIN - up

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif"'
        ' font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for power in range(low, high + 1):
        _, level = place(xs[0], 10.0**power)
        parts.append(f'<path d="M{MARGIN} {level:.1f}H{WIDTH - LEGEND}" stroke="#ddd"/>')
        label = f"{10.0**power:g} {y_name}"
        parts.append(f'<text x="{MARGIN - 4}" y="{level + 4:.1f}" text-anchor="end">{label}</text>')
    below = HEIGHT - MARGIN + 18
    parts += [f'<text x="{place(x, 1)[0]:.1f}" y="{below}" text-anchor="middle">{x:g}</text>' for x in xs]
    middle = (MARGIN + WIDTH - LEGEND) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">{x_name}</text>')
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(curve.points)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        row = MARGIN + number * 34
        for line, text in enumerate(curve.name.rsplit(", ", 1)):
            at = f'x="{WIDTH - LEGEND + 12}" y="{row + 13 * line}"'
            parts.append(f'<text {at} fill="{colour}" font-size="10">{text}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _curves(name: str, figures: Sequence[Figure]) -> list[Curve]:
    drawn = [each for each in figures if each.bench.endswith(PLOTS.get(name, ()))]
    curves = []
    for bench in dict.fromkeys(each.bench for each in drawn):
        points = tuple((float(each.n), each.value) for each in drawn if each.bench == bench)
        if len(points) > 1:
            curves.append(Curve(bench.partition("/")[2], points))
    return curves


def _said(figure: Figure | None) -> str:
    if figure is None:
        return ""
    value = figure.value
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _mark(figure: Figure) -> str:
    return "met" if figure.target is not None and figure.target.is_met(figure.value) else "MISSED"


def _in_short(figures: Sequence[Figure]) -> str:
    judged = [each for each in figures if each.target is not None]
    off = [str(each.n) for each in judged if _mark(each) != "met"]
    return f"{judged[0].target} " + (f"MISSED (n = {', '.join(off)})" if off else "met")
