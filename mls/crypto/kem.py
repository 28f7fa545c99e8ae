"""Diffie-Hellman KEMs of RFC 9180 §4.1 over X25519, X448 and the NIST curves: the KEM column of the suite table.

A KEM is whatever has the methods of `Kem`; the post-quantum ones are in `mls.crypto.pq_kem`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mls.crypto.groups import P256, P384, P521, X448, X25519, DhGroup, agree
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
        try:
            self.group.check_public(public)
        except ValueError:
            raise InvalidError("V014", f"no {self.name} public key") from None

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
        peer = self._load_public(public)
        ephemeral = self.generate(random)
        shared = agree(self.group, ephemeral.loaded, peer)
        return self._extract_and_expand(shared, ephemeral.public + public), ephemeral.public

    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes:
        if private.owner != self:
            raise MisuseError("a private key of another KEM")
        shared = agree(self.group, private.loaded, self._load_public(kem_output))
        return self._extract_and_expand(shared, kem_output + private.public)

    def _load_public(self, public: bytes) -> Any:
        try:
            return self.group.load_public(public)
        except ValueError:
            raise InvalidError("V213", f"no {self.name} public key") from None

    def _extract_and_expand(self, shared: bytes, kem_context: bytes) -> bytes:
        prk = self.kdf.labeled_extract(self._suite_id, b"", b"eae_prk", shared)
        return self.kdf.labeled_expand(self._suite_id, prk, b"shared_secret", kem_context, self.kdf.size)


DHKEM_P256 = DhKem("P-256", 0x0010, P256, HKDF_SHA256)
DHKEM_P384 = DhKem("P-384", 0x0011, P384, HKDF_SHA384)
DHKEM_P521 = DhKem("P-521", 0x0012, P521, HKDF_SHA512)
DHKEM_X25519 = DhKem("X25519", 0x0020, X25519, HKDF_SHA256)
DHKEM_X448 = DhKem("X448", 0x0021, X448, HKDF_SHA512)
