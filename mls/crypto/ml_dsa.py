"""ML-DSA (FIPS 204) in its pure form with an empty context; private keys are 32-byte seeds.

Signing is hedged with the library's own randomness: equal inputs give unequal signatures. Verification is the part that
liboqs can take over (`mls.crypto.liboqs`); it has no way to a private key from a seed, so signing stays here.
"""

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from mls.crypto.kem import Random
from mls.crypto.keys import SignaturePrivateKey
from mls.errors import InvalidError, MisuseError

SEED_SIZE = 32

PrivateKind = type[mldsa.MLDSA44PrivateKey] | type[mldsa.MLDSA65PrivateKey] | type[mldsa.MLDSA87PrivateKey]
PublicKind = type[mldsa.MLDSA44PublicKey] | type[mldsa.MLDSA65PublicKey] | type[mldsa.MLDSA87PublicKey]


class MlDsaVerifier(Protocol):
    """Who checks signatures of one parameter set. Key and signature have the right sizes."""

    def verify(self, public: bytes, message: bytes, signature: bytes, /) -> bool: ...


class LibraryVerifier:
    """ML-DSA as `cryptography` has it."""

    def __init__(self, public_kind: PublicKind) -> None:
        self._public_kind = public_kind

    def verify(self, public: bytes, message: bytes, signature: bytes, /) -> bool:
        try:
            self._public_kind.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class MlDsaScheme:
    """One parameter set; sizes are in bytes."""

    def __init__(
        self, name: str, private_kind: PrivateKind, public_kind: PublicKind, public_size: int, signature_size: int
    ) -> None:
        self.name = name
        self.public_size, self.signature_size = public_size, signature_size
        self._private_kind = private_kind
        self.library = LibraryVerifier(public_kind)
        self.verifier: MlDsaVerifier = self.library
        """Replaced by `mls.crypto.liboqs` only."""

    def check_public(self, public: bytes) -> None:
        if len(public) != self.public_size:
            raise InvalidError("V014", f"an {self.name} public key has {self.public_size} bytes")

    def load_private(self, raw: bytes) -> SignaturePrivateKey:
        try:
            loaded = self._private_kind.from_seed_bytes(raw)
        except ValueError:
            raise MisuseError(f"these bytes are no {self.name} private key") from None
        return SignaturePrivateKey(self, loaded, raw, loaded.public_key().public_bytes_raw())

    def generate(self, random: Random) -> SignaturePrivateKey:
        return self.load_private(random(SEED_SIZE))

    def sign(self, private: SignaturePrivateKey, message: bytes) -> bytes:
        if private.owner is not self:
            raise MisuseError(f"signing with {self.name} and a key of {private.owner.name}")
        signature: bytes = private.loaded.sign(message)
        return signature

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        if len(public) != self.public_size or len(signature) != self.signature_size:
            return False
        return self.verifier.verify(public, message, signature)


ML_DSA_44 = MlDsaScheme("ML-DSA-44", mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, 1312, 2420)
ML_DSA_65 = MlDsaScheme("ML-DSA-65", mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, 1952, 3309)
ML_DSA_87 = MlDsaScheme("ML-DSA-87", mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, 2592, 4627)
