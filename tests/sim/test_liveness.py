"""What comes after healing: a Decision within few views, and every wish carried out, once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim.draw import draw
from tests.sim.plan import Fault, Plan
from tests.sim.simulation import Simulation

LOUD = (Fault.PICKY, Fault.TWINS, Fault.MISCHIEF)


@pytest.mark.parametrize("start", range(0, 800, 200))
def test_decided_within_few_views_of_healing(start: int) -> None:
    """Where the liars that are left are silent, f + 2 views after healing are enough for f = 1, 2f + 1 for more.

    Counted from the furthest view that anybody had reached. (Slow bytes and verdicts cost views of their own.)
    """
    for seed in range(start, start + 200):
        plan = draw(seed, liars_stay=False, bytes_s=0.0, judge_s=0.0, clock_drift=0.0)
        run = Simulation(plan)
        outcome = run.run()
        assert outcome.passed, f"seed {seed}: {outcome.reason}"
        assert outcome.views_after_healing <= plan.views_silent, f"seed {seed}: {plan}"


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
