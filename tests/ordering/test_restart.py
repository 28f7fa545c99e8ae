"""R12 and the guard in the machine: what a crash may forget, and what it must not."""

from __future__ import annotations

from ordering import (
    Abstained,
    Broadcast,
    Decided,
    Effect,
    Guard,
    InstanceRecord,
    Persist,
    Propose,
    Send,
    SignedVote,
    VoteKind,
    restore,
)
from tests.ordering.world import GROUP, Liar, Node, broadcasts, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
NOTARIZED = LIAR.certificate(NOTARIZE, 0, (0, 1, 3), X)
NULLIFIED = LIAR.certificate(NULLIFY, 0, (0, 1, 3))


def opened(voter: int = 2, guard: Guard | None = None, size: int = 4) -> Node:
    node = Node(config(size, voter), guard)
    node.open(heard=[i for i in range(size) if i != voter])
    return node


def record(node: Node) -> InstanceRecord:
    found = node.disk[InstanceRecord]
    assert isinstance(found, InstanceRecord)
    return InstanceRecord.decode(found.encode())


def reopened(node: Node) -> list[Effect]:
    node.crash_and_restart()
    return node.open(heard=[0, 1, 3])


def test_r12_records_come_before_anything_leaves() -> None:
    """In every step of a busy life: all Persist first, and a vote never without its record and guard."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X), NOTARIZED, LIAR.vote(NULLIFY, 0, 0), LIAR.vote(NULLIFY, 0, 1))
    node.pass_time(20)
    assert len(votes(node.effects)) > 3
    seen: set[bytes] = set()
    durable: set[bytes] = set()
    for effect in node.effects:
        if isinstance(effect, Persist) and isinstance(effect.record, InstanceRecord):
            durable |= {vote.encode() for vote in effect.record.votes}
        if isinstance(effect, Broadcast) and isinstance(effect.message, SignedVote):
            seen.add(effect.message.encode())
            assert seen <= durable


def test_r12_the_record_of_a_finalize_names_its_notarization() -> None:
    """Story `finalize_then_crash`: without it nobody could be moved by what we finalized."""
    node = opened()
    node.learn(facts("x"))
    node.receive(NOTARIZED)
    assert record(node).notarization == NOTARIZED
    assert record(node).bundles == (X,)
    messages = broadcasts(reopened(node))
    assert NOTARIZED in messages
    assert LIAR.vote(FINALIZE, 0, 2, X) in messages


def test_r12_the_record_holds_the_proof_of_the_view() -> None:
    """Story `restart_three_views`: certificates lost in a restart bound three voters for ever."""
    node = opened()
    node.learn(facts("x", soft=False))
    proof = LIAR.justification(2, None, [LIAR.certificate(NULLIFY, view, (0, 1, 3)) for view in (0, 1)])
    node.receive(proof)
    node.receive(LIAR.vote(NULLIFY, 2, 0), LIAR.vote(NULLIFY, 2, 1))  # the leader of view 2 gives up: complete
    complete = LIAR.justification(3, None, [*proof.nullifications, LIAR.certificate(NULLIFY, 2, (0, 1, 2))])
    assert record(node).proof == complete
    effects = reopened(node) + node.receive(LIAR.status(1, 5))
    assert complete in broadcasts(effects)
    assert [effect.message for effect in of_type(effects, Send)] == [complete]


def test_r12_votes_are_sent_again_after_a_restart() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X))
    assert LIAR.vote(NOTARIZE, 0, 2, X) in broadcasts(reopened(node))


def test_r12_a_leader_sends_its_propose_again_and_no_other() -> None:
    node = opened(0)
    node.learn(facts("x"))
    effects = reopened(node) + node.learn(facts("y", urgent=True), facts("x"))
    assert of_type(broadcasts(effects), Propose) == [LIAR.propose(0, X)]


def test_r12_nothing_is_voted_twice_differently() -> None:
    """Restarted after its Notarize, the voter is offered another value by a lying leader."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X))
    effects = reopened(node) + node.learn(facts("x"), facts("y")) + node.receive(LIAR.propose(0, Y))
    assert {vote.id for vote in votes(effects, NOTARIZE)} == {X}


def test_r12_a_restart_between_views_keeps_the_nullify() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.vote(NULLIFY, 0, 0))
    effects = reopened(node) + node.learn(facts("x")) + node.receive(LIAR.propose(0, X), NOTARIZED)
    assert {vote.kind for vote in votes(effects)} == {NULLIFY}


