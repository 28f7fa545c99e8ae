"""Notes to one person, left at that person's mailboxes: sealed to the inbox key in its card, read by nobody else.

An inbox has another topic each week, a hash of its key and the week. Who knows the key may leave notes; only who holds
the private key may look, since the mailbox's challenge comes sealed to it.
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import HPKECiphertext, HpkePrivateKey, MlsError, Random, sha256, suite
from node.contacts.cards import INBOX_SUITE
from node.mailbox.messages import CHALLENGE_SIZE, ITEM_SIZE_MAX, ITEMS_MAX, Items, Key
from node.mailbox.reconciling import Hash
from node.mailbox.sealing import NONCE_SIZE, TAG_SIZE, item_size
from node.transport import KIB, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX
from ordering import MalformedError, Wire, digest

NOTE_PROTOCOL: Final = "/conclave/mailbox/note/1"
INBOX_PROTOCOL: Final = "/conclave/mailbox/inbox/1"
COLLECT_PROTOCOL: Final = "/conclave/mailbox/collect/1"

WEEKS_MAX: Final = 8  # looked into at once: longer ago is past most mailboxes' retention
WEEK_MS: Final = 7 * 24 * 3600 * 1000
KEM_SIZE: Final = 32
HEAD_SIZE: Final = 6
NOTE_LABEL: Final = "conclave note"
CHALLENGE_LABEL: Final = "conclave inbox challenge"

_VERSION: Final = 1
_CIPHER: Final = suite(INBOX_SUITE)

Challenge = Annotated[bytes, Meta(min_length=CHALLENGE_SIZE, max_length=CHALLENGE_SIZE)]


class NoteKind(IntEnum):
    """What is in a note."""

    WELCOME = 1  # a node.peer_messages.WelcomeDelivery
    JOIN_REQUEST = 2  # what the protocol for joining by a link carries


class Note(Wire, frozen=True):
    """Keep this for whoever the topic is of."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    topic: Key
    item: Annotated[bytes, Meta(max_length=ITEM_SIZE_MAX)]


class NoteReply(Wire, frozen=True):
    """Whether it is kept now; durable if so."""

    SIZE_MAX: ClassVar[int] = 16

    is_kept: bool


class InboxRequest(Wire, frozen=True):
    """I hold this inbox key; let me show it."""

    SIZE_MAX: ClassVar[int] = 64

    inbox_key: Key


class InboxChallenge(Wire, frozen=True):
    """Sealed to the inbox key: what to show."""

    SIZE_MAX: ClassVar[int] = 256

    sealed: Annotated[bytes, Meta(max_length=128)]


class Collect(Wire, frozen=True):
    """The notes of these weeks, please; and forget those that I have."""

    SIZE_MAX: ClassVar[int] = 16 * KIB

    inbox_key: Key
    challenge: Challenge
    weeks: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**32)], ...], Meta(max_length=WEEKS_MAX)]
    had: Annotated[tuple[Hash, ...], Meta(max_length=ITEMS_MAX)]


class CollectReply(Wire, frozen=True):
    """Some of them, oldest week first; none when there are no more."""

    SIZE_MAX: ClassVar[int] = RESPONSE_SIZE_MAX

    items: Items


def inbox_topic(inbox_key: bytes, week: int) -> bytes:
    """Where the notes of a week to an inbox lie; 32 bytes that tell nothing to who has not the key."""
    return digest("conclave/mailbox/inbox-topic/v1", inbox_key, week)


def week_of(now_ms: int) -> int:
    """The week of a moment, in UTC."""
    return now_ms // WEEK_MS


def seal_note(inbox_key: bytes, kind: NoteKind, body: bytes, random: Random) -> bytes:
    """An item that only the holder of the inbox key can open, of a padded size. Raises `MlsError` for a bad key."""
    content = bytes((_VERSION, kind)) + len(body).to_bytes(4, "big") + body
    size = item_size(len(content) + KEM_SIZE - NONCE_SIZE)
    return _seal(inbox_key, NOTE_LABEL, content.ljust(size - KEM_SIZE - TAG_SIZE, b"\0"), random)


def open_note(key: HpkePrivateKey, item: bytes) -> tuple[NoteKind, bytes]:
    """What is in a note; raises `MalformedError`."""
    content = _open(key, NOTE_LABEL, item)
    if len(content) < HEAD_SIZE or content[0] != _VERSION:
        raise MalformedError(f"a note of another version than {_VERSION}")
    size = int.from_bytes(content[2:HEAD_SIZE], "big")
    body = content[HEAD_SIZE : HEAD_SIZE + size]
    try:
        kind = NoteKind(content[1])
    except ValueError:
        raise MalformedError(f"a note of the unknown kind {content[1]}") from None
    if len(body) != size:
        raise MalformedError("a note that says it is longer than it is")
    return kind, body


def seal_challenge(inbox_key: bytes, mailbox: bytes, challenge: bytes, random: Random) -> bytes:
    """To be opened by the inbox's owner, for this mailbox. Raises `MlsError` for a bad key."""
    return _seal(inbox_key, CHALLENGE_LABEL, sha256(mailbox) + challenge, random)


def open_challenge(key: HpkePrivateKey, mailbox: bytes, sealed: bytes) -> bytes:
    """The challenge; raises `MalformedError`, also for one that another mailbox passes on."""
    content = _open(key, CHALLENGE_LABEL, sealed)
    if content[:-CHALLENGE_SIZE] != sha256(mailbox):
        raise MalformedError("a challenge of another mailbox")
    return content[-CHALLENGE_SIZE:]


def _seal(inbox_key: bytes, label: str, content: bytes, random: Random) -> bytes:
    sealed = _CIPHER.encrypt_with_label(inbox_key, label, b"", content, random)
    return sealed.kem_output + sealed.ciphertext


def _open(key: HpkePrivateKey, label: str, sealed: bytes) -> bytes:
    try:
        return _CIPHER.decrypt_with_label(key, label, b"", HPKECiphertext(sealed[:KEM_SIZE], sealed[KEM_SIZE:]))
    except MlsError:
        raise MalformedError("not sealed to our inbox key") from None
