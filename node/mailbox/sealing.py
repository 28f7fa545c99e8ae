"""What members derive from an epoch to leave things at a mailbox: the topic's key, and the key that seals its items.

Equal contents give equal items (the nonce is a hash of the content, under the key), so all members know an item by
the same id without having seen it, and a mailbox keeps it once. The sizes are padded to a few classes.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from mls import Group, SignaturePrivateKey, UnopenableError, aead_open, aead_seal, ed25519_load, sha256
from node.mailbox.messages import ITEM_SIZE_MAX
from node.transport import KIB
from ordering import MalformedError

TOPIC_LABEL: Final = "conclave mailbox topic"
SEAL_LABEL: Final = "conclave mailbox seal"
KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
HEAD_SIZE: Final = 6  # version, kind, size of the body
CLASS_MIN: Final = 512
DOUBLING_MAX: Final = 64 * KIB  # classes are powers of two up to here, then steps of an eighth

_VERSION: Final = 1


class ItemKind(IntEnum):
    """What is in an item."""

    MESSAGE = 1  # an MLS PrivateMessage with application data
    BUNDLE = 2  # the ordering.Candidate that ended the epoch
    MARK = 3  # a node.receipts.marks.Mark: what a member has


@dataclass(frozen=True, slots=True)
class TopicKeys:
    """What one epoch's members share about their mailboxes; derived in the epoch, kept for as long as it is served."""

    seed: bytes = field(repr=False)
    seal_key: bytes = field(repr=False)

    @classmethod
    def of(cls, group: Group) -> "TopicKeys":
        """Of the group's present epoch."""
        return cls(group.export(TOPIC_LABEL, b"", KEY_SIZE), group.export(SEAL_LABEL, b"", KEY_SIZE))


class Topic:
    """One epoch at the mailboxes: its key, and sealing and opening under it."""

    __slots__ = ("_seal_key", "id", "key")

    def __init__(self, keys: TopicKeys) -> None:
        self.key: SignaturePrivateKey = ed25519_load(keys.seed)
        self.id: bytes = self.key.public
        self._seal_key = keys.seal_key

    def seal(self, kind: ItemKind, body: bytes) -> bytes:
        """The item: the same bytes whoever seals it."""
        content = bytes((_VERSION, kind)) + len(body).to_bytes(4, "big") + body
        padded = content.ljust(item_size(len(content)) - NONCE_SIZE - TAG_SIZE, b"\0")
        nonce = sha256(self._seal_key + content)[:NONCE_SIZE]  # keyed: a mailbox cannot test guesses at the content
        return nonce + aead_seal(self._seal_key, nonce, padded, self.id)

    def open(self, item: bytes) -> tuple[ItemKind, bytes]:
        """What is in an item; raises `MalformedError` for what no member can have sealed as it should."""
        try:
            padded = aead_open(self._seal_key, item[:NONCE_SIZE], item[NONCE_SIZE:], self.id)
        except UnopenableError:
            raise MalformedError("an item that the key of its epoch does not open") from None
        if len(padded) < HEAD_SIZE or padded[0] != _VERSION:
            raise MalformedError(f"an item of another version than {_VERSION}")
        size = int.from_bytes(padded[2:HEAD_SIZE], "big")
        try:
            kind = ItemKind(padded[1])
        except ValueError:
            raise MalformedError(f"an item of the unknown kind {padded[1]}") from None
        body = padded[HEAD_SIZE : HEAD_SIZE + size]
        if len(body) != size or self.seal(kind, body) != item:
            raise MalformedError("an item that is not sealed as all members seal it")
        return kind, body


def item_id(item: bytes) -> bytes:
    """The name of an item, 32 bytes."""
    return sha256(item)


def item_size(content_size: int) -> int:
    """The size class that a content of so many bytes is sealed in."""
    size = content_size + NONCE_SIZE + TAG_SIZE
    if size <= DOUBLING_MAX:
        return max(CLASS_MIN, 1 << (size - 1).bit_length())
    step = 1 << (size.bit_length() - 4)  # an eighth of the power of two below
    return -(-size // step) * step


def is_padded(size: int) -> bool:
    """Whether an item of this size is of a class."""
    least = NONCE_SIZE + TAG_SIZE + HEAD_SIZE
    return least <= size <= ITEM_SIZE_MAX and item_size(size - NONCE_SIZE - TAG_SIZE) == size
