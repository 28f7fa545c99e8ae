"""Contact cards: one encoding, nobody else's signature, every bound before anything is built."""

import os
import random

import msgspec
import pytest
from msgspec.structs import replace

from mls import suite
from node.contacts.cards import (
    ADDRESS_SIZE_MAX,
    ADDRESSES_MAX,
    CARD_SIZE_MAX,
    INBOX_SUITE,
    NAME_SIZE_MAX,
    PLACE_ADDRESSES_MAX,
    PLACES_MAX,
    SUITES_MAX,
    Card,
    CardError,
    CardExpiredError,
    Place,
    card_from_text,
    check_current,
    make_card,
    open_card,
)
from node.contacts.text import TEXT_SIZE_MAX, MistypedError, TextError, from_text, to_text
from node.identity import Identity
from node.peer_id import peer_id_of

NOW_S = 1_800_000_000
ADA = Identity.generate(os.urandom)
BOX = Place(Identity.generate(os.urandom).public_key, ("/ip4/192.0.2.9/tcp/4840",))
INBOX = suite(INBOX_SUITE).generate_hpke_key(os.urandom).public


def card_of(identity: Identity = ADA, **changes: object) -> Card:
    """A card with something in every field."""
    said: dict[str, object] = {
        "serial": 7,
        "name": "ada",
        "addresses": (f"/ip4/192.0.2.7/tcp/4840/p2p/{identity.peer_id}", "/dns/ada.example/tcp/4840"),
        "mailboxes": (BOX,),
        "replicas": (),
        "suites": (1, 61520),
        "inbox_key": INBOX,
        "now_s": NOW_S,
    }
    return make_card(identity, **{**said, **changes})  # type: ignore[arg-type]


def test_a_card_survives_the_way_to_another_node() -> None:
    """By text, which is what people copy; spaces, line breaks and brackets come along."""
    card = card_of()
    text = card.to_text()
    assert card_from_text(text) == card
    assert card_from_text(f" <{text[:40]}\n  {text[40:]}>. ") == card
    assert card.peer_id == ADA.peer_id
    assert card.dial == (
        f"/ip4/192.0.2.7/tcp/4840/p2p/{ADA.peer_id}",
        f"/dns/ada.example/tcp/4840/p2p/{ADA.peer_id}",
    )
    assert card.replicas == ()
    assert BOX.dial == (f"/ip4/192.0.2.9/tcp/4840/p2p/{peer_id_of(BOX.public_key)}",)


