"""Groups in which Diffie-Hellman is done: what DHKEM, the hybrid KEMs and ECDSA stand on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mls.errors import InvalidError, MisuseError


class DhGroup(Protocol):
    """A group in which Diffie-Hellman is done, over bytes and the library's key objects."""

    @property
    def private_size(self) -> int: ...
    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        """(key object, canonical private bytes, public bytes)."""

    def check_public(self, public: bytes) -> None:
        """Raises ValueError unless the bytes are a public key."""

    def load_public(self, public: bytes) -> Any:
        """The key object; raises ValueError for a malformed one."""

    def exchange(self, private: Any, public: Any) -> bytes: ...
    def scalar(self, expand: Callable[[bytes, bytes], bytes]) -> bytes:
        """DeriveKeyPair's private bytes (RFC 9180 §7.1.3) from `expand(label, info)`."""

    @property
    def seed_size(self) -> int: ...
    def seed_scalar(self, seed: bytes) -> bytes:
        """The private bytes that a hybrid KEM takes from `seed_size` pseudorandom ones."""


def agree(group: DhGroup, private: Any, public: Any) -> bytes:
    """The shared secret of two key objects; raises InvalidError (V213) where it is all zero (RFC 9180 §7.1.4)."""
    try:
        shared = group.exchange(private, public)
    except ValueError:
        shared = b""
    if not any(shared):
        raise InvalidError("V213", "a key agreement that comes out all zero")
    return shared


@dataclass(frozen=True)
class MontgomeryGroup:
    """X25519 or X448."""

    private_kind: type[x25519.X25519PrivateKey] | type[x448.X448PrivateKey]
    public_kind: type[x25519.X25519PublicKey] | type[x448.X448PublicKey]
    private_size: int

    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        loaded = self.private_kind.from_private_bytes(raw)
        return loaded, raw, loaded.public_key().public_bytes_raw()

    def check_public(self, public: bytes) -> None:
        if len(public) != self.private_size:  # every string of that length is one (RFC 7748 §5)
            raise ValueError("a public key of another length")

    def load_public(self, public: bytes) -> Any:
        return self.public_kind.from_public_bytes(public)

    def exchange(self, private: Any, public: Any) -> bytes:
        shared: bytes = private.exchange(public)  # ValueError where it comes out all zero (RFC 9180 §7.1.4)
        return shared

    def scalar(self, expand: Callable[[bytes, bytes], bytes]) -> bytes:
        return expand(b"sk", b"")

    @property
    def seed_size(self) -> int:
        return self.private_size

    def seed_scalar(self, seed: bytes) -> bytes:
        return seed


@dataclass(frozen=True)
class NistGroup:
    """P-256, P-384 or P-521; public keys are uncompressed points.

    `seed_windows`: how many candidates a hybrid KEM's seed holds, so that practically always one is a scalar.
    """

    curve: ec.EllipticCurve
    private_size: int
    seed_windows: int = 1
    first_byte_mask: int = 0xFF

    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        if not 0 < len(raw) <= self.private_size:
            raise ValueError("a scalar of another length")
        # Some peers write a scalar without its leading zeros, P-521's first byte in particular.
        loaded = ec.derive_private_key(int.from_bytes(raw, "big"), self.curve)
        public = loaded.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return loaded, raw.rjust(self.private_size, b"\0"), public

    def check_public(self, public: bytes) -> None:
        self.load_public(public)

    def load_public(self, public: bytes) -> Any:
        if len(public) != 1 + 2 * self.private_size or public[0] != 4:
            raise ValueError("not an uncompressed point")
        return _load_point(self.curve, public)

    def exchange(self, private: Any, public: Any) -> bytes:
        shared: bytes = private.exchange(ec.ECDH(), public)
        return shared

    def scalar(self, expand: Callable[[bytes, bytes], bytes]) -> bytes:
        for counter in range(256):
            candidate = bytearray(expand(b"candidate", bytes((counter,))))
            candidate[0] &= self.first_byte_mask
            if self._is_scalar(candidate):
                return bytes(candidate)
        raise MisuseError("DeriveKeyPair found no scalar")  # probability below 2^-8000

    @property
    def seed_size(self) -> int:
        return self.private_size * self.seed_windows

    def seed_scalar(self, seed: bytes) -> bytes:
        for start in range(0, self.seed_size, self.private_size):
            if self._is_scalar(candidate := seed[start : start + self.private_size]):
                return candidate
        raise MisuseError("a seed without a scalar")  # probability about 2^-128 for P-256, 2^-194 for P-384

    def _is_scalar(self, candidate: bytes | bytearray) -> bool:
        return 0 < int.from_bytes(candidate, "big") < self.curve.group_order


@lru_cache(maxsize=4096)
def _load_point(curve: ec.EllipticCurve, public: bytes) -> ec.EllipticCurvePublicKey:
    """The point, checked to be on the curve; members' keys come by often, and checking costs as much as a hash."""
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, public)


P256 = NistGroup(ec.SECP256R1(), 32, seed_windows=4)
P384 = NistGroup(ec.SECP384R1(), 48)
P521 = NistGroup(ec.SECP521R1(), 66, first_byte_mask=0x01)
X25519 = MontgomeryGroup(x25519.X25519PrivateKey, x25519.X25519PublicKey, 32)
X448 = MontgomeryGroup(x448.X448PrivateKey, x448.X448PublicKey, 56)
