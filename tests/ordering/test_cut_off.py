"""A voter that could not open the last commit goes on voting, and comes back by its resync.

To the machine it is a voter whose verdict is None for everything fresh but the resync of a seated member. n = 4: q = 3,
f = 1. Voter i sits on leaf 10 + i.
"""

from __future__ import annotations

from collections.abc import Iterable

from ordering import BuildOwn, CandidateFacts, Certificate, Effect, Propose, VoteKind
from ordering.candidates import PLAIN_ORDINAL
from tests.ordering.world import Liar, Node, broadcasts, config, facts, of_type, value, votes

LIAR = Liar(4)
X, Y, BACK = value("x"), value("y"), value("back")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
LATE = 2  # the first view above f


def opened(voter: int) -> Node:
    node = Node(config(4, voter))
    node.open(heard=[i for i in range(4) if i != voter])
    return node


def comes_back(name: str = "back", *, leaf: int, soft: bool | None = True, ordinal: int = 0) -> CandidateFacts:
    """The resync of the member on that leaf."""
    return facts(name, committer=leaf, urgent=True, resync=True, soft=soft, ordinal=ordinal)


def lead(node: Node, view: int) -> tuple[Effect, ...]:
    """Bring it into a view, by the others' nullifications of all views before."""
    others = [i for i in range(4) if i != node.state.config.own_voter]
    certificates = (LIAR.certificate(NULLIFY, each, others) for each in range(node.state.view, view))
    return tuple(effect for certificate in certificates for effect in node.receive(certificate))


def proposed(effects: Iterable[Effect]) -> list[bytes]:
    return [message.id for message in broadcasts(effects) if isinstance(message, Propose)]


def test_what_it_cannot_open_it_waits_for() -> None:
    """It neither notarizes a fresh value nor nullifies the view at once: the others may know better."""
    node = opened(3)
    node.learn(facts("x", soft=None))
    assert votes(node.receive(LIAR.propose(0, X))) == []


def test_it_notarizes_the_resync_of_a_voter() -> None:
    node = opened(3)
    node.learn(comes_back(leaf=12))
    assert [vote.id for vote in votes(node.receive(LIAR.propose(0, BACK)))] == [BACK]


def test_it_finalizes_what_others_could_apply() -> None:
    """A notarization shows that enough honest voters could: from there on its vote is worth that of anybody."""
    node = opened(3)
    node.learn(facts("x", soft=None))
    effects = node.receive(LIAR.certificate(NOTARIZE, 0, (0, 1, 2), X))
    assert [(vote.kind, vote.id) for vote in votes(effects)] == [(FINALIZE, X)]


def test_it_proposes_a_notarized_value_on() -> None:
    node = opened(1)
    node.learn(facts("x", soft=None))
    notarization = LIAR.certificate(NOTARIZE, 0, (0, 2, 3), X)
    assert proposed(node.receive(LIAR.justification(1, notarization))) == [X]


def test_its_resync_is_its_plain_commit() -> None:
    """In a view above f it is asked for its own commit; what it then reports is the one it can make."""
    node = opened(2)
    assert of_type(lead(node, LATE), BuildOwn) == [BuildOwn(PLAIN_ORDINAL)]
    assert proposed(node.learn(comes_back(leaf=12))) == [BACK]


def test_the_resync_it_made_before_serves_too() -> None:
    node = opened(2)
    node.learn(comes_back(leaf=12))
    effects = lead(node, LATE)
    assert proposed(effects) == [BACK]
    assert of_type(effects, BuildOwn) == []


def test_an_able_leader_puts_a_voters_resync_before_its_own() -> None:
    """What it could commit itself, the cut-off voter would not notarize."""
    node = opened(2)
    node.learn(comes_back(leaf=13), facts("own", committer=12, ordinal=PLAIN_ORDINAL))
    assert proposed(lead(node, LATE)) == [BACK]


def test_but_not_of_a_member_without_a_seat() -> None:
    """Nobody waits for its vote, and it may say whatever it likes."""
    node = opened(2)
    node.learn(comes_back(leaf=50), facts("own", committer=12, ordinal=PLAIN_ORDINAL))
    assert proposed(lead(node, LATE)) == [value("own")]


def test_nor_one_that_it_cannot_open_itself() -> None:
    node = opened(2)
    node.learn(comes_back(leaf=13, soft=False), facts("own", committer=12, ordinal=PLAIN_ORDINAL))
    assert proposed(lead(node, LATE)) == [value("own")]


def test_each_voter_is_preferred_once() -> None:
    """A liar that makes one resync after the other, which open for some only, costs a view above f, not all of them."""
    node = opened(2)
    node.learn(comes_back("one", leaf=13), comes_back("two", leaf=13), comes_back("three", leaf=13, ordinal=1))
    node.learn(facts("own", committer=12, ordinal=PLAIN_ORDINAL))
    assert proposed(lead(node, LATE)) == [value("one")]
    assert proposed(lead(node, LATE + 4)) == [value("own")]


def test_once_whoever_proposed_it() -> None:
    node = opened(3)
    node.learn(comes_back("one", leaf=10), comes_back("two", leaf=10))
    node.learn(facts("own", committer=13, ordinal=PLAIN_ORDINAL))
    lead(node, LATE)
    node.receive(LIAR.propose(LATE, value("two"), LIAR.justification(LATE, None, nullified(LATE))))
    assert proposed(lead(node, LATE + 1)) == [value("own")]


def test_one_of_an_early_view_is_tried_again() -> None:
    """In views 0..f a liar may have led; a resync that failed there is not lost to those who need it."""
    node = opened(2)
    node.learn(comes_back(leaf=13), facts("own", committer=12, ordinal=PLAIN_ORDINAL))
    node.receive(LIAR.propose(0, BACK))
    assert proposed(lead(node, LATE)) == [BACK]


def nullified(views: int) -> list[Certificate]:
    return [LIAR.certificate(NULLIFY, view, (0, 1, 2)) for view in range(views)]