@pytest.mark.parametrize(
    "changed",
    [
        {"serial": 8},
        {"name": "bob"},
        {"addresses": ("/ip4/203.0.113.1/tcp/1",)},
        {"mailboxes": ()},
        {"replicas": (BOX,)},
        {"suites": (1,)},
        {"inbox_key": bytes(31) + b"\x09"},
        {"issued_s": NOW_S - 1},
        {"expires_s": NOW_S + 2**32},
        {"public_key": Identity.generate(os.urandom).public_key},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_change_by_anybody_else_is_refused(changed: dict[str, object]) -> None:
    """Each field is signed: who could move a mailbox would get somebody's mail."""
    with pytest.raises(CardError, match="not signed"):
        open_card(replace(card_of(), **changed).encode())


def test_a_list_cannot_lend_its_items_to_the_next_one() -> None:
    """Each list is signed behind its length."""
    card = card_of(mailboxes=(), replicas=(BOX,))
    with pytest.raises(CardError, match="not signed"):
        open_card(replace(card, mailboxes=(BOX,), replicas=()).encode())


def test_every_flipped_byte_is_refused() -> None:
    data = card_of().encode()
    for place in range(len(data)):
        with pytest.raises(CardError):
            open_card(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_another_version_is_refused_with_both_named() -> None:
    data = bytearray(card_of().encode())
    data[1] = 2
    with pytest.raises(CardError, match=r"version 2; this node reads version 1"):
        open_card(bytes(data))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (1, 0),
        (1, 2**63),
        (2, bytes(31)),
        (3, "é" * (NAME_SIZE_MAX // 2 + 1)),
        (3, "right\u202eleft"),
        (3, "two\nlines"),
        (4, ["/ip4/192.0.2.7/tcp/1"] * 2),
        (4, [f"/ip4/192.0.2.{number}/tcp/1" for number in range(ADDRESSES_MAX + 1)]),
        (4, ["/" + "x" * ADDRESS_SIZE_MAX]),
        (4, ["ip4"]),
        (4, ["/ip4/192.0.2.7/tcp/1\n"]),
        (4, ["/ip4/192.0.2.7/tcp/1 "]),
        (4, [f"/ip4/192.0.2.7/tcp/1/p2p/{ADA.peer_id}"]),
        (5, [[1, bytes([number]) * 32, []] for number in range(PLACES_MAX + 1)]),
        (5, [[1, BOX.public_key, []], [1, BOX.public_key, ["/ip4/192.0.2.7/tcp/1"]]]),
        (6, [[1, BOX.public_key, [f"/ip4/192.0.2.{each}/tcp/1" for each in range(PLACE_ADDRESSES_MAX + 1)]]]),
        (6, [[2, BOX.public_key, []]]),
        (7, list(range(1, SUITES_MAX + 2))),
        (7, [0]),
        (8, bytes(33)),
        (10, NOW_S),
        (11, bytes(63)),
    ],
)
def test_what_is_out_of_bounds_is_refused(field: int, value: object) -> None:
    """Whatever its signature says; a signer can sign anything."""
    fields = msgspec.msgpack.decode(card_of().encode())
    fields[field] = value
    with pytest.raises(CardError, match="not a contact card"):
        open_card(msgspec.msgpack.encode(fields))


def test_a_length_that_is_not_there_is_not_believed() -> None:
    """Four billion addresses in a hundred bytes: refused before anything is made room for."""
    head = card_of().encode()
    place = head.index(b"\xa0" if b"\x92\xb7" not in head else b"\x92\xb7")
    for huge in (b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"):
        with pytest.raises(CardError):
            open_card(head[:place] + huge + head[place + 1 :])
    with pytest.raises(CardError, match=f"at most {CARD_SIZE_MAX}"):
        open_card(b"\x9c" + bytes(CARD_SIZE_MAX))


def test_noise_is_no_card() -> None:
    rng = random.Random(5)
    good = card_of().encode()
    for _ in range(2_000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        noise = bytes(data[: rng.randrange(len(data) + 1)]) if rng.random() < 0.5 else rng.randbytes(rng.randrange(80))
        if noise != good:
            with pytest.raises(CardError):
                open_card(noise)


def test_the_largest_card_fits() -> None:
    """Of what is too much the first are taken, so that a node can always speak of itself."""
    places = [Place(Identity.generate(os.urandom).public_key, ("/" + "x" * 127, "/" + "y" * 127)) for _ in range(5)]
    card = card_of(
        name="é" * 70,
        addresses=[f"/{number}" + "z" * 126 for number in range(6)] + ["/" + "q" * 200],
        mailboxes=places,
        replicas=places,
        suites=range(1, 60),
    )
    assert len(card.encode()) <= CARD_SIZE_MAX
    assert len(card.to_text()) <= TEXT_SIZE_MAX
    assert card_from_text(card.to_text()) == card
    assert (len(card.addresses), len(card.mailboxes), len(card.suites)) == (ADDRESSES_MAX, PLACES_MAX, SUITES_MAX)


def test_an_expired_card_says_when_and_whom_to_ask() -> None:
    card = card_of()
    check_current(card, card.expires_s - 1)
    with pytest.raises(CardExpiredError, match=r"expired on 2028-01-15; ask ada for a new one"):
        check_current(card, card.expires_s)


def test_a_mistyped_card_is_told_from_a_bad_one() -> None:
    """One wrong or missing character is a copying mistake, and nothing else is called one."""
    text = card_of().to_text()
    for place in (20, len(text) // 2, len(text) - 1):
        wrong = "A" if text[place] != "A" else "B"
        with pytest.raises(MistypedError, match="copy all of it again"):
            card_from_text(text[:place] + wrong + text[place + 1 :])
    for size in range(len("conclave:card:"), len(text)):
        with pytest.raises(MistypedError):
            card_from_text(text[:size])
    with pytest.raises(MistypedError):
        card_from_text(text.replace("card:", "crad:"))
    foreign = replace(card_of(), serial=9)
    with pytest.raises(CardError, match="not signed"):
        card_from_text(foreign.to_text())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "it should begin with conclave:card:"),
        ("", "it should begin with"),
        (to_text("invite", b"x"), "this is an invite, not a contact card: `conclave group join` takes it"),
        ("conclave:card:" + "A" * TEXT_SIZE_MAX, "characters"),
    ],
)
def test_what_is_something_else_is_named(text: str, says: str) -> None:
    with pytest.raises(TextError, match=says):
        from_text("card", text)


def test_nothing_of_the_form_decides_but_the_signature() -> None:
    """A card of another node's key, in good form, signed by somebody else."""
    mallory = Identity.generate(os.urandom)
    stolen = replace(card_of(mallory), public_key=ADA.public_key)
    with pytest.raises(CardError, match="not signed"):
        open_card(stolen.encode())
    with pytest.raises(CardError, match="no usable Ed25519 key"):
        open_card(replace(card_of(), public_key=bytes(32)).encode())


def test_what_changed_is_seen_whatever_the_serial() -> None:
    card = card_of()
    assert card.says_the_same(card_of(serial=9, now_s=NOW_S + 5))
    assert not card.says_the_same(card_of(name="eve"))
