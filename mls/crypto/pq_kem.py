"""Post-quantum KEMs as HPKE uses them (draft-ietf-hpke-pq): ML-KEM by itself, and beside a Diffie-Hellman group.

Their private keys are seeds. DeriveKeyPair is one SHAKE256 over the input whatever the suite's KDF is; a hybrid's seed
is stretched by SHAKE256 into one for each half. Loading a key from its seed costs more than using it, so keys are kept
as objects.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from mls.crypto.groups import P256, P384, X25519, DhGroup, agree
from mls.crypto.kem import Random
from mls.crypto.keys import HpkePrivateKey
from mls.crypto.ml_kem import ML_KEM_768, ML_KEM_1024, SEED_SIZE, MlKem, MlKemKey
from mls.errors import InvalidError, MisuseError


@dataclass(frozen=True, eq=False)
class SeedKem(ABC):
    """What the KEMs of this file have in common; `Kem` says what their methods do."""

    name: str
    hpke_id: int
    ml_kem: MlKem

    @property
    @abstractmethod
    def seed_size(self) -> int:
        """Bytes of a serialised private key."""

    @abstractmethod
    def _load(self, seed: bytes) -> tuple[Any, bytes]:
        """(key object, public bytes)."""

    @abstractmethod
    def check_public(self, public: bytes) -> None: ...
    @abstractmethod
    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]: ...
    @abstractmethod
    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes: ...

    def load_private(self, raw: bytes) -> HpkePrivateKey:
        """A key from its seed, of ours: malformed bytes are a misuse."""
        if len(raw) != self.seed_size:
            raise MisuseError(f"these bytes are no {self.name} private key")
        loaded, public = self._load(raw)
        return HpkePrivateKey(self, loaded, raw, public)

    def generate(self, random: Random) -> HpkePrivateKey:
        return self.load_private(random(self.seed_size))

    def derive_key_pair(self, ikm: bytes) -> HpkePrivateKey:
        return self.load_private(hashlib.shake_256(ikm + self._derivation).digest(self.seed_size))

    @property
    def _derivation(self) -> bytes:
        """What SHAKE256.LabeledDerive puts after the input keying material; its context is empty."""
        label = b"DeriveKeyPair"
        sizes = len(label).to_bytes(2, "big"), self.seed_size.to_bytes(2, "big")
        return b"HPKE-v1" + b"KEM" + self.hpke_id.to_bytes(2, "big") + sizes[0] + label + sizes[1]

    def _own(self, private: HpkePrivateKey) -> Any:
        if private.owner is not self:
            raise MisuseError("a private key of another KEM")
        return private.loaded


@dataclass(frozen=True, eq=False)
class MlKemKem(SeedKem):
    """ML-KEM alone."""

    @property
    def seed_size(self) -> int:
        return SEED_SIZE

    def _load(self, seed: bytes) -> tuple[Any, bytes]:
        return self.ml_kem.load(seed)

    def check_public(self, public: bytes) -> None:
        try:
            self.ml_kem.check_public(public)
        except ValueError:
            raise InvalidError("V014", f"no {self.name} public key") from None

    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]:
        try:
            return self.ml_kem.encapsulate(public, random)
        except ValueError:
            raise InvalidError("V213", f"no {self.name} public key") from None

    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes:
        try:
            return self.ml_kem.decapsulate(self._own(private), kem_output)
        except ValueError:
            raise InvalidError("V213", f"no {self.name} ciphertext") from None


@dataclass(frozen=True, slots=True)
class HybridKey:
    """The two halves of a hybrid private key."""

    ml_kem: MlKemKey
    group: Any


@dataclass(frozen=True, eq=False)
class HybridKem(SeedKem):
    """ML-KEM and a group, both of which have to fall; keys and ciphertexts are the two halves', ML-KEM's first.

    The shared secret is `SHA3-256(ss_PQ ‖ ss_T ‖ ct_T ‖ ek_T ‖ label)`. ML-KEM binds its own key and ciphertext, so
    the group's are enough.
    """

    group: DhGroup
    label: bytes

    @property
    def seed_size(self) -> int:
        return 32

    def _load(self, seed: bytes) -> tuple[HybridKey, bytes]:
        stretched = hashlib.shake_256(seed).digest(SEED_SIZE + self.group.seed_size)
        ml_kem, ml_kem_public = self.ml_kem.load(stretched[:SEED_SIZE])
        group, _, group_public = self.group.load_private(self.group.seed_scalar(stretched[SEED_SIZE:]))
        return HybridKey(ml_kem, group), ml_kem_public + group_public

    def check_public(self, public: bytes) -> None:
        size = self.ml_kem.public_size
        try:
            self.ml_kem.check_public(public[:size])
            self.group.check_public(public[size:])
        except ValueError:
            raise InvalidError("V014", f"no {self.name} public key") from None

    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]:
        size = self.ml_kem.public_size
        try:
            peer = self.group.load_public(public[size:])
            ml_kem_secret, ciphertext = self.ml_kem.encapsulate(public[:size], random)
        except ValueError:
            raise InvalidError("V213", f"no {self.name} public key") from None
        scalar = self.group.seed_scalar(random(self.group.seed_size))
        ephemeral, _, ephemeral_public = self.group.load_private(scalar)
        group_secret = agree(self.group, ephemeral, peer)
        combined = self._combine(ml_kem_secret, group_secret, ephemeral_public, public[size:])
        return combined, ciphertext + ephemeral_public

    def decapsulate(self, kem_output: bytes, private: HpkePrivateKey) -> bytes:
        size, key = self.ml_kem.ciphertext_size, self._own(private)
        try:
            peer = self.group.load_public(kem_output[size:])
            ml_kem_secret = self.ml_kem.decapsulate(key.ml_kem, kem_output[:size])
        except ValueError:
            raise InvalidError("V213", f"no {self.name} ciphertext") from None
        group_secret = agree(self.group, key.group, peer)
        return self._combine(ml_kem_secret, group_secret, kem_output[size:], private.public[self.ml_kem.public_size :])

    def _combine(
        self, ml_kem_secret: bytes, group_secret: bytes, group_ciphertext: bytes, group_public: bytes
    ) -> bytes:
        return hashlib.sha3_256(ml_kem_secret + group_secret + group_ciphertext + group_public + self.label).digest()


MLKEM768 = MlKemKem("ML-KEM-768", 0x0041, ML_KEM_768)
MLKEM1024 = MlKemKem("ML-KEM-1024", 0x0042, ML_KEM_1024)
MLKEM768_P256 = HybridKem("MLKEM768-P256", 0x0050, ML_KEM_768, P256, b"MLKEM768-P256")
MLKEM1024_P384 = HybridKem("MLKEM1024-P384", 0x0051, ML_KEM_1024, P384, b"MLKEM1024-P384")
MLKEM768_X25519 = HybridKem("MLKEM768-X25519", 0x647A, ML_KEM_768, X25519, b"\\.//^\\")
"""X-Wing (draft-connolly-cfrg-xwing-kem) under its HPKE name."""
