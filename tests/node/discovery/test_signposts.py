"""Signposts: only their own node can make them, and who keeps them learns no name."""

import os

import msgspec
import pytest

from mls import aead_seal, suite
from node.contacts.cards import (
    ADDRESS_SIZE_MAX,
    ADDRESSES_MAX,
    CARD_SIZE_MAX,
    INBOX_SUITE,
    PLACE_ADDRESSES_MAX,
    PLACES_MAX,
    Place,
    make_card,
)
from node.discovery.signposts import (
    CLOCK_SKEW_S,
    LIFETIME_S,
    SEAL_LABEL,
    SIGNPOST_LIFETIME_MAX,
    SIGNPOST_SIZE_MAX,
    Signpost,
    SignpostError,
    make_signpost,
    open_signpost,
)
from ordering import digest
from tests.node.discovery.cards import NOW_S, Somebody

HERE = "/ip4/192.0.2.7/tcp/4840"


def test_who_had_a_card_before_finds_the_new_one_inside() -> None:
    ada = Somebody("ada")
    signpost = open_signpost(ada.signpost(HERE, serial=7).encode(), NOW_S)
    assert (signpost.peer_id, signpost.dial) == (ada.peer_id, (f"{HERE}/p2p/{ada.peer_id}",))
    assert signpost.card(ada.inbox.public) == ada.card(HERE, serial=7)


def test_who_had_none_sees_a_key_and_addresses() -> None:
    """Neither the name nor the key that the seal is made of stands in it, and names of any length look alike."""
    ada, other = Somebody("ada-of-the-long-name"), Somebody()
    data = ada.signpost(HERE).encode()
    assert b"ada" not in data
    assert ada.inbox.public not in data
    assert Signpost.decode(data).card(other.inbox.public) is None
    ada.name = "a"
    assert len(ada.signpost(HERE).encode()) == len(data)


def test_any_single_byte_flipped_is_refused() -> None:
    data = Somebody().signpost(HERE).encode()
    for index in range(len(data)):
        bent = bytearray(data)
        bent[index] ^= 1
        with pytest.raises(SignpostError):
            open_signpost(bytes(bent), NOW_S)


def test_one_that_is_expired_or_from_the_future_is_refused() -> None:
    data = Somebody().signpost(HERE).encode()
    for now_s in (NOW_S + LIFETIME_S, NOW_S - CLOCK_SKEW_S - 1):
        with pytest.raises(SignpostError, match="expired, or from the future"):
            open_signpost(data, now_s)


def test_nobody_says_where_they_are_for_longer_than_two_days() -> None:
    somebody = Somebody()
    with pytest.raises(ValueError, match="good for at most"):
        make_signpost(somebody.identity, somebody.card(), NOW_S, SIGNPOST_LIFETIME_MAX + 1)


def test_a_card_of_somebody_else_inside_is_none() -> None:
    """Who knows an inbox key can seal for it, but not another's card in place of the owner's."""
    ada, eve = Somebody("ada"), Somebody("eve")
    eve.inbox = ada.inbox
    foreign = msgspec.structs.replace(ada.signpost(HERE), sealed_card=eve.signpost(HERE).sealed_card)
    assert foreign.card(ada.inbox.public) is None

    content = eve.card(HERE).encode()
    padded = (len(content).to_bytes(2, "big") + content).ljust(512, b"\0")
    key, nonce = digest(SEAL_LABEL, ada.inbox.public), bytes(12)
    sealed = nonce + aead_seal(key, nonce, padded, ada.identity.public_key)
    assert msgspec.structs.replace(foreign, sealed_card=sealed).card(ada.inbox.public) is None


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(28), bytes(600)])
def test_a_seal_that_is_none_opens_to_nothing(sealed: bytes) -> None:
    ada = Somebody()
    assert msgspec.structs.replace(ada.signpost(HERE), sealed_card=sealed).card(ada.inbox.public) is None


def test_the_largest_card_fits() -> None:
    somebody = Somebody("n" * 64)
    longest = [f"/dns4/{index}".ljust(ADDRESS_SIZE_MAX, "x") for index in range(ADDRESSES_MAX)]
    places = [Place(Somebody().identity.public_key, tuple(longest[:PLACE_ADDRESSES_MAX])) for _ in range(PLACES_MAX)]
    card = make_card(
        somebody.identity,
        serial=2**62,
        name=somebody.name,
        addresses=longest,
        mailboxes=places,
        replicas=places,
        suites=range(1, 33),
        inbox_key=suite(INBOX_SUITE).generate_hpke_key(os.urandom).public,
        now_s=NOW_S,
    )
    assert len(card.encode()) <= CARD_SIZE_MAX
    data = make_signpost(somebody.identity, card, NOW_S).encode()
    assert len(data) <= SIGNPOST_SIZE_MAX
    assert open_signpost(data, NOW_S).card(card.inbox_key) == card
