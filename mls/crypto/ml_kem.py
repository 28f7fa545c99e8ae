"""ML-KEM (FIPS 203), the primitive: a parameter set, and who computes it.

Keys are made from 64-byte seeds (`d ‖ z`). Two implementations do the same with the same bytes: `cryptography`, always
there, and liboqs where a host has asked for it (`mls.crypto.liboqs`). One difference shows: `cryptography` encapsulates
with its own randomness and cannot be given any, so `random` is then left alone and equal inputs give unequal
ciphertexts. Nothing but tests and simulations could tell.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import mlkem

from mls.crypto.kem import Random

SEED_SIZE = 64
SHARED_SECRET_SIZE = 32
MODULUS = 3329


class MlKemKey(Protocol):
    """A private key, expanded and ready."""

    def decapsulate(self, ciphertext: bytes, /) -> bytes: ...


class MlKemImplementation(Protocol):
    """Who computes one parameter set. Public keys have been checked, ciphertexts have the right size."""

    def load(self, seed: bytes, /) -> tuple[MlKemKey, bytes]:
        """(key, public bytes)."""

    def encapsulate(self, public: bytes, random: Random, /) -> tuple[bytes, bytes]:
        """(shared secret, ciphertext)."""


class MlKem:
    """One parameter set. `rank` is FIPS 203's k; sizes are in bytes."""

    __slots__ = ("_lanes", "ciphertext_size", "implementation", "library", "name", "public_size")

    def __init__(self, name: str, rank: int, library: MlKemImplementation) -> None:
        self.name = name
        self.public_size = 384 * rank + 32
        self.ciphertext_size = {3: 1088, 4: 1568}[rank]
        self.library = library
        self.implementation = library
        """Replaced by `mls.crypto.liboqs` only; keys made before go on with whoever made them."""
        self._lanes = _lanes(128 * rank)

    def check_public(self, public: bytes) -> None:
        """FIPS 203 §7.2's check of an encapsulation key, without the cost of expanding it; raises ValueError."""
        if len(public) != self.public_size:
            raise ValueError("a public key of another length")
        mask, excess, carry = self._lanes
        coefficients = int.from_bytes(public[:-32], "little")
        for lanes in (coefficients & mask, coefficients >> 12 & mask):
            if lanes + excess & carry:
                raise ValueError("a coefficient that is not reduced")

    def load(self, seed: bytes) -> tuple[MlKemKey, bytes]:
        """(key, public bytes) of a 64-byte seed."""
        return self.implementation.load(seed)

    def encapsulate(self, public: bytes, random: Random) -> tuple[bytes, bytes]:
        """(shared secret, ciphertext); raises ValueError for a public key that fails its check."""
        self.check_public(public)
        return self.implementation.encapsulate(public, random)

    def decapsulate(self, key: MlKemKey, ciphertext: bytes) -> bytes:
        """The shared secret, which is nobody's for a ciphertext of somebody else; raises ValueError for its length."""
        if len(ciphertext) != self.ciphertext_size:
            raise ValueError("a ciphertext of another length")
        return key.decapsulate(ciphertext)


def _lanes(pairs: int) -> tuple[int, int, int]:
    """Masks for 12-bit coefficients in every second lane of a long number: (mask, what overflows, where it shows)."""
    ones = sum(1 << 24 * each for each in range(pairs))
    return ones * 0xFFF, ones * (0x1000 - MODULUS), ones << 12


@dataclass(frozen=True)
class LibraryMlKem:
    """ML-KEM as `cryptography` has it."""

    private_kind: type[mlkem.MLKEM768PrivateKey] | type[mlkem.MLKEM1024PrivateKey]
    public_kind: type[mlkem.MLKEM768PublicKey] | type[mlkem.MLKEM1024PublicKey]

    def load(self, seed: bytes, /) -> tuple[MlKemKey, bytes]:
        loaded = self.private_kind.from_seed_bytes(seed)
        return loaded, loaded.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes, _random: Random, /) -> tuple[bytes, bytes]:
        return _load_public(self.public_kind, public).encapsulate()


@lru_cache(maxsize=512)
def _load_public(
    kind: type[mlkem.MLKEM768PublicKey] | type[mlkem.MLKEM1024PublicKey], public: bytes
) -> mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey:
    """Expanded keys of members: they come by with every commit, and expanding one costs as much as using it."""
    return kind.from_public_bytes(public)


ML_KEM_768 = MlKem("ML-KEM-768", 3, LibraryMlKem(mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey))
ML_KEM_1024 = MlKem("ML-KEM-1024", 4, LibraryMlKem(mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey))
