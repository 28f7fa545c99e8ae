"""Evidence: it convicts who contradicted itself, and cannot frame anyone else."""

from __future__ import annotations

import pytest

from ordering import Evidence, EvidenceFound, InvalidError, SignedVote, VoteKind
from tests.ordering.keys import Key, verify
from tests.ordering.world import Liar, Node, config, key, of_type, value

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(NOTARIZE, 0, 1, Y)),
        (LIAR.vote(FINALIZE, 0, 1, X), LIAR.vote(FINALIZE, 0, 1, Y)),
        (LIAR.vote(FINALIZE, 0, 1, X), LIAR.vote(NULLIFY, 0, 1)),
        (LIAR.vote(NULLIFY, 0, 1), LIAR.vote(FINALIZE, 0, 1, X)),
    ],
)
def test_a_contradiction_is_evidence(first: SignedVote, second: SignedVote) -> None:
    Evidence(first, second).check(key(1).public, verify)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(NULLIFY, 0, 1)),  # changed its mind, as it may
        (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(FINALIZE, 0, 1, Y)),  # finalized what others notarized
        (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(NOTARIZE, 1, 1, Y)),  # another view
        (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(NOTARIZE, 0, 2, Y)),  # another voter
        (LIAR.vote(NOTARIZE, 0, 1, X), Liar(4, epoch=1).vote(NOTARIZE, 0, 1, Y)),  # another instance
        (LIAR.vote(NULLIFY, 0, 1), LIAR.vote(NULLIFY, 0, 1)),
        (LIAR.vote(FINALIZE, 0, 1, X), LIAR.vote(FINALIZE, 0, 1, X)),
    ],
)
def test_honest_behaviour_is_not(first: SignedVote, second: SignedVote) -> None:
    with pytest.raises(ValueError, match="do not conflict"):
        Evidence(first, second)


def test_evidence_cannot_frame() -> None:
    """Story `framed_by_descriptor`: the accuser signs both votes itself. They do not verify under the accused's key."""
    accuser = Key.of("accuser")
    forged = [
        SignedVote(v.instance, v.kind, v.view, v.voter, v.id, accuser.sign(v.signed_bytes))
        for v in (LIAR.vote(NOTARIZE, 0, 1, X), LIAR.vote(NOTARIZE, 0, 1, Y))
    ]
    with pytest.raises(InvalidError, match="did not sign"):
        Evidence(forged[0], forged[1]).check(key(1).public, verify)
    half = Evidence(LIAR.vote(NOTARIZE, 0, 1, X), forged[1])
    with pytest.raises(InvalidError, match="did not sign"):
        half.check(key(1).public, verify)


def test_an_instance_reports_a_contradiction_once() -> None:
    node = Node(config(4, 0))
    node.open()
    effects = node.receive(
        LIAR.vote(NOTARIZE, 0, 1, X),
        LIAR.vote(NOTARIZE, 0, 1, Y),
        LIAR.vote(NOTARIZE, 0, 1, value("z")),
        LIAR.vote(FINALIZE, 0, 1, X),
        LIAR.vote(NULLIFY, 0, 1),
    )
    found = of_type(effects, EvidenceFound)
    assert len(found) == 1
    found[0].evidence.check(key(1).public, verify)


def test_a_forged_second_vote_accuses_nobody() -> None:
    node = Node(config(4, 0))
    node.open()
    forged = SignedVote(LIAR.instance, NOTARIZE, 0, 1, Y, b"f" * 64)
    assert of_type(node.receive(LIAR.vote(NOTARIZE, 0, 1, X), forged), EvidenceFound) == []


def test_a_contradiction_inside_certificates_is_found() -> None:
    node = Node(config(4, 0))
    node.open()
    effects = node.receive(LIAR.vote(NOTARIZE, 0, 1, Y), LIAR.certificate(NOTARIZE, 0, (1, 2, 3), X))
    assert len(of_type(effects, EvidenceFound)) == 1
    assert node.state.notarizations[0].id == X
