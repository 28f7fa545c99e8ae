"""Encrypted packets: what a connection carries once both ends know each other. No I/O.

A packet is two bytes of length and so much ciphertext (the Noise specification of libp2p). The ciphers count their
packets, so each is opened once and in order, and what is sealed first has to be written first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

LENGTH_SIZE: Final = 2
TAG_SIZE: Final = 16
PLAIN_SIZE_MAX: Final = 0xFFFF - TAG_SIZE  # of one packet

Cipher = Callable[[bytes], bytes]


class Packets:
    """Both directions of one connection. Holds at most one unfinished packet and one read."""

    def __init__(self, encrypt: Cipher, decrypt: Cipher) -> None:
        self._encrypt = encrypt
        self._decrypt = decrypt
        self._unopened = bytearray()

    def seal(self, data: bytes) -> bytes:
        """As many packets as it takes, to be written before anything that is sealed later."""
        if len(data) <= PLAIN_SIZE_MAX:
            return self._packet(data)
        pieces = (data[start : start + PLAIN_SIZE_MAX] for start in range(0, len(data), PLAIN_SIZE_MAX))
        return b"".join(map(self._packet, pieces))

    def open(self, data: bytes) -> Iterator[bytes]:
        """Append what was read, and what the packets say that are complete now.

        Raises what the cipher raises for a packet that was not sealed by the other end.
        """
        unopened = self._unopened
        unopened += data
        start = 0
        while (body := start + LENGTH_SIZE) <= len(unopened):
            end = body + int.from_bytes(unopened[start:body], "big")
            if end > len(unopened):
                break
            yield self._decrypt(bytes(unopened[body:end]))
            start = end
        del unopened[:start]

    def _packet(self, data: bytes) -> bytes:
        sealed = self._encrypt(data)
        return len(sealed).to_bytes(LENGTH_SIZE, "big") + sealed
