"""The proof a joiner asks for: that the committee decided the very commit its Welcome belongs to.

A Welcome of a losing commit decrypts perfectly well. So the joiner demands the Decision of the epoch that was ended.
This module makes the checks that need no MLS; the numbers are those of `docs/ordering.md`. The node adds (1) the
transcript hash, (5) the seating by its own tree, for which `committee.ranked` gives the order, and (6) by
`known_voters`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.candidates import Candidate
from ordering.certificate import Decision
from ordering.errors import InvalidError
from ordering.limits import CHAIN_ENTRIES_MAX, JOIN_PROOF_SIZE_MAX, TRANSCRIPT_HASH_SIZE_MAX
from ordering.log import Anchor, LogEntry, verify_chain, verify_entry
from ordering.votes import Verify
from ordering.wire import Wire

VerifyAuthor = Callable[[int, bytes, bytes], bool]
"""`verify_author(leaf_index, message, signature)` under that leaf's signature key in the joiner's tree."""


class JoinProof(Wire, frozen=True):
    """What travels beside a Welcome. `descriptor` and `prev` of the ended epoch stand in the Decision."""

    SIZE_MAX: ClassVar[int] = JOIN_PROOF_SIZE_MAX

    decision: Decision
    candidate: Candidate
    interim_transcript_hash: Annotated[bytes, Meta(max_length=TRANSCRIPT_HASH_SIZE_MAX)]  # of the ended epoch
    chain: Annotated[tuple[LogEntry, ...], Meta(max_length=CHAIN_ENTRIES_MAX)] = ()  # from the joiner's anchor on

    @property
    def entry(self) -> LogEntry:
        """The log entry of the ended epoch."""
        return LogEntry.of(self.decision, self.candidate.bundle)


def check_join_proof(
    proof: JoinProof,
    *,
    group_id: bytes,
    joined_epoch: int,
    welcome: bytes,
    authenticated_data: bytes,
    verify: Verify,
    verify_author: VerifyAuthor,
    anchor: Anchor | None = None,
) -> Anchor:
    """Checks (2), (3) and (4), and the chain from an anchor where there is one; returns the anchor of the joined epoch.

    `authenticated_data` is the commit's. Raises `InvalidError` with rule "Join"; then refuse the Welcome.
    """
    decision, candidate = proof.decision, proof.candidate
    if (decision.group_id, decision.epoch) != (group_id, joined_epoch - 1):
        raise InvalidError("Join", f"the Decision does not end epoch {joined_epoch - 1} of this group")
    if decision.instance != authenticated_data:  # (2); a Decision's instance is recomputed when it is decoded
        raise InvalidError("Join (2)", "the commit was made for another instance")
    if candidate.instance != decision.instance or candidate.id != decision.id:  # (3)
        raise InvalidError("Join (3)", "the bundle is not the one decided")
    if not welcome or candidate.bundle.welcome != welcome:
        raise InvalidError("Join (3)", "the decided bundle holds another Welcome")
    if not verify_author(candidate.author, candidate.signed_bytes, candidate.signature):
        raise InvalidError("Join (3)", "the bundle is not signed by its author")
    decision.check(verify)  # (4)
    if anchor is not None:
        expected = verify_chain(anchor, proof.chain, verify)
        return verify_entry(expected, proof.entry, verify, candidate.bundle)
    return Anchor(group_id, joined_epoch, decision.id, candidate.bundle.descriptor)


def known_voters(decision: Decision, vote_keys: Collection[bytes]) -> int:
    """For (6): how many of the signatures are by vote keys found in the joiner's own tree."""
    keys = decision.descriptor.vote_keys
    return sum(1 for voter, _ in decision.certificate.signatures if keys[voter] in vote_keys)
