"""RFC 9420 (Messaging Layer Security), sans-I/O."""

from mls.crypto import (
    HpkePrivateKey,
    Random,
    SignaturePrivateKey,
    aead_open,
    aead_seal,
    argon2id,
    ed25519_generate,
    ed25519_load,
    ed25519_sign,
    ed25519_verify,
    sha256,
)
from mls.errors import InvalidError, MalformedError, MisuseError, MlsError, UnopenableError

__all__ = [
    "HpkePrivateKey",
    "InvalidError",
    "MalformedError",
    "MisuseError",
    "MlsError",
    "Random",
    "SignaturePrivateKey",
    "UnopenableError",
    "aead_open",
    "aead_seal",
    "argon2id",
    "ed25519_generate",
    "ed25519_load",
    "ed25519_sign",
    "ed25519_verify",
    "sha256",
]
