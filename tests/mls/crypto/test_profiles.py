"""Profiles: one suite, several numbers, no number with two meanings."""

from collections import Counter

import pytest

from mls.capabilities import own_capabilities
from mls.crypto import DEFAULT_PROFILE, MLSPP, OPENMLS, PROFILES, WIRE, Profile, is_supported, suite, supported_suites
from mls.errors import MisuseError
from mls.registry import GREASE_VALUES, RFC9420_CIPHER_SUITES, CipherSuiteId

EVERY_PROFILE = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda each: each.name)
X_WING = "MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519"


def test_no_number_means_two_suites() -> None:
    """What lets one table hold all profiles at once, and a message be read by its number alone."""
    numbers = Counter(id for profile in PROFILES.values() for id in profile.post_quantum.values())

    assert max(numbers.values()) == 1
    assert not numbers.keys() & ({*RFC9420_CIPHER_SUITES} | GREASE_VALUES)


def test_the_default_has_every_suite() -> None:
    assert DEFAULT_PROFILE is OPENMLS
    assert supported_suites() == tuple(sorted(CipherSuiteId))
    assert len(supported_suites()) == 18
    assert supported_suites(WIRE) == (*range(1, 8), *range(0xF001, 0xF00C))
    assert supported_suites(MLSPP) == tuple(range(1, 11))


@EVERY_PROFILE
def test_a_suite_is_the_same_under_each_of_its_numbers(profile: Profile) -> None:
    for name, id in profile.post_quantum.items():
        row, default = suite(id), suite(OPENMLS.cipher_suite(name))

        assert is_supported(id)
        assert (row.id, row.name) == (id, name)
        assert (row.kem, row.kdf, row.aead, row.signature) == (
            default.kem,
            default.kdf,
            default.aead,
            default.signature,
        )


@EVERY_PROFILE
def test_capabilities_list_the_numbers_of_one_profile(profile: Profile) -> None:
    assert own_capabilities(profile=profile).cipher_suites == profile.cipher_suites


def test_a_suite_is_found_by_name() -> None:
    """In the draft's own writing too."""
    assert WIRE.cipher_suite("MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519") == 0xF001
    assert MLSPP.cipher_suite("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519") == 1
    with pytest.raises(MisuseError, match="mlspp has no cipher suite"):
        MLSPP.cipher_suite(X_WING)
    with pytest.raises(MisuseError):
        OPENMLS.cipher_suite("ROT13")


SIZES = {  # public key, KEM output and private key; signature key and signature, where a scheme fixes it
    "MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519": (1216, 1120, 32, 32, 64),
    "MLS_128_MLKEM768X25519_AES256GCM_SHA384_ED25519": (1216, 1120, 32, 32, 64),
    "MLS_128_MLKEM768P256_AES128GCM_SHA256_P256": (1249, 1153, 32, 65, None),
    "MLS_128_MLKEM768P256_AES256GCM_SHA384_P256": (1249, 1153, 32, 65, None),
    "MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384": (1665, 1665, 32, 97, None),
    "MLS_128_MLKEM768_AES256GCM_SHA384_ED25519": (1184, 1088, 64, 32, 64),
    "MLS_128_MLKEM768_AES256GCM_SHA384_P256": (1184, 1088, 64, 65, None),
    "MLS_192_MLKEM1024_AES256GCM_SHA384_P384": (1568, 1568, 64, 97, None),
    "MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44": (1216, 1120, 32, 1312, 2420),
    "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65": (1184, 1088, 64, 1952, 3309),
    "MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87": (1568, 1568, 64, 2592, 4627),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_the_draft(name: str) -> None:
    row = suite(OPENMLS.cipher_suite(name))
    key, signer = row.generate_hpke_key(bytes), row.generate_signature_key(lambda size: b"\1" * size)
    sealed = row.encrypt_with_label(key.public, "label", b"", b"", lambda size: b"\1" * size)
    signature = row.sign_with_label(signer, "label", b"")

    public, kem_output, private, signature_key, signature_size = SIZES[name]
    assert (len(key.public), len(sealed.kem_output), len(key.to_bytes())) == (public, kem_output, private)
    assert len(signer.public) == signature_key
    assert signature_size in (None, len(signature))
    assert row.hash_size == (48 if "SHA384" in name else 32)
