"""R4, R6, R7: when a voter notarizes, finalizes and nullifies."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ordering import CandidateFacts, Fetch, Justification, VoteKind
from tests.ordering.world import Liar, Node, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
MINE = {kind: LIAR.vote(kind, 0, 2, X if kind is not NULLIFY else value("")) for kind in (NOTARIZE, FINALIZE)}
NOTARIZED = LIAR.certificate(NOTARIZE, 0, (0, 1, 3), X)
I_NULLIFY = LIAR.vote(NULLIFY, 0, 2)


def opened(*known: CandidateFacts, voter: int = 2) -> Node:
    node = Node(config(4, voter))
    node.open(heard=[i for i in range(4) if i != voter])
    node.learn(*known)
    return node


# R4


def test_r4_a_good_proposal_is_notarized() -> None:
    assert votes(opened(facts("x")).receive(LIAR.propose(0, X))) == [MINE[NOTARIZE]]


def test_r4_the_bytes_are_fetched_and_waited_for() -> None:
    node = opened()
    effects = node.receive(LIAR.propose(0, X))
    assert votes(effects) == []
    assert of_type(effects, Fetch) == [Fetch(X, (0,))]
    assert votes(node.learn(facts("x", available=False))) == []
    assert votes(node.learn(facts("x", soft=None))) == []
    assert votes(node.learn(facts("x"))) == [MINE[NOTARIZE]]


@pytest.mark.parametrize("bad", [facts("x", soft=False), facts("x", hard=False)], ids=["soft", "hard"])
def test_r4_an_invalid_proposal_is_nullified_at_once(bad: CandidateFacts) -> None:
    node = opened()
    node.receive(LIAR.propose(0, X))
    assert votes(node.learn(bad)) == [I_NULLIFY]


def test_r4_what_is_known_to_be_bad_needs_no_second_look() -> None:
    assert votes(opened(facts("x", soft=False)).receive(LIAR.propose(0, X))) == [I_NULLIFY]


def test_r4_soft_is_not_asked_of_a_notarized_value() -> None:
    """The first notarization shows that q - f honest voters could apply it."""
    node = opened(facts("x", soft=False))
    effects = node.receive(LIAR.propose(1, X, LIAR.justification(1, NOTARIZED)))
    assert votes(effects) == [LIAR.vote(NOTARIZE, 1, 2, X)]


def test_r4_soft_is_not_asked_twice() -> None:
    """What we notarized before we notarize again, though a clock has made it soft-invalid since."""
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    node.learn(facts("x", soft=False))
    j = LIAR.justification(1, None, [LIAR.certificate(NULLIFY, 0, (0, 1, 3))])
    assert votes(node.receive(LIAR.propose(1, X, j))) == [LIAR.vote(NOTARIZE, 1, 2, X)]


def test_r4_one_notarize_per_view() -> None:
    node = opened(facts("x"), facts("y", committer=51))
    node.receive(LIAR.propose(0, X))
    assert votes(node.receive(LIAR.propose(0, Y))) == []


def test_r4_only_the_leader_proposes() -> None:
    node = opened(facts("x"))
    usurped = replace(LIAR.propose(0, X), voter=1)
    assert votes(node.receive(usurped)) == []


@pytest.mark.parametrize(
    ("id", "justification"),
    [
        (Y, LIAR.justification(1, NOTARIZED)),  # it permits x only
        (X, LIAR.justification(0)),  # for another view
        (X, LIAR.justification(1, LIAR.certificate(NOTARIZE, 1, (0, 1, 3), X))),  # a proof, but no J
    ],
    ids=["forbids", "other view", "only a proof"],
)
def test_r4_a_bad_justification_the_leader_signed_is_nullified_at_once(id: bytes, justification: Justification) -> None:
    node = opened(facts("x"), facts("y", committer=51))
    node.receive(LIAR.justification(1, None, [LIAR.certificate(NULLIFY, 0, (0, 1, 3))]))
    effects = node.receive(LIAR.propose(1, value("x") if id == X else value("y"), justification))
    assert votes(effects) == [LIAR.vote(NULLIFY, 1, 2)]


def test_r4_false_signatures_in_a_signed_justification_are_the_leaders_fault() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.justification(1, None, [LIAR.certificate(NULLIFY, 0, (0, 1, 3))]))
    false = replace(NOTARIZED, signatures=tuple((voter, b"f" * 64) for voter in (0, 1, 3)))
    effects = node.receive(LIAR.propose(1, X, LIAR.justification(1, false)))
    assert votes(effects) == [LIAR.vote(NULLIFY, 1, 2)]


def test_r4_a_justification_spoiled_by_a_relay_is_dropped() -> None:
    """Story `bad_j_by_relay`: it does not verify under the leader's signature, so the leader is not to blame."""
    node = opened(facts("x"))
    j = LIAR.justification(1, None, [LIAR.certificate(NULLIFY, 0, (0, 1, 3))])
    node.receive(j)
    spoiled = replace(LIAR.propose(1, X, j), justification=LIAR.justification(1, NOTARIZED))
    assert votes(node.receive(spoiled)) == []
    assert votes(node.receive(LIAR.propose(1, X, j))) == [LIAR.vote(NOTARIZE, 1, 2, X)]


def test_r4_a_bad_proposal_for_the_next_view_is_remembered() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.propose(1, X, LIAR.justification(0)))
    assert node.state.view == 0
    effects = node.receive(LIAR.certificate(NULLIFY, 0, (0, 1, 3)))
    assert LIAR.vote(NULLIFY, 1, 2) in votes(effects)


def listening_alone(*known: CandidateFacts) -> Node:
    """Nobody else is heard: the timers stand still while time passes."""
    node = Node(config(4, 2))
    node.open()
    node.learn(*known)
    return node


