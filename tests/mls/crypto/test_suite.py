"""The suite table against the published vectors, and what it refuses."""

import random as stdlib_random
from collections.abc import Callable
from typing import Any

import pytest

from mls.crypto import HPKECiphertext, is_supported, suite, supported_suites
from mls.crypto.groups import P256, P384, P521, X448, X25519, MontgomeryGroup, NistGroup
from mls.errors import InvalidError, MisuseError, UnopenableError
from mls.registry import RFC9420_CIPHER_SUITES
from tests.vectors import EVERY_SOURCE, Source

SUITES = [suite(id) for id in supported_suites()]


def seeded(seed: int) -> Any:
    return stdlib_random.Random(seed).randbytes


@EVERY_SOURCE
def test_the_labelled_functions_match_the_published_vectors(source: Source) -> None:
    """`crypto-basics`: every suite, every function, signing and sealing included by round trip."""
    for case in source.cases("crypto-basics"):
        row = suite(case["cipher_suite"])
        unhex = bytes.fromhex
        ref = case["ref_hash"]
        assert row.ref_hash(ref["label"], unhex(ref["value"])) == unhex(ref["out"])
        expand = case["expand_with_label"]
        expanded = row.expand_with_label(
            unhex(expand["secret"]), expand["label"], unhex(expand["context"]), expand["length"]
        )
        assert expanded == unhex(expand["out"])
        derive = case["derive_secret"]
        assert row.derive_secret(unhex(derive["secret"]), derive["label"]) == unhex(derive["out"])
        tree = case["derive_tree_secret"]
        secret = row.derive_tree_secret(unhex(tree["secret"]), tree["label"], tree["generation"], tree["length"])
        assert secret == unhex(tree["out"])
        check_signing(row, case["sign_with_label"])
        check_encryption(row, case["encrypt_with_label"])
        source.ran("crypto-basics")


def check_signing(row: Any, case: dict[str, str]) -> None:
    key = row.load_signature_key(bytes.fromhex(case["priv"]))
    public, content = bytes.fromhex(case["pub"]), bytes.fromhex(case["content"])
    assert key.public == public
    assert row.verify_with_label(public, case["label"], content, bytes.fromhex(case["signature"]))
    assert row.verify_with_label(public, case["label"], content, row.sign_with_label(key, case["label"], content))


def check_encryption(row: Any, case: dict[str, str]) -> None:
    key = row.load_hpke_key(bytes.fromhex(case["priv"]))
    public, context = bytes.fromhex(case["pub"]), bytes.fromhex(case["context"])
    plaintext = bytes.fromhex(case["plaintext"])
    assert key.public == public
    published = HPKECiphertext(bytes.fromhex(case["kem_output"]), bytes.fromhex(case["ciphertext"]))
    assert row.decrypt_with_label(key, case["label"], context, published) == plaintext
    own = row.encrypt_with_label(public, case["label"], context, plaintext, seeded(1))
    assert row.decrypt_with_label(key, case["label"], context, own) == plaintext


