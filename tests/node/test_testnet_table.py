"""The table of the demo: on a terminal, and without one."""

import io
import sys
import threading

import pytest

from node.testnet.figures import Latency, percentile
from node.testnet.table import Lines, LiveTable, View, open_screen, plain_table

VIEWS = (
    View("node 1", "running", epoch=7, view=0, decisions=3, latencies_ms=[10.0, 20.0, 90.0]),
    View("node 2", "killed"),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_plain_table_aligns_and_says_what_is_not_known() -> None:
    """A dash is not a zero."""
    head, one, two = plain_table(VIEWS).splitlines()

    assert head.split() == ["node", "epoch", "view", "decisions", "p50", "p95", "state"]
    assert one.split() == ["node", "1", "7", "0", "3", "20", "ms", "90", "ms", "running"]
    assert two.split() == ["node", "2", "–", "–", "0", "–", "–", "killed"]
    assert len(head) == len(one) == len(two)


def test_the_live_table_needs_no_thread() -> None:
    """A parent with a refreshing thread could not fork."""
    stream = Terminal()
    before = threading.active_count()

    screen = LiveTable(stream)
    screen.say("round 1 [bold]")
    screen.show(VIEWS, "round 1 of 10")
    during = threading.active_count()
    screen.close()
    screen.show(VIEWS, "after the end")

    assert during == before
    assert "round 1 [bold]" in stream.getvalue()
    assert "killed" in stream.getvalue()
    assert "after the end" not in stream.getvalue()


def test_lines_tell_the_story_and_the_table_at_the_end() -> None:
    """Not once per refresh, and once only however often it is closed."""
    stream = io.StringIO()
    screen = Lines(stream)

    screen.show(VIEWS, "")
    screen.show(VIEWS, "")
    screen.say("one\ntwo")
    screen.close()
    screen.close()

    assert stream.getvalue().count("node 2") == 1
    assert [line.split("s  ")[1] for line in stream.getvalue().splitlines()[:2]] == ["one", "two"]


@pytest.mark.parametrize(("is_json", "is_live"), [(False, True), (True, False)])
def test_json_is_alone_on_standard_output(monkeypatch: pytest.MonkeyPatch, is_json: bool, is_live: bool) -> None:
    """The story goes to standard error then."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    screen = open_screen(is_json=is_json)
    screen.say("a line")
    screen.close()

    assert isinstance(screen, LiveTable) == is_live
    assert (terminal.getvalue() == "") == is_json


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, None), ([7.0], 95, 7.0), ([1.0, 2.0], 50, 1.0), ([float(n) for n in range(1, 101)], 95, 95.0)],
)
def test_percentiles_are_measured_values(values: list[float], percent: int, expected: float | None) -> None:
    """Nearest rank: no figure is reported that nobody has seen."""
    assert percentile(values, percent) == expected


def test_latencies_come_in_any_order() -> None:
    """And none is not zero."""
    assert Latency.of([3.0, 1.0, 2.0]) == Latency(3, 2.0, 3.0)
    assert str(Latency.of([])) == "not measured"
