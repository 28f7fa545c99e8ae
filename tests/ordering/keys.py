"""A toy signature scheme: fast, deterministic, and honest only because the tests are.

A signature is a hash over the *public* key and the message, 64 bytes. Anyone could forge one, so a test that wants a
forgery makes it by hand; what the tests rely on is that a changed message, key or signature does not verify.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256, sha512


@dataclass(frozen=True, slots=True)
class Key:
    """The vote key of one voter."""

    public: bytes

    @classmethod
    def of(cls, name: str) -> Key:
        return cls(sha256(f"toy vote key of {name}".encode()).digest())

    def sign(self, message: bytes) -> bytes:
        return sha512(self.public + message).digest()


class CountingVerifier:
    """`verify`, with a count of how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        self.calls += 1
        return verify(public_key, message, signature)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return sha512(public_key + message).digest() == signature
