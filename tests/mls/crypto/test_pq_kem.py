"""Post-quantum KEMs against the published vectors of their drafts, and what they refuse."""

import random as stdlib_random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mls.crypto import Random
from mls.crypto.aead import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305
from mls.crypto.hpke import Hpke
from mls.crypto.kdf import HKDF_SHA256, HKDF_SHA384
from mls.crypto.kem import DHKEM_P256, DHKEM_P384, DHKEM_X448, DHKEM_X25519, Kem
from mls.crypto.ml_kem import ML_KEM_768, ML_KEM_1024, MODULUS, MlKem
from mls.crypto.pq_kem import MLKEM768, MLKEM768_P256, MLKEM768_X25519, MLKEM1024, MLKEM1024_P384, HybridKem, SeedKem
from mls.errors import InvalidError, MisuseError, UnopenableError
from tests.mls.crypto import one_stage
from tests.mls.crypto.fips203 import SlowMlKem
from tests.vectors import EVERY_POST_QUANTUM_SOURCE, POST_QUANTUM, Source, post_quantum, ran

PQ_KEMS = (MLKEM768, MLKEM1024, MLKEM768_P256, MLKEM1024_P384, MLKEM768_X25519)
KEMS: dict[int, Kem] = {each.hpke_id: each for each in (*PQ_KEMS, DHKEM_P256, DHKEM_P384, DHKEM_X25519, DHKEM_X448)}
KDFS = {each.hpke_id: each for each in (HKDF_SHA256, HKDF_SHA384)}
AEADS = {each.hpke_id: each for each in (AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305)}
ML_KEM_512 = 0x0040


def seeded(seed: int) -> Random:
    return stdlib_random.Random(seed).randbytes


def stream(data: bytes) -> Random:
    """Randomness that is known: the next bytes of `data`, zeros after it."""
    rest = bytearray(data)

    def take(size: int) -> bytes:
        out = bytes(rest[:size])
        del rest[:size]
        return out.ljust(size, b"\0")

    return take


def with_known_randomness(kem: Kem) -> Kem:
    """The same KEM over an ML-KEM that encapsulates with the randomness it is given."""
    if not isinstance(kem, SeedKem):
        return kem
    slow = MlKem(kem.ml_kem.name, rank(kem.ml_kem), SlowMlKem(kem.ml_kem.library, rank(kem.ml_kem)))
    return replace(kem, ml_kem=slow)


def rank(ml_kem: MlKem) -> int:
    return (ml_kem.public_size - 32) // 384


def hpke_cases(source: Source = POST_QUANTUM) -> Iterator[dict[str, Any]]:
    for case in source.cases("hpke-pq-test-vectors"):
        if case["kem_id"] != ML_KEM_512:  # no suite has it, nor does the library
            yield {key: bytes.fromhex(value) if isinstance(value, str) else value for key, value in case.items()}


@EVERY_POST_QUANTUM_SOURCE
def test_every_hpke_vector(source: Source) -> None:
    """Keys from seeds, decapsulation, the key schedule, every ciphertext and export, for all KEMs that we have."""
    for case in hpke_cases(source):
        kem, aead = KEMS[case["kem_id"]], AEADS[case["aead_id"]]
        key = kem.derive_key_pair(case["ikmR"])
        assert key.public == kem.load_private(case["skRm"]).public == case["pkRm"]
        assert key.to_bytes() == case["skRm"] or kem is DHKEM_X448  # there they write it clamped
        shared_secret = kem.decapsulate(case["enc"], key)
        assert shared_secret == case["shared_secret"]
        context: Any
        if case["kdf_id"] in KDFS:
            context = Hpke(kem, KDFS[case["kdf_id"]], aead).setup_base_receiver(case["enc"], key, case["info"])
        else:
            context = one_stage.schedule(case["kem_id"], case["kdf_id"], aead, shared_secret, case["info"])
        assert (context.key, context.base_nonce) == (case["key"], case["base_nonce"])
        assert context.exporter_secret == case["exporter_secret"]
        for each in case["encryptions"]:
            aad, ct, nonce, pt = (bytes.fromhex(each[name]) for name in ("aad", "ct", "nonce", "pt"))
            assert aead.open(context.key, nonce, ct, aad) == pt
            assert aead.seal(context.key, nonce, pt, aad) == ct
        for each in case["exports"]:
            exported = context.export(bytes.fromhex(each["exporter_context"]), each["L"])
            assert exported == bytes.fromhex(each["exported_value"])
        source.ran("hpke-pq-test-vectors")


