"""Authenticated encryption: the AEAD column of the suite table."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from mls.errors import MisuseError, UnopenableError

SEAL_SIZE_MAX = (1 << 31) - 1
"""Bytes of plaintext or of aad in one call, well inside the AEADs' own limits (V049)."""


@dataclass(frozen=True, slots=True)
class Aead:
    """One algorithm. `hpke_id` is its code point in RFC 9180 §7.3; sizes are Nk, Nn and the tag's, in bytes."""

    hpke_id: int
    cipher: Callable[[bytes], AESGCM | ChaCha20Poly1305]
    key_size: int
    nonce_size: int = 12
    tag_size: int = 16

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
        if len(plaintext) > SEAL_SIZE_MAX or len(aad) > SEAL_SIZE_MAX:
            raise MisuseError("too much data for one AEAD call (V049)")
        return self.cipher(key).encrypt(nonce, plaintext, aad)

    def open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """The plaintext; raises UnopenableError, and the caller knows whether that is somebody's fault."""
        if len(ciphertext) < self.tag_size:
            raise UnopenableError("a ciphertext shorter than its tag")
        try:
            return self.cipher(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise UnopenableError("a ciphertext that this key does not open") from None


AES_128_GCM = Aead(1, AESGCM, 16)
AES_256_GCM = Aead(2, AESGCM, 32)
CHACHA20_POLY1305 = Aead(3, ChaCha20Poly1305, 32)
