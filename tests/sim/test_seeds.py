"""Twenty thousand drawn runs in every `make test`, in chunks that run side by side."""

from __future__ import annotations

from functools import partial

import pytest

from ordering import Model
from tests.sim.__main__ import Drawing, main, play_seed
from tests.sim.draw import SIZES, draw
from tests.sim.plan import Fault, Lie
from tests.sim.ranges import play_range

CHUNK = 500
CHUNKS = 40


@pytest.mark.parametrize("start", range(0, CHUNKS * CHUNK, CHUNK))
def test_no_promise_is_broken(start: int) -> None:
    """Agreement, validity, no double vote, nothing undone, progress after healing; failing seeds are named."""
    score = play_range(partial(play_seed, Drawing()), start, CHUNK)

    assert score.runs == CHUNK
    assert not score.failures, "\n".join(score.failures)


def test_the_seeds_draw_every_kind_of_trouble() -> None:
    """A green run says something only about what was drawn."""
    plans = [draw(seed) for seed in range(3000)]

    assert {plan.seated for plan in plans} == set(SIZES)
    assert {plan.model for plan in plans} == set(Model)
    assert {lie for plan in plans for _, lie in plan.liars} == set(Lie)
    for fault in Fault:
        assert sum(fault in plan.faults for plan in plans) > 100, fault
    assert sorted(len(plan.faults) for plan in plans)[len(plans) // 2] >= 8  # many at once
    assert sum(plan.epochs > 1 for plan in plans) > 500
    assert sum(bool(plan.liars) and plan.liars_stay for plan in plans) > 500
    for plan in plans:
        if plan.model is Model.CRASH:
            assert plan.liars == ()


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_a_switch(fault: Fault) -> None:
    """`--without` takes it out and nothing else that was there; `--only` leaves no other."""
    for plan in map(draw, range(300)):
        left = plan.without((fault,)).faults
        assert fault not in left
        others = {other for other in plan.faults if other is not fault}
        # What goes with it: a lie its bytes, a crash its lost writes.
        assert others - set(left) <= {Fault.WITHHELD, Fault.LOST_WRITES}
        assert set(plan.without([other for other in Fault if other is not fault]).faults) <= {fault}


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
