"""Signposts: where a node is, signed by it, for those who keep it for others to find.

Whoever keeps one sees a peer id and addresses. The node's card, with its name and its mailboxes, is inside, sealed
under a key that only those can make who have had a card of it before.
"""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from mls import UnopenableError, aead_open, aead_seal, ed25519_verify, sha256
from node.contacts.cards import (
    ADDRESSES_MAX,
    CARD_SIZE_MAX,
    Address,
    Card,
    CardError,
    PublicKey,
    Signature,
    Time,
    open_card,
)
from node.errors import NodeError
from node.identity import Identity, valid_vote_key
from node.peer_id import PeerId, peer_id_of
from ordering import MalformedError, Wire, digest, framed

LABEL: Final = "conclave/signpost/v1"
SEAL_LABEL: Final = "conclave/signpost/seal/v1"

LIFETIME_S: Final = 24 * 3600
"""How long our own say where we are."""
SIGNPOST_LIFETIME_MAX: Final = 48 * 3600  # seconds that anybody's may
CLOCK_SKEW_S: Final = 3600
SIGNPOST_SIZE_MAX: Final = 6 * 1024  # one encoded signpost
SEALED_SIZE_MAX: Final = 4_672  # the card inside, sealed

_PADDED_TO: Final = 512
_NONCE_SIZE: Final = 12
_HEAD_SIZE: Final = 2
assert SEALED_SIZE_MAX >= -(-(_HEAD_SIZE + CARD_SIZE_MAX) // _PADDED_TO) * _PADDED_TO + _NONCE_SIZE + 16


class SignpostError(NodeError):
    """No signpost that can be used; the message says what is wrong with it."""


class Signpost(Wire, frozen=True):
    """Where a node is. `make_signpost` and `open_signpost` give verified ones; `decode` only looks at the form."""

    SIZE_MAX: ClassVar[int] = SIGNPOST_SIZE_MAX

    public_key: PublicKey
    addresses: Annotated[tuple[Address, ...], Meta(max_length=ADDRESSES_MAX)]  # each without /p2p/ at its end
    sealed_card: Annotated[bytes, Meta(max_length=SEALED_SIZE_MAX)]
    issued_s: Time  # of two, the later is the better
    expires_s: Time
    signature: Signature

    def __post_init__(self) -> None:
        if not 0 < self.expires_s - self.issued_s <= SIGNPOST_LIFETIME_MAX:
            raise ValueError(f"it has to be good for at most {SIGNPOST_LIFETIME_MAX} s")

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.public_key)

    @property
    def dial(self) -> tuple[str, ...]:
        """The addresses as the transport takes them."""
        return tuple(f"{address}/p2p/{self.peer_id}" for address in self.addresses)

    def card(self, inbox_key: bytes) -> Card | None:
        """The card inside, verified, for who knows the inbox key from an earlier one; None when there is none."""
        key = _seal_key(inbox_key)
        nonce, ciphertext = self.sealed_card[:_NONCE_SIZE], self.sealed_card[_NONCE_SIZE:]
        try:
            padded = aead_open(key, nonce, ciphertext, self.public_key)
            card = open_card(padded[_HEAD_SIZE : _HEAD_SIZE + int.from_bytes(padded[:_HEAD_SIZE], "big")])
        except (UnopenableError, CardError):
            return None
        return card if card.public_key == self.public_key else None


def make_signpost(identity: Identity, card: Card, now_s: int, lifetime_s: int = LIFETIME_S) -> Signpost:
    """Our own, around our present card."""
    sealed = _seal(card)
    draft = Signpost(identity.public_key, card.addresses, sealed, now_s, now_s + lifetime_s, bytes(64))
    return msgspec.structs.replace(draft, signature=identity.sign(_signed(draft)))


def open_signpost(data: bytes, now_s: int) -> Signpost:
    """A signpost from its bytes: signed by the node it names, and good now. Raises `SignpostError`."""
    try:
        signpost = Signpost.decode(data)
    except MalformedError as error:
        raise SignpostError(f"not a signpost: {error}") from error
    if not signpost.issued_s - CLOCK_SKEW_S <= now_s < signpost.expires_s:
        raise SignpostError("signpost: expired, or from the future")
    if not valid_vote_key(signpost.public_key):
        raise SignpostError("signpost: the node's key is no usable Ed25519 key")
    if not ed25519_verify(signpost.public_key, _signed(signpost), signpost.signature):
        raise SignpostError("signpost: its node has not signed it")
    return signpost


def _seal(card: Card) -> bytes:
    key, data = _seal_key(card.inbox_key), card.encode()
    content = len(data).to_bytes(_HEAD_SIZE, "big") + data
    padded = content.ljust(-(-len(content) // _PADDED_TO) * _PADDED_TO, b"\0")
    nonce = sha256(key + content)[:_NONCE_SIZE]
    return nonce + aead_seal(key, nonce, padded, card.public_key)


def _seal_key(inbox_key: bytes) -> bytes:
    return digest(SEAL_LABEL, inbox_key)


def _signed(signpost: Signpost) -> bytes:
    texts = [address.encode() for address in signpost.addresses]
    return framed(
        LABEL, signpost.public_key, len(texts), *texts, signpost.sealed_card, signpost.issued_s, signpost.expires_s
    )
