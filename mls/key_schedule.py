"""The key schedule (RFC 9420 §8): from one epoch's init secret and a commit's secret to the next epoch's keys.

    init_secret[n-1] ─┐            psk_secret ─┐
      commit_secret ──┴─▶ joiner_secret ───────┴─▶ welcome_secret, epoch_secret ─▶ everything else

Each step that binds an epoch takes its encoded GroupContext. Secrets that are only on the way to others
(`EpochStart.encryption_secret`, the joiner and welcome secrets) are handed out apart from those an epoch keeps, so that
whoever consumes them also drops them (V050).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mls.codec import Opaque, Struct, struct
from mls.crypto import CipherSuite, HpkePrivateKey, Random
from mls.errors import InvalidError, MisuseError

PSK_COUNT_MAX = 0xFFFF
"""PSKs in one commit: index and count are uint16 (V160)."""


@struct
class EpochSecrets(Struct):
    """What a member keeps of an epoch; KDF.Nh bytes each (RFC 9420 §8, table 4)."""

    sender_data_secret: Opaque = field(repr=False)
    exporter_secret: Opaque = field(repr=False)
    epoch_authenticator: Opaque = field(repr=False)
    external_secret: Opaque = field(repr=False)
    confirmation_key: Opaque = field(repr=False)
    membership_key: Opaque = field(repr=False)
    resumption_psk: Opaque = field(repr=False)
    init_secret: Opaque = field(repr=False)

    def export(self, suite: CipherSuite, label: str, context: bytes, length: int) -> bytes:
        """MLS-Exporter (RFC 9420 §8.5); at most 255 hashes long, as HKDF gives no more (RFC 5869)."""
        if not 0 <= length <= 255 * suite.hash_size:
            raise MisuseError(f"no secret of {length} bytes: the suite's KDF gives at most {255 * suite.hash_size}")
        secret = suite.derive_secret(self.exporter_secret, label)
        return suite.expand_with_label(secret, "exported", suite.hash(context), length)

    def external_key(self, suite: CipherSuite) -> HpkePrivateKey:
        """The key pair external joiners encapsulate to; `.public` is `external_pub` (RFC 9420 §8.3)."""
        return suite.derive_hpke_key(self.external_secret)

    def confirmation_tag(self, suite: CipherSuite, confirmed_transcript_hash: bytes) -> bytes:
        """RFC 9420 §6.1."""
        return suite.mac(self.confirmation_key, confirmed_transcript_hash)


@dataclass(frozen=True, slots=True)
class EpochStart:
    """An epoch's secrets, and the one that becomes its secret tree at once."""

    secrets: EpochSecrets
    encryption_secret: bytes = field(repr=False)


def joiner_secret(suite: CipherSuite, init_secret: bytes, commit_secret: bytes, group_context: bytes) -> bytes:
    """What a Welcome hands to new members: `group_context` is the new epoch's."""
    extracted = suite.extract(init_secret, commit_secret)
    return suite.expand_with_label(extracted, "joiner", group_context, suite.hash_size)


def after_commit(
    suite: CipherSuite, init_secret: bytes, commit_secret: bytes, psk_secret: bytes, group_context: bytes
) -> tuple[bytes, EpochStart]:
    """(joiner secret, new epoch) of a Commit."""
    joiner = joiner_secret(suite, init_secret, commit_secret, group_context)
    return joiner, start_epoch(suite, joiner, psk_secret, group_context)


def welcome_secret(suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes) -> bytes:
    return suite.derive_secret(suite.extract(joiner_secret, psk_secret), "welcome")


def start_epoch(suite: CipherSuite, joiner_secret: bytes, psk_secret: bytes, group_context: bytes) -> EpochStart:
    """An epoch reached by a commit or a Welcome."""
    member_secret = suite.extract(joiner_secret, psk_secret)
    return start_from_epoch_secret(
        suite, suite.expand_with_label(member_secret, "epoch", group_context, suite.hash_size)
    )


