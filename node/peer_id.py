"""libp2p peer ids of Ed25519 keys, computed without libp2p (importing that costs seconds).

A peer id is the base58btc text of a multihash. An Ed25519 key is short enough to be its own hash: the
*identity* multihash of the key's protobuf, 38 bytes of which the last 32 are the public key. So a peer id
and a public key say the same thing, and every such id starts with ``12D3KooW``.
"""

from typing import Final

from node.errors import NodeError

PeerId = str
"""The text form, as in a multiaddr after ``/p2p/``."""

PUBLIC_KEY_SIZE: Final = 32
_PREFIX: Final = bytes((0x00, 36, 0x08, 0x01, 0x12, PUBLIC_KEY_SIZE))  # identity hash, its size; Type = Ed25519; Data
_TEXT_SIZE_MAX: Final = 64  # 52 characters in practice; decoding is quadratic, so look before it
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}


class PeerIdError(NodeError):
    """The text is not the peer id of an Ed25519 key."""


def peer_id_of(public_key: bytes) -> PeerId:
    """The peer id of an Ed25519 public key (32 bytes)."""
    if len(public_key) != PUBLIC_KEY_SIZE:
        raise PeerIdError(f"an Ed25519 public key has {PUBLIC_KEY_SIZE} bytes, not {len(public_key)}")
    return _base58(_PREFIX + public_key)


def public_key_of(peer_id: PeerId) -> bytes:
    """The Ed25519 public key a peer id stands for; raises ``PeerIdError`` for any other text."""
    if not 0 < len(peer_id) <= _TEXT_SIZE_MAX or any(character not in _DIGITS for character in peer_id):
        raise PeerIdError("not a peer id: base58 text of at most 64 characters is expected")
    number = 0
    for character in peer_id:
        number = number * 58 + _DIGITS[character]
    try:
        data = number.to_bytes(len(_PREFIX) + PUBLIC_KEY_SIZE, "big")
    except OverflowError:
        data = b""
    if not data.startswith(_PREFIX) or _base58(data) != peer_id:  # the second: no surplus leading zeros
        raise PeerIdError("not the peer id of an Ed25519 key (those start with 12D3KooW)")
    return data[len(_PREFIX) :]


def _base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))
