"""Signature schemes (RFC 9420 §5.1.2): the last column of the suite table.

One Ed25519 verifier serves the whole engine and the node: libraries differ on odd keys, and members must not disagree
on validity.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from mls.crypto.groups import P256, P384, P521, NistGroup
from mls.crypto.kem import Random
from mls.crypto.keys import SignaturePrivateKey
from mls.errors import InvalidError, MisuseError

KEYS_CACHED: Final = 1024  # public keys, loaded


class SignatureScheme(Protocol):
    """A way to sign. `name` tells schemes apart (V052)."""

    @property
    def name(self) -> str: ...
    def check_public(self, public: bytes) -> None:
        """Raises InvalidError (V014) unless `public` has the format and length of a public key."""

    def load_private(self, raw: bytes) -> SignaturePrivateKey: ...
    def generate(self, random: Random) -> SignaturePrivateKey: ...
    def sign(self, private: SignaturePrivateKey, message: bytes) -> bytes: ...
    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """False for anything but a right signature in the scheme's own format (V015)."""


@dataclass(frozen=True)
class EdwardsScheme:
    """Ed25519 or Ed448; signatures are `R || S`."""

    name: str
    private_kind: type[ed25519.Ed25519PrivateKey] | type[ed448.Ed448PrivateKey]
    public_kind: type[ed25519.Ed25519PublicKey] | type[ed448.Ed448PublicKey]
    key_size: int

    def check_public(self, public: bytes) -> None:
        if len(public) != self.key_size:
            raise InvalidError("V014", f"an {self.name} public key has {self.key_size} bytes")

    def load_private(self, raw: bytes) -> SignaturePrivateKey:
        try:
            loaded = self.private_kind.from_private_bytes(raw)
        except ValueError:
            raise MisuseError(f"these bytes are no {self.name} private key") from None
        return SignaturePrivateKey(self, loaded, raw, loaded.public_key().public_bytes_raw())

    def generate(self, random: Random) -> SignaturePrivateKey:
        return self.load_private(random(self.key_size))

    def sign(self, private: SignaturePrivateKey, message: bytes) -> bytes:
        return _own(self, private).sign(message)  # type: ignore[no-any-return]

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        try:
            _loaded(self.public_kind, public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@lru_cache(maxsize=KEYS_CACHED)
def _loaded(
    kind: type[ed25519.Ed25519PublicKey] | type[ed448.Ed448PublicKey], public: bytes
) -> ed25519.Ed25519PublicKey | ed448.Ed448PublicKey:
    """The few keys of a group check many signatures. Raises ValueError."""
    return kind.from_public_bytes(public)


@dataclass(frozen=True)
class EcdsaScheme:
    """ECDSA over a NIST curve; signatures in DER. Signing is deterministic (RFC 6979): equal inputs, equal bytes."""

    name: str
    group: NistGroup
    hash_algorithm: hashes.HashAlgorithm

    def check_public(self, public: bytes) -> None:
        try:
            self.group.check_public(public)
        except ValueError:
            raise InvalidError("V014", f"no {self.name} public key") from None

    def load_private(self, raw: bytes) -> SignaturePrivateKey:
        try:
            return SignaturePrivateKey(self, *self.group.load_private(raw))
        except ValueError:
            raise MisuseError(f"these bytes are no {self.name} private key") from None

    def generate(self, random: Random) -> SignaturePrivateKey:
        def expand(_label: bytes, _info: bytes) -> bytes:
            return random(self.group.private_size)

        return self.load_private(self.group.scalar(expand))

    def sign(self, private: SignaturePrivateKey, message: bytes) -> bytes:
        algorithm = ec.ECDSA(self.hash_algorithm, deterministic_signing=True)
        return _own(self, private).sign(message, algorithm)  # type: ignore[no-any-return]

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        try:
            self.group.load_public(public).verify(signature, message, ec.ECDSA(self.hash_algorithm))
        except (InvalidSignature, ValueError):
            return False
        return True


def _own(scheme: SignatureScheme, private: SignaturePrivateKey) -> Any:
    if private.owner != scheme:
        raise MisuseError(f"signing with {scheme.name} and a key of {private.owner.name}")
    return private.loaded


ED25519 = EdwardsScheme("Ed25519", ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey, 32)
ED448 = EdwardsScheme("Ed448", ed448.Ed448PrivateKey, ed448.Ed448PublicKey, 57)
ECDSA_P256 = EcdsaScheme("ECDSA P-256", P256, hashes.SHA256())
ECDSA_P384 = EcdsaScheme("ECDSA P-384", P384, hashes.SHA384())
ECDSA_P521 = EcdsaScheme("ECDSA P-521", P521, hashes.SHA512())