def test_r4_the_class_rule() -> None:
    """An ordinary commit is refused while an urgent one was offered to this leader more than two deltas ago."""
    node = listening_alone(facts("urgent", committer=51, urgent=True))
    node.pass_time(2.75)
    node.learn(facts("x"))
    assert votes(node.receive(LIAR.propose(0, X))) == [I_NULLIFY]


def test_r4_the_class_rule_gives_the_leader_time() -> None:
    node = listening_alone(facts("urgent", committer=51, urgent=True))
    node.pass_time(1.5)
    node.learn(facts("x"))
    assert votes(node.receive(LIAR.propose(0, X))) == [MINE[NOTARIZE]]


def test_r4_the_class_rule_ends_with_view_f() -> None:
    """Later leaders propose their own plain commit, which is ordinary."""
    node = listening_alone(facts("urgent", committer=51, urgent=True), facts("x"))
    node.pass_time(60)
    j = LIAR.justification(3, None, [LIAR.certificate(NULLIFY, view, (0, 1, 3)) for view in range(3)])
    assert votes(node.receive(LIAR.propose(3, X, j))) == [LIAR.vote(NOTARIZE, 3, 2, X)]


def test_r4_an_urgent_candidate_that_had_its_chance_is_no_ground() -> None:
    """The leader's own order puts it last; refusing would burn an honest leader's view."""
    urgent = facts("urgent", committer=51, urgent=True)
    node = listening_alone(urgent)
    node.receive(LIAR.propose(0, urgent.id))
    node.pass_time(60)
    node.learn(facts("x"))
    j = LIAR.justification(1, None, [LIAR.certificate(NULLIFY, 0, (0, 1, 3))])
    assert votes(node.receive(LIAR.propose(1, X, j))) == [LIAR.vote(NOTARIZE, 1, 2, X)]


def test_r4_the_class_rule_spares_what_the_leader_could_not_help() -> None:
    """An urgent candidate that we could not notarize ourselves, or that had its chance, is no ground."""
    for urgent in (facts("urgent", urgent=True, soft=False), facts("urgent", urgent=True, available=False)):
        node = listening_alone(urgent)
        node.pass_time(2.5)
        node.learn(facts("x", committer=51))
        assert votes(node.receive(LIAR.propose(0, X))) == [MINE[NOTARIZE]]


# R6


def test_r6_a_notarization_is_finalized_at_once() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    assert votes(node.receive(LIAR.vote(NOTARIZE, 0, 1, X))) == [MINE[FINALIZE]]


def test_r6_having_notarized_or_liked_it_is_not_required() -> None:
    for soft in (True, False, None):
        assert votes(opened(facts("x", soft=soft)).receive(NOTARIZED)) == [MINE[FINALIZE]]


def test_r6_the_bytes_are() -> None:
    node = opened()
    effects = node.receive(NOTARIZED)
    assert votes(effects) == []
    assert [fetch.id for fetch in of_type(effects, Fetch)] == [X]
    assert votes(node.learn(facts("x", available=False))) == []
    assert votes(node.learn(facts("x"))) == [MINE[FINALIZE]]


def test_r6_never_after_a_nullify_of_the_same_view() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.vote(NULLIFY, 0, 0))
    assert votes(node.effects, NULLIFY) == [I_NULLIFY]
    assert votes(node.receive(NOTARIZED)) == []


def test_r6_a_notarization_of_an_earlier_view_is_not_finalized() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.certificate(NULLIFY, 0, (0, 1, 3)))
    assert votes(node.receive(NOTARIZED), FINALIZE) == []


# R7


def test_r7_the_leader_timer() -> None:
    node = opened(facts("x"))
    assert votes(node.pass_time(1.99)) == []
    assert votes(node.pass_time(0.02)) == [I_NULLIFY]


def test_r7_the_view_timer() -> None:
    """Having notarized, a voter waits half as long again for the notarization."""
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    assert votes(node.pass_time(2.5), NULLIFY) == []
    assert I_NULLIFY in votes(node.pass_time(0.6))


def test_r7_the_leaders_own_nullify() -> None:
    assert votes(opened(facts("x")).receive(LIAR.vote(NULLIFY, 0, 0))) == [I_NULLIFY]
    assert votes(opened(facts("x")).receive(LIAR.vote(NULLIFY, 0, 1))) == []


def test_r7_contradiction() -> None:
    """Two against one against none of four: no id can still reach three."""
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    assert votes(node.receive(LIAR.vote(NOTARIZE, 0, 1, Y)), NULLIFY) == []
    assert votes(node.receive(LIAR.vote(NOTARIZE, 0, 3, Y)), NULLIFY) == [I_NULLIFY]


def test_r7_nullified_voters_count_towards_contradiction() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.vote(NULLIFY, 0, 1))
    assert votes(node.receive(LIAR.vote(NULLIFY, 0, 3))) == [I_NULLIFY]


def test_r7_never_after_a_finalize() -> None:
    node = opened(facts("x"))
    node.receive(NOTARIZED)
    effects = node.receive(LIAR.vote(NULLIFY, 0, 0)) + node.pass_time(1.5)
    assert votes(effects, NULLIFY) == []


def test_r7_no_notarize_after_it() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.vote(NULLIFY, 0, 0))
    assert votes(node.receive(LIAR.propose(0, X))) == []


def test_r7_silence_alone_decides_nothing() -> None:
    """However long it lasts, a timeout produces a Nullify and never a Finalize."""
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    node.pass_time(1000)
    assert {vote.kind for vote in votes(node.effects)} == {NOTARIZE, NULLIFY}
