"""X.509 certificates (RFC 9420 §5.3): whose key they hold, whom they name, whether a chain leads to a root we trust.

Chains are judged by the library's verifier, in the profile of a client of the WebPKI unless a policy says otherwise. So
authorities sign with RSA or a NIST curve: the verifier has no others. The end entity's key may be of any scheme that a
cipher suite uses. Revocation is not looked at: there is no I/O here, and whoever has a list of it is asked last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mls.crypto.keys import SignaturePrivateKey
from mls.crypto.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from mls.crypto.signature import ECDSA_P256, ECDSA_P384, ECDSA_P521, ED448, ED25519, EcdsaScheme, SignatureScheme
from mls.errors import InvalidError, MisuseError

_REFUSED = (
    ValueError,  # what is no DER, has something after it, or says nonsense
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # where the program has made errors of them
)
"""What the library says of bytes that are no certificate."""

_CURVES = {scheme.group.curve.name: scheme for scheme in (ECDSA_P256, ECDSA_P384, ECDSA_P521)}
_RAW: dict[type[Any], SignatureScheme] = {
    ed25519.Ed25519PublicKey: ED25519,
    ed448.Ed448PublicKey: ED448,
    mldsa.MLDSA44PublicKey: ML_DSA_44,
    mldsa.MLDSA65PublicKey: ML_DSA_65,
    mldsa.MLDSA87PublicKey: ML_DSA_87,
}


class PresentedName(NamedTuple):
    """One way in which a certificate names its subject: `PresentedName("uri", "mls:alice")`."""

    kind: str  # dns, email, uri, ip, directory, id, other:<OID>; subject in a certificate without alternative names
    value: str


@dataclass(frozen=True, slots=True)
class X509Policy:
    """What is asked of a chain beyond its signatures and its dates.

    The extension policies are the library's (`cryptography.x509.verification`). None stands for the WebPKI's: the end
    entity has a subject alternative name, is no authority, may sign where it has key usages and is a client where it
    has extended ones.
    """

    depth_max: int = 8  # authorities between the end entity and its root
    end_entity: ExtensionPolicy | None = None
    authority: ExtensionPolicy | None = None


class TrustStore:
    """Roots, and authorities below them that members need not send along; DER certificates all."""

    __slots__ = ("_intermediates", "_policies", "_store", "policy")

    def __init__(
        self, roots: Sequence[bytes], intermediates: Sequence[bytes] = (), policy: X509Policy | None = None
    ) -> None:
        """Raises MisuseError for what is no certificate, or no root at all."""
        self.policy = policy or X509Policy()
        try:
            self._store = Store([x509.load_der_x509_certificate(each) for each in roots])
            self._intermediates = [x509.load_der_x509_certificate(each) for each in intermediates]
        except _REFUSED as error:
            raise MisuseError(f"a trust store that cannot be made: {error}") from None
        self._policies = {
            "ca_policy": self.policy.authority or ExtensionPolicy.webpki_defaults_ca(),
            "ee_policy": self.policy.end_entity or _signing_end_entity(),
        }

    def __repr__(self) -> str:
        return f"<TrustStore, {len(self._intermediates)} intermediates>"

    def validates(self, certificates: Sequence[bytes], now: int) -> bool:
        """Whether the first certificate chains to a root at that moment, by way of any of the others."""
        try:
            end_entity, *others = [x509.load_der_x509_certificate(each) for each in certificates]
            verifier = (
                PolicyBuilder()
                .store(self._store)
                .time(datetime.fromtimestamp(now, UTC))
                .max_chain_depth(self.policy.depth_max)
                .extension_policies(**self._policies)
                .build_client_verifier()
            )
            verifier.verify(end_entity, [*others, *self._intermediates])
        except (VerificationError, *_REFUSED):
            return False
        return True


def check_certificates(scheme: SignatureScheme, certificates: Sequence[bytes], signature_key: bytes) -> None:
    """What a list of certificates has to be, whoever issued them.

    Each is one DER certificate, and the first one's key is `signature_key` (V051), of the suite's scheme (V052).
    """
    loaded = [_load(each) for each in certificates]
    if not loaded:
        raise InvalidError("V051", "an X.509 credential without a certificate")
    try:
        found, key = _public_key(loaded[0])
    except _REFUSED:
        raise InvalidError("V052", "a certificate with a key of no scheme that a cipher suite has") from None
    if found is not scheme:
        raise InvalidError("V052", f"a certificate with a key for {found.name}, where {scheme.name} is used")
    if key != signature_key:
        raise InvalidError("V051", "a certificate with another key than the signature key beside it")


def presented_names(certificate: bytes) -> frozenset[PresentedName]:
    """Every name a certificate gives its subject (§5.3.1), if any. Raises InvalidError (V051) for no certificate."""
    loaded = _load(certificate)
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return frozenset(_name(each) for each in names)
    except x509.ExtensionNotFound:
        subject = loaded.subject.rfc4514_string()
        return frozenset((PresentedName("subject", subject),) if subject else ())
    except _REFUSED:
        raise InvalidError("V051", "a certificate with names that cannot be read") from None


def last_valid(certificates: Iterable[bytes]) -> int:
    """The last second, in Unix time, at which none of them has expired; raises InvalidError (V051)."""
    return min(int(_load(each).not_valid_after_utc.timestamp()) for each in certificates)


def certificates_from_pem(pem: bytes) -> tuple[bytes, ...]:
    """The DER certificates of a PEM file, in its order; raises MisuseError."""
    try:
        return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))
    except _REFUSED:
        raise MisuseError("no PEM certificates") from None


def signer_from_pem(scheme: SignatureScheme, pem: bytes, password: bytes | None = None) -> SignaturePrivateKey:
    """The private key that goes with a certificate, from its PEM file (PKCS #8 as a rule); raises MisuseError."""
    try:
        loaded: Any = load_pem_private_key(pem, password)
        found, public = _described(loaded.public_key())
    except _REFUSED:
        raise MisuseError("no private key in PEM that a cipher suite could sign with") from None
    if found is not scheme:
        raise MisuseError(f"a private key for {found.name}, where {scheme.name} is used")
    if isinstance(scheme, EcdsaScheme):
        raw = loaded.private_numbers().private_value.to_bytes(scheme.group.private_size, "big")
    else:
        raw = loaded.private_bytes_raw()
    signer = scheme.load_private(raw)
    assert signer.public == public
    return signer


def _load(certificate: bytes) -> x509.Certificate:
    try:
        loaded = x509.load_der_x509_certificate(certificate)
    except _REFUSED:
        raise InvalidError("V051", "an entry of an X.509 credential that is not one DER certificate") from None
    if loaded.serial_number <= 0:  # the library only warns of it (RFC 5280 §4.1.2.2)
        raise InvalidError("V051", "a certificate whose serial number is not positive")
    return loaded


def _public_key(certificate: x509.Certificate) -> tuple[SignatureScheme, bytes]:
    return _described(certificate.public_key())


def _described(key: object) -> tuple[SignatureScheme, bytes]:
    """A public key as MLS has it: its scheme and its bytes there. Raises ValueError for a key of no such scheme."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        scheme = _CURVES.get(key.curve.name)
        if scheme is None:
            raise ValueError("a curve that no cipher suite signs with")
        return scheme, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    for kind, owner in _RAW.items():
        if isinstance(key, kind):
            return owner, key.public_bytes_raw()
    raise ValueError("a key that no cipher suite signs with")


def _signing_end_entity() -> ExtensionPolicy:
    """The WebPKI's end entity, and one that may sign (RFC 5280 §4.2.1.3)."""
    defaults = ExtensionPolicy.webpki_defaults_ee()
    return defaults.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)


def _may_sign(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and (not usage.digital_signature or usage.key_cert_sign):
        raise ValueError("a key that may not sign messages, or may sign certificates")


def _name(name: x509.GeneralName) -> PresentedName:
    match name:
        case x509.DNSName(value=value):
            return PresentedName("dns", value.lower())
        case x509.RFC822Name(value=value):
            return PresentedName("email", value)
        case x509.UniformResourceIdentifier(value=value):
            return PresentedName("uri", value)
        case x509.IPAddress(value=address):
            return PresentedName("ip", str(address))
        case x509.DirectoryName(value=directory):
            return PresentedName("directory", directory.rfc4514_string())
        case x509.RegisteredID(value=identifier):
            return PresentedName("id", identifier.dotted_string)
        case x509.OtherName(type_id=type_id, value=value):
            return PresentedName(f"other:{type_id.dotted_string}", value.hex())
        case _:
            raise ValueError("a name of an unknown kind")
