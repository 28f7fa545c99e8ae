"""The node's key, and that a credential cannot name a peer who did not sign it."""

import hashlib
from collections.abc import Callable

import msgspec
import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from mls import ed25519_load, ed25519_sign
from node.identity import BindingError, Identity, IdentityError, claimed_peer, valid_vote_key, verify_binding
from node.peer_id import peer_id_of

LEAF_KEY = b"\x04" + bytes(64)  # a P-256 signature key has 65 bytes; any bytes do here
SMALL_ORDER = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
IDENTITY_POINT = bytes([1]) + bytes(31)
NON_CANONICAL = (2**255 - 19 + 1).to_bytes(32, "little")  # the same point as IDENTITY_POINT


def chance(seed: str) -> Callable[[int], bytes]:
    return lambda size: hashlib.shake_128(seed.encode()).digest(size)


@pytest.fixture
def alice() -> Identity:
    return Identity.generate(chance("alice"))


def test_the_peer_id_is_the_one_libp2p_computes() -> None:
    for seed in range(5):
        pair = create_new_key_pair(bytes([seed]) * 32)
        ours = Identity.generate(lambda size, seed=seed: bytes([seed]) * size)  # type: ignore[misc]
        assert ours.public_key == pair.public_key.to_bytes()
        assert ours.peer_id == ID.from_pubkey(pair.public_key).to_base58()


def test_an_identity_survives_storage(alice: Identity) -> None:
    assert Identity.from_bytes(alice.to_bytes()) == alice


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x92\x01", b"\x92\x01\xc4\x01a", b"\x93\x01\x01\x01"])
def test_damaged_identity_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IdentityError, match="damaged"):
        Identity.from_bytes(data)


def test_an_unknown_identity_version_is_refused_naming_both(alice: Identity) -> None:
    data = alice.to_bytes()
    with pytest.raises(IdentityError, match="version 9; this program reads 1"):
        Identity.from_bytes(data[:1] + b"\x09" + data[2:])


def test_no_secret_shows_in_a_repr(alice: Identity) -> None:
    seed = alice.key.to_bytes()
    assert seed.hex() not in repr(alice)
    assert repr(seed) not in repr(alice)
    assert alice.peer_id in repr(alice)


def test_a_binding_names_its_peer_and_needs_nothing_else(alice: Identity) -> None:
    assert verify_binding(alice.bind(LEAF_KEY, 2), LEAF_KEY, 2) == alice.peer_id


def test_a_binding_is_for_one_signature_key_and_one_suite(alice: Identity) -> None:
    """A credential copied onto another leaf must not bring its peer's name along."""
    binding = alice.bind(LEAF_KEY, 2)
    for signature_key, suite in ((LEAF_KEY, 3), (LEAF_KEY[:-1], 2), (LEAF_KEY + b"\0", 2), (b"", 2)):
        with pytest.raises(BindingError, match="has not signed"):
            verify_binding(binding, signature_key, suite)


def test_any_single_bit_flipped_is_refused(alice: Identity) -> None:
    binding = alice.bind(LEAF_KEY, 1)
    for at in range(len(binding) * 8):
        flipped = bytearray(binding)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(BindingError):
            verify_binding(bytes(flipped), LEAF_KEY, 1)


def test_a_peer_cannot_put_another_peers_key_into_its_binding(alice: Identity) -> None:
    mallory = Identity.generate(chance("mallory"))
    version, _, signature = msgspec.msgpack.decode(mallory.bind(LEAF_KEY, 1))
    with pytest.raises(BindingError, match="has not signed"):
        verify_binding(msgspec.msgpack.encode((version, alice.public_key, signature)), LEAF_KEY, 1)


def test_a_vote_or_another_signature_of_the_key_is_no_binding(alice: Identity) -> None:
    signature = alice.sign((1).to_bytes(2, "big") + LEAF_KEY)
    with pytest.raises(BindingError, match="has not signed"):
        verify_binding(msgspec.msgpack.encode((1, alice.public_key, signature)), LEAF_KEY, 1)


@pytest.mark.parametrize(
    ("identity", "complaint"),
    [
        (b"alice", "not a binding"),
        (b"", "not a binding"),
        (b"\xc0", "not a binding"),
        (b"\x83\x01\x01\x02\x02\x03\x03", "not a binding"),
        (msgspec.msgpack.encode((2, bytes(32), bytes(64))), "version 2; this program reads 1"),
        (msgspec.msgpack.encode((1, "x" * 32, bytes(64))), "must be bytes"),
        (msgspec.msgpack.encode((True, bytes(32), bytes(64))), "canonical"),
        (msgspec.msgpack.encode((1, bytes(31), bytes(64))), "usable"),
        (b"\x93\x01\xc5\x00\x20" + bytes(32) + b"\xc4\x40" + bytes(64), "canonical"),
        (bytes(1000), "too many"),
    ],
)
def test_an_identity_that_is_no_binding_says_why(identity: bytes, complaint: str) -> None:
    with pytest.raises(BindingError, match=complaint):
        verify_binding(identity, LEAF_KEY, 1)


def test_bytes_that_name_no_peer_are_no_binding_either() -> None:
    """They are looked at before anything is verified, and whoever does expects one error only."""
    for identity in (b"", b"alice", *(msgspec.msgpack.encode((1, bytes(size), b"")) for size in (0, 31, 33))):
        with pytest.raises(BindingError):
            claimed_peer(identity)


def test_keys_under_which_one_signature_fits_many_messages_are_refused(alice: Identity) -> None:
    """With a small-order key the signature (key, 0) verifies for a share of all messages: no evidence at all."""
    assert valid_vote_key(alice.public_key)
    for bad in (SMALL_ORDER, IDENTITY_POINT, NON_CANONICAL, bytes(32), b"\xff" * 32, bytes(31), bytes(33), b""):
        assert not valid_vote_key(bad)
        if len(bad) == 32:
            with pytest.raises(BindingError, match="not a usable"):
                verify_binding(msgspec.msgpack.encode((1, bad, IDENTITY_POINT + bytes(32))), LEAF_KEY, 1)


def test_the_node_key_signs_like_any_ed25519_key(alice: Identity) -> None:
    assert alice.sign(b"x") == ed25519_sign(ed25519_load(alice.key.to_bytes()), b"x")
    assert peer_id_of(alice.public_key) == alice.peer_id
