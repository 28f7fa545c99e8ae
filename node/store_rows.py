"""The rows of the store, as frozen values.

A field that may hold a secret, a plaintext, a name or simply much data stays out of ``repr``. Times are unix
milliseconds, epochs fit SQLite's signed 64 bits (``EPOCH_MAX``), group ids and message ids are bytes.
Fields stand in the order of their table's columns (``store_schema``); reading and writing rely on it.
"""

from dataclasses import dataclass, field
from typing import Final

EPOCH_MAX: Final = 2**63 - 1
"""Greatest epoch the store can hold; RFC 9420 allows twice that, no group will reach either."""

INTENT_FINAL_STATES: Final = ("done", "already", "failed")
"""The states an intent never leaves; every other state is *open* and survives a restart as work to do."""

KEY_PACKAGE_AVAILABLE: Final = "available"
KEY_PACKAGE_CLAIMED: Final = "claimed"  # somebody has it
KEY_PACKAGE_RETIRED: Final = "retired"  # withdrawn; a Welcome for it may still come
KEY_PACKAGE_ONE_TIME: Final = "one-time"
KEY_PACKAGE_LAST_RESORT: Final = "last-resort"


@dataclass(frozen=True, slots=True)
class Pieces:
    """A group's snapshot in pieces, of which a message changes the last: `mls.Parts`, stored."""

    public: bytes = field(repr=False)
    past: tuple[bytes, ...] = field(repr=False)
    present: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group this node is, was or is about to be a member of."""

    group_id: bytes
    name: str = field(repr=False)
    epoch: int
    snapshot: Pieces | bytes | None = field(repr=False)  # bytes: whole, as version 1 wrote it; None once removed
    health: str
    unconfirmed: bool
    removed: bool
    extra: bytes = field(default=b"", repr=False)  # the session's own small state, its encoding is the session's


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A durable candidate of an undecided epoch; ``successor`` only when the commit is our own."""

    group_id: bytes
    epoch: int
    candidate_id: bytes
    candidate: bytes = field(repr=False)
    successor: bytes | None = field(default=None, repr=False)  # Group.to_bytes() after our own commit
    intent_ids: tuple[bytes, ...] = ()
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class GuardRow:
    """The highest position this node has signed at in a group, and what it signed there: ``ordering.Guard``, stored."""

    group_id: bytes
    epoch: int
    view: int
    step: int
    rank: int = 0  # within a step: a leader's Propose comes before its Notarize
    signed: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)
    abstain_below: int = 0  # nothing is signed in epochs below this one

    @property
    def position(self) -> tuple[int, int, int, int]:
        return (self.epoch, self.view, self.step, self.rank)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What ended an epoch; ``candidate`` is None while its bytes are still being fetched."""

    group_id: bytes
    epoch: int
    candidate_id: bytes
    decision: bytes = field(repr=False)
    candidate: bytes | None = field(repr=False)
    at_ms: int = 0  # when it was stored here


@dataclass(frozen=True, slots=True)
class IntentRow:
    """A change somebody asked for, kept until it is done or refused for good."""

    intent_id: bytes
    group_id: bytes
    kind: str
    body: bytes = field(repr=False)
    state: str
    epoch: int | None  # the epoch that carried it, once done
    error: str | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One entry of the local event feed; ``seq`` is 0 until the store has given it one. Numbers grow, with gaps."""

    group_id: bytes
    kind: str
    epoch: int
    sender: str | None = field(repr=False)
    message_id: bytes | None  # unique per group; None for events that are no message
    body: bytes = field(repr=False)
    at_ms: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class MessageRow:
    """An application message as it was on the wire, kept so that a peer who missed it can pull it."""

    group_id: bytes
    epoch: int
    message_id: bytes
    payload: bytes = field(repr=False)
    at_ms: int


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A message of an epoch this node has not entered yet."""

    group_id: bytes
    epoch: int
    message_id: bytes
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something to send, durable until it was sent; ``id`` is 0 until the store has given it one."""

    group_id: bytes
    kind: str
    epoch: int
    recipient: str | None  # a peer id; None means the group's topic
    payload: bytes = field(repr=False)
    created_ms: int
    id: int = 0


@dataclass(frozen=True, slots=True)
class KeyPackageRow:
    """One of our key packages with its private keys; handed out once, or last resort and handed out again."""

    reference: bytes
    bundle: bytes = field(repr=False)  # KeyPackageBundle.to_bytes()
    kind: str = KEY_PACKAGE_ONE_TIME
    state: str = KEY_PACKAGE_AVAILABLE
    suite: int = 0
    digest: bytes = b""  # what it is called at replicas
    place: bytes = b""  # the set of replicas it is given to, and no other ever; empty: we hand it out ourselves
    expires_s: int = 0
    changed_ms: int = 0  # when it came into its state


@dataclass(frozen=True, slots=True)
class PeerRow:
    """A peer this node knows an address or a name for."""

    peer_id: str
    addresses: tuple[str, ...]
    name: str = field(default="", repr=False)