@EVERY_POST_QUANTUM_SOURCE
def test_every_hpke_vector_is_made_again_from_its_randomness(source: Source) -> None:
    """Encapsulation byte for byte, over an ML-KEM of the tests' own that takes the vectors' randomness."""
    for case in hpke_cases(source):
        kem = with_known_randomness(KEMS[case["kem_id"]])

        assert kem.encapsulate(case["pkRm"], stream(case["ikmE"])) == (case["shared_secret"], case["enc"])
        source.ran("hpke-pq-test-vectors (encapsulation)")


def test_every_x_wing_vector() -> None:
    for case in post_quantum("xwing-test-vectors"):
        seed, eseed, ss, sk, pk, ct = (bytes.fromhex(case[name]) for name in ("seed", "eseed", "ss", "sk", "pk", "ct"))
        key = MLKEM768_X25519.generate(stream(seed))
        assert (key.to_bytes(), key.public) == (sk, pk)
        assert MLKEM768_X25519.decapsulate(ct, key) == ss
        assert with_known_randomness(MLKEM768_X25519).encapsulate(pk, stream(eseed)) == (ss, ct)
        ran("xwing-test-vectors")


@pytest.mark.parametrize("kem", PQ_KEMS, ids=lambda kem: kem.name)
class TestEveryKem:
    def test_both_ends_agree(self, kem: Kem) -> None:
        key = kem.generate(seeded(1))

        shared_secret, kem_output = kem.encapsulate(key.public, seeded(2))

        assert kem.decapsulate(kem_output, key) == shared_secret
        assert kem.decapsulate(kem_output, kem.load_private(key.to_bytes())) == shared_secret
        assert len(shared_secret) == 32

    def test_a_ciphertext_for_another_gives_another_secret(self, kem: Kem) -> None:
        """Implicit rejection: nothing to see at this height; the AEAD above refuses (V212)."""
        alice, bob = kem.generate(seeded(3)), kem.generate(seeded(4))
        shared_secret, kem_output = kem.encapsulate(alice.public, seeded(5))
        hpke = Hpke(kem, HKDF_SHA256, AES_128_GCM)
        sealed = hpke.seal(alice.public, b"info", b"secret", seeded(6))

        assert kem.decapsulate(kem_output, bob) != shared_secret
        with pytest.raises(UnopenableError):
            hpke.open(bob, b"info", sealed)

    def test_kem_outputs_of_another_length_are_refused(self, kem: Kem) -> None:
        """V213."""
        key = kem.generate(seeded(7))
        _, kem_output = kem.encapsulate(key.public, seeded(8))

        for wrong in (b"", kem_output[:-1], kem_output + b"\0", kem_output[1:]):
            with pytest.raises(InvalidError) as refused:
                kem.decapsulate(wrong, key)
            assert refused.value.rule == "V213"

    def test_an_unreduced_coefficient_is_refused(self, kem: Kem) -> None:
        """FIPS 203 §7.2: V014 in a leaf, V213 on use."""
        public = bytearray(kem.generate(seeded(9)).public)
        public[0], public[1] = 0xFF, public[1] | 0x0F

        with pytest.raises(InvalidError) as refused:
            kem.check_public(bytes(public))
        assert refused.value.rule == "V014"
        with pytest.raises(InvalidError) as refused:
            kem.encapsulate(bytes(public), seeded(10))
        assert refused.value.rule == "V213"

    def test_a_private_key_is_a_seed_of_its_own_kem(self, kem: Kem) -> None:
        key = kem.generate(seeded(11))
        other = PQ_KEMS[(PQ_KEMS.index(kem) + 1) % len(PQ_KEMS)]

        for wrong in (b"", key.to_bytes()[:-1], key.to_bytes() + b"\0"):
            with pytest.raises(MisuseError):
                kem.load_private(wrong)
        with pytest.raises(MisuseError):
            other.decapsulate(b"", key)