@pytest.mark.parametrize("row", SUITES, ids=lambda row: row.name)
class TestEverySuite:
    def test_a_signature_is_bound_to_its_label(self, row: Any) -> None:
        """V211: one structure's signature is never another's."""
        key = row.generate_signature_key(seeded(2))
        signature = row.sign_with_label(key, "LeafNodeTBS", b"content")

        assert row.verify_with_label(key.public, "LeafNodeTBS", b"content", signature)
        assert not row.verify_with_label(key.public, "KeyPackageTBS", b"content", signature)

    def test_a_signature_in_another_format_is_refused(self, row: Any) -> None:
        """V015: trailing bytes, cut bytes and nothing at all are no signatures, and no crash either."""
        key = row.generate_signature_key(seeded(3))
        signature = row.sign_with_label(key, "LeafNodeTBS", b"content")

        for wrong in (signature + b"\0", signature[:-1], b""):
            assert not row.verify_with_label(key.public, "LeafNodeTBS", b"content", wrong)
        assert not row.verify_with_label(key.public[:-1], "LeafNodeTBS", b"content", signature)

    def test_a_ciphertext_opens_under_its_own_label_and_context_only(self, row: Any) -> None:
        """V212."""
        key = row.generate_hpke_key(seeded(4))
        sealed = row.encrypt_with_label(key.public, "Welcome", b"context", b"secret", seeded(5))

        assert row.decrypt_with_label(key, "Welcome", b"context", sealed) == b"secret"
        for label, context in (("UpdatePathNode", b"context"), ("Welcome", b"other")):
            with pytest.raises(UnopenableError):
                row.decrypt_with_label(key, label, context, sealed)

    def test_keys_of_another_length_are_refused(self, row: Any) -> None:
        """V014, for both kinds of key; V213 where one reaches HPKE itself."""
        hpke_key, signature_key = row.generate_hpke_key(seeded(6)), row.generate_signature_key(seeded(7))
        row.check_hpke_public_key(hpke_key.public)
        row.check_signature_public_key(signature_key.public)

        for wrong in (b"", hpke_key.public[:-1], hpke_key.public + b"\0"):
            with pytest.raises(InvalidError) as refused:
                row.check_hpke_public_key(wrong)
            assert refused.value.rule == "V014"
            with pytest.raises(InvalidError) as refused:
                row.encrypt_with_label(wrong, "Welcome", b"", b"", seeded(8))
            assert refused.value.rule == "V213"
        for wrong in (b"", signature_key.public[:-1], signature_key.public + b"\0"):
            with pytest.raises(InvalidError) as refused:
                row.check_signature_public_key(wrong)
            assert refused.value.rule == "V014"

    def test_a_bad_kem_output_is_refused(self, row: Any) -> None:
        """V213."""
        key = row.generate_hpke_key(seeded(9))

        with pytest.raises(InvalidError) as refused:
            row.decrypt_with_label(key, "Welcome", b"", HPKECiphertext(b"short", bytes(32)))

        assert refused.value.rule == "V213"

    def test_a_shortened_mac_is_a_wrong_mac(self, row: Any) -> None:
        """V031, V037: compared over the full length."""
        tag = row.mac(b"key", b"data")

        assert row.mac_verify(b"key", b"data", tag)
        assert not row.mac_verify(b"key", b"data", tag[:-1])
        assert not row.mac_verify(b"key", b"data", b"")

    def test_private_keys_survive_serialisation_and_are_never_printed(self, row: Any) -> None:
        """V216."""
        for key, load in (
            (row.generate_hpke_key(seeded(10)), row.load_hpke_key),
            (row.generate_signature_key(seeded(11)), row.load_signature_key),
        ):
            again = load(key.to_bytes())
            assert again == key
            assert again.to_bytes() == key.to_bytes()
            assert key.to_bytes().hex()[:16] not in repr(key)
            assert key.to_bytes()[:8] not in repr(key).encode()

    def test_equal_randomness_gives_equal_keys(self, row: Any) -> None:
        """Randomness is an argument: a simulation with the same seed makes the same keys."""
        assert row.generate_hpke_key(seeded(1)).to_bytes() == row.generate_hpke_key(seeded(1)).to_bytes()
        assert row.derive_hpke_key(b"secret").public == row.derive_hpke_key(b"secret").public
        assert row.generate_signature_key(seeded(3)).to_bytes() == row.generate_signature_key(seeded(3)).to_bytes()

    def test_both_ends_of_an_encapsulation_export_the_same_secret(self, row: Any) -> None:
        """What an external init will use (RFC 9420 §8.3)."""
        key = row.generate_hpke_key(seeded(12))

        kem_output, sender = row.hpke.setup_base_sender(key.public, b"", seeded(13))
        receiver = row.hpke.setup_base_receiver(kem_output, key, b"")

        assert sender.export(b"label", row.hash_size) == receiver.export(b"label", row.hash_size)
        assert sender.key.hex() not in repr(sender)


@pytest.mark.parametrize("id", RFC9420_CIPHER_SUITES)
def test_equal_randomness_gives_equal_ciphertexts(id: int) -> None:
    """And the same bytes, but for the post-quantum suites: their library takes no randomness of ours."""
    row = suite(id)
    public = row.generate_hpke_key(seeded(1)).public
    sealed = [row.encrypt_with_label(public, "x", b"", b"", seeded(2)) for _ in "ab"]

    assert sealed[0] == sealed[1]


@pytest.mark.parametrize("id", [1, 4])
def test_an_all_zero_key_agreement_is_refused(id: int) -> None:
    """V213: a point of small order would make a key that everyone knows."""
    row = suite(id)
    zero_point = bytes(32 if id == 1 else 56)

    with pytest.raises(InvalidError) as refused:
        row.encrypt_with_label(zero_point, "Welcome", b"", b"secret", seeded(14))

    assert refused.value.rule == "V213"


