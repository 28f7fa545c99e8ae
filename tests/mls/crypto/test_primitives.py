"""What the node borrows from this room."""

import random

import pytest

from mls.crypto import (
    aead_open,
    aead_seal,
    argon2id,
    ed25519_generate,
    ed25519_load,
    ed25519_sign,
    ed25519_verify,
    sha256,
)
from mls.errors import MisuseError, UnopenableError


def test_an_identity_key_signs_and_comes_back_from_its_seed() -> None:
    key = ed25519_generate(random.Random(1).randbytes)
    signature = ed25519_sign(ed25519_load(key.to_bytes()), b"vote")

    assert ed25519_verify(key.public, b"vote", signature)
    assert not ed25519_verify(key.public, b"veto", signature)
    assert not ed25519_verify(b"", b"vote", signature)
    with pytest.raises(MisuseError):
        ed25519_load(b"short")


def test_the_vault_opens_under_its_own_key_and_aad_only() -> None:
    key, nonce = bytes(range(32)), bytes(12)
    sealed = aead_seal(key, nonce, b"secret", b"row 1")

    assert aead_open(key, nonce, sealed, b"row 1") == b"secret"
    for wrong_key, aad, text in ((key, b"row 2", sealed), (bytes(32), b"row 1", sealed), (key, b"row 1", b"")):
        with pytest.raises(UnopenableError):
            aead_open(wrong_key, nonce, text, aad)


def test_a_passphrase_gives_one_key_per_salt() -> None:
    cheap = {"iterations": 1, "lanes": 1, "memory_kib": 64}
    one = argon2id(b"passphrase", bytes(16), **cheap)

    assert one == argon2id(b"passphrase", bytes(16), **cheap)
    assert one != argon2id(b"passphrase", bytes(15) + b"\1", **cheap)
    assert len(one) == 32


def test_sha256_is_sha256() -> None:
    assert sha256(b"").hex().startswith("e3b0c44298fc1c14")
