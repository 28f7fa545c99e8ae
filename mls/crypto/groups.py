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
    bits: int  # of a coordinate that count (RFC 7748 §5)
    prime: int
    small: frozenset[int]  # coordinates of small order, on the curve and on its twist

    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        loaded = self.private_kind.from_private_bytes(raw)
        return loaded, raw, loaded.public_key().public_bytes_raw()

    def check_public(self, public: bytes) -> None:
        """A point of small order makes every agreement come out all zero: one in a tree, and nobody could seal to it,
        so that a member could keep the others from ever committing again."""
        if len(public) != self.private_size:
            raise ValueError("a public key of another length")
        if int.from_bytes(public, "little") % (1 << self.bits) % self.prime in self.small:
            raise ValueError("a point of small order")

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
    """P-256, P-384 or P-521: y² = x³ - 3x + b over the field of `prime`; public keys are uncompressed points.

    `seed_windows`: how many candidates a hybrid KEM's seed holds, so that practically always one is a scalar.
    """

    curve: ec.EllipticCurve
    private_size: int
    prime: int
    b: int
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
        """As loading does, for less: most keys of a tree are never used. Any point of these curves will do."""
        x, y = self._coordinates(public)
        on_curve = (y * y - x * x * x + 3 * x - self.b) % self.prime == 0
        if not (on_curve and x < self.prime and y < self.prime):
            raise ValueError("not a point of the curve")

    def load_public(self, public: bytes) -> Any:
        self._coordinates(public)
        return _load_point(self.curve, public)

    def _coordinates(self, public: bytes) -> tuple[int, int]:
        size = self.private_size
        if len(public) != 1 + 2 * size or public[0] != 4:
            raise ValueError("not an uncompressed point")
        return int.from_bytes(public[1 : 1 + size], "big"), int.from_bytes(public[1 + size :], "big")

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
    """The point, checked to be on the curve; members' keys come by often, and loading costs as much as ten hashes."""
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, public)


# The primes and b of NIST SP 800-186, §3.2.1.
P256 = NistGroup(
    ec.SECP256R1(),
    32,
    prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    seed_windows=4,
)
P384 = NistGroup(
    ec.SECP384R1(),
    48,
    prime=2**384 - 2**128 - 2**96 + 2**32 - 1,
    b=0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
)
P521 = NistGroup(
    ec.SECP521R1(),
    66,
    prime=2**521 - 1,
    b=int(
        "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E1"
        "56193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
        16,
    ),
    first_byte_mask=0x01,
)
# Of order 1, 2 and 4 on a Montgomery curve or its twist are 0 and ±1; Curve25519 has points of order 8 besides, those
# whose double has the coordinate 1.
_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
_ORDER_8 = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
X25519 = MontgomeryGroup(
    x25519.X25519PrivateKey,
    x25519.X25519PublicKey,
    32,
    bits=255,
    prime=_P25519,
    small=frozenset((0, 1, _P25519 - 1, *_ORDER_8)),
)
X448 = MontgomeryGroup(
    x448.X448PrivateKey, x448.X448PublicKey, 56, bits=448, prime=_P448, small=frozenset((0, 1, _P448 - 1))
)
