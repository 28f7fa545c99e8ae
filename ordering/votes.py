"""Votes: what a voter signs, and the tally of the votes that have been verified.

A `SignedVote` is what a peer claims; a `Vote` is one whose signature was checked. Only the latter gets into a
`Tally`, so a forged vote never takes the slot of the true one (R13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from ordering.limits import VOTE_SIZE_MAX
from ordering.wire import BundleId, Hash, InstanceId, View, VoterIndex, VoteSignature, Wire, framed

Verify = Callable[[bytes, bytes, bytes], bool]
"""`verify(public_key, message, signature)`; pure, and False rather than an exception for bytes that are no key."""

NO_ID: Final = BundleId(b"")
"""What a Nullify names: nothing."""


class VoteKind(IntEnum):
    """The three votes of a view."""

    NOTARIZE = 1
    FINALIZE = 2
    NULLIFY = 3


def vote_bytes(instance: bytes, kind: VoteKind, view: int, voter: int, id: bytes) -> bytes:
    """What a voter signs. The epoch number alone names nothing: the instance does."""
    return framed("conclave/vote/v1", instance, kind, view, voter, id)


class SignedVote(Wire, frozen=True):
    """A vote as it travels: not verified."""

    SIZE_MAX: ClassVar[int] = VOTE_SIZE_MAX

    instance: Hash
    kind: VoteKind
    view: View
    voter: VoterIndex
    id: Annotated[bytes, Meta(max_length=32)]  # the bundle; empty for a Nullify
    signature: VoteSignature

    def __post_init__(self) -> None:
        if len(self.id) != (0 if self.kind is VoteKind.NULLIFY else 32):
            raise ValueError("a Nullify names no bundle, every other vote names one")

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the signature."""
        return vote_bytes(self.instance, self.kind, self.view, self.voter, self.id)


@dataclass(frozen=True, slots=True)
class Vote:
    """A verified vote of one instance."""

    kind: VoteKind
    view: int
    voter: int
    id: BundleId
    signature: bytes

    def signed(self, instance: InstanceId) -> SignedVote:
        """The same vote as it travels."""
        return SignedVote(instance, self.kind, self.view, self.voter, self.id, self.signature)


@dataclass(frozen=True, slots=True)
class Tally:
    """Verified votes: the first one per view, kind and voter. Bounded by views entered, three kinds, n voters."""

    ballots: Mapping[tuple[int, VoteKind], Mapping[int, Vote]]

    @classmethod
    def empty(cls) -> Tally:
        """No votes yet."""
        return cls({})

    def add(self, vote: Vote) -> Tally:
        """With this vote, unless its slot is taken."""
        key = (vote.view, vote.kind)
        slots = self.ballots.get(key, {})
        if vote.voter in slots:
            return self
        return Tally({**self.ballots, key: {**slots, vote.voter: vote}})

    def get(self, view: int, kind: VoteKind, voter: int) -> Vote | None:
        """The verified vote in this slot."""
        return self.ballots.get((view, kind), {}).get(voter)

    def of(self, view: int, kind: VoteKind) -> Mapping[int, Vote]:
        """All verified votes of a view and kind, by voter."""
        return self.ballots.get((view, kind), {})

    def count(self, view: int, kind: VoteKind, id: bytes = NO_ID) -> int:
        """How many voters cast this kind of vote for this id in this view."""
        return sum(1 for vote in self.of(view, kind).values() if vote.id == id)

    def voters(self, view: int) -> frozenset[int]:
        """Everyone who cast any vote in this view. For membership tests and counting only: it has no order."""
        return frozenset(voter for kind in VoteKind for voter in self.of(view, kind))
