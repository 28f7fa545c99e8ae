"""Diffie-Hellman KEMs of RFC 9180 §4.1 over X25519, X448 and the NIST curves: the KEM column of the suite table.

A KEM is whatever has the methods of `Kem`; the post-quantum ones will be further classes beside `DhKem`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mls.crypto.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, Kdf
from mls.crypto.keys import HpkePrivateKey
from mls.errors import InvalidError, MisuseError

Random = Callable[[int], bytes]


class Kem(Protocol):
    """A key encapsulation mechanism as HPKE uses it. Peer input that fails validation raises InvalidError."""

    @property
    def name(self) -> str: ...
    @property
    def hpke_id(self) -> int: ...
    def check_public(self, public: bytes) -> None:
        """Raises InvalidError (V014) unless `public` has the format and length of a public key."""

    def load_private(self, raw: bytes) -> HpkePrivateKey: ...
    def generate(self, random: Random) -> HpkePrivateKey: ...
    def derive_key_pair(self, ikm: bytes) -> HpkePrivateKey: ...
    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]:
        """(shared secret, KEM output)."""

    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes:
        """The shared secret."""


class DhGroup(Protocol):
    """A group in which Diffie-Hellman is done, over bytes and the library's key objects."""

    @property
    def private_size(self) -> int: ...
    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        """(key object, canonical private bytes, public bytes)."""

    def load_public(self, public: bytes) -> Any:
        """The key object; raises ValueError for a malformed one."""

    def exchange(self, private: Any, public: Any) -> bytes: ...
    def scalar(self, expand: Callable[[bytes, bytes], bytes]) -> bytes:
        """DeriveKeyPair's private bytes (RFC 9180 §7.1.3) from `expand(label, info)`."""


@dataclass(frozen=True)
class MontgomeryGroup:
    """X25519 or X448."""

    private_kind: type[x25519.X25519PrivateKey] | type[x448.X448PrivateKey]
    public_kind: type[x25519.X25519PublicKey] | type[x448.X448PublicKey]
    private_size: int

    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        loaded = self.private_kind.from_private_bytes(raw)
        return loaded, raw, loaded.public_key().public_bytes_raw()

    def load_public(self, public: bytes) -> Any:
        return self.public_kind.from_public_bytes(public)

    def exchange(self, private: Any, public: Any) -> bytes:
        shared: bytes = private.exchange(public)  # ValueError where it comes out all zero (RFC 9180 §7.1.4)
        return shared

    def scalar(self, expand: Callable[[bytes, bytes], bytes]) -> bytes:
        return expand(b"sk", b"")


@dataclass(frozen=True)
class NistGroup:
    """P-256, P-384 or P-521; public keys are uncompressed points."""

    curve: ec.EllipticCurve
    private_size: int
    first_byte_mask: int = 0xFF

    def load_private(self, raw: bytes) -> tuple[Any, bytes, bytes]:
        if not 0 < len(raw) <= self.private_size:
            raise ValueError("a scalar of another length")
        # Some peers write a scalar without its leading zeros, P-521's first byte in particular.
        loaded = ec.derive_private_key(int.from_bytes(raw, "big"), self.curve)
        public = loaded.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return loaded, raw.rjust(self.private_size, b"\0"), public

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
            if 0 < int.from_bytes(candidate, "big") < self.curve.group_order:
                return bytes(candidate)
        raise MisuseError("DeriveKeyPair found no scalar")  # probability below 2^-8000


@lru_cache(maxsize=4096)
def _load_point(curve: ec.EllipticCurve, public: bytes) -> ec.EllipticCurvePublicKey:
    """The point, checked to be on the curve; members' keys come by often, and checking costs as much as a hash."""
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, public)


@dataclass(frozen=True)
class DhKem:
    """DHKEM(group, kdf) of RFC 9180 §4.1."""

    name: str
    hpke_id: int
    group: DhGroup
    kdf: Kdf

    @property
    def _suite_id(self) -> bytes:
        return b"KEM" + self.hpke_id.to_bytes(2, "big")

    def check_public(self, public: bytes) -> None:
        self._load_public(public, "V014")

    def load_private(self, raw: bytes) -> HpkePrivateKey:
        """A key from a snapshot or a vector, of ours: malformed bytes are a misuse."""
        try:
            return HpkePrivateKey(self, *self.group.load_private(raw))
        except ValueError:
            raise MisuseError(f"these bytes are no {self.name} private key") from None

    def generate(self, random: Random) -> HpkePrivateKey:
        return self.derive_key_pair(random(self.group.private_size))

    def derive_key_pair(self, ikm: bytes) -> HpkePrivateKey:
        prk = self.kdf.labeled_extract(self._suite_id, b"", b"dkp_prk", ikm)

        def expand(label: bytes, info: bytes) -> bytes:
            return self.kdf.labeled_expand(self._suite_id, prk, label, info, self.group.private_size)

        return HpkePrivateKey(self, *self.group.load_private(self.group.scalar(expand)))

    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]:
        peer = self._load_public(public, "V213")
        ephemeral = self.generate(random)
        shared = self._exchange(ephemeral.loaded, peer)
        return self._extract_and_expand(shared, ephemeral.public + public), ephemeral.public

    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes:
        if private.owner != self:
            raise MisuseError("a private key of another KEM")
        shared = self._exchange(private.loaded, self._load_public(kem_output, "V213"))
        return self._extract_and_expand(shared, kem_output + private.public)

    def _load_public(self, public: bytes, rule: str) -> Any:
        try:
            return self.group.load_public(public)
        except ValueError:
            raise InvalidError(rule, f"no {self.name} public key") from None

    def _exchange(self, private: Any, public: Any) -> bytes:
        try:
            shared = self.group.exchange(private, public)
        except ValueError:
            raise InvalidError("V213", "a key agreement that comes out all zero") from None
        if not any(shared):
            raise InvalidError("V213", "a key agreement that comes out all zero")
        return shared

    def _extract_and_expand(self, shared: bytes, kem_context: bytes) -> bytes:
        prk = self.kdf.labeled_extract(self._suite_id, b"", b"eae_prk", shared)
        return self.kdf.labeled_expand(self._suite_id, prk, b"shared_secret", kem_context, self.kdf.size)


P256 = NistGroup(ec.SECP256R1(), 32)
P384 = NistGroup(ec.SECP384R1(), 48)
P521 = NistGroup(ec.SECP521R1(), 66, first_byte_mask=0x01)
X25519 = MontgomeryGroup(x25519.X25519PrivateKey, x25519.X25519PublicKey, 32)
X448 = MontgomeryGroup(x448.X448PrivateKey, x448.X448PublicKey, 56)

DHKEM_P256 = DhKem("P-256", 0x0010, P256, HKDF_SHA256)
DHKEM_P384 = DhKem("P-384", 0x0011, P384, HKDF_SHA384)
DHKEM_P521 = DhKem("P-521", 0x0012, P521, HKDF_SHA512)
DHKEM_X25519 = DhKem("X25519", 0x0020, X25519, HKDF_SHA256)
DHKEM_X448 = DhKem("X448", 0x0021, X448, HKDF_SHA512)
