"""What comes after healing: a Decision within few views, and every wish carried out, once."""

from __future__ import annotations

from collections import Counter

import pytest

from ordering import Model, fault_count, proposing
from tests.sim.draw import draw
from tests.sim.plan import Fault, Plan
from tests.sim.recovery import first_long, last_view
from tests.sim.simulation import Simulation

LOUD = (Fault.PICKY, Fault.TWINS, Fault.MISCHIEF)


@pytest.mark.parametrize("start", range(0, 800, 200))
def test_decided_within_few_views_of_healing(start: int) -> None:
    """Where bytes and verdicts are quick and nobody goes on lying, 1 + f + n - q views after healing are enough.

    Counted from the furthest view that anybody had reached, whatever had been missing (`docs/ordering.md`).
    """
    for seed in range(start, start + 200):
        plan = draw(seed, liars_stay=False, bytes_s=0.0, judge_s=0.0, clock_drift=0.0, through_leader=())
        run = Simulation(plan)
        outcome = run.run()
        assert outcome.passed, f"seed {seed}: {outcome.reason}"
        faults = fault_count(plan.seated, plan.model)
        assert outcome.views_after_healing <= 1 + faults + plan.seated - plan.quorum, f"seed {seed}: {plan}"


@pytest.mark.parametrize(
    ("seated", "model", "views"),
    [
        (1, Model.BYZANTINE, 1),
        (3, Model.BYZANTINE, 2),
        (4, Model.BYZANTINE, 3),
        (6, Model.BYZANTINE, 4),
        (7, Model.BYZANTINE, 5),
        (31, Model.BYZANTINE, 21),
        (4, Model.CRASH, 2),
        (7, Model.CRASH, 4),
    ],
)
def test_the_bound_counts_all_who_may_be_absent(seated: int, model: Model, views: int) -> None:
    """Not the liars alone. As the page has it for an epoch that was in view 0 at healing."""
    plan = Plan(seated=seated, model=model)

    assert last_view(plan, clear_from=1) == views
    assert last_view(plan, clear_from=20) == 20 + plan.seated - plan.quorum


def test_views_too_short_to_judge_a_commit_count_too() -> None:
    """The timers grow by half per view, until leader and voters have the time."""
    assert first_long(Plan()) == 0
    assert first_long(Plan(judge_s=0.6)) == 1
    assert first_long(Plan(judge_s=0.6, through_leader=(0,))) == 2
    assert last_view(Plan(seated=3, judge_s=0.6, through_leader=(0,)), clear_from=1) == 3


def test_a_run_that_takes_a_view_more_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three voters that all hear each other, and leaders that wait for view 3: one view more than is allowed."""
    choose = proposing._choose
    monkeypatch.setattr(
        proposing,
        "_choose",
        lambda work, justification: choose(work, justification) if work.state.view >= 3 else None,
    )

    reason = Simulation(Plan(seated=3, steady=0)).run().reason

    assert reason == "late: epoch 0 was decided in view 3, 2 was allowed"


@pytest.mark.parametrize("seated", [1, 3, 4, 7])
def test_no_wish_is_lost_and_none_is_carried_out_twice(seated: int) -> None:
    """Everyone wants one thing and commits until it is decided, through crashes, loss and partitions."""
    for seed in range(12 if seated < 7 else 4):
        plan = wishes(seed, seated)
        run = Simulation(plan)
        outcome = run.run()
        assert outcome.passed, f"seed {seed}: {outcome.reason}"
        for node in run.awake():
            decided = Counter(run.wishes_decided(node))
            assert max(decided.values()) == 1, f"seed {seed}: twice"
            assert decided.keys() >= set(run.nodes), f"seed {seed}: lost"


def wishes(seed: int, seated: int) -> Plan:
    """Bad weather over a few epochs, and silent liars at most; epochs enough for all, and some for plain commits."""
    return draw(
        seed,
        seated=seated,
        without=(*LOUD, Fault.DEAD, Fault.PARTIAL),
        followers=0,
        rotate=False,
        dead=(),
        intents=True,
        epochs=seated + 3,
        urgent_chance=0.0,
        judge_s=0.0,
        bytes_s=0.0,
    )
