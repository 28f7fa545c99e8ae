"""R1, R2, R5, R8: sleeping, entering views, keeping certificates, giving up waiting."""

from __future__ import annotations

import pytest

from ordering import Broadcast, Certificate, Justification, MisuseError, Status, Tick, VoteKind
from tests.ordering.world import Liar, Node, broadcasts, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
OTHERS = (0, 1, 3)


def opened(voter: int | None = 2, size: int = 4) -> Node:
    node = Node(config(size, voter))
    node.open(heard=[i for i in range(size) if i != voter])
    return node


def nullification(view: int) -> Certificate:
    return LIAR.certificate(NULLIFY, view, OTHERS)


def notarization(view: int, id: bytes = X) -> Certificate:
    return LIAR.certificate(NOTARIZE, view, OTHERS, value("x") if id == X else value("y"))


def test_an_instance_wants_open_first() -> None:
    with pytest.raises(MisuseError):
        Node(config(4, 0)).give(Tick(0.0))


def test_r1_it_sleeps_without_votes_or_timers() -> None:
    """Nothing to decide: an hour passes with Statuses and nothing else."""
    node = opened()
    effects = node.pass_time(3600)
    assert {type(message) for message in broadcasts(effects)} == {Status}
    assert node.state.view == 0
    assert len(effects) < 3600 / 3  # at the idle period


@pytest.mark.parametrize(
    "waking",
    [LIAR.vote(NULLIFY, 0, 1), notarization(0), nullification(1), LIAR.propose(0, X)],
    ids=["vote", "notarization", "nullification", "propose"],
)
def test_r1_a_vote_or_certificate_wakes_it(waking: Certificate) -> None:
    """Waking brings a Status forward."""
    node = opened()
    node.pass_time(1)
    effects = node.receive(waking)
    assert node.state.awake_at_s == 1.0
    assert of_type(broadcasts(effects), Status) == []
    assert len(of_type(broadcasts(node.pass_time(0.26)), Status)) == 1


def test_r1_a_hard_valid_candidate_wakes_it_and_garbage_does_not() -> None:
    node = opened()
    node.learn(facts("garbage", hard=False))
    assert node.state.awake_at_s is None
    node.learn(facts("x", soft=False))
    assert node.state.awake_at_s is not None


def test_r2_a_nullification_of_this_view_leads_to_the_next() -> None:
    node = opened()
    effects = node.receive(nullification(0))
    assert node.state.view == 1
    assert node.state.proof == LIAR.justification(1, None, [nullification(0)])
    assert Broadcast(node.state.proof) in effects


def test_r2_votes_complete_the_certificate() -> None:
    node = opened()
    node.receive(*(LIAR.vote(NULLIFY, 0, voter) for voter in OTHERS))
    assert node.state.view == 1


def test_r2_a_notarization_is_a_proof_of_its_own_view() -> None:
    """Story `notarization_is_proof`: a laggard needs no more than the notarization of a later view."""
    node = opened()
    node.receive(notarization(2))
    assert node.state.view == 2
    assert node.state.proof == LIAR.justification(2, notarization(2))


def test_r2_a_notarization_of_this_view_alone_moves_nobody() -> None:
    node = opened()
    node.receive(notarization(0))
    assert node.state.view == 0


def test_r2_a_certificate_that_completes_no_proof_is_stored() -> None:
    """Jumping on a single nullification left leaders with justifications that nobody could build."""
    node = opened()
    node.receive(nullification(2))
    assert node.state.view == 0
    node.receive(nullification(0))
    assert node.state.view == 1
    node.receive(nullification(1))
    assert node.state.view == 3
    assert node.state.proof == LIAR.justification(3, None, [nullification(view) for view in range(3)])


def test_r2_own_certificates_prove_across_a_notarized_view() -> None:
    node = opened()
    node.receive(nullification(1), notarization(0))
    assert node.state.view == 2
    assert node.state.proof == LIAR.justification(2, notarization(0), [nullification(1)])