def test_r12_what_was_notarized_stays_settled() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X))
    reopened(node)
    node.learn(facts("x", soft=False))
    j = LIAR.justification(1, None, [NULLIFIED])
    assert LIAR.vote(NOTARIZE, 1, 2, X) in votes(node.receive(LIAR.propose(1, X, j)))


def test_r12_a_decision_survives_and_is_handed_over_again() -> None:
    """The node may have crashed between the Decision and MLS."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.decision(0, (0, 1, 3), X))
    reopened(node)
    assert len(of_type(node.learn(facts("x")), Decided)) == 1


def test_restoring_is_the_same_as_having_been_slow() -> None:
    """`records()` of a running state is all that `restore` needs."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.justification(1, None, [NULLIFIED]), LIAR.certificate(NOTARIZE, 1, (0, 1, 3), X))
    restored = restore(node.config, node.state.guard, node.state.records())
    for name in ("view", "proof", "own_votes", "own_propose", "notarized", "notarizations", "nullifications"):
        assert getattr(restored, name) == getattr(node.state, name), name


def test_records_of_other_instances_are_passed_over() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X))
    other = config(4, 2, epoch=1)
    assert restore(other, node.state.guard.advance(1), node.state.records()).own_votes == {}


def test_guard_after_decision() -> None:
    """Story: restarted with no vote yet in the next epoch, the voter votes (it does not abstain)."""
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X), LIAR.decision(0, (0, 1, 3), X))
    guard = node.disk[Guard]
    assert isinstance(guard, Guard)
    following = Node(config(4, 2, epoch=1), guard)
    following.open(heard=[0, 1, 3])
    following.learn(facts("y"))
    liar = Liar(4, epoch=1)
    assert votes(following.receive(liar.propose(0, Y))) == [liar.vote(NOTARIZE, 0, 2, Y)]


def test_a_restored_backup_abstains_when_shown_its_own_vote() -> None:
    """Story `restored_backup`: the guard is older than a vote of ours."""
    node = opened()
    node.learn(facts("x"))
    shown = node.receive(LIAR.vote(NULLIFY, 0, 2))
    assert of_type(shown, Abstained) == [Abstained(0, hopeless=False)]
    effects = node.receive(LIAR.propose(0, X), NOTARIZED) + node.pass_time(60)
    assert votes(effects) == []
    guard = node.disk[Guard]
    assert isinstance(guard, Guard)
    assert guard.abstains(0)
    assert not guard.abstains(1)


def test_a_restored_backup_is_shown_its_vote_inside_a_certificate() -> None:
    node = opened()
    node.learn(facts("x"))
    shown = node.receive(LIAR.justification(3, LIAR.certificate(NOTARIZE, 2, (0, 1, 2), X)))
    assert of_type(shown, Abstained) == [Abstained(0, hopeless=False)]


def test_a_restored_backup_is_shown_its_vote_inside_a_decision() -> None:
    """Whoever cast it went on and may have voted in the next epoch: abstain there too. One epoch later it is over."""
    node = opened()
    shown = node.receive(LIAR.decision(0, (0, 1, 2), X))
    assert of_type(shown, Abstained) == [Abstained(1, hopeless=False)]
    guard = node.disk[Guard]
    assert isinstance(guard, Guard)
    assert guard.abstains(1)
    assert not guard.abstains(2)
    assert guard.epoch == 1


def test_a_decision_with_our_known_vote_is_no_sign_of_anything() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(NOTARIZED)
    assert of_type(node.receive(LIAR.decision(0, (0, 1, 2), X)), Abstained) == []


def test_a_forged_vote_of_ours_silences_nobody() -> None:
    node = opened()
    node.learn(facts("x"))
    forged = SignedVote(LIAR.instance, NULLIFY, 0, 2, b"", b"f" * 64)
    assert of_type(node.receive(forged), Abstained) == []
    assert votes(node.receive(LIAR.propose(0, X))) != []


def test_an_echo_of_our_own_vote_is_nothing() -> None:
    node = opened()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X))
    assert node.receive(LIAR.vote(NOTARIZE, 0, 2, X)) == []


def test_a_voter_of_one_with_a_restored_backup_is_hopeless() -> None:
    node = opened(0, size=1)
    assert of_type(node.receive(Liar(1).vote(NULLIFY, 0, 0)), Abstained) == [Abstained(0, hopeless=True)]


def test_a_lost_guard_abstains() -> None:
    node = opened(guard=Guard.lost(GROUP, voted_epoch_max=0))
    node.learn(facts("x"))
    assert votes(node.receive(LIAR.propose(0, X), NOTARIZED) + node.pass_time(60)) == []
