"""What the simulator must report: forks and stalls where more members lie, or do less, than a committee survives.

Without these a green run would only show that nobody was looking.
"""

from __future__ import annotations

import pytest

from ordering import FreezeReason, Timing
from tests.sim.draw import draw
from tests.sim.liars import Twins
from tests.sim.plan import Lie, Plan
from tests.sim.simulation import Simulation


def forked(seated: int, twins: tuple[int, ...]) -> Simulation:
    """Members 0 and 1 apart, and two-faced liars who show each of them a quorum."""
    sim = Simulation(Plan(seated=seated, liars=tuple((member, Lie.TWINS) for member in twins)))
    sim.stop_on_violation = False
    for member in twins:
        sim.liars[member] = Twins(sim, member, sides=((0,), (1,)))
    sim.network.split([0], [1])
    sim.start()
    sim.commit(0)
    sim.commit(1)
    assert sim.run_until(lambda: sim.all_applied(1), 60), "the liars did not bring both sides to a decision"
    sim.network.heal()
    sim.run_for(30)
    return sim


@pytest.mark.parametrize(("seated", "twins"), [(4, (2, 3)), (3, (2,))], ids=["two_liars_of_four", "one_liar_of_three"])
def test_more_liars_than_the_committee_survives_fork_it_with_evidence(seated: int, twins: tuple[int, ...]) -> None:
    """The fork is reported; once they meet, both sides freeze with the two Decisions in hand and name the liars."""
    sim = forked(seated, twins)

    assert any(violation.startswith("fork:") for violation in sim.watch.violations)
    assert any(violation.startswith("agreement:") for violation in sim.watch.violations)
    frozen = dict(sim.watch.freezes)
    assert sorted(frozen) == [0, 1]
    for freeze in frozen.values():
        assert freeze.reason is FreezeReason.TWO_DECISIONS
        for decision in freeze.decisions:
            decision.check(sim.group.keys.verify)
        signers = [{voter for voter, _ in decision.certificate.signatures} for decision in freeze.decisions]
        assert signers[0] & signers[1] == set(twins)  # those who signed both are the liars, and no others
    accused = {evidence.first.voter for _, evidence in sim.watch.evidences}
    assert accused <= set(twins)


@pytest.mark.parametrize(("seated", "silent"), [(3, 2), (4, 2), (7, 3)])
def test_too_many_silent_stall_without_burning_views(seated: int, silent: int) -> None:
    """n-q+1 silent voters: nothing can be decided, no timer runs, and the run is reported as a stall."""
    liars = tuple((seated - 1 - place, Lie.SILENT) for place in range(silent))
    sim = Simulation(Plan(seated=seated, liars=liars, steady=0, timing=Timing(status_period_s=10.0)))

    outcome = sim.run()

    assert outcome.reason is not None
    assert outcome.reason.startswith("stall: no progress")
    sim.run_for(3600)
    assert max(node.state.view for node in sim.nodes.values()) <= 1
    assert sim.watch.decided == {}


def test_applying_before_the_certificate_forks() -> None:
    """Taking the first commit that opens for granted, as systems with a tie-break do: the watch sees the fork."""
    failed = 0
    for seed in range(20):
        sim = Simulation(draw(seed, seated=4, commit_chance=1.0))
        sim.apply_before_certificate = True
        outcome = sim.run()
        assert outcome.reason is not None
        failed += outcome.reason.startswith(("fork:", "agreement:"))
    assert failed == 20


def test_applying_before_the_certificate_leaves_members_in_different_epochs_for_ever() -> None:
    """The same, without the watch ending the run: two commits at once, and the members are apart."""
    sim = Simulation(Plan(seated=4))
    sim.stop_on_violation = False
    sim.apply_before_certificate = True
    sim.start()
    sim.commit(0)
    sim.commit(1)
    sim.run_for(30)

    assert len({tuple(node.disk.applied) for node in sim.nodes.values()}) > 1
    assert any(violation.startswith("agreement:") for violation in sim.watch.violations)
