"""R9, R14 and the freeze: how an instance ends."""

from __future__ import annotations

import pytest

from ordering import (
    Decided,
    Decision,
    EvidenceFound,
    Fetch,
    Freeze,
    FreezeReason,
    Frozen,
    Guard,
    Persist,
    Send,
    VoteKind,
)
from tests.ordering.world import Liar, Node, broadcasts, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
DECISION = LIAR.decision(0, (0, 1, 3), X)


def opened(voter: int | None = 2) -> Node:
    node = Node(config(4, voter))
    node.open(heard=[i for i in range(4) if i != voter])
    return node


def test_r9_q_finalize_decide() -> None:
    node = opened()
    node.learn(facts("x"))
    effects = node.receive(*(LIAR.vote(FINALIZE, 0, voter, X) for voter in (0, 1, 3)))
    assert DECISION in broadcasts(effects)
    assert of_type(effects, Decided) == [Decided(DECISION)]


def test_r9_the_decision_is_durable_before_anyone_hears_of_it() -> None:
    """One transaction: the Decision, and the guard beyond this epoch."""
    node = opened()
    node.learn(facts("x"))
    effects = node.receive(DECISION)
    kinds = [type(effect.record) if isinstance(effect, Persist) else None for effect in effects]
    assert set(kinds[:2]) == {Guard, Decision}
    assert None not in kinds[:2]
    guard = node.disk[Guard]
    assert isinstance(guard, Guard)
    assert (guard.epoch, guard.view, guard.step) == (1, 0, 0)


def test_r9_in_any_view() -> None:
    """Story `late_votes_count`: the q-th Finalize of a view left long ago decides at once."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.vote(FINALIZE, 0, 0, X), LIAR.vote(FINALIZE, 0, 1, X))
    node.receive(*(LIAR.certificate(NULLIFY, view, (0, 1, 3)) for view in (0, 1)))
    assert node.state.view == 2
    node.receive(LIAR.vote(FINALIZE, 0, 3, X))
    assert node.state.decision == DECISION


def test_r9_votes_of_different_views_do_not_add_up() -> None:
    node = opened()
    node.receive(LIAR.vote(FINALIZE, 0, 0, X), LIAR.vote(FINALIZE, 1, 1, X), LIAR.vote(FINALIZE, 0, 3, X))
    assert node.state.decision is None


def test_r9_the_bytes_are_fetched_then_handed_over_once() -> None:
    node = opened()
    effects = node.receive(DECISION)
    assert of_type(effects, Decided) == []
    assert of_type(effects, Fetch) == [Fetch(X, (0, 1, 3))]
    assert of_type(node.pass_time(3.0), Fetch) != []  # asked for again each Status period
    assert of_type(node.learn(facts("x", soft=False)), Decided) == [Decided(DECISION)]
    assert of_type(node.learn(facts("x")) + node.receive(DECISION), Decided) == []


def test_r9_a_follower_learns_it_the_same_way() -> None:
    node = opened(None)
    node.learn(facts("x"))
    effects = node.receive(DECISION)
    assert of_type(effects, Decided) == [Decided(DECISION)]
    assert broadcasts(effects) == []


def test_r9_a_false_decision_decides_nothing() -> None:
    node = opened()
    certificate = LIAR.certificate(FINALIZE, 1, (0, 1, 3), X)
    moved = type(certificate)(certificate.instance, FINALIZE, 0, X, certificate.signatures)
    node.receive(moved, Liar(4, epoch=1).decision(0, (0, 1, 3), X))
    assert node.state.decision is None


def test_r14_no_more_votes() -> None:
    node = opened()
    node.receive(DECISION)
    node.learn(facts("x"), facts("y"))
    effects = node.receive(LIAR.propose(0, X), LIAR.certificate(NULLIFY, 0, (0, 1, 3))) + node.pass_time(100)
    assert votes(effects) == []


def test_r14_but_laggards_are_answered() -> None:
    node = opened()
    node.receive(DECISION)
    node.learn(facts("x"))
    effects = node.receive(LIAR.status(1, 1), source="laggard")
    assert of_type(effects, Send) == [Send("laggard", DECISION)]


def test_r9_two_decisions_freeze() -> None:
    """More than f liars. Nobody picks; the proofs are kept."""
    node = opened()
    node.receive(DECISION)
    other = LIAR.decision(1, (0, 1, 2), Y)
    effects = node.receive(other)
    freeze = Freeze(FreezeReason.TWO_DECISIONS, (DECISION, other), None)
    assert of_type(effects, Frozen) == [Frozen(freeze)]
    assert effects[0] == Persist(freeze)
    assert of_type(node.learn(facts("x"), facts("y")), Decided) == []


def test_r9_two_decisions_of_one_view_convict_the_voters_they_share() -> None:
    node = opened()
    effects = node.receive(LIAR.decision(0, (0, 1, 3), X), LIAR.decision(0, (0, 1, 2), Y))
    assert {found.evidence.first.voter for found in of_type(effects, EvidenceFound)} == {0, 1}


def test_r9_different_certificates_for_one_bundle_are_one_decision() -> None:
    """Story `two_certificates_one_decision`."""
    node = opened()
    node.receive(DECISION)
    assert node.receive(LIAR.decision(1, (0, 1, 2), X)) == []
    assert node.state.freeze is None


@pytest.mark.parametrize("by", ["notarization", "decision"])
def test_r9_a_quorum_behind_a_hard_invalid_bundle_freezes(by: str) -> None:
    """Story `notarized_hard_invalid`: freeze with the proof, not a livelock."""
    node = opened()
    certificate = LIAR.certificate(NOTARIZE, 0, (0, 1, 3), X)
    node.receive(certificate if by == "notarization" else DECISION)
    effects = node.learn(facts("x", hard=False))
    [frozen] = of_type(effects, Frozen)
    assert frozen.freeze.reason is FreezeReason.HARD_INVALID
    assert frozen.freeze.notarization == (certificate if by == "notarization" else None)
    assert of_type(effects, Decided) == []
    assert votes(node.learn(facts("y")) + node.receive(LIAR.propose(0, Y)) + node.pass_time(100)) == []


def test_a_freeze_survives_a_restart() -> None:
    node = opened()
    node.receive(LIAR.certificate(NOTARIZE, 0, (0, 1, 3), X))
    node.learn(facts("x", hard=False))
    node.crash_and_restart()
    assert len(of_type(node.open(), Frozen)) == 1
    assert votes(node.receive(LIAR.propose(0, Y)) + node.learn(facts("y"))) == []
