"""The guard: what may still be signed.

One durable record per group. A position is (epoch, view, step, rank): step 1 is Propose and Notarize, step 2 is
Finalize *or* Nullify, of which a view can have only one. Only a strictly greater position is signed; at an equal
one the stored signature is given back if the bytes are the same, and refused otherwise. It is durable before the
signature leaves, so whatever a crash forgets, the voter cannot contradict itself.

Within step 1 the leader's Propose ranks below its Notarize, because a leader signs both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Final, NamedTuple, Self

from msgspec import Meta

from ordering.errors import GuardRefusal
from ordering.limits import EPOCH_MAX
from ordering.votes import VoteKind
from ordering.wire import Epoch, GroupId, View, Wire

Sign = Callable[[bytes], bytes]
"""Signs with the own vote key; pure (Ed25519 is deterministic)."""

_RANK_PROPOSE: Final = 0
_STEP_AND_RANK: Final = {VoteKind.NOTARIZE: (1, 1), VoteKind.FINALIZE: (2, 0), VoteKind.NULLIFY: (2, 0)}


class Position(NamedTuple):
    """Where in the life of a group something is signed; compared as a tuple."""

    epoch: int
    view: int
    step: int
    rank: int


def propose_position(epoch: int, view: int) -> Position:
    """Where a leader's Propose stands."""
    return Position(epoch, view, 1, _RANK_PROPOSE)


def vote_position(epoch: int, view: int, kind: VoteKind) -> Position:
    """Where a vote stands; Finalize and Nullify of one view stand at the same place."""
    return Position(epoch, view, *_STEP_AND_RANK[kind])


class Guard(Wire, frozen=True):
    """The guard record of one group. Never deleted."""

    SIZE_MAX: ClassVar[int] = 2048

    group_id: GroupId
    epoch: Epoch = 0
    view: View = 0
    step: Annotated[int, Meta(ge=0, le=2)] = 0
    rank: Annotated[int, Meta(ge=0, le=1)] = 0
    signed: Annotated[bytes, Meta(max_length=512)] = b""
    signature: Annotated[bytes, Meta(max_length=64)] = b""
    abstain_below: Epoch = 0  # nothing is signed in epochs below this one

    @classmethod
    def fresh(cls, group_id: bytes) -> Self:
        """For a group just created or joined: this device cannot have voted in it."""
        return cls(group_id)

    @classmethod
    def lost(cls, group_id: bytes, voted_epoch_max: int) -> Self:
        """For a group found without its guard: abstain up to and in the last epoch we may have voted in."""
        return cls(group_id, abstain_below=min(voted_epoch_max + 1, EPOCH_MAX))

    @property
    def position(self) -> Position:
        """The last position signed at."""
        return Position(self.epoch, self.view, self.step, self.rank)

    def abstains(self, epoch: int) -> bool:
        """Whether nothing may be signed in this epoch: an unknown past could be contradicted."""
        return epoch < self.abstain_below

    def permits(self, position: Position, message: bytes) -> bool:
        """Whether `sign` would answer."""
        if self.abstains(position.epoch):
            return False
        return position > self.position or (position == self.position and message == self.signed)

    def sign(self, position: Position, message: bytes, sign: Sign) -> tuple[Guard, bytes]:
        """The guard after signing, and the signature. Raises `GuardRefusal`; the guard is then unchanged."""
        if not self.permits(position, message):
            raise GuardRefusal(f"asked to sign at {tuple(position)}, stands at {tuple(self.position)}")
        if position == self.position:
            return self, self.signature
        signature = sign(message)
        return Guard(self.group_id, *position, message, signature, self.abstain_below), signature

    def advance(self, epoch: int) -> Guard:
        """Nothing more is signed below this epoch: the Decision of the one before is stored."""
        if epoch <= self.epoch:
            return self
        return Guard(self.group_id, epoch, 0, 0, 0, b"", b"", self.abstain_below)

    def abstaining(self, epoch: int) -> Guard:
        """Abstain up to and in this epoch: a peer showed a vote of ours that we do not remember."""
        below = max(self.abstain_below, min(epoch + 1, EPOCH_MAX))
        return Guard(self.group_id, *self.position, self.signed, self.signature, below)

    def foreign(self, position: Position, message: bytes) -> bool:
        """Whether a vote of ours at this position cannot have been signed under this guard (backup, clone).

        Votes at lower positions may be ours and forgotten; those are no sign of anything.
        """
        return position > self.position or (position == self.position and message != self.signed)
