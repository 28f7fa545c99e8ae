"""HPKE in base mode (RFC 9180): one KEM, one KDF, one AEAD, one message or one exported secret per encapsulation."""

from dataclasses import dataclass, field

from mls.codec import Opaque, Struct, struct
from mls.crypto.aead import Aead
from mls.crypto.kdf import Kdf
from mls.crypto.kem import Kem, Random
from mls.crypto.keys import HpkePrivateKey


@struct
class HPKECiphertext(Struct):
    """What `encrypt_with_label` makes (RFC 9420 §7.6)."""

    kem_output: Opaque
    ciphertext: Opaque


@dataclass(frozen=True, slots=True)
class HpkeContext:
    """The secrets both sides have after set-up (RFC 9180 §5.1), good for one message here."""

    hpke: "Hpke"
    key: bytes = field(repr=False)
    base_nonce: bytes = field(repr=False)
    exporter_secret: bytes = field(repr=False)

    def export(self, exporter_context: bytes, length: int) -> bytes:
        """RFC 9180 §5.3."""
        return self.hpke.expand(self.exporter_secret, b"sec", exporter_context, length)


class Hpke:
    """An HPKE cipher suite: the row's KEM, KDF and AEAD together."""

    __slots__ = ("_psk_id_hash", "_suite_id", "aead", "kdf", "kem")

    def __init__(self, kem: Kem, kdf: Kdf, aead: Aead) -> None:
        self.kem, self.kdf, self.aead = kem, kdf, aead
        ids = (kem.hpke_id, kdf.hpke_id, aead.hpke_id)
        self._suite_id = b"HPKE" + b"".join(each.to_bytes(2, "big") for each in ids)
        self._psk_id_hash = kdf.labeled_extract(self._suite_id, b"", b"psk_id_hash", b"")

    def setup_base_sender(self, public: bytes, info: bytes, random: Random) -> tuple[bytes, HpkeContext]:
        """(KEM output, context). Raises InvalidError (V213) for a public key that is none."""
        shared_secret, kem_output = self.kem.encapsulate(public, random)
        return kem_output, self._schedule(shared_secret, self.schedule_context(info))

    def setup_base_receiver(self, kem_output: bytes, private: HpkePrivateKey, info: bytes) -> HpkeContext:
        """Raises InvalidError (V213) for a KEM output that is none."""
        return self._schedule(self.kem.decapsulate(kem_output, private), self.schedule_context(info))

    def seal(self, public: bytes, info: bytes, plaintext: bytes, random: Random) -> HPKECiphertext:
        return self.seal_under(public, self.schedule_context(info), plaintext, random)

    def seal_under(self, public: bytes, schedule_context: bytes, plaintext: bytes, random: Random) -> HPKECiphertext:
        """`seal` with the hash of `info` already made: it may be as long as a tree, and go to everyone in it."""
        shared_secret, kem_output = self.kem.encapsulate(public, random)
        context = self._schedule(shared_secret, schedule_context)
        return HPKECiphertext(kem_output, self.aead.seal(context.key, context.base_nonce, plaintext))

    def open(self, private: HpkePrivateKey, info: bytes, sealed: HPKECiphertext) -> bytes:
        context = self.setup_base_receiver(sealed.kem_output, private, info)
        return self.aead.open(context.key, context.base_nonce, sealed.ciphertext)

    def expand(self, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
        return self.kdf.labeled_expand(self._suite_id, secret, label, info, length)

    def schedule_context(self, info: bytes) -> bytes:
        """What a set-up hashes of `info` and the mode, the same for every recipient (RFC 9180 §5.1)."""
        info_hash = self.kdf.labeled_extract(self._suite_id, b"", b"info_hash", info)
        return b"\x00" + self._psk_id_hash + info_hash  # mode_base

    def _schedule(self, shared_secret: bytes, context: bytes) -> HpkeContext:
        secret = self.kdf.labeled_extract(self._suite_id, shared_secret, b"secret", b"")
        return HpkeContext(
            self,
            self.expand(secret, b"key", context, self.aead.key_size),
            self.expand(secret, b"base_nonce", context, self.aead.nonce_size),
            self.expand(secret, b"exp", context, self.kdf.size),
        )
