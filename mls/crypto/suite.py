"""The suite table, and the labelled functions of RFC 9420 §5 over one of its rows.

A suite is a row: name, KEM, KDF, AEAD, signature scheme, under the code points that the profiles give it. Nothing else
in `mls` asks which suite it has.
"""

import hmac
from collections.abc import Callable, Iterator
from functools import lru_cache

from mls.codec import varint
from mls.crypto.aead import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, Aead
from mls.crypto.hpke import Hpke, HPKECiphertext
from mls.crypto.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, Kdf
from mls.crypto.kem import DHKEM_P256, DHKEM_P384, DHKEM_P521, DHKEM_X448, DHKEM_X25519, Kem, Random
from mls.crypto.keys import HpkePrivateKey, SignaturePrivateKey
from mls.crypto.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from mls.crypto.pq_kem import MLKEM768, MLKEM768_P256, MLKEM768_X25519, MLKEM1024, MLKEM1024_P384
from mls.crypto.profiles import DEFAULT_PROFILE, PROFILES, Profile
from mls.crypto.signature import ECDSA_P256, ECDSA_P384, ECDSA_P521, ED448, ED25519, SignatureScheme
from mls.errors import MisuseError
from mls.registry import RFC9420_CIPHER_SUITES, CipherSuiteId


class CipherSuite:
    """One row of the table with everything RFC 9420 does over it. Sizes are in bytes."""

    __slots__ = ("aead", "hash_size", "hpke", "id", "kdf", "kem", "key_size", "name", "nonce_size", "signature")

    def __init__(
        self, id: CipherSuiteId, name: str, kem: Kem, kdf: Kdf, aead: Aead, signature: SignatureScheme
    ) -> None:
        self.id, self.name = id, name
        self.kem, self.kdf, self.aead, self.signature = kem, kdf, aead, signature
        self.hpke = Hpke(kem, kdf, aead)
        self.hash_size = kdf.size  # KDF.Nh
        self.key_size, self.nonce_size = aead.key_size, aead.nonce_size  # AEAD.Nk, AEAD.Nn

    def __repr__(self) -> str:
        return f"<CipherSuite {int(self.id):#06x} {self.name}>"

    # --- hash, MAC, KDF ---

    def hash(self, data: bytes) -> bytes:
        return self.kdf.hash(data)

    def mac(self, key: bytes, data: bytes) -> bytes:
        return self.kdf.mac(key, data)

    def mac_verify(self, key: bytes, data: bytes, tag: bytes) -> bool:
        """In constant time and over the full length: a shortened tag is a wrong one (V031, V037)."""
        return hmac.compare_digest(self.kdf.mac(key, data), tag)

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        return self.kdf.extract(salt, ikm)

    def expand_with_label(self, secret: bytes, label: str, context: bytes, length: int) -> bytes:
        """RFC 9420 §8."""
        info = length.to_bytes(2, "big") + _label(label) + varint(len(context)) + context
        return self.kdf.expand(secret, info, length)

    def derive_secret(self, secret: bytes, label: str) -> bytes:
        """RFC 9420 §8; KDF.Nh bytes."""
        return self.kdf.expand(secret, _derivation(label, self.hash_size), self.hash_size)

    def derive_tree_secret(self, secret: bytes, label: str, generation: int, length: int) -> bytes:
        """RFC 9420 §9.1."""
        return self.expand_with_label(secret, label, generation.to_bytes(4, "big"), length)

    def ref_hash(self, label: str, value: bytes) -> bytes:
        """RefHash (RFC 9420 §5.2); `label` is written out whole, as in "MLS 1.0 KeyPackage Reference"."""
        name = label.encode()
        return self.kdf.hash(varint(len(name)) + name + varint(len(value)) + value)

    # --- AEAD ---

    def aead_seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
        return self.aead.seal(key, nonce, plaintext, aad)

    def aead_open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """Raises UnopenableError; the caller knows whether it is somebody's fault."""
        return self.aead.open(key, nonce, ciphertext, aad)

    # --- HPKE keys and encryption ---

    def generate_hpke_key(self, random: Random) -> HpkePrivateKey:
        return self.kem.generate(random)

    def derive_hpke_key(self, secret: bytes) -> HpkePrivateKey:
        """KEM.DeriveKeyPair, as for a node secret or the external secret."""
        return self.kem.derive_key_pair(secret)

    def load_hpke_key(self, raw: bytes) -> HpkePrivateKey:
        """Raises MisuseError: private keys come from ourselves."""
        return self.kem.load_private(raw)

    def check_hpke_public_key(self, public: bytes) -> None:
        """Raises InvalidError (V014)."""
        self.kem.check_public(public)

    def encrypt_with_label(
        self, public: bytes, label: str, context: bytes, plaintext: bytes, random: Random
    ) -> HPKECiphertext:
        """RFC 9420 §5.1.3. Raises InvalidError (V213) for a public key that fails validation."""
        return self.encryption_with_label(label, context)(public, plaintext, random)

    def encryption_with_label(self, label: str, context: bytes) -> Callable[[bytes, bytes, Random], HPKECiphertext]:
        """`encrypt_with_label` for many recipients, `context` hashed once; takes (public key, plaintext, random)."""
        schedule_context = self.hpke.schedule_context(_label(label) + varint(len(context)) + context)

        def encrypt(public: bytes, plaintext: bytes, random: Random) -> HPKECiphertext:
            return self.hpke.seal_under(public, schedule_context, plaintext, random)

        return encrypt

    def decrypt_with_label(self, private: HpkePrivateKey, label: str, context: bytes, sealed: HPKECiphertext) -> bytes:
        """RFC 9420 §5.1.3. Raises InvalidError (V213) for a bad KEM output, UnopenableError otherwise (V212)."""
        return self.hpke.open(private, _label(label) + varint(len(context)) + context, sealed)

    # --- signatures ---

    def generate_signature_key(self, random: Random) -> SignaturePrivateKey:
        return self.signature.generate(random)

    def load_signature_key(self, raw: bytes) -> SignaturePrivateKey:
        """Raises MisuseError: private keys come from ourselves."""
        return self.signature.load_private(raw)

    def check_signature_public_key(self, public: bytes) -> None:
        """Raises InvalidError (V014)."""
        self.signature.check_public(public)

    def sign_with_label(self, private: SignaturePrivateKey, label: str, content: bytes) -> bytes:
        """RFC 9420 §5.1.2."""
        return self.signature.sign(private, _label(label) + varint(len(content)) + content)

    def verify_with_label(self, public: bytes, label: str, content: bytes, signature: bytes) -> bool:
        """RFC 9420 §5.1.2; False also under another label (V211) or in another format (V015)."""
        return self.signature.verify(public, _label(label) + varint(len(content)) + content, signature)


