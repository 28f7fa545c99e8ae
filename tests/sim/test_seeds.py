"""Two thousand drawn runs in every `make test`, in chunks that run side by side."""

from __future__ import annotations

import pytest

from ordering import Model
from tests.sim.__main__ import main
from tests.sim.plan import Lie, draw
from tests.sim.simulation import Simulation

CHUNK = 250
CHUNKS = 8


@pytest.mark.parametrize("start", range(0, CHUNKS * CHUNK, CHUNK))
def test_no_promise_is_broken(start: int) -> None:
    """Agreement, validity, no double vote, nothing undone, progress after healing; failing seeds are named."""
    failed = []
    for seed in range(start, start + CHUNK):
        outcome = Simulation(draw(seed)).run()
        if not outcome.passed:
            failed.append(f"seed {seed}: {outcome.reason} [{outcome.plan}]")
    assert not failed, "\n".join(failed)


def test_the_seeds_draw_every_kind_of_trouble() -> None:
    """A green run says something only about what was drawn."""
    plans = [draw(seed) for seed in range(CHUNKS * CHUNK)]

    assert {plan.seated for plan in plans} == {1, 3, 4, 5, 7}
    assert {plan.model for plan in plans} == set(Model)
    assert {lie for plan in plans for _, lie in plan.liars} == set(Lie)
    assert max(plan.weather.loss for plan in plans) > 0.3
    for count in (
        sum(bool(plan.cuts) for plan in plans),
        sum(plan.crash_chance > 0 for plan in plans),
        sum(bool(plan.liars) and plan.liars_stay for plan in plans),
        sum(bool(plan.dead) for plan in plans),
        sum(plan.epochs > 1 for plan in plans),
        sum(plan.partial_chance > 0 for plan in plans),
    ):
        assert count > 150
    for plan in plans:
        if plan.model is Model.CRASH:
            assert plan.liars == ()


def test_the_command_ends_with_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read the last line."""
    assert main(["--start", "10", "--count", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 0 failed"


def test_a_replay_names_members_inputs_and_effects(capsys: pytest.CaptureFixture[str]) -> None:
    """For a person who wants to know what happened."""
    assert main(["--replay", "10"]) == 0
    text = capsys.readouterr().out
    for word in ("boots", "learned c", "PROPOSE v0", "== persist", "DECIDED"):
        assert word in text
