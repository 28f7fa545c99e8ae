"""liboqs beside `cryptography`: the same keys, the same bytes, the same verdicts; and nothing at all without it.

The tests that need the C library run where OQS_INSTALL_PATH or the system has one.
"""

import ctypes
import ctypes.util
import importlib.util
import os
import random as stdlib_random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mls.crypto import OPENMLS, Random, accelerate, suite
from mls.crypto.liboqs import ML_DSAS, ML_KEMS, NOT_FOUND, Liboqs, decelerate, load
from mls.crypto.ml_dsa import MlDsaScheme
from mls.crypto.ml_kem import MlKem
from mls.crypto.pq_kem import MLKEM768_X25519
from tests.mls.crypto.test_pq_kem import hpke_cases, stream
from tests.mls.world import NOW, Members
from tests.vectors import post_quantum, ran

INSTALL_PATH = os.environ.get("OQS_INSTALL_PATH")
EVERY_KEM = pytest.mark.parametrize("ml_kem", ML_KEMS, ids=lambda each: each.name)
EVERY_SCHEME = pytest.mark.parametrize("scheme", ML_DSAS, ids=lambda each: each.name)


def seeded(seed: int) -> Random:
    return stdlib_random.Random(seed).randbytes


@pytest.fixture
def library() -> Liboqs:
    found = load(INSTALL_PATH)
    if found is None:
        pytest.skip(NOT_FOUND)
    return found


@pytest.fixture
def accelerated(library: Liboqs) -> Iterator[None]:
    """The engine over liboqs, for one test."""
    everything = {each.name for each in ML_KEMS} | {each.name for each in ML_DSAS}
    assert set(accelerate(INSTALL_PATH).algorithms) == everything
    yield
    decelerate()


def test_without_the_c_library_nothing_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither an empty folder nor a file that is no library is an error, and no wrapper is asked to install one."""
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    (tmp_path / "lib").mkdir()
    before, imported = [each.implementation for each in ML_KEMS], "oqs" in sys.modules

    for path in (None, str(tmp_path)):
        refused = accelerate(path)
        assert not refused
        assert refused.reason == NOT_FOUND
    (tmp_path / "lib" / "liboqs.so").write_text("not a library")
    assert not accelerate(str(tmp_path))

    assert [each.implementation for each in ML_KEMS] == before == [each.library for each in ML_KEMS]
    assert [each.verifier for each in ML_DSAS] == [each.library for each in ML_DSAS]
    assert ("oqs" in sys.modules) == imported


def test_a_library_that_lacks_what_we_call_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones have no key generation from seeds, for one."""
    c_library = ctypes.util.find_library("c")
    monkeypatch.setattr("ctypes.util.find_library", lambda _: c_library)

    assert load() is None


@EVERY_KEM
class TestMlKem:
    def test_a_seed_gives_the_same_keys(self, library: Liboqs, ml_kem: MlKem) -> None:
        theirs = library.ml_kem(ml_kem)
        assert theirs is not None
        for seed in range(20):
            raw = seeded(seed)(64)
            assert theirs.load(raw)[1] == ml_kem.library.load(raw)[1]

    def test_each_opens_what_the_other_seals(self, library: Liboqs, ml_kem: MlKem) -> None:
        """Garbage too: implicit rejection gives both the same useless secret."""
        theirs, ours = library.ml_kem(ml_kem), ml_kem.library
        assert theirs is not None
        for seed in range(20):
            their_key, public = theirs.load(seeded(seed)(64))
            our_key, _ = ours.load(seeded(seed)(64))
            for secret, ciphertext in (
                theirs.encapsulate(public, seeded(seed)),
                ours.encapsulate(public, seeded(seed)),
            ):
                assert their_key.decapsulate(ciphertext) == our_key.decapsulate(ciphertext) == secret
            garbage = seeded(seed)(ml_kem.ciphertext_size)
            assert their_key.decapsulate(garbage) == our_key.decapsulate(garbage)

    def test_an_unreduced_key_is_refused_with_it_too(self, accelerated: None, ml_kem: MlKem) -> None:
        with pytest.raises(ValueError, match="not reduced"):
            ml_kem.encapsulate(b"\xff" * ml_kem.public_size, seeded(1))

    def test_its_keys_are_not_printed(self, accelerated: None, ml_kem: MlKem) -> None:
        key, _ = ml_kem.load(seeded(1)(64))

        assert not hasattr(key, "__dict__")
        assert len(repr(key)) < 100


