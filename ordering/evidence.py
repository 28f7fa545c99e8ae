"""Evidence: two votes of one voter that no honest voter could both have cast.

Two Notarize or two Finalize of different bundles in one view, or Finalize and Nullify of one view. Notarize and
then Nullify is honest, and so is a vote repeated. The accused is named by its LeafNode, which travels along and
which the *node* verifies under the accused's own leaf signature key; the vote key is read out of that leaf and
never out of a descriptor, because an accuser could invent one that seats its own key.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.errors import InvalidError
from ordering.limits import EVIDENCE_SIZE_MAX, LEAF_NODE_SIZE_MAX
from ordering.votes import SignedVote, Verify, Vote, VoteKind
from ordering.wire import LeafIndex, Wire


class Evidence(Wire, frozen=True):
    """Two conflicting signed votes and the LeafNode that carries the vote key."""

    SIZE_MAX: ClassVar[int] = EVIDENCE_SIZE_MAX

    first: SignedVote
    second: SignedVote
    leaf_node: Annotated[bytes, Meta(max_length=LEAF_NODE_SIZE_MAX)] = b""  # opaque here; filled in by the node
    leaf: LeafIndex = 0  # where in the tree it stood; likewise

    def __post_init__(self) -> None:
        if not conflict(self.first, self.second):
            raise ValueError("these two votes do not conflict")

    def check(self, vote_key: bytes, verify: Verify) -> None:
        """Verify both votes under the accused's vote key; raises `InvalidError`, and then the accuser lies.

        `vote_key` must come out of `leaf_node`, verified under the accused's leaf signature key.
        """
        for vote in (self.first, self.second):
            if not verify(vote_key, vote.signed_bytes, vote.signature):
                raise InvalidError("Evidence", f"voter {vote.voter} did not sign this {vote.kind.name}")


def conflict(first: SignedVote, second: SignedVote) -> bool:
    """Whether one honest voter cannot have cast both."""
    return (
        first.instance == second.instance
        and first.view == second.view
        and first.voter == second.voter
        and _contradict(first.kind, first.id, second.kind, second.id)
    )


def rivals(vote: Vote) -> tuple[VoteKind, ...]:
    """The kinds of earlier votes of the same voter and view that this vote may contradict."""
    match vote.kind:
        case VoteKind.NOTARIZE:
            return (VoteKind.NOTARIZE,)
        case VoteKind.FINALIZE:
            return (VoteKind.FINALIZE, VoteKind.NULLIFY)
        case VoteKind.NULLIFY:
            return (VoteKind.FINALIZE,)


def _contradict(kind: VoteKind, id: bytes, other_kind: VoteKind, other_id: bytes) -> bool:
    if kind is other_kind:
        return kind is not VoteKind.NULLIFY and id != other_id
    return {kind, other_kind} == {VoteKind.FINALIZE, VoteKind.NULLIFY}
