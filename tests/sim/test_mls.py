"""The simulator with real MLS groups: one history for all who can read it, and a way back for who cannot."""

from __future__ import annotations

import pytest

from tests.sim.network import FAIR
from tests.sim.plan import Plan
from tests.sim.real import MlsRun, draw_mls

RUNS = 120


@pytest.mark.parametrize("start", range(0, RUNS, 30))
def test_real_groups_stay_one(start: int) -> None:
    """No promise is broken, and in every epoch all who can open it are in the same group."""
    for seed in range(start, start + 30):
        outcome = MlsRun(draw_mls(seed)).run()
        assert outcome.passed, f"python -m tests.sim --mls --replay {seed}: {outcome.reason}"


@pytest.mark.parametrize("seated", [4, 7])
def test_who_was_cut_off_is_back_within_two_epochs(seated: int) -> None:
    """Commits that open for some are decided now and then; the cut-off vote on, and come back by their own commits."""
    cut_off = resyncs = 0
    for seed in range(6):
        plan = Plan(
            seed=seed,
            seated=seated,
            epochs=4,
            steady=0,
            commit_chance=1.0,
            partial_chance=0.7,
            weather=FAIR,
        )
        run = MlsRun(plan)
        outcome = run.run()
        assert outcome.passed, outcome.reason
        cut_off += run.group.cut_off
        resyncs += run.group.resyncs
    assert cut_off > 0
    assert resyncs > 0


def test_one_seed_is_one_run() -> None:
    """Keys, commits and all: a failure can be replayed."""
    first, second = (MlsRun(draw_mls(3)) for _ in range(2))
    assert first.run() == second.run()
    assert list(first.group.verdicts) == list(second.group.verdicts)