@pytest.mark.parametrize("id", [2, 5, 7])
def test_compressed_and_off_curve_points_are_refused(id: int) -> None:
    """V014: an uncompressed point on the curve, nothing else."""
    row = suite(id)
    public = row.generate_hpke_key(seeded(15)).public
    half = len(public) // 2
    compressed = bytes((2 + (public[-1] & 1),)) + public[1 : 1 + half]
    off_curve = public[:-1] + bytes((public[-1] ^ 1,))

    hybrids = [bytes((first,)) + public[1:] for first in (0, 2, 3, 6, 7)]
    for wrong in (compressed, off_curve, *hybrids, b"\x00", b"", public + b"\x00", public[:-1]):
        with pytest.raises(InvalidError):
            row.check_hpke_public_key(wrong)
        with pytest.raises(InvalidError):
            row.check_signature_public_key(wrong)


@pytest.mark.parametrize("group", [P256, P384, P521], ids=lambda group: group.curve.name)
def test_points_are_judged_as_the_library_does(group: NistGroup) -> None:
    """V014: the check has the curve's own equation; a key that passes is one that loads, and the other way round.

    Nor may a coordinate be written as another of its residues; in P-521's 66 bytes there is room for some.
    """
    random, size = stdlib_random.Random(16), group.private_size
    for number in range(1, 60):
        _, _, public = group.load_private(number.to_bytes(size, "big"))
        x, y = (int.from_bytes(each, "big") for each in (public[1 : 1 + size], public[1 + size :]))
        flipped, prime = (x, y ^ 1 << random.randrange(200)), group.prime
        for wrong in (flipped, (x, 0), (0, y), (0, 0), (x + prime, y), (x, y + prime), (x, -y)):
            rest = [each % 256**size for each in wrong]
            candidate = b"\x04" + b"".join(each.to_bytes(size, "big") for each in rest)
            assert not _accepts(group.check_public, candidate)
            assert not _accepts(group.load_public, candidate)
        opposite = public[: 1 + size] + (group.prime - y).to_bytes(size, "big")
        for right in (public, opposite):
            assert _accepts(group.check_public, right)
            assert _accepts(group.load_public, right)


@pytest.mark.parametrize("group", [X25519, X448], ids=["X25519", "X448"])
def test_points_of_small_order_are_no_keys(group: MontgomeryGroup) -> None:
    """V014: just those with which every agreement comes out all zero, however they are written."""
    private, _, _ = group.load_private(seeded(17)(group.private_size))

    def agrees(public: bytes) -> bool:
        return _accepts(lambda each: group.exchange(private, group.load_public(each)), public)

    near = {each + offset for each in (0, group.prime, *group.small) for offset in range(-3, 4)}
    high = 1 << group.bits if group.bits % 8 else 0  # a bit that does not count
    written = [
        number.to_bytes(group.private_size, "little") for each in near for number in (each, each | high) if each >= 0
    ]
    assert sum(agrees(public) for public in written) < len(written) - len(group.small)
    for public in written:
        assert _accepts(group.check_public, public) == agrees(public)


def _accepts(judge: Callable[[bytes], object], public: bytes) -> bool:
    try:
        judge(public)
    except ValueError:
        return False
    return True


def test_a_scalar_without_its_leading_zero_is_padded() -> None:
    """P-521 scalars are written with 65 bytes by some peers."""
    row = suite(5)
    key = next(key for seed in range(64) if (key := row.generate_hpke_key(seeded(seed))).to_bytes()[0] == 0)

    again = row.load_hpke_key(key.to_bytes()[1:])

    assert again.public == key.public
    assert len(again.to_bytes()) == 66


def test_a_suite_we_do_not_have_is_named() -> None:
    assert not is_supported(0x0A0A)
    with pytest.raises(MisuseError, match="0x0a0a"):
        suite(0x0A0A)


def test_hpke_agrees_with_an_independent_implementation() -> None:
    """The library's one-shot HPKE opens what ours seals, for the KEMs that it has."""
    from cryptography.hazmat.primitives import hpke

    theirs = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
    row = suite(1)
    key = row.generate_hpke_key(seeded(16))
    sealed = row.hpke.seal(key.public, b"info", b"plaintext", seeded(17))

    opened = theirs.decrypt(sealed.kem_output + sealed.ciphertext, key.loaded, b"info")

    assert opened == b"plaintext"
