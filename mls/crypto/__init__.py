"""Cipher suites and the labelled functions over them. The only room that imports `cryptography`."""

from mls.crypto.hpke import HPKECiphertext, HpkeContext
from mls.crypto.kem import Random
from mls.crypto.keys import HpkePrivateKey, SignaturePrivateKey
from mls.crypto.liboqs import Acceleration, accelerate
from mls.crypto.primitives import (
    aead_open,
    aead_seal,
    argon2id,
    ed25519_generate,
    ed25519_load,
    ed25519_sign,
    ed25519_verify,
    sha256,
)
from mls.crypto.profiles import DEFAULT_PROFILE, MLSPP, OPENMLS, PROFILES, WIRE, Profile
from mls.crypto.suite import CipherSuite, is_supported, suite, supported_suites
from mls.crypto.x509 import (
    PresentedName,
    TrustStore,
    X509Policy,
    certificates_from_pem,
    check_certificates,
    last_valid,
    presented_names,
    signer_from_pem,
)

__all__ = [
    "DEFAULT_PROFILE",
    "MLSPP",
    "OPENMLS",
    "PROFILES",
    "WIRE",
    "Acceleration",
    "CipherSuite",
    "HPKECiphertext",
    "HpkeContext",
    "HpkePrivateKey",
    "PresentedName",
    "Profile",
    "Random",
    "SignaturePrivateKey",
    "TrustStore",
    "X509Policy",
    "accelerate",
    "aead_open",
    "aead_seal",
    "argon2id",
    "certificates_from_pem",
    "check_certificates",
    "ed25519_generate",
    "ed25519_load",
    "ed25519_sign",
    "ed25519_verify",
    "is_supported",
    "last_valid",
    "presented_names",
    "sha256",
    "signer_from_pem",
    "suite",
    "supported_suites",
]
