"""Rules for public keys: each well formed (RFC 9420 §5.1.1), and each in one place only (§7.3, §12.2, §16.7)."""

from mls.crypto import CipherSuite


def check_hpke_key(suite: CipherSuite, public_key: bytes, where: str) -> None:
    """Raises V014 unless the bytes are a public key of the suite's KEM."""
    suite.check_hpke_public_key(public_key)


def check_signature_key(suite: CipherSuite, public_key: bytes, where: str) -> None:
    """Raises V014 unless the bytes are a public key of the suite's signature scheme."""
    suite.check_signature_public_key(public_key)
