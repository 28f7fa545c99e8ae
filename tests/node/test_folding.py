"""Offers of intents: what is believed, what is kept, and in what order it is carried along."""

import contextlib
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls import PublicGroup
from node.folding import (
    AUTHORS_MAX,
    DISTRUST_EPOCHS,
    OFFER_SIZE_MAX,
    OFFERED_MAX,
    OFFERS_PER_EPOCH_MAX,
    Book,
    Offer,
    SharedIntent,
    offered,
)
from ordering import MalformedError

INSTANCE = bytes(32)
GROUP_ID = b"group"


class FakeSuite:
    """A signature is good when it names its key."""

    def verify_with_label(self, key: bytes, label: str, message: bytes, signature: bytes) -> bool:
        return signature == key + message


class FakeGroup:
    """The little of a public group that a book looks at."""

    suite = FakeSuite()

    def __init__(self, epoch: int = 1, **keys: bytes) -> None:
        self.epoch = epoch
        self.keys = {leaf: bytes([leaf % 256]) for leaf in range(300)} | {
            int(leaf[1:]): key for leaf, key in keys.items()
        }

    def leaf(self, leaf: int) -> Any:
        key = self.keys.get(leaf)
        return type("Leaf", (), {"signature_key": key}) if key else None


def group(epoch: int = 1, **keys: bytes) -> PublicGroup:
    return FakeGroup(epoch, **keys)  # type: ignore[return-value]


def wish(number: int, body: bytes = b"body") -> SharedIntent:
    return SharedIntent(number.to_bytes(16, "big"), "add", body)


def offer(author: int, serial: int, *wishes: SharedIntent, key: bytes | None = None) -> Offer:
    unsigned = Offer(INSTANCE, author, serial, wishes)
    signature = (bytes([author % 256]) if key is None else key) + unsigned.signed_bytes
    return Offer(INSTANCE, author, serial, wishes, signature)


def book(epoch: int = 1) -> Book:
    opened = Book()
    opened.turn(group(epoch))
    return opened


def numbers(opened: Book) -> list[int]:
    return [int.from_bytes(each.intent_id, "big") for each in opened.wanted(GROUP_ID)]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_an_offer_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert Offer.decode(data).encode() == data


def test_every_field_is_signed() -> None:
    first = offer(1, 1, wish(1), wish(2))
    others = [
        Offer(os.urandom(32), 1, 1, first.intents),
        Offer(INSTANCE, 2, 1, first.intents),
        Offer(INSTANCE, 1, 2, first.intents),
        Offer(INSTANCE, 1, 1, (wish(1),)),
        Offer(INSTANCE, 1, 1, (wish(2), wish(1))),
        Offer(INSTANCE, 1, 1, (wish(1), wish(2, b"other"))),
    ]
    assert len({each.signed_bytes for each in (first, *others)}) == 7


def test_only_a_members_own_signature_is_believed() -> None:
    opened = book()
    assert not opened.take(group(), offer(1, 1, wish(1), key=b"x"))
    assert not opened.take(group(), offer(400, 1, wish(1)))
    assert not opened.take(group(), offer(1, 1, wish(1), wish(1)))  # one thing twice
    assert opened.wanted(GROUP_ID) == ()


def test_the_latest_offer_replaces_what_came_before() -> None:
    opened = book()
    assert opened.take(group(), offer(1, 5, wish(1), wish(2)))
    assert not opened.take(group(), offer(1, 5, wish(3)))
    assert not opened.take(group(), offer(1, 4, wish(3)))
    assert opened.take(group(), offer(1, 6, wish(2)))
    assert numbers(opened) == [2]


def test_an_offer_counts_in_its_epoch_and_the_next_only() -> None:
    """What was granted long ago must not be played again."""
    opened = book()
    opened.take(group(), offer(1, 1, wish(1)))
    opened.turn(group(2))
    assert numbers(opened) == [1]
    opened.turn(group(3))
    assert numbers(opened) == []


def test_who_has_left_wants_nothing_any_more() -> None:
    """Nor does who sits on that leaf now want what its former member did."""
    for key in (b"", b"another's"):
        opened = book()
        opened.take(group(), offer(1, 1, wish(1)))
        opened.turn(group(2, _1=key))
        assert numbers(opened) == []


def test_a_flood_fills_its_own_page_only() -> None:
    opened = book()
    for serial in range(2 * OFFERS_PER_EPOCH_MAX):
        opened.take(group(), offer(1, serial, *(wish(1000 * serial + each) for each in range(OFFERED_MAX))))
    assert opened.take(group(), offer(2, 1, wish(7)))
    assert len(numbers(opened)) == 1 + OFFERED_MAX
    assert numbers(opened).index(7) <= 1, "one of each, before a second of anybody"
    assert not opened.take(group(), offer(1, 10**6, wish(3))), "so many offers are read in an epoch"
    opened.turn(group(2))
    assert opened.take(group(2), offer(1, 10**6, wish(3)))


def test_a_repeated_offer_is_no_news_and_never_too_much() -> None:
    """It is repeated for whoever missed it, for as long as the epoch lasts."""
    opened = book()
    assert opened.take(group(), offer(1, 0, wish(1)))
    assert not any(opened.take(group(), offer(1, serial, wish(1))) for serial in range(1, 3 * OFFERS_PER_EPOCH_MAX))
    assert opened.take(group(), offer(1, 1000, wish(1), wish(2)))


def test_what_is_too_much_is_refused() -> None:
    opened = book()
    with pytest.raises(MalformedError):
        Offer.decode(offer(1, 1, *map(wish, range(OFFERED_MAX + 1))).encode())
    half = bytes(OFFER_SIZE_MAX // 2 + 1)
    assert not opened.take(group(), offer(1, 1, wish(1, half), wish(2, half)))
    for author in range(AUTHORS_MAX + 10):
        opened.take(group(), offer(author, 1, wish(author)))
    assert len(numbers(opened)) <= AUTHORS_MAX


def test_who_has_waited_longest_goes_first() -> None:
    """By when we first heard of it, not by what its author says; repeating an offer does not make it younger."""
    opened = book()
    opened.take(group(), offer(1, 1, wish(1)))
    opened.turn(group(2))
    for author in range(2, 20):
        opened.take(group(2), offer(author, 1, wish(author)))
    opened.take(group(2), offer(1, 2, wish(1)))
    assert numbers(opened)[0] == 1


def test_whoever_spoils_a_commit_is_left_out_for_a_while() -> None:
    opened = book()
    opened.take(group(), offer(1, 1, wish(1)))
    opened.distrust(1)
    assert numbers(opened) == []
    assert not opened.take(group(), offer(1, 2, wish(1)))
    for epoch in range(2, 2 + DISTRUST_EPOCHS):
        opened.turn(group(epoch))
    assert opened.take(group(1 + DISTRUST_EPOCHS), offer(1, 3, wish(1)))


def test_an_own_offer_takes_what_fits() -> None:
    big = bytes(OFFER_SIZE_MAX // 2)
    assert offered([wish(1, big), wish(2, big), wish(3, big), wish(4, b"")]) == (
        wish(1, big),
        wish(2, big),
        wish(4, b""),
    )
    assert len(offered(map(wish, range(100)))) == OFFERED_MAX