@lru_cache(maxsize=256)
def _label(label: str) -> bytes:
    """`opaque label<V> = "MLS 1.0 " + label`. Labels of the exporter are the application's, hence the bound."""
    name = b"MLS 1.0 " + label.encode()
    return varint(len(name)) + name


@lru_cache(maxsize=256)
def _derivation(label: str, size: int) -> bytes:
    """The KDFLabel of DeriveSecret."""
    return size.to_bytes(2, "big") + _label(label) + b"\x00"


_ROWS: dict[str, tuple[Kem, Kdf, Aead, SignatureScheme]] = {
    "MLS_128_DHKEMX25519_AES128GCM_SHA256_ED25519": (DHKEM_X25519, HKDF_SHA256, AES_128_GCM, ED25519),
    "MLS_128_DHKEMP256_AES128GCM_SHA256_P256": (DHKEM_P256, HKDF_SHA256, AES_128_GCM, ECDSA_P256),
    "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_ED25519": (DHKEM_X25519, HKDF_SHA256, CHACHA20_POLY1305, ED25519),
    "MLS_256_DHKEMX448_AES256GCM_SHA512_ED448": (DHKEM_X448, HKDF_SHA512, AES_256_GCM, ED448),
    "MLS_256_DHKEMP521_AES256GCM_SHA512_P521": (DHKEM_P521, HKDF_SHA512, AES_256_GCM, ECDSA_P521),
    "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_ED448": (DHKEM_X448, HKDF_SHA512, CHACHA20_POLY1305, ED448),
    "MLS_256_DHKEMP384_AES256GCM_SHA384_P384": (DHKEM_P384, HKDF_SHA384, AES_256_GCM, ECDSA_P384),
    "MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519": (MLKEM768_X25519, HKDF_SHA256, AES_128_GCM, ED25519),
    "MLS_128_MLKEM768X25519_AES256GCM_SHA384_ED25519": (MLKEM768_X25519, HKDF_SHA384, AES_256_GCM, ED25519),
    "MLS_128_MLKEM768P256_AES128GCM_SHA256_P256": (MLKEM768_P256, HKDF_SHA256, AES_128_GCM, ECDSA_P256),
    "MLS_128_MLKEM768P256_AES256GCM_SHA384_P256": (MLKEM768_P256, HKDF_SHA384, AES_256_GCM, ECDSA_P256),
    "MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384": (MLKEM1024_P384, HKDF_SHA384, AES_256_GCM, ECDSA_P384),
    "MLS_128_MLKEM768_AES256GCM_SHA384_ED25519": (MLKEM768, HKDF_SHA384, AES_256_GCM, ED25519),
    "MLS_128_MLKEM768_AES256GCM_SHA384_P256": (MLKEM768, HKDF_SHA384, AES_256_GCM, ECDSA_P256),
    "MLS_192_MLKEM1024_AES256GCM_SHA384_P384": (MLKEM1024, HKDF_SHA384, AES_256_GCM, ECDSA_P384),
    "MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44": (
        MLKEM768_X25519,
        HKDF_SHA384,
        CHACHA20_POLY1305,
        ML_DSA_44,
    ),
    "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65": (MLKEM768, HKDF_SHA384, AES_256_GCM, ML_DSA_65),
    "MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87": (MLKEM1024, HKDF_SHA384, AES_256_GCM, ML_DSA_87),
}


def _numbered() -> Iterator[tuple[CipherSuiteId, str]]:
    """Every code point of every profile with the name of its suite; no number has two (`mls.crypto.profiles`)."""
    for id in RFC9420_CIPHER_SUITES:
        yield id, id.name
    for profile in PROFILES.values():
        for name, id in profile.post_quantum.items():
            yield id, name


_SUITES = {id: CipherSuite(id, name, *_ROWS[name]) for id, name in _numbered()}


def supported_suites(profile: Profile = DEFAULT_PROFILE) -> tuple[CipherSuiteId, ...]:
    """The code points this engine offers under a profile, in ascending order."""
    return profile.cipher_suites


def is_supported(id: int) -> bool:
    """Whether this engine has the suite of a code point, of whichever profile."""
    return id in _SUITES


def suite(id: int) -> CipherSuite:
    """The row of a code point. Ask `is_supported` first where the number comes from a peer; raises MisuseError."""
    try:
        return _SUITES[CipherSuiteId(id)]
    except (KeyError, ValueError):
        shown = f"{id:#06x}" if isinstance(id, int) else repr(id)
        raise MisuseError(f"this engine has no cipher suite {shown}") from None