@EVERY_SCHEME
class TestMlDsa:
    def test_verdicts_are_the_same(self, library: Liboqs, scheme: MlDsaScheme) -> None:
        """On signatures of ours, and on every kind of broken one: members must not disagree on validity."""
        theirs = library.ml_dsa(scheme)
        assert theirs is not None
        key = scheme.generate(seeded(1))
        signature = scheme.sign(key, b"message")
        assert theirs.verify(key.public, b"message", signature)
        assert not theirs.verify(key.public, b"massage", signature)
        for position in range(0, len(signature), 37):
            broken = bytearray(signature)
            broken[position] ^= 0x40
            assert not theirs.verify(key.public, b"message", bytes(broken))
            assert not scheme.library.verify(key.public, b"message", bytes(broken))
        for tail in range(1, 90):  # the hint's indices and counts, where an encoding could be sloppy
            broken = bytearray(signature)
            broken[-tail] = (broken[-tail] + 1) % 256
            verdicts = {each.verify(key.public, b"message", bytes(broken)) for each in (theirs, scheme.library)}
            assert verdicts == {False}

    def test_a_signature_of_liboqs_holds_here(self, library: Liboqs, scheme: MlDsaScheme) -> None:
        native = library.native
        public, private = (ctypes.create_string_buffer(size) for size in (scheme.public_size, 5000))
        signature, length = ctypes.create_string_buffer(scheme.signature_size), ctypes.c_size_t()
        handle = ctypes.c_void_p(native.OQS_SIG_new(scheme.name.encode()))
        assert native.OQS_SIG_keypair(handle, public, private) == 0
        arguments = (handle, signature, ctypes.byref(length), b"message", ctypes.c_size_t(7), private)
        assert native.OQS_SIG_sign(*arguments) == 0

        assert scheme.verify(public.raw, b"message", signature.raw)
        assert not scheme.verify(public.raw, b"massage", signature.raw)


def test_the_published_vectors_with_it(accelerated: None) -> None:
    """Encapsulation included, which `cryptography` cannot be asked for."""
    from tests.mls.crypto.test_pq_kem import PQ_KEMS

    kems = {each.hpke_id: each for each in PQ_KEMS}
    for case in hpke_cases():
        if (kem := kems.get(case["kem_id"])) is not None:
            key = kem.derive_key_pair(case["ikmR"])
            assert key.public == case["pkRm"]
            assert kem.decapsulate(case["enc"], key) == case["shared_secret"]
            assert kem.encapsulate(case["pkRm"], stream(case["ikmE"])) == (case["shared_secret"], case["enc"])
            ran("hpke-pq-test-vectors (liboqs)")
    for case in post_quantum("xwing-test-vectors"):
        eseed, ss, sk, ct = (bytes.fromhex(case[name]) for name in ("eseed", "ss", "sk", "ct"))
        key = MLKEM768_X25519.load_private(sk)
        assert MLKEM768_X25519.encapsulate(key.public, stream(eseed)) == (ss, ct)
        assert MLKEM768_X25519.decapsulate(ct, key) == ss
        ran("xwing-test-vectors (liboqs)")


@pytest.mark.parametrize("name", OPENMLS.post_quantum)
def test_a_group_may_be_accelerated_in_the_middle_of_its_life(library: Liboqs, name: str) -> None:
    """Keys made before go on with who made them, and members with and without it understand each other."""
    world = Members("alice", "bob", suite_id=OPENMLS.cipher_suite(name))
    try:
        assert accelerate(INSTALL_PATH)
        world.add("bob", "carol")
        world.commit("alice")
        assert world.agree()
    finally:
        decelerate()
    world.commit("carol")
    assert world.agree()
    world.groups["carol"], message = world["carol"].seal(b"hello", world.random)
    assert world["bob"].open(message, NOW)[1].plaintext == b"hello"


def test_equal_randomness_gives_equal_ciphertexts_with_it(accelerated: None) -> None:
    """So a simulation over it is reproducible to the byte."""
    row = suite(OPENMLS.cipher_suite("MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519"))
    public = row.generate_hpke_key(seeded(1)).public
    sealed = [row.encrypt_with_label(public, "x", b"", b"", seeded(2)) for _ in "ab"]

    assert sealed[0] == sealed[1]


@EVERY_KEM
def test_it_is_the_library_that_its_python_wrapper_speaks_to(library: Liboqs, ml_kem: MlKem) -> None:
    """The wrapper of the `pq` extra, where it is installed; with the C library there it has nothing to install."""
    if importlib.util.find_spec("oqs") is None:
        pytest.skip("liboqs-python is not installed (the extra `pq`)")
    oqs: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it may complain of a version one step away
        oqs = importlib.import_module("oqs")
    theirs = library.ml_kem(ml_kem)
    assert theirs is not None
    seed = seeded(3)(64)
    with oqs.KeyEncapsulation(ml_kem.name) as wrapped:
        assert wrapped.generate_keypair_seed(seed) == theirs.load(seed)[1]
        secret, ciphertext = theirs.encapsulate(theirs.load(seed)[1], seeded(4))
        assert wrapped.decap_secret(ciphertext) == secret
