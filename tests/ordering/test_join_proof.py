"""The JoinProof: a Welcome is followed only into the epoch that was decided."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ordering import Anchor, Bundle, InvalidError, JoinProof, LogEntry, check_join_proof, known_voters
from tests.ordering.chains import (
    AUTHOR,
    AUTHOR_LEAF,
    GROUP,
    anchor_after,
    bundle_of,
    candidate_of,
    chain,
    committee_of,
    decide,
    genesis,
)
from tests.ordering.keys import Key, verify

ENTRIES = chain(7)
LAST = ENTRIES[-1]
CANDIDATE = candidate_of(LAST)
PROOF = JoinProof(LAST.decision, CANDIDATE, b"i" * 32, tuple(ENTRIES[:-1]))


def verify_author(leaf: int, message: bytes, signature: bytes) -> bool:
    return leaf == AUTHOR_LEAF and verify(AUTHOR.public, message, signature)


def check(
    proof: JoinProof = PROOF,
    *,
    group_id: bytes = GROUP,
    epoch: int = 7,
    welcome: bytes = b"welcome 6",
    authenticated_data: bytes = LAST.decision.instance,
    anchor: Anchor | None = None,
) -> Anchor:
    return check_join_proof(
        proof,
        group_id=group_id,
        joined_epoch=epoch,
        welcome=welcome,
        authenticated_data=authenticated_data,
        verify=verify,
        verify_author=verify_author,
        anchor=anchor,
    )


def test_a_true_proof_opens_the_epoch() -> None:
    assert check() == anchor_after(ENTRIES)


def test_with_an_anchor_the_whole_chain_counts() -> None:
    assert check(anchor=genesis()) == anchor_after(ENTRIES)


def test_it_survives_the_wire() -> None:
    assert check(JoinProof.decode(PROOF.encode())) == anchor_after(ENTRIES)


def losing() -> JoinProof:
    """Story `losing_welcome`: a candidate of the same instance that was not decided; its Welcome decrypts perfectly."""
    rival = Bundle(b"rival commit", (), b"rival welcome", committee_of(7).descriptor)
    candidate = replace(CANDIDATE, bundle=rival)
    return replace(PROOF, candidate=replace(candidate, signature=AUTHOR.sign(candidate.signed_bytes)))


def test_a_losing_welcome_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"not the one decided.*Join \(3\)"):
        check(losing(), welcome=b"rival welcome")


def test_another_welcome_than_the_bundles_is_refused() -> None:
    """Story `variant_bundle`."""
    for welcome in (b"altered welcome", b""):
        with pytest.raises(InvalidError, match="another Welcome"):
            check(welcome=welcome)


def test_a_commit_for_another_instance_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"Join \(2\)"):
        check(authenticated_data=ENTRIES[0].decision.instance)


@pytest.mark.parametrize(("group_id", "epoch"), [(b"another", 7), (GROUP, 6), (GROUP, 8)])
def test_another_group_or_epoch_is_refused(group_id: bytes, epoch: int) -> None:
    with pytest.raises(InvalidError, match="does not end"):
        check(group_id=group_id, epoch=epoch)


def test_an_altered_bundle_is_refused_though_the_author_signed_the_true_one() -> None:
    bundle = replace(CANDIDATE.bundle, commit=b"altered commit")
    with pytest.raises(InvalidError, match="not the one decided"):
        check(replace(PROOF, candidate=replace(CANDIDATE, bundle=bundle)))


def test_a_bundle_its_author_did_not_sign_is_refused() -> None:
    forged = replace(CANDIDATE, signature=Key.of("relay").sign(CANDIDATE.signed_bytes))
    stranger = replace(CANDIDATE, author=5)
    for candidate in (forged, stranger):
        with pytest.raises(InvalidError, match="not signed by its author"):
            check(replace(PROOF, candidate=candidate))


def test_false_votes_are_refused() -> None:
    signatures = tuple((voter, b"f" * 64) for voter, _ in LAST.decision.certificate.signatures)
    decision = replace(LAST.decision, certificate=replace(LAST.decision.certificate, signatures=signatures))
    with pytest.raises(InvalidError, match="does not verify"):
        check(replace(PROOF, decision=decision))


def fake() -> JoinProof:
    """Story `fake_committee_welcome`: the adder seats itself alone. Without an anchor only (5) and (6) see it."""
    alone = committee_of(0)
    anchor = Anchor(GROUP, 6, LAST.decision.prev, alone.descriptor)
    decision = decide(anchor, alone, bundle_of(6))
    candidate = replace(CANDIDATE, instance=decision.instance)
    candidate = replace(candidate, signature=AUTHOR.sign(candidate.signed_bytes))
    return JoinProof(decision, candidate, b"i" * 32, tuple(ENTRIES[:-1]))


def test_a_fake_committee_is_refused_by_an_anchor() -> None:
    proof = fake()
    check(proof, authenticated_data=proof.decision.instance)
    with pytest.raises(InvalidError, match="another committee"):
        check(proof, authenticated_data=proof.decision.instance, anchor=genesis())


def test_known_voters_counts_signers_found_in_the_joiners_tree() -> None:
    keys = list(LAST.decision.descriptor.vote_keys)
    assert known_voters(LAST.decision, keys) == LAST.decision.descriptor.quorum
    signers = [voter for voter, _ in LAST.decision.certificate.signatures]
    assert known_voters(LAST.decision, [keys[signers[0]], Key.of("stranger").public]) == 1
    assert known_voters(LAST.decision, []) == 0


def test_a_gap_in_the_chain_is_refused() -> None:
    with pytest.raises(InvalidError, match="stands where"):
        check(replace(PROOF, chain=tuple(ENTRIES[1:-1])), anchor=genesis())


def test_entries_name_the_bundle_they_come_from() -> None:
    assert PROOF.entry == LogEntry.of(LAST.decision, bundle_of(6)) == LAST
