"""The ordering's benchmarks measure what they say; how long it takes is nobody's test."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from benchmarks import ordering, ordering_contention, ordering_delays, ordering_loss
from benchmarks.ordering_figures import Figure, Target, percentile
from benchmarks.ordering_report import missed, table, write_page
from benchmarks.ordering_virtual import Group, Links
from ordering import BundleId


def test_a_decision_takes_no_more_message_delays_than_the_protocol_has() -> None:
    """3 δ from the leader, 4 δ from another member, and a crashed leader costs a timeout and little more."""
    of = {each.bench: each for each in ordering_delays.figures(quick=True) if each.n == 4}
    assert math.isclose(of["delays/leader commits"].value, 3)
    assert math.isclose(of["delays/another commits"].value, 4)
    assert all(each.target is None or each.target.is_met(each.value) for each in of.values())


@pytest.mark.parametrize("loss", [20, 50])
def test_members_that_lose_messages_neither_fork_nor_stall(loss: int) -> None:
    for seed in range(3):
        outcome = ordering_loss.play(12, 4, loss, seed, 2)
        assert not outcome.forked
        assert not outcome.stalled
        assert len(outcome.all_s) == 2


def test_a_fork_would_be_seen() -> None:
    """Members of one epoch that left it by different bundles are a fork, whatever they say themselves."""
    group = Group(4, 4, Links((0.01, 0.01)))
    group.commit(0)
    assert group.run(10, lambda: group.in_epoch(1))
    (ended,) = group.ended
    assert not ended.is_fork
    other = replace(ended, decided={**ended.decided, 3: BundleId(bytes(32))})
    assert other.is_fork
    assert sum(ordering_loss.tie_break_forks(20, seed) for seed in range(50)) > 25


def test_rival_changes_are_all_certified(tmp_path: Path) -> None:
    epochs, waits_s = trio.run(ordering_contention._contend, tmp_path, 4, clock=MockClock(autojump_threshold=0.0))
    assert len(waits_s) == 4
    assert 1 <= epochs <= 4


def test_json_is_one_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert ordering.main(["--quick", "--json", "--only", "delays"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(line) == {"bench", "n", "value", "unit"} for line in lines)
    assert {line["n"] for line in lines} == {4, 7}


def test_the_page_tells_what_was_missed(tmp_path: Path) -> None:
    figures = [
        Figure("latency/decision, p50", 1, 5.0, "ms", Target(25.0)),
        Figure("latency/decision, p50", 4, 50.0, "ms", Target(25.0)),
    ]
    assert "≤ 25 MISSED (n = 4)" in table(figures)
    assert missed({"latency": figures}).startswith("1 of 2 targets met\nmissed: latency/decision, p50, n = 4: 50 ms")
    page = tmp_path / "figures.md"
    write_page(page, "python -m benchmarks.ordering", {"latency": figures})
    assert "figures-latency.svg" in page.read_text()
    assert (tmp_path / "figures-latency.svg").read_text().count("<polyline") == 1
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
