"""What a member and a mailbox say to each other: versioned msgpack arrays with one encoding each (`ordering.Wire`).

Every request but `Hello` is about one *topic*, an Ed25519 key that only the members of one epoch can derive, and comes
in an `Asked` that this key signed: over the protocol, the mailbox, and the challenge that the mailbox gave to this very
connection. So who is no member can neither write nor read, nothing said to one mailbox is of use at another, and
all members of an epoch look the same.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import SignaturePrivateKey, ed25519_sign, ed25519_verify, sha256
from node.mailbox.reconciling import Hash, Ranges
from node.transport import KIB, MIB, REQUEST_SIZE_MAX
from ordering import CANDIDATE_SIZE_MAX, LogEntry, Wire, framed

HELLO_PROTOCOL: Final = "/conclave/mailbox/hello/1"
DEPOSIT_PROTOCOL: Final = "/conclave/mailbox/deposit/1"
COMPARE_PROTOCOL: Final = "/conclave/mailbox/compare/1"
FETCH_PROTOCOL: Final = "/conclave/mailbox/fetch/1"

CHALLENGE_SIZE: Final = 16
BORN_SIZE: Final = 16
ITEM_SIZE_MAX: Final = CANDIDATE_SIZE_MAX + CANDIDATE_SIZE_MAX // 8 + KIB  # sealed: a bundle in its size class
ITEMS_MAX: Final = 256  # in one deposit, or asked for at once
ITEMS_SIZE_MAX: Final = 6 * MIB  # of the items in one deposit or answer, together; one item always fits
ENTRIES_MAX: Final = 4  # for one topic: how its epoch ended, as several members say; one of them can lie
DECIDED_MAX: Final = 4  # items of one topic that are kept longest, said to be the bundle which ended its epoch

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Items = Annotated[tuple[Annotated[bytes, Meta(max_length=ITEM_SIZE_MAX)], ...], Meta(max_length=ITEMS_MAX)]


class Hello(Wire, frozen=True):
    """What do you keep, and what shall I sign?"""

    SIZE_MAX: ClassVar[int] = 16


class Terms(Wire, frozen=True):
    """What a mailbox keeps, and the challenge of this connection."""

    SIZE_MAX: ClassVar[int] = 256

    challenge: Annotated[bytes, Meta(min_length=CHALLENGE_SIZE, max_length=CHALLENGE_SIZE)]
    retention_days: Annotated[int, Meta(ge=0, le=100_000)]
    topic_size: Count  # bytes that one chain, or one topic of none, may fill


class Asked(Wire, frozen=True):
    """A request about a topic, signed by its key."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    topic: Key
    body: Annotated[bytes, Meta(max_length=REQUEST_SIZE_MAX)]
    signature: Signature

    @classmethod
    def sign(cls, key: SignaturePrivateKey, protocol: str, mailbox: bytes, challenge: bytes, body: bytes) -> "Asked":
        """By the topic's key; `mailbox` is the public key of the node that is asked."""
        return cls(key.public, body, ed25519_sign(key, _asked_bytes(protocol, mailbox, challenge, body)))

    def is_signed(self, protocol: str, mailbox: bytes, challenge: bytes) -> bool:
        """Whether it proves possession of the topic's key, here and on this connection."""
        return ed25519_verify(self.topic, _asked_bytes(protocol, mailbox, challenge, self.body), self.signature)


def _asked_bytes(protocol: str, mailbox: bytes, challenge: bytes, body: bytes) -> bytes:
    return framed("conclave/mailbox/asked/v1", protocol.encode(), mailbox, challenge, sha256(body))


class Deposit(Wire, frozen=True):
    """Keep these."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX - KIB

    items: Items
    entry: Annotated[bytes, Meta(max_length=LogEntry.SIZE_MAX)] = b""  # the ordering.LogEntry that ended the epoch
    decided: Annotated[tuple[Hash, ...], Meta(max_length=1)] = ()  # the item with the bundle it decided
    next: Annotated[tuple[Key, ...], Meta(max_length=1)] = ()  # the topic of the epoch that it began
    is_released: bool = False  # every member is past this epoch: the topic may go before others


class Compare(Wire, frozen=True):
    """A question of a reconciliation (`node.mailbox.reconciling`) over the ids of the topic's items."""

    SIZE_MAX: ClassVar[int] = 512 * KIB

    ranges: Ranges


class Fetch(Wire, frozen=True):
    """These items, please."""

    SIZE_MAX: ClassVar[int] = 16 * KIB

    ids: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class Outcome(IntEnum):
    """What became of an item that was deposited."""

    STORED = 0
    HELD = 1  # it was here already
    NO_ROOM = 2
    REFUSED = 3  # not of a padded size


class Statement(Wire, frozen=True):
    """What a mailbox says that it holds of a topic, signed: it can be held against it.

    `serial` grows with everything it takes for the topic, `born` is drawn when its store is made: a lower serial,
    or another `born`, is an older or another store.
    """

    SIZE_MAX: ClassVar[int] = 512

    born: Annotated[bytes, Meta(min_length=BORN_SIZE, max_length=BORN_SIZE)]
    serial: Count
    count: Count  # of items
    has_entry: bool  # whether it holds the entry that ended the epoch
    about: Hash  # in a comparison: the digest of all ids it holds; in a receipt: that of the ids it keeps of a deposit
    signature: Signature

    @classmethod
    def sign(
        cls,
        sign: Callable[[bytes], bytes],
        kind: bytes,
        topic: bytes,
        born: bytes,
        serial: int,
        count: int,
        has_entry: bool,
        about: bytes,
    ) -> "Statement":
        """By the mailbox's node key."""
        signature = sign(_statement_bytes(kind, topic, born, serial, count, has_entry, about))
        return cls(born, serial, count, has_entry, about, signature)

    def is_signed(self, kind: bytes, topic: bytes, mailbox: bytes) -> bool:
        """Whether the mailbox of this public key said it, of this topic."""
        said = _statement_bytes(kind, topic, self.born, self.serial, self.count, self.has_entry, self.about)
        return ed25519_verify(mailbox, said, self.signature)


COMPARED: Final = b"compared"
RECEIVED: Final = b"received"


class DepositReply(Wire, frozen=True):
    """What became of each item, and a receipt for those that are kept."""

    SIZE_MAX: ClassVar[int] = 4 * KIB

    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=ITEMS_MAX)]
    receipt: Statement


class CompareReply(Wire, frozen=True):
    """The answer of a reconciliation, what the mailbox says that it holds, and how the topic's epoch ended."""

    SIZE_MAX: ClassVar[int] = 512 * KIB

    ranges: Ranges
    statement: Statement
    entries: Annotated[tuple[Annotated[bytes, Meta(max_length=LogEntry.SIZE_MAX)], ...], Meta(max_length=ENTRIES_MAX)]


class FetchReply(Wire, frozen=True):
    """Those of the first `considered` ids that are here, in that order; the others did not fit into one answer."""

    SIZE_MAX: ClassVar[int] = ITEMS_SIZE_MAX + ITEM_SIZE_MAX

    considered: Annotated[int, Meta(ge=0, le=ITEMS_MAX)]
    items: Items


def _statement_bytes(
    kind: bytes,
    topic: bytes,
    born: bytes,
    serial: int,
    count: int,
    has_entry: bool,
    about: bytes,
) -> bytes:
    return framed("conclave/mailbox/statement/v1", kind, topic, born, serial, count, int(has_entry), about)
