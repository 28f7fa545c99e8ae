"""R3: what a leader proposes, when, and when it gives up at once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ordering import Broadcast, BuildOwn, CandidateFacts, Effect, Fetch, Guard, Propose, VoteKind
from ordering.candidates import PLAIN_ORDINAL
from ordering.limits import CANDIDATES_MAX
from ordering.naming import permutation
from ordering.proposing import in_order
from tests.ordering.world import GROUP, Liar, Node, broadcasts, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY


def opened(voter: int, size: int = 4, epoch: int = 0) -> Node:
    node = Node(config(size, voter, epoch=epoch))
    node.open(heard=[i for i in range(size) if i != voter])
    return node


def entering(view: int, *, epoch: int = 0) -> Node:
    """The leader of a view, just short of it: one Nullify is missing."""
    liar = Liar(4, epoch=epoch)
    voter = (epoch + view) % 4
    node = opened(voter, epoch=epoch)
    others = [i for i in range(4) if i != voter]
    node.receive(*(liar.certificate(NULLIFY, u, others) for u in range(view)))
    return node


def proposed(effects: Iterable[Effect]) -> list[bytes]:
    return [message.id for message in broadcasts(effects) if isinstance(message, Propose)]


def test_the_leader_proposes_at_once() -> None:
    """A lone candidate whose committer did not win lately needs no collecting: no timer on the good path."""
    node = opened(0)
    effects = node.learn(facts("x"))
    assert proposed(effects) == [X]
    [message] = of_type(broadcasts(effects), Propose)
    assert message.justification == LIAR.justification(0)
    assert message.vote == LIAR.vote(NOTARIZE, 0, 0, X)
    assert message == LIAR.propose(0, X)


def test_who_does_not_lead_does_not_propose() -> None:
    assert votes(opened(1).learn(facts("x"))) == []


@pytest.mark.parametrize(
    "unfit",
    [facts("x", hard=False), facts("x", soft=False), facts("x", soft=None), facts("x", available=False)],
    ids=["hard-invalid", "soft-invalid", "unjudged", "not here"],
)
def test_only_what_it_could_notarize_is_proposed(unfit: CandidateFacts) -> None:
    assert votes(opened(0).learn(unfit)) == []


def test_a_changed_verdict_is_acted_on() -> None:
    node = opened(0)
    node.learn(facts("x", soft=None))
    assert proposed(node.learn(facts("x"))) == [X]


def test_a_recent_winner_waits_for_rivals() -> None:
    """The collection window: the one that won lately gives others 50 ms to show up, and they go first."""
    node = opened(2, epoch=10)
    assert proposed(node.learn(facts("x", last_won=9))) == []
    assert proposed(node.pass_time(0.04)) == []
    assert proposed(node.learn(facts("y", committer=51, last_won=3))) == []
    assert proposed(node.pass_time(0.02)) == [Y]


def test_the_window_closes_without_rivals() -> None:
    node = opened(2, epoch=10)
    node.learn(facts("x", last_won=8))
    assert proposed(node.pass_time(0.06)) == [X]


def test_order_key() -> None:
    """(class, last epoch won, permutation, id), ascending; second candidates of one leaf and ordinal come last."""
    leaves = sorted(range(60, 64), key=lambda leaf: permutation(GROUP, 10, leaf))
    expected = [
        facts("urgent", committer=50, urgent=True, last_won=9),
        facts("never won", committer=51),
        facts("won long ago", committer=52, last_won=2),
        *(facts(f"permuted {leaf}", committer=leaf, last_won=5) for leaf in leaves),
        facts("rival of urgent", committer=50, urgent=True),
    ]
    node = opened(2, epoch=10)
    for candidate in (expected[0], *expected[:0:-1]):
        node.learn(candidate)
    assert [f.id for f in in_order(node.state, 0)] == [f.id for f in expected]


def test_what_was_proposed_in_an_earlier_view_comes_last() -> None:
    """Or one commit that only some can open would be proposed for ever."""
    node = opened(1)
    node.learn(facts("x", urgent=True), facts("y", committer=51))
    node.pass_time(0.1)
    node.receive(LIAR.propose(0, X))
    effects = node.receive(LIAR.certificate(NULLIFY, 0, (0, 2, 3)))
    assert proposed(effects) == [Y]


def test_a_constrained_leader_proposes_the_notarized_value() -> None:
    """Whatever its own order, and though soft-invalid for it: q - f honest voters could apply it."""
    node = opened(1)
    node.learn(facts("x", soft=False), facts("y", committer=51))
    notarization = LIAR.certificate(NOTARIZE, 0, (0, 2, 3), X)
    effects = node.receive(LIAR.justification(1, notarization))
    assert proposed(effects) == [X]
    [message] = of_type(broadcasts(effects), Propose)
    assert message.justification == LIAR.justification(1, notarization)


def test_a_constrained_leader_waits_for_the_bytes() -> None:
    node = opened(1)
    node.learn(facts("y", committer=51))
    effects = node.receive(LIAR.justification(1, LIAR.certificate(NOTARIZE, 0, (0, 2, 3), X)))
    assert votes(effects) == []
    assert [fetch.id for fetch in of_type(effects, Fetch)] == [X]
    assert proposed(node.learn(facts("x"))) == [X]


def test_the_highest_notarization_counts() -> None:
    node = opened(3)
    node.learn(facts("x"), facts("y", committer=51))
    low = LIAR.certificate(NOTARIZE, 0, (0, 1, 2), X)
    high = LIAR.certificate(NOTARIZE, 1, (0, 1, 2), X)
    nullified = [LIAR.certificate(NULLIFY, view, (0, 1, 2)) for view in (1, 2)]
    effects = node.receive(low, high, *nullified)
    [message] = of_type(broadcasts(effects), Propose)
    assert message.justification == LIAR.justification(3, high, [nullified[1]])


def test_from_view_f_plus_1_the_own_plain_commit() -> None:
    """f = 1: view 2. It is asked for at once, and proposed when it comes, whatever else is there."""
    node = entering(2)
    assert of_type(node.effects, BuildOwn) == [BuildOwn(PLAIN_ORDINAL)]
    node.learn(facts("y", committer=51))
    assert votes(node.effects) == []
    plain = facts("plain", committer=12, ordinal=PLAIN_ORDINAL)
    assert proposed(node.learn(plain)) == [plain.id]


def test_in_views_up_to_f_nothing_is_built() -> None:
    assert of_type(entering(1).effects, BuildOwn) == []


def test_another_members_plain_commit_is_not_the_own() -> None:
    node = entering(2)
    assert proposed(node.learn(facts("plain", committer=13, ordinal=PLAIN_ORDINAL))) == []


def test_the_built_commit_serves_every_later_view() -> None:
    node = entering(2)
    plain = facts("plain", committer=12, ordinal=PLAIN_ORDINAL)
    node.learn(plain)
    others = (0, 1, 3)
    effects = node.receive(*(LIAR.certificate(NULLIFY, view, others) for view in range(2, 6)))
    assert node.state.view == 6
    assert of_type(effects, BuildOwn) == []
    assert proposed(effects) == [plain.id]


def test_an_armed_leader_with_nothing_to_propose_nullifies_at_once() -> None:
    """Armed because f + 1 others already gave this view up."""
    node = opened(0)
    node.learn(facts("x", soft=False))
    assert votes(node.receive(LIAR.vote(NULLIFY, 0, 1))) == []
    assert votes(node.receive(LIAR.vote(NULLIFY, 0, 2))) == [LIAR.vote(NULLIFY, 0, 0)]


def test_an_unarmed_leader_just_waits() -> None:
    node = opened(0)
    node.learn(facts("x", soft=False))
    assert votes(node.pass_time(600)) == []


def test_one_propose_per_view() -> None:
    node = opened(0)
    node.learn(facts("x"))
    assert proposed(node.learn(facts("y", committer=51, urgent=True))) == []
    assert proposed(node.receive(LIAR.vote(NOTARIZE, 0, 1, X))) == []


def test_propose_and_notarize_are_guarded_and_durable_first() -> None:
    node = opened(0)
    effects = node.learn(facts("x"))
    assert [type(effect).__name__ for effect in effects[:2]] == ["Persist", "Persist"]
    guard = node.disk[Guard]
    assert isinstance(guard, Guard)
    assert guard.signature == LIAR.vote(NOTARIZE, 0, 0, X).signature
    assert isinstance(effects[2], Broadcast)


def test_a_voter_of_one_decides_in_one_step() -> None:
    node = opened(0, size=1)
    node.learn(facts("x"))
    assert node.state.decision is not None
    assert node.state.decision.id == X
    assert node.state.handed


def test_no_crowd_keeps_out_the_plain_commit() -> None:
    """Members without a seat fill all the room there is with what opens for some; who leads then has to end it."""
    node = entering(2)
    node.learn(*(facts(f"crowd {i}", committer=100 + i // 4, soft=False) for i in range(CANDIDATES_MAX + 8)))
    assert len(node.state.candidates) == CANDIDATES_MAX
    assert node.state.view == 2
    assert proposed(node.learn(facts("plain", committer=12, ordinal=PLAIN_ORDINAL))) == [value("plain")]
    node.learn(facts("a voter's", committer=13, resync=True))
    assert value("a voter's") in node.state.candidates
