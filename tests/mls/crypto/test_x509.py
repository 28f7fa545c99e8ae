"""X.509 certificates: which bytes are one, whose key is in it, whom it names, and which chains lead to a root."""

from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.x509.verification import ExtensionPolicy

from mls.crypto import (
    PresentedName,
    TrustStore,
    X509Policy,
    certificates_from_pem,
    check_certificates,
    last_valid,
    presented_names,
    signer_from_pem,
    suite,
    supported_suites,
)
from mls.errors import InvalidError, MisuseError
from tests.mls.crypto.authority import DAY, KEYS, Authority, key_usage
from tests.mls.world import NOW

ED25519 = suite(1).signature
SCHEMES = {suite(each).signature.name: each for each in supported_suites()}
"""Every signature scheme, with a suite that has it."""


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_end_entity_has_a_key_of_any_scheme_a_suite_signs_with(root: Authority, scheme: str) -> None:
    """Its private key comes from the PEM file that goes with the certificate, and signs for the group."""
    alice, row = root.issue("alice", scheme=scheme), suite(SCHEMES[scheme])
    signer = alice.signer(row.id)
    check_certificates(row.signature, [alice.der], signer.public)
    assert TrustStore([root.der]).validates([alice.der], NOW)
    assert row.verify_with_label(signer.public, "test", b"said", row.sign_with_label(signer, "test", b"said"))


def refused(rule: str, certificates: list[bytes], key: bytes, scheme_of: int = 1) -> None:
    with pytest.raises(InvalidError) as wrong:
        check_certificates(suite(scheme_of).signature, certificates, key)
    assert wrong.value.rule == rule


def test_v051_a_credential_without_a_certificate() -> None:
    refused("V051", [], bytes(32))


def test_v051_a_certificate_with_another_key_than_the_leafs(root: Authority) -> None:
    alice, other = root.issue("alice"), root.issue("alice")
    refused("V051", [alice.der], other.signer(1).public)


def test_v051_the_end_entitys_certificate_is_the_first(root: Authority) -> None:
    """An authority with a key of the suite's scheme does not speak for the member below it."""
    alice, above = root.issue("alice"), root.issue("above")
    check_certificates(ED25519, [alice.der, above.der], alice.signer(1).public)
    refused("V051", [above.der, alice.der], alice.signer(1).public)


def test_v051_an_entry_is_one_der_certificate_and_nothing_else(root: Authority) -> None:
    alice = root.issue("alice")
    key = alice.signer(1).public
    for entry in (b"", b"\x30\x00", alice.pem, alice.der + b"\0", alice.der + root.der, alice.der[:-1]):
        refused("V051", [entry], key)
        refused("V051", [alice.der, entry], key)


@pytest.mark.parametrize("serial", [b"\x00", b"\xff", b"\x80"], ids=["zero", "minus one", "minus 128"])
@pytest.mark.filterwarnings("ignore:.*serial number")
def test_v051_a_certificate_whose_serial_number_is_not_positive(root: Authority, serial: bytes) -> None:
    """Some libraries read it and some do not (RFC 5280 §4.1.2.2): members would disagree. Ours only warns."""
    alice = root.issue("alice", serial=7)
    key, head = alice.signer(1).public, bytes.fromhex("a003020102 0201")  # the version before it, its tag and size
    reissued = root.reissue(alice, head + b"\x07", head + b"\x08")
    check_certificates(ED25519, [reissued], key)
    assert TrustStore([root.der]).validates([reissued], NOW)
    refused("V051", [root.reissue(alice, head + b"\x07", head + serial)], key)
    refused("V051", [alice.der, root.reissue(alice, head + b"\x07", head + serial)], key)


URI = b"\x86\x09mls:alice"


@pytest.mark.parametrize(
    "name",
    [
        URI.replace(b"c", b"\xff"),
        URI.replace(b"\x86", b"\x87"),
        URI.replace(b"\x86", b"\xa3"),
        URI.replace(b"\x09", b"\x0a"),
    ],
    ids=["not in ASCII", "an address of nine bytes", "of a kind that is not read", "too short"],
)
def test_v051_names_that_cannot_be_read(root: Authority, name: bytes) -> None:
    """The certificate is one, and signed by its authority; whom it names nobody can say, so no chain of it holds."""
    alice = root.issue("alice")
    unreadable = root.reissue(alice, URI, name)
    check_certificates(ED25519, [unreadable], alice.signer(1).public)
    with pytest.raises(InvalidError) as wrong:
        presented_names(unreadable)
    assert wrong.value.rule == "V051"
    assert not TrustStore([root.der]).validates([unreadable], NOW)
    assert presented_names(root.reissue(alice, URI, URI.replace(b"c", b"k"))) == {PresentedName("uri", "mls:alike")}


def test_v051_no_byte_of_a_certificate_makes_the_library_raise_something_else(root: Authority) -> None:
    """Whatever is flipped, the answer is one of ours; and no chain holds for what its authority did not sign."""
    alice = root.issue("alice")
    key, store = alice.signer(1).public, TrustStore([root.der])
    for position in range(len(alice.der)):
        for bit in (0x01, 0x20, 0x80):
            broken = bytearray(alice.der)
            broken[position] ^= bit
            with suppress(InvalidError):
                check_certificates(ED25519, [bytes(broken)], key)
                presented_names(bytes(broken))
            if store.validates([bytes(broken)], NOW):  # a bit beside the signature's own
                signed = x509.load_der_x509_certificate(bytes(broken)).tbs_certificate_bytes
                assert signed == alice.certificate.tbs_certificate_bytes


