"""What an instance keeps on disk, complete enough to go on from (R12)."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.certificate import Certificate, Decision
from ordering.guard import Guard
from ordering.justification import Justification
from ordering.limits import CANDIDATES_MAX, CERTIFICATE_SIZE_MAX, DECISION_SIZE_MAX, RECORD_SIZE_MAX
from ordering.messages import Propose
from ordering.votes import SignedVote, VoteKind
from ordering.wire import Epoch, GroupId, Hash, View, Wire


class InstanceRecord(Wire, frozen=True):
    """An undecided instance: one row per instance, replaced whole.

    `bundles` names the candidates whose bytes must be durable in the same transaction: those of the own votes.
    """

    SIZE_MAX: ClassVar[int] = RECORD_SIZE_MAX

    group_id: GroupId
    epoch: Epoch
    instance: Hash
    view: View
    proof: Justification  # of `view`
    notarization: Certificate | None  # of `view`, once a Finalize names it
    votes: Annotated[tuple[SignedVote, ...], Meta(max_length=len(VoteKind))]  # own, of `view`
    propose: Propose | None  # own, of `view`
    notarized: Annotated[
        tuple[Hash, ...], Meta(max_length=CANDIDATES_MAX)
    ]  # ids notarized in any view (soft is settled)
    tried: Annotated[tuple[Hash, ...], Meta(max_length=CANDIDATES_MAX)]  # ids proposed in earlier views
    bundles: Annotated[tuple[Hash, ...], Meta(max_length=4)]


class FreezeReason(IntEnum):
    """What showed more than f liars."""

    TWO_DECISIONS = 1
    HARD_INVALID = 2


class Freeze(Wire, frozen=True):
    """The proof that stopped a group. Durable: a restart does not clear it."""

    SIZE_MAX: ClassVar[int] = 2 * DECISION_SIZE_MAX + CERTIFICATE_SIZE_MAX

    reason: FreezeReason
    decisions: Annotated[tuple[Decision, ...], Meta(max_length=2)]
    notarization: Certificate | None


Record = InstanceRecord | Guard | Decision | Freeze
"""One row each: the instance's, the group's guard, the epoch's Decision, the group's freeze."""
