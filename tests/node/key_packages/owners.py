"""Owners of made-up packages, for tests of a replica: what is in a package is no replica's business."""

import random

from node.identity import Identity
from node.key_packages.messages import Ask, Claim, Entry, Manifest, digest_of

SET, OTHER_SET = b"s" * 32, b"o" * 32
NOW = 1_800_000_000
LATER = NOW + 30 * 24 * 3600


class Owner:
    """Somebody who publishes; its serials grow."""

    def __init__(self, seed: int = 1) -> None:
        self.identity = Identity.generate(random.Random(seed).randbytes)
        self.key = self.identity.public_key
        self._serial = 0

    def package(self, number: int) -> bytes:
        return b"package %d of " % number + self.key

    def digest(self, number: int) -> bytes:
        return digest_of(self.package(number))

    def manifest(
        self, numbers: range | tuple[int, ...], replicas: bytes = SET, *, suite: int = 1, last_resort: int | None = None
    ) -> Manifest:
        """Of these packages, one of them the last resort."""
        self._serial += 1
        entries = tuple(Entry(self.digest(each), suite, each == last_resort, LATER) for each in numbers)
        return Manifest.sign(self.identity, replicas, self._serial, entries)

    def packages(self, numbers: range | tuple[int, ...]) -> tuple[bytes, ...]:
        return tuple(map(self.package, numbers))

    def ask(self, nonce: bytes, replicas: bytes = SET, suite: int = 1) -> Ask:
        return Ask(self.key, replicas, suite, nonce)

    def claim(self, number: int, nonce: bytes, replicas: bytes = SET, suite: int = 1) -> Claim:
        return Claim(self.key, replicas, suite, nonce, self.digest(number))


def nonce(number: int) -> bytes:
    return number.to_bytes(16, "big")
