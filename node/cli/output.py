"""Printing: JSON for programs, tables for people, and nothing that could steer their terminal."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from node.cli.exits import Failure

if TYPE_CHECKING:
    from msgspec import Struct


def print_json(value: "Struct", *, lines: bool = False) -> None:
    """A reply as JSON, indented; on one line each where `lines` says that more of them follow."""
    import msgspec

    data = msgspec.json.encode(value)
    click.echo((data if lines else msgspec.json.format(data, indent=2)).decode())


def print_failure(failure: Failure, *, is_json: bool) -> None:
    """A failure, on standard error: words, or a problem as the API writes it, with the exit code."""
    if is_json:
        import json

        problem = {"type": "about:blank", "detail": failure.message, "code": failure.code, "hint": failure.hint}
        click.echo(json.dumps({**problem, "exit": int(failure.exit)}), err=True)
        return
    click.echo(f"Error: {safe(failure.message)} [{failure.code}]", err=True)
    if failure.hint:
        click.echo(f"  {safe(failure.hint)}", err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table: drawn on a terminal, aligned plain columns elsewhere."""
    cells = [[safe(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if sys.stdout.isatty():
        draw(columns, cells)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (columns, *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def draw(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
    """A table on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Labelled lines; those without a value are left out."""
    shown = [(label, str(value)) for label, value in facts if value not in ("", None)]
    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        click.echo(f"{label.ljust(width)}  {safe(value)}")


def safe(text: str) -> str:
    """Text from elsewhere with control and direction characters made visible: it must not steer a terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\u{ord(character):04x}"
        for character in text
    )


def at_time(seconds: float) -> str:
    """A moment in local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def lasting(seconds: float) -> str:
    """A duration in the two largest units worth saying."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def short(identifier: str) -> str:
    """An id short enough to read, long enough to tell apart; peer ids all begin alike."""
    shown = 4 if identifier.startswith("12D3KooW") else 8
    return identifier if len(identifier) <= 16 else f"{identifier[:shown]}…{identifier[-6:]}"
