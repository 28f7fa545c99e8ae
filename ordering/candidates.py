"""Candidates: the bundles that compete to end an epoch, what is known of them, and their order.

A bundle holds everything an epoch's end needs, so that any holder can finish what a crashed committer began. Its
contents are opaque here; the node judges them and reports `CandidateFacts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.evidence import Evidence
from ordering.limits import (
    BUNDLE_EVIDENCE_MAX,
    BUNDLE_SIZE_MAX,
    CANDIDATE_ORDINAL_MAX,
    CANDIDATE_SIZE_MAX,
    PROPOSALS_MAX,
)
from ordering.naming import bundle_id, permutation
from ordering.policy import Descriptor
from ordering.wire import BundleId, Hash, LeafIndex, LeafSignature, Wire, digest, framed

Blob = Annotated[bytes, Meta(max_length=BUNDLE_SIZE_MAX)]
Ordinal = Annotated[int, Meta(ge=0, le=CANDIDATE_ORDINAL_MAX)]

INTENT_ORDINAL = 0
"""The ordinal of the commit a member makes because it wants something."""
PLAIN_ORDINAL = 1
"""The ordinal of the plain commit a leader makes from view f+1 on (R3)."""


class Bundle(Wire, frozen=True):
    """A commit and all that goes with it."""

    SIZE_MAX: ClassVar[int] = BUNDLE_SIZE_MAX

    commit: Blob
    proposals: Annotated[tuple[Blob, ...], Meta(max_length=PROPOSALS_MAX)]  # those it refers to, in commit order
    welcome: Blob  # opaque; empty when nobody is added
    descriptor: Descriptor  # of the committee that the next epoch elects
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=BUNDLE_EVIDENCE_MAX)] = ()  # when it evicts

    @property
    def body_hash(self) -> bytes:
        """Over everything but the announced descriptor."""
        return digest(
            "conclave/bundle-body/v1",
            self.commit,
            len(self.proposals),
            *self.proposals,
            self.welcome,
            len(self.evidence),
            *(evidence.encode() for evidence in self.evidence),
        )

    def id(self, instance: bytes) -> BundleId:
        """The value that is voted on."""
        return bundle_id(instance, self.body_hash, self.descriptor)


class Candidate(Wire, frozen=True):
    """A bundle with its author's signature: without it a relay could alter the Welcome and frame the author."""

    SIZE_MAX: ClassVar[int] = CANDIDATE_SIZE_MAX

    instance: Hash
    author: LeafIndex  # the committer; for an external commit the leaf it creates
    ordinal: Ordinal
    bundle: Bundle
    signature: LeafSignature  # by the author's leaf key, over `candidate_bytes`

    @property
    def id(self) -> BundleId:
        """The id of its bundle."""
        return self.bundle.id(self.instance)

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the author's signature."""
        return candidate_bytes(self.id, self.ordinal)


def candidate_bytes(id: bytes, ordinal: int) -> bytes:
    """What the author of a candidate signs; `id` covers the instance."""
    return framed("conclave/candidate/v1", id, ordinal)


class ProposalClass(IntEnum):
    """The first part of the order key."""

    URGENT = 0  # only Removes, a bench entry, or a member's resync
    ORDINARY = 1


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """What the node knows of one candidate. Reported again whenever a verdict changes.

    `hard` never changes: it is a pure function of the bundle and the epoch's public state. `soft` is None until it is
    known. `available` means durable on this disk at the latest in the transaction that carries out the step's effects.

    A voter that is *cut off*, without the secrets of the epoch, reports `soft` True for the resync of a seated member,
    and None, for ever, for everything else that is fresh: it cannot know, so it waits, as it does for missing bytes.
    """

    id: BundleId
    committer: int  # leaf index of the member whose commit it is; for a resync the leaf that it had, and removes
    ordinal: int
    proposal_class: ProposalClass
    last_won: int  # the last epoch that this committer's commit ended, -1 for none
    hard: bool
    soft: bool | None
    available: bool
    resync: bool = False  # a member that lost the epoch's secrets comes back by it

    @property
    def usable(self) -> bool:
        """Hard and available: what every vote but a fresh Notarize is content with."""
        return self.hard and self.available


def order_key(
    facts: CandidateFacts, group_id: bytes, epoch: int, *, tried: bool, rival: bool
) -> tuple[bool, bool, int, int, bytes, bytes]:
    """Ascending order of candidates; applied only to what a leader proposes and to what a Status lists.

    Those already proposed in an earlier view of this instance come last of all, then second candidates of one leaf and
    ordinal; then (class, last epoch won, permutation, id).
    """
    place = permutation(group_id, epoch, facts.committer)
    return (tried, rival, facts.proposal_class, facts.last_won, place, facts.id)
