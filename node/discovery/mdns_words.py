"""What a node says of itself on a local network: addresses, and a mark that tells who it is to those who know.

The mark is a hash of its public key with a nonce that is new each time: strangers cannot tell that it was seen
before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from node.contacts.cards import ADDRESS_SIZE_MAX, ADDRESSES_MAX
from ordering import digest

LABEL: Final = "conclave/mdns/v1"
TEXT_SIZE_MAX: Final = 1024  # of one announcement
NONCE_SIZE: Final = 16
MARK_SIZE: Final = 16

_VERSION: Final = b"v=1"
_MARK: Final = b"m="
_ADDRESS: Final = b"a="


@dataclass(frozen=True, slots=True)
class Announcement:
    """As it is heard; whoever knows a peer id can make one in its name."""

    nonce: bytes
    mark: bytes
    addresses: tuple[str, ...]  # each without /p2p/ at its end

    @classmethod
    def of(cls, public_key: bytes, nonce: bytes, addresses: Sequence[str]) -> Self:
        """Our own."""
        short = tuple(address for address in addresses if len(address) <= ADDRESS_SIZE_MAX)[:ADDRESSES_MAX]
        return cls(nonce, _mark(public_key, nonce, short), short)

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """Out of a TXT record; None for what is none of ours."""
        words = list(_split(text)) if len(text) <= TEXT_SIZE_MAX else []
        if not 2 <= len(words) <= 2 + ADDRESSES_MAX or words[0] != _VERSION or not words[1].startswith(_MARK):
            return None
        if not all(word.startswith(_ADDRESS) and word.isascii() for word in words[2:]):
            return None
        try:
            token = bytes.fromhex(words[1][len(_MARK) :].decode("ascii"))
        except ValueError:
            return None
        if len(token) != NONCE_SIZE + MARK_SIZE:
            return None
        addresses = tuple(word[len(_ADDRESS) :].decode("ascii") for word in words[2:])
        return cls(token[:NONCE_SIZE], token[NONCE_SIZE:], addresses)

    def is_of(self, public_key: bytes) -> bool:
        """Whether it is, or pretends to be, of the node with this key."""
        return self.mark == _mark(public_key, self.nonce, self.addresses)

    def write(self) -> bytes:
        """As a TXT record."""
        words = [_VERSION, _MARK + (self.nonce + self.mark).hex().encode()]
        words += [_ADDRESS + address.encode() for address in self.addresses]
        return b"".join(bytes((len(word),)) + word for word in words)


def _mark(public_key: bytes, nonce: bytes, addresses: Sequence[str]) -> bytes:
    return digest(LABEL, nonce, public_key, *(address.encode() for address in addresses))[:MARK_SIZE]


def _split(text: bytes) -> Iterator[bytes]:
    while text:
        yield text[1 : 1 + text[0]]
        text = text[1 + text[0] :]