def test_r2_a_relayed_proof_is_entered_on_at_once() -> None:
    node = opened()
    proof = LIAR.justification(3, notarization(1), [nullification(2)])
    assert Broadcast(proof) in node.receive(proof)
    assert node.state.view == 3


def test_r2_a_relayed_proof_of_the_next_view_by_this_views_notarization() -> None:
    """Someone gave up waiting (R8); its proof carries us along."""
    node = opened()
    node.receive(LIAR.justification(1, notarization(0)))
    assert node.state.view == 1


def test_r2_a_propose_is_a_proof() -> None:
    node = opened()
    node.receive(LIAR.propose(1, X, LIAR.justification(1, None, [nullification(0)])))
    assert node.state.view == 1
    assert node.state.proposal == X


def test_r2_a_false_proof_moves_nobody() -> None:
    node = opened()
    true = nullification(1)
    false = Certificate(true.instance, NULLIFY, 0, b"", true.signatures)  # signatures of another view
    node.receive(Justification(LIAR.instance, 2, None, (false, true)))
    assert node.state.view == 0
    assert node.state.nullifications == {}


def test_r2_views_only_grow() -> None:
    node = opened()
    node.receive(notarization(3), LIAR.justification(1, None, [nullification(0)]), notarization(1), nullification(1))
    assert node.state.view == 3


def test_r5_a_notarization_is_relayed_before_the_bytes_are_here() -> None:
    node = opened()
    effects = node.receive(*(LIAR.vote(NOTARIZE, 0, voter, X) for voter in OTHERS))
    assert votes(effects) == []
    assert notarization(0) in broadcasts(node.pass_time(0.26))


def test_r5_a_notarization_of_a_later_view_is_relayed_at_once() -> None:
    node = opened()
    assert notarization(3) in broadcasts(node.receive(notarization(3)))


def test_r5_it_is_relayed_once() -> None:
    node = opened()
    node.receive(notarization(0))
    assert node.receive(notarization(0), LIAR.vote(NOTARIZE, 0, 1, X)) == []


def test_r8_no_waiting_when_too_many_nullified() -> None:
    """More than n - q Nullify: no q Finalize are left. Story `certified_split`."""
    node = opened()
    node.receive(notarization(0), LIAR.vote(NULLIFY, 0, 0))
    assert node.state.view == 0
    node.receive(LIAR.vote(NULLIFY, 0, 1))
    assert node.state.view == 1
    assert node.state.proof == LIAR.justification(1, notarization(0))


def test_r8_the_finalize_timer_ends_the_wait() -> None:
    """It runs from the notarization, not from entering."""
    node = opened()
    node.pass_time(1.0)
    node.receive(notarization(0))
    assert votes(node.pass_time(1.9)) == []
    assert node.state.view == 0
    node.pass_time(0.2)
    assert node.state.view == 1


def test_r8_a_follower_moves_along_without_timers() -> None:
    node = opened(voter=None)
    node.receive(notarization(0))
    node.pass_time(100)
    assert node.state.view == 0
    node.receive(LIAR.vote(NULLIFY, 0, 0), LIAR.vote(NULLIFY, 0, 1))
    assert node.state.view == 1


def test_a_follower_says_nothing_but_its_status() -> None:
    node = opened(voter=None)
    node.learn(facts("x"))
    effects = node.receive(LIAR.propose(0, X), notarization(0), nullification(1), notarization(2))
    effects += node.pass_time(60)
    assert {type(message) for message in broadcasts(effects)} <= {Status}


def test_equal_inputs_give_equal_transitions() -> None:
    first, second = opened(), opened()
    for node in (first, second):
        node.learn(facts("x"), facts("y", committer=51))
        node.receive(LIAR.propose(0, X), notarization(0))
        node.pass_time(30)
    assert first.effects == second.effects
