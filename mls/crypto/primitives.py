"""Primitives the node needs outside MLS (identity keys, votes, the vault), so that one room holds `cryptography`."""

import hashlib

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from mls.crypto.aead import AES_256_GCM
from mls.crypto.kem import Random
from mls.crypto.keys import SignaturePrivateKey
from mls.crypto.signature import ED25519


def ed25519_generate(random: Random) -> SignaturePrivateKey:
    return ED25519.generate(random)


def ed25519_load(seed: bytes) -> SignaturePrivateKey:
    """A key from its 32-byte seed (`key.to_bytes()`). Raises MisuseError."""
    return ED25519.load_private(seed)


def ed25519_sign(key: SignaturePrivateKey, message: bytes) -> bytes:
    return ED25519.sign(key, message)


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """False for a malformed key or signature too."""
    return ED25519.verify(public, message, signature)


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """AES-256-GCM: a 32-byte key and a 12-byte nonce that is never used twice with it."""
    return AES_256_GCM.seal(key, nonce, plaintext, aad)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes:
    """Raises UnopenableError where key, nonce, aad and ciphertext do not belong together."""
    return AES_256_GCM.open(key, nonce, ciphertext, aad)


def argon2id(
    password: bytes,
    salt: bytes,
    *,
    length: int = 32,
    iterations: int = 3,
    lanes: int = 4,
    memory_kib: int = 64 * 1024,
) -> bytes:
    """A key from a passphrase (RFC 9106; the defaults are its second recommended choice). `salt`: 16 bytes or more."""
    kdf = Argon2id(salt=salt, length=length, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return kdf.derive(password)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
