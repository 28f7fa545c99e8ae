"""The messages between nodes that an instance sends or takes in, and how the node frames them."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from ordering.candidates import Candidate
from ordering.certificate import Certificate, Decision
from ordering.errors import MalformedError
from ordering.justification import Justification
from ordering.limits import FINGERPRINT_SIZE_MAX, PROPOSE_SIZE_MAX, STATUS_CANDIDATES_MAX, STATUS_SIZE_MAX
from ordering.sync import Chain, ChainRequest
from ordering.votes import SignedVote, VoteKind
from ordering.wire import (
    Epoch,
    Hash,
    LeafIndex,
    LeafSignature,
    View,
    VoterIndex,
    VoteSignature,
    Wire,
    framed,
)


class Propose(Wire, frozen=True):
    """A leader's proposal: its Notarize, the justification, and a second signature that ties the two together.

    Without the second signature a relay could corrupt J and have an honest leader nullified for it.
    """

    SIZE_MAX: ClassVar[int] = PROPOSE_SIZE_MAX

    instance: Hash
    view: View
    voter: VoterIndex  # the leader
    id: Hash
    justification: Justification
    notarize: VoteSignature  # the leader's Notarize vote
    signature: VoteSignature  # over `propose_bytes`

    @property
    def vote(self) -> SignedVote:
        """The leader's own Notarize."""
        return SignedVote(self.instance, VoteKind.NOTARIZE, self.view, self.voter, self.id, self.notarize)

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the second signature."""
        return propose_bytes(self.instance, self.voter, self.view, self.id, self.justification.hash)


def propose_bytes(instance: bytes, voter: int, view: int, id: bytes, justification_hash: bytes) -> bytes:
    """What ties a leader's proposal to its justification."""
    return framed("conclave/propose/v1", instance, voter, view, id, justification_hash)


class Status(Wire, frozen=True):
    """Where a member stands. Sent by voters, under their vote key, and by other members, under their leaf key.

    `serial` grows with every Status of one sender and instance, restarts included, so that a replay is no sign of life.
    """

    SIZE_MAX: ClassVar[int] = STATUS_SIZE_MAX

    instance: Hash
    epoch: Epoch
    view: View
    voter: VoterIndex | None  # None: not seated; then `signature` is by the leaf key
    leaf: LeafIndex
    serial: Annotated[int, Meta(ge=0, le=2**62)]
    candidates: Annotated[tuple[Hash, ...], Meta(max_length=STATUS_CANDIDATES_MAX)]  # offered, in order-key order
    fingerprint: Annotated[bytes, Meta(max_length=FINGERPRINT_SIZE_MAX)]  # of the epoch, from its authenticator
    signature: LeafSignature

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the signature."""
        return framed(
            "conclave/status/v1",
            self.instance,
            self.epoch,
            self.view,
            0 if self.voter is None else self.voter + 1,
            self.leaf,
            self.serial,
            len(self.candidates),
            *self.candidates,
            self.fingerprint,
        )


class MessageKind(IntEnum):
    """The first byte of a framed message."""

    VOTE = 1
    PROPOSE = 2
    CERTIFICATE = 3  # a notarization or a nullification
    PROOF = 4  # of a view
    STATUS = 5
    DECISION = 6
    CANDIDATE = 7  # for the node; an instance takes facts, not bytes
    CHAIN_REQUEST = 8  # catch-up; likewise for the node
    CHAIN = 9


InstanceMessage = SignedVote | Propose | Certificate | Justification | Status | Decision
"""What an instance takes in (`Received`) and puts out (`Broadcast`, `Send`). Each names its `instance`."""

Message = InstanceMessage | Candidate | ChainRequest | Chain

_CLASSES: Final[dict[MessageKind, type[Message]]] = {
    MessageKind.VOTE: SignedVote,
    MessageKind.PROPOSE: Propose,
    MessageKind.CERTIFICATE: Certificate,
    MessageKind.PROOF: Justification,
    MessageKind.STATUS: Status,
    MessageKind.DECISION: Decision,
    MessageKind.CANDIDATE: Candidate,
    MessageKind.CHAIN_REQUEST: ChainRequest,
    MessageKind.CHAIN: Chain,
}
_KINDS: Final[dict[type[Message], MessageKind]] = {cls: kind for kind, cls in _CLASSES.items()}

MESSAGE_SIZE_MAX: Final = 1 + max(cls.SIZE_MAX for cls in _CLASSES.values())


def encode_message(message: Message) -> bytes:
    """A message behind its kind byte."""
    return bytes((_KINDS[type(message)],)) + message.encode()


def decode_message(data: bytes) -> Message:
    """Read a framed message; raises `MalformedError`. Sizes are checked per kind, before anything is parsed."""
    if not data:
        raise MalformedError("an empty message")
    try:
        kind = MessageKind(data[0])
    except ValueError:
        raise MalformedError(f"message kind {data[0]} is unknown to this node") from None
    return _CLASSES[kind].decode(data[1:])


def is_instance_message(message: Message) -> bool:
    """Whether an instance takes it in, as opposed to the node."""
    return isinstance(message, SignedVote | Propose | Certificate | Justification | Status | Decision)
