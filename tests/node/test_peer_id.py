"""Peer ids computed without libp2p are those libp2p computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.peer_id import PeerIdError, peer_id_of, public_key_of

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS)
def test_a_peer_id_and_its_public_key_say_the_same(public_key: bytes) -> None:
    peer_id = peer_id_of(public_key)
    assert peer_id.startswith("12D3KooW")
    assert public_key_of(peer_id) == public_key


@given(KEYS, st.integers(0, 51), st.sampled_from("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"))
def test_an_altered_peer_id_never_names_the_same_key(public_key: bytes, at: int, character: str) -> None:
    peer_id = peer_id_of(public_key)
    altered = peer_id[:at] + character + peer_id[at + 1 :]
    try:
        other = public_key_of(altered)
    except PeerIdError:
        return
    assert (other == public_key) == (altered == peer_id)


@pytest.mark.parametrize("text", ["", "0", "1", "1" * 52, "12D3KooW", "Qm" + "a" * 44, "z" * 64, "z" * 65, "é" * 52])
def test_text_that_is_no_peer_id_is_refused(text: str) -> None:
    with pytest.raises(PeerIdError):
        public_key_of(text)


def test_leading_ones_are_not_a_second_spelling() -> None:
    """Two spellings of one peer would be two peers to every table that is keyed by text."""
    peer_id = peer_id_of(bytes(32))
    with pytest.raises(PeerIdError):
        public_key_of("1" + peer_id)


def test_a_key_of_another_size_has_no_peer_id() -> None:
    with pytest.raises(PeerIdError):
        peer_id_of(bytes(33))