@pytest.mark.parametrize("scheme", [each for each in KEYS if each != "Ed25519"])
def test_v052_a_certificate_with_a_key_of_another_scheme(root: Authority, scheme: str) -> None:
    """X25519 among them: its keys look just like those of Ed25519."""
    if scheme == "X25519":
        key = KEYS[scheme]()
        refused("V052", [root.issue("alice", key=key).der], key.public_key().public_bytes_raw())
    else:
        refused("V052", [root.issue("alice", scheme=scheme).der], bytes(32))


# --- chains -----------------------------------------------------------------------------------------------------------


def test_a_chain_leads_to_a_root_by_way_of_its_intermediates(root: Authority) -> None:
    """In whatever order they stand after the first; those that the store knows may be left out."""
    middle = Authority("middle", above=root)
    low = Authority("low", above=middle)
    alice = low.issue("alice")
    store = TrustStore([root.der])
    assert store.validates([alice.der, low.der, middle.der], NOW)
    assert store.validates([alice.der, middle.der, low.der], NOW)
    assert not store.validates([alice.der, low.der], NOW)
    assert not store.validates([low.der, alice.der, middle.der], NOW)  # an authority is no end entity
    assert TrustStore([root.der], [middle.der, low.der]).validates([alice.der], NOW)
    assert TrustStore([root.der], [middle.der]).validates([alice.der, low.der], NOW)


def test_a_chain_to_somebody_elses_root_of_the_same_name(root: Authority) -> None:
    alice = Authority().issue("alice")
    assert not TrustStore([root.der]).validates([alice.der], NOW)


def test_an_end_entity_signs_no_certificates(root: Authority) -> None:
    """Who holds a certificate cannot issue others by it."""
    mallory = root.issue("mallory", scheme="ECDSA P-256")
    fake = Authority("mallory")
    fake._key = mallory.key
    victim = fake.issue("alice")
    assert not TrustStore([root.der]).validates([victim.der, mallory.der], NOW)


@pytest.mark.parametrize(("moment", "holds"), [(-2 * DAY, False), (0, True), (29 * DAY, True), (31 * DAY, False)])
def test_a_chain_holds_while_its_certificates_do(root: Authority, moment: int, holds: bool) -> None:
    assert TrustStore([root.der]).validates([root.issue("alice").der], NOW + moment) is holds


def test_an_expired_intermediate_ends_the_chain(root: Authority) -> None:
    middle = Authority("middle", above=root, until=NOW + DAY)
    chain = [middle.issue("alice").der, middle.der]
    assert TrustStore([root.der]).validates(chain, NOW)
    assert not TrustStore([root.der]).validates(chain, NOW + 2 * DAY)
    assert last_valid(chain) == NOW + DAY


def test_the_length_of_a_chain_is_bounded(root: Authority) -> None:
    middle = Authority("middle", above=root)
    low = Authority("low", above=middle)
    chain = [low.issue("alice").der, low.der, middle.der]
    assert TrustStore([root.der], policy=X509Policy(depth_max=2)).validates(chain, NOW)
    assert not TrustStore([root.der], policy=X509Policy(depth_max=1)).validates(chain, NOW)


def test_a_key_that_may_not_sign_messages_is_no_members(root: Authority) -> None:
    may = root.issue("alice", extensions=[(key_usage(digital_signature=True), True)])
    may_not = root.issue("alice", extensions=[(key_usage(digital_signature=False), True)])
    assert TrustStore([root.der]).validates([may.der], NOW)
    assert not TrustStore([root.der]).validates([may_not.der], NOW)


def test_a_policy_says_which_extensions_a_certificate_needs(root: Authority) -> None:
    """By default a name; where names are in the subject alone, an application asks for less."""
    nameless = root.issue()
    assert not TrustStore([root.der]).validates([nameless.der], NOW)
    relaxed = X509Policy(end_entity=ExtensionPolicy.permit_all())
    assert TrustStore([root.der], policy=relaxed).validates([nameless.der], NOW)


def test_a_trust_store_is_made_of_certificates(root: Authority) -> None:
    for roots, intermediates in (([], []), ([b"root"], []), ([root.der], [b"middle"])):
        with pytest.raises(MisuseError):
            TrustStore(roots, intermediates)


# --- names and files --------------------------------------------------------------------------------------------------


def test_a_certificate_presents_every_name_it_has(root: Authority) -> None:
    names: list[x509.GeneralName] = [
        x509.DNSName("Alice.example"),
        x509.RFC822Name("alice@example"),
        x509.UniformResourceIdentifier("mls:alice"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice")])),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.4"), b"\x0c\x01a"),
    ]
    alice = root.issue(extensions=[(x509.SubjectAlternativeName(names), False)])
    assert presented_names(alice.der) == {
        PresentedName("dns", "alice.example"),
        PresentedName("email", "alice@example"),
        PresentedName("uri", "mls:alice"),
        PresentedName("directory", "CN=Alice"),
        PresentedName("id", "1.2.3"),
        PresentedName("other:1.2.4", "0c0161"),
    }
    assert presented_names(root.issue().der) == {PresentedName("subject", "CN=nobody")}


def test_pem_files_are_read(root: Authority) -> None:
    alice = root.issue("alice", scheme="ECDSA P-521")
    assert certificates_from_pem(alice.pem + root.own.pem) == (alice.der, root.der)
    for wrong in (b"", alice.key_pem, alice.der):
        with pytest.raises(MisuseError):
            certificates_from_pem(wrong)


def test_a_private_key_of_another_scheme_is_not_taken_for_ours(root: Authority) -> None:
    for scheme in ("Ed448", "ECDSA P-256", "RSA", "ECDSA K-256"):
        with pytest.raises(MisuseError):
            signer_from_pem(ED25519, root.issue("alice", scheme=scheme).key_pem)
    with pytest.raises(MisuseError):
        signer_from_pem(ED25519, b"no PEM")