def start_from_epoch_secret(suite: CipherSuite, epoch_secret: bytes) -> EpochStart:
    """The secrets below an epoch secret; at epoch 0 that one is fresh and random (RFC 9420 §11, V204)."""
    secrets = EpochSecrets(
        sender_data_secret=suite.derive_secret(epoch_secret, "sender data"),
        exporter_secret=suite.derive_secret(epoch_secret, "exporter"),
        epoch_authenticator=suite.derive_secret(epoch_secret, "authentication"),
        external_secret=suite.derive_secret(epoch_secret, "external"),
        confirmation_key=suite.derive_secret(epoch_secret, "confirm"),
        membership_key=suite.derive_secret(epoch_secret, "membership"),
        resumption_psk=suite.derive_secret(epoch_secret, "resumption"),
        init_secret=suite.derive_secret(epoch_secret, "init"),
    )
    return EpochStart(secrets, suite.derive_secret(epoch_secret, "encryption"))


# --- secrets from outside the chain -----------------------------------------------------------------------------------


def zero_secret(suite: CipherSuite) -> bytes:
    """KDF.Nh zero bytes: the commit secret without a path (V159), the PSK secret without PSKs (V160)."""
    return bytes(suite.hash_size)


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The chain over (encoded PreSharedKeyID, PSK) pairs in the order of the commit (RFC 9420 §8.4, V160)."""
    if len(psks) > PSK_COUNT_MAX:
        raise InvalidError("V160", f"{len(psks)} PSKs in one commit, more than {PSK_COUNT_MAX}")
    count, secret = len(psks).to_bytes(2, "big"), zero_secret(suite)
    for index, (psk_id, psk) in enumerate(psks):
        extracted = suite.extract(zero_secret(suite), psk)
        label = psk_id + index.to_bytes(2, "big") + count  # PSKLabel
        secret = suite.extract(suite.expand_with_label(extracted, "derived psk", label, suite.hash_size), secret)
    return secret


_EXTERNAL_INIT_LABEL = b"MLS 1.0 external init secret"


def external_init(suite: CipherSuite, external_pub: bytes, random: Random) -> tuple[bytes, bytes]:
    """(KEM output, init secret) for an external joiner (RFC 9420 §8.3, V143). Raises InvalidError (V213)."""
    kem_output, context = suite.hpke.setup_base_sender(external_pub, b"", random)
    return kem_output, context.export(_EXTERNAL_INIT_LABEL, suite.hash_size)


def receive_external_init(suite: CipherSuite, kem_output: bytes, external_key: HpkePrivateKey) -> bytes:
    """The init secret an external joiner chose (RFC 9420 §8.3, V143). Raises InvalidError (V213)."""
    context = suite.hpke.setup_base_receiver(kem_output, external_key, b"")
    return context.export(_EXTERNAL_INIT_LABEL, suite.hash_size)


# --- keys for one ciphertext ------------------------------------------------------------------------------------------


def sender_data_key(suite: CipherSuite, sender_data_secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    """(key, nonce) for a message's sender data, from a sample of its ciphertext (RFC 9420 §6.3.2, V039)."""
    sample = ciphertext[: suite.hash_size]
    return _key_and_nonce(suite, sender_data_secret, sample)


def welcome_key(suite: CipherSuite, welcome_secret: bytes) -> tuple[bytes, bytes]:
    """(key, nonce) for a Welcome's GroupInfo (RFC 9420 §12.4.3.1, V187)."""
    return _key_and_nonce(suite, welcome_secret, b"")


def _key_and_nonce(suite: CipherSuite, secret: bytes, context: bytes) -> tuple[bytes, bytes]:
    if len(secret) != suite.hash_size:
        raise MisuseError("a secret of another cipher suite")
    key = suite.expand_with_label(secret, "key", context, suite.key_size)
    return key, suite.expand_with_label(secret, "nonce", context, suite.nonce_size)
