"""A certification authority for tests: it makes its own roots, intermediates and end entities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mls.crypto import SignaturePrivateKey, signer_from_pem, suite
from tests.mls.world import NOW

DAY = 24 * 3600

KEYS: dict[str, Any] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "ECDSA P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECDSA P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ECDSA K-256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "X25519": x25519.X25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Issued:
    """A certificate and the private key in it."""

    certificate: x509.Certificate
    key: Any = field(repr=False)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        encoded: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return encoded

    def signer(self, suite_id: int) -> SignaturePrivateKey:
        return signer_from_pem(suite(suite_id).signature, self.key_pem)


class Authority:
    """A root, or an authority below another."""

    def __init__(self, name: str = "root", above: "Authority | None" = None, until: int = NOW + 3650 * DAY) -> None:
        self.name, key = name, KEYS["ECDSA P-256"]()
        self._key, self._issuer = key, above or self
        self.own = Issued(self._issuer._signed(name, key, NOW - DAY, until, _AUTHORITY), key)

    @property
    def der(self) -> bytes:
        return self.own.der

    def issue(
        self,
        *names: str,
        scheme: str = "Ed25519",
        key: Any = None,
        since: int = NOW - DAY,
        until: int = NOW + 30 * DAY,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        serial: int | None = None,
    ) -> Issued:
        """A certificate for an end entity; `names` are URIs, and its first is the subject's common name too."""
        key = key or KEYS[scheme]()
        uris = [x509.UniformResourceIdentifier(f"mls:{name}") for name in names]
        alternative = [(x509.SubjectAlternativeName(uris), False)] if uris else []
        everything = [(x509.BasicConstraints(False, None), True), *alternative, *extensions]
        subject = names[0] if names else "nobody"
        return Issued(self._signed(subject, key, since, until, everything, serial), key)

    def reissue(self, issued: Issued, old: bytes, new: bytes) -> bytes:
        """DER of what this authority issued, with these bytes of it exchanged for as many others, and signed anew."""
        content = issued.certificate.tbs_certificate_bytes
        assert len(old) == len(new)
        assert content.count(old) == 1
        content = content.replace(old, new)
        signature = self._key.sign(content, ec.ECDSA(hashes.SHA256()))
        return _der(0x30, content + _ECDSA_WITH_SHA256 + _der(0x03, b"\0" + signature))

    def _signed(
        self,
        subject: str,
        key: Any,
        since: int,
        until: int,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
        serial: int | None = None,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(subject))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(since, UTC))
            .not_valid_after(datetime.fromtimestamp(until, UTC))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def key_usage(*, digital_signature: bool, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, key_cert_sign, key_cert_sign, False, False)


_AUTHORITY = (
    (x509.BasicConstraints(True, None), True),
    (key_usage(digital_signature=False, key_cert_sign=True), True),
)


_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content).to_bytes(2, "big") if len(content) > 0xFF else len(content).to_bytes(1, "big")
    return bytes([tag]) + (bytes([0x80 + len(size)]) if len(content) > 0x7F else b"") + size + content


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