@pytest.mark.parametrize("ml_kem", [ML_KEM_768, ML_KEM_1024], ids=lambda each: each.name)
def test_the_fast_check_of_a_key_agrees_with_the_library(ml_kem: MlKem) -> None:
    """Every coefficient at its bounds: loading a key is the library's check, ours must not be another."""
    public = ml_kem.load(bytes(64))[1]
    packed = int.from_bytes(public[:-32], "little")
    for index in (0, 1, 2, 127, 128, 255, 256, 128 * rank(ml_kem), 256 * rank(ml_kem) - 2, 256 * rank(ml_kem) - 1):
        for value in (0, MODULUS - 1, MODULUS, MODULUS + 1, 0x0FFF):
            changed = packed & ~(0xFFF << 12 * index) | value << 12 * index
            candidate = changed.to_bytes(len(public) - 32, "little") + public[-32:]
            assert accepted(ml_kem.check_public, candidate) == (value < MODULUS)
            assert accepted(lambda key: ml_kem.library.encapsulate(key, seeded(1)), candidate) == (value < MODULUS)


def accepted(check: Any, public: bytes) -> bool:
    try:
        check(public)
    except ValueError:
        return False
    return True


def test_points_of_a_hybrid_are_checked() -> None:
    """V014, V213: off the curve, compressed, and of small order."""
    for kem in (MLKEM768_P256, MLKEM1024_P384):
        public = kem.generate(seeded(12)).public
        size = kem.ml_kem.public_size
        for point in (public[size:-1] + bytes((public[-1] ^ 1,)), b"\x02" + public[size + 1 :], b""):
            with pytest.raises(InvalidError):
                kem.check_public(public[:size] + point)
    key = MLKEM768_X25519.generate(seeded(13))
    size = MLKEM768_X25519.ml_kem.public_size
    with pytest.raises(InvalidError) as refused:
        MLKEM768_X25519.encapsulate(key.public[:size] + bytes(32), seeded(14))
    assert refused.value.rule == "V213"
    with pytest.raises(InvalidError) as refused:
        MLKEM768_X25519.decapsulate(bytes(1088 + 32), key)
    assert refused.value.rule == "V213"


def test_a_hybrid_seed_skips_windows_that_are_no_scalars() -> None:
    """The vectors never get there: four windows for P-256, the first that is in range counts."""
    group = MLKEM768_P256.group
    high, good = b"\xff" * 32, bytes(31) + b"\x05"

    assert group.seed_size == 128
    assert group.seed_scalar(good + high * 3) == good
    assert group.seed_scalar(high + bytes(32) + good + high) == good
    with pytest.raises(MisuseError):
        group.seed_scalar(high * 4)


def test_hpke_over_hybrids_agrees_with_an_independent_implementation() -> None:
    """The library's own HPKE opens what ours seals and the other way round, for the KEMs that it has."""
    from cryptography.hazmat.primitives import hpke

    kinds: list[tuple[HybridKem, Any, Any]] = [
        (MLKEM768_X25519, hpke.KEM.MLKEM768_X25519, hpke.MLKEM768X25519PrivateKey),
        (MLKEM1024_P384, hpke.KEM.MLKEM1024_P384, hpke.MLKEM1024P384PrivateKey),
    ]
    for kem, kem_id, private_kind in kinds:
        ours = Hpke(kem, HKDF_SHA384, AES_256_GCM)
        theirs = hpke.Suite(kem_id, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM)
        key = kem.generate(seeded(15))
        their_key = private_kind(key.loaded.ml_kem, key.loaded.group)

        sealed = ours.seal(key.public, b"info", b"plaintext", seeded(16))
        assert theirs.decrypt(sealed.kem_output + sealed.ciphertext, their_key, b"info") == b"plaintext"
        size = len(sealed.kem_output)
        back = theirs.encrypt(b"plaintext", their_key.public_key(), b"info")
        assert ours.open(key, b"info", type(sealed)(back[:size], back[size:])) == b"plaintext"
