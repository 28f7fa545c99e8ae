"""The live table: what every node is doing, redrawn while the script goes on; plain lines where there is no terminal.

Nothing here runs by itself: a refreshing thread would make the parent unfit to fork.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from node.testnet.figures import Latency

if TYPE_CHECKING:
    from rich.console import Group

COLUMNS: Final = ("node", "epoch", "view", "decisions", "p50", "p95", "state")
MARKS: Final = {"running": "green", "killed": "red", "stopped": "yellow", "removed": "magenta", "ended": "dim"}


@dataclass(slots=True)
class View:
    """What is shown of one node: as it was when it was last asked."""

    name: str
    state: str = "starting"
    epoch: int | None = None
    view: int | None = None
    decisions: int = 0
    latencies_ms: list[float] = field(default_factory=list)  # of decisions, from when it first heard of the candidate

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        latency = Latency.of(self.latencies_ms)
        numbers = (self.epoch, self.view, self.decisions, _ms(latency.p50_ms), _ms(latency.p95_ms))
        return (self.name, *("–" if number is None else str(number) for number in numbers), self.state)


class Screen(Protocol):
    """Where the demo shows itself."""

    def say(self, text: str) -> None:
        """A line of the story, which stays."""

    def show(self, views: Sequence[View], doing: str, /) -> None:
        """How things stand right now."""

    def close(self) -> None:
        """The end of what is live."""


class Lines:
    """Plain lines: the story, and at its end how things stood last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._views: Sequence[View] = ()
        self._began_s = time.monotonic()

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._stream.write(f"{time.monotonic() - self._began_s:6.1f} s  {line}\n")
        self._stream.flush()

    def show(self, views: Sequence[View], _doing: str) -> None:
        self._views = views  # a line per refresh would drown the story

    def close(self) -> None:
        if self._views:
            self._stream.write(f"\n{plain_table(self._views)}\n")
            self._stream.flush()
        self._views = ()


class LiveTable:
    """A table at the foot of the terminal, the story scrolling above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False)
        self._began_s = time.monotonic()
        self._live: Live | None = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._console.print(f"{time.monotonic() - self._began_s:6.1f} s  {line}", markup=False)

    def show(self, views: Sequence[View], doing: str) -> None:
        if self._live is not None:
            self._live.update(self._drawn(views, doing), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _drawn(self, views: Sequence[View], doing: str) -> "Group":
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table: Table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column in ("node", "state") else "right")
        for view in views:
            *cells, state = view.cells()
            table.add_row(*cells, Text(state, style=MARKS.get(state, "")))
        return Group(table, Text(doing, style="dim"))


def open_screen(*, is_json: bool) -> Screen:
    """The live table on a terminal, lines elsewhere; beside JSON, lines on standard error."""
    if is_json:
        return Lines(sys.stderr)
    return LiveTable(sys.stdout) if sys.stdout.isatty() else Lines(sys.stdout)


def plain_table(views: Sequence[View]) -> str:
    """The table as aligned text."""
    rows = [COLUMNS, *(view.cells() for view in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} ms"
