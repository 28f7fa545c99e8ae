"""Twins: everything a liar with a sane machine can do in three views of four voters, and samples of more."""

from __future__ import annotations

from random import Random

import pytest

from tests.sim.__main__ import main, play_twins
from tests.sim.ranges import play_range
from tests.sim.twins import (
    EXHAUSTIVE,
    THREE_VIEWS,
    TWO_ROUNDS,
    Schedule,
    TwinRun,
    exchanged,
    partitions,
    sample,
)

SAMPLES = 400


@pytest.mark.parametrize("twin", range(4), ids=["leads view 0", "leads view 1", "leads view 2", "leads none"])
def test_four_voters_one_twin_three_views(twin: int) -> None:
    """All 562 432 schedules, of which a few thousand differ in anything that anybody sees: no fork, no stall."""
    stood_for = 0
    each = THREE_VIEWS.roots // 4
    for root in range(twin * each, (twin + 1) * each):
        for played in THREE_VIEWS.all_from(root):
            stood_for += THREE_VIEWS.stands_for(played)
            assert played.outcome.passed, f"{played.run.schedule.name}: {played.outcome.reason}"

    assert stood_for * 4 == THREE_VIEWS.size == 562_432


@pytest.mark.parametrize("start", range(0, SAMPLES, 100))
def test_two_rounds_of_each_view_apart(start: int) -> None:
    """A value that is notarized in one company and ended in another, at random: the campaign has all."""
    for number in range(start, start + 100):
        chance = Random(f"rounds {number}")
        slots = tuple(chance.choice(TWO_ROUNDS.choices) for _ in range(2 * TWO_ROUNDS.slots))
        run = TwinRun(Schedule(4, (chance.randrange(4),), slots, rounds=2))
        outcome = run.run()
        assert outcome.passed, f"{run.schedule.name}: {outcome.reason}"


def test_larger_committees() -> None:
    """Five, seven and ten voters, and as many twins as may lie."""
    score = play_range(play_twins, EXHAUSTIVE, SAMPLES // 4)

    assert not score.failures, "\n".join(score.failures)
    assert set(score.sizes) == {5, 7, 10}


@pytest.mark.parametrize("twins", [(0, 1), (1, 3), (2, 3)])
def test_one_twin_too_many_forks_and_both_are_named(twins: tuple[int, int]) -> None:
    """Two of four have a copy: some partitions fork. When they meet, all freeze, and accuse the twins, nobody else."""
    forks = 0
    for partition in partitions(6):
        run = TwinRun(Schedule(4, twins, (partition,) * 3))
        run.stop_on_violation = False
        run.run()
        decided = {node.disk.decisions[0].id for node in run.nodes.values() if 0 in node.disk.decisions}
        if len(decided) < 2:
            continue
        forks += 1
        run.heal()
        run.run_for(10)
        accused = {run.group.seats(0)[evidence.first.voter] for _, evidence in run.watch.evidences}
        assert accused == set(twins), run.schedule
        assert {member for member, _ in run.watch.freezes} == set(run.nodes), run.schedule
    assert forks > 0


def test_the_spaces_are_what_they_say() -> None:
    """Bell numbers, canonical forms, and names that can be read back."""
    assert [len(partitions(count)) for count in range(6)] == [1, 1, 2, 5, 15, 52]
    assert len(TWO_ROUNDS.choices) == 16
    assert TWO_ROUNDS.size == 262_144
    assert exchanged((0, 1, 0, 2, 1), 0, 4) == (0, 0, 1, 2, 1)
    for number in range(20):
        assert Schedule.of(sample(number).name) == sample(number)


def test_a_schedule_is_shown_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A failure says how to look at it."""
    assert main(["--schedule", "4:0:1:00001.00000.00000"]) == 0
    text = capsys.readouterr().out
    assert "{0,1,2,3} {0'}" in text
    assert "DECIDED" in text
