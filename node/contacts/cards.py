"""Contact cards: what a node says of itself to those who want to reach it, signed by its own key.

A card is self-contained: whoever has it knows the node's key, where to dial it, who keeps what it misses, and the key
that notes for it are sealed to. Nobody but the node can make one; of two, the one with the higher serial is the newer.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from mls import MlsError, ed25519_verify, suite
from node.contacts.text import from_text, to_text
from node.errors import NodeError
from node.identity import Identity, valid_vote_key
from node.peer_id import PUBLIC_KEY_SIZE, PeerId, peer_id_of
from ordering import MalformedError, Wire, framed

LABEL: Final = "conclave/card/v1"
INBOX_SUITE: Final = 1
"""The MLS cipher suite whose HPKE seals to an inbox key: X25519, HKDF-SHA256, AES-128-GCM."""
LIFETIME_S: Final = 365 * 24 * 3600

CARD_SIZE_MAX: Final = 4096  # one encoded card
NAME_SIZE_MAX: Final = 64  # bytes of UTF-8 that a node may call itself
ADDRESS_SIZE_MAX: Final = 128  # one address, without the peer id at its end
ADDRESSES_MAX: Final = 4  # of the node itself
PLACES_MAX: Final = 4  # mailboxes, and again as many replicas
PLACE_ADDRESSES_MAX: Final = 2  # of each of them
SUITES_MAX: Final = 32  # cipher suites that a node names
TIME_S_MAX: Final = 2**40  # unix seconds; people's clocks go that far

PublicKey = Annotated[bytes, Meta(min_length=PUBLIC_KEY_SIZE, max_length=PUBLIC_KEY_SIZE)]
Address = Annotated[str, Meta(min_length=1, max_length=ADDRESS_SIZE_MAX, pattern=r"^/[!-~]+\Z")]
Time = Annotated[int, Meta(ge=0, le=TIME_S_MAX)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class CardError(NodeError):
    """No card that can be used; the message says what is wrong with it."""


class CardExpiredError(CardError):
    """A true card that is too old to begin with."""


class Place(Wire, frozen=True):
    """A node that serves another one, as a mailbox for example: its key, and where to dial it."""

    SIZE_MAX: ClassVar[int] = 512

    public_key: PublicKey
    addresses: Annotated[tuple[Address, ...], Meta(max_length=PLACE_ADDRESSES_MAX)]  # each without /p2p/ at its end

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.public_key)

    @property
    def dial(self) -> tuple[str, ...]:
        """The addresses as the transport takes them."""
        return tuple(f"{address}/p2p/{self.peer_id}" for address in self.addresses)

    def __post_init__(self) -> None:
        _check_addresses(self.addresses)


class Card(Wire, frozen=True):
    """What a node says of itself. `open_card` and `make_card` give verified ones; `decode` only looks at the form."""

    SIZE_MAX: ClassVar[int] = CARD_SIZE_MAX

    serial: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    public_key: PublicKey
    name: Annotated[str, Meta(max_length=NAME_SIZE_MAX)]  # what it calls itself; may be empty, proves nothing
    addresses: Annotated[tuple[Address, ...], Meta(max_length=ADDRESSES_MAX)]  # each without /p2p/ at its end
    mailboxes: Annotated[tuple[Place, ...], Meta(max_length=PLACES_MAX)]
    replicas: Annotated[tuple[Place, ...], Meta(max_length=PLACES_MAX)]  # of its key packages; may be none
    suites: Annotated[tuple[Annotated[int, Meta(ge=1, le=0xFFFF)], ...], Meta(max_length=SUITES_MAX)]
    inbox_key: PublicKey  # HPKE of `INBOX_SUITE`
    issued_s: Time
    expires_s: Time
    signature: Signature

    def __post_init__(self) -> None:
        _check_addresses(self.addresses)
        if len(self.name.encode()) > NAME_SIZE_MAX or not self.name.isprintable():
            raise ValueError("a name has at most 64 bytes, all printable")
        if self.expires_s <= self.issued_s:
            raise ValueError("it expires before it was issued")
        for places in (self.mailboxes, self.replicas):
            if len({place.public_key for place in places}) != len(places):
                raise ValueError("a node is named twice")

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.public_key)

    @property
    def dial(self) -> tuple[str, ...]:
        """The addresses as the transport takes them."""
        return tuple(f"{address}/p2p/{self.peer_id}" for address in self.addresses)

    def says_the_same(self, other: Self) -> bool:
        """Whether two cards differ in nothing but serial, times and signature."""
        return msgspec.structs.replace(
            other, serial=self.serial, issued_s=self.issued_s, expires_s=self.expires_s, signature=self.signature
        ) == (self)

    def to_text(self) -> str:
        """One word to paste, `conclave:card:...`."""
        return to_text("card", self.encode())


def make_card(
    identity: Identity,
    *,
    serial: int,
    name: str,
    addresses: Iterable[str],
    mailboxes: Iterable[Place],
    replicas: Iterable[Place],
    suites: Iterable[int],
    inbox_key: bytes,
    now_s: int,
    lifetime_s: int = LIFETIME_S,
) -> Card:
    """A signed card; of more than fits the first ones are taken. Addresses may end in our `/p2p/`."""
    end = f"/p2p/{identity.peer_id}"
    bare = (address.removesuffix(end) for address in addresses)
    draft = Card(
        serial,
        identity.public_key,
        shortened(name),
        tuple(dict.fromkeys(address for address in bare if len(address) <= ADDRESS_SIZE_MAX))[:ADDRESSES_MAX],
        tuple(mailboxes)[:PLACES_MAX],
        tuple(replicas)[:PLACES_MAX],
        tuple(suites)[:SUITES_MAX],
        inbox_key,
        now_s,
        now_s + lifetime_s,
        bytes(64),
    )
    return msgspec.structs.replace(draft, signature=identity.sign(_signed(draft)))


def open_card(data: bytes) -> Card:
    """A card from its bytes, its signature and keys verified; raises `CardError`. Its age is not looked at."""
    try:
        card = Card.decode(data)
    except MalformedError as error:
        raise CardError(f"not a contact card: {error}") from error
    if not valid_vote_key(card.public_key):
        raise CardError("contact card: the node's key is no usable Ed25519 key")
    if not ed25519_verify(card.public_key, _signed(card), card.signature):
        raise CardError("contact card: its node has not signed it")
    try:
        suite(INBOX_SUITE).check_hpke_public_key(card.inbox_key)
    except MlsError as error:
        raise CardError("contact card: the inbox key is no usable key") from error
    return card


def card_from_text(text: str) -> Card:
    """The same from its text form; raises `CardError` or `TextError`."""
    return open_card(from_text("card", text))


def check_current(card: Card, now_s: int) -> None:
    """That a card is not too old to begin with; raises `CardExpiredError`."""
    if now_s >= card.expires_s:
        who = card.name or card.peer_id
        raise CardExpiredError(f"the card expired on {day(card.expires_s)}; ask {who} for a new one")


def day(seconds: int) -> str:
    """The day of a moment, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return f"a day far off ({seconds})"


def shortened(name: str) -> str:
    """A name as far as it fits into a card."""
    printable = "".join(character for character in name if character.isprintable())
    return printable.encode()[:NAME_SIZE_MAX].decode(errors="ignore")


def _check_addresses(addresses: tuple[str, ...]) -> None:
    if len(set(addresses)) != len(addresses):
        raise ValueError("an address is named twice")
    if any("/p2p/" in address.rsplit("/p2p-circuit", 1)[-1] for address in addresses):
        raise ValueError("an address in a card stands without the peer id at its end")


def _signed(card: Card) -> bytes:
    fields = _fields(card)
    return framed(LABEL, *fields)


def _fields(card: Card) -> Iterator[bytes | int]:
    """Everything but the signature, flat: each list behind its length."""
    yield from (card.serial, card.public_key, card.name.encode())
    yield from _texts(card.addresses)
    for places in (card.mailboxes, card.replicas):
        yield len(places)
        for place in places:
            yield place.public_key
            yield from _texts(place.addresses)
    yield len(card.suites)
    yield from card.suites
    yield from (card.inbox_key, card.issued_s, card.expires_s)


def _texts(texts: tuple[str, ...]) -> Iterator[bytes | int]:
    yield len(texts)
    yield from (text.encode() for text in texts)
