"""Contacts on running nodes: cards that travel, names that are ours, safety numbers, blocks."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api import contact_schema, schema
from node.api.contact_schema import ContactAddRequest, ContactRenameRequest, ContactRequest, ContactVerifyRequest
from node.api.errors import ErrorCode
from node.contacts import book, exchange, own
from node.contacts.cards import Place, card_from_text, make_card
from node.contacts.exchange import CARD_PROTOCOL
from node.intents import ADD, AddBody
from node.peer_messages import KEY_PACKAGE_PROTOCOL, KeyPackageRequest
from node.store_rows import PeerRow
from node.transport import RequestError, RequestFailure
from tests.node.contacts.people import NOTHING, Person, open_people, refused, until
from tests.node.world import SUITE


def later(person: Person, **changes: object) -> str:
    """A later card of somebody, which says something else."""
    context = person.member.node.context
    present = person.member.node.own_card.card
    said: dict[str, object] = {
        "serial": present.serial + 10,
        "name": present.name,
        "addresses": present.addresses,
        "mailboxes": (),
        "replicas": (),
        "suites": present.suites,
        "inbox_key": present.inbox_key,
        "now_s": present.issued_s,
    }
    return make_card(context.identity, **{**said, **changes}).to_text()  # type: ignore[arg-type]


async def test_a_card_makes_a_contact_and_both_see_the_same_numbers(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        known = await bob.meet(ada)
        assert (known.name, known.peer_id, known.is_verified, known.is_blocked) == ("ada", ada.peer_id, False, False)
        await ada.meet(bob)
        theirs = await ada.contact("bob")
        assert (known.safety_number, known.safety_words) == (theirs.safety_number, theirs.safety_words)
        assert [one.name for one in (await bob.service.contact_list(NOTHING)).contacts] == ["ada"]
        assert card_from_text(known.card) == ada.member.node.own_card.card


async def test_a_card_leads_to_somebody_never_met(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The addresses in it are dialled; nothing else was needed to be connected."""
    async with open_people(tmp_path, "ada") as (world, (ada,)):
        bob = Person(await world.member("bob", alone=True))
        assert ada.peer_id not in bob.member.node.context.transport.peers()
        await bob.meet(ada)
        await until(lambda: ada.peer_id in bob.member.node.context.transport.peers())
        assert (await bob.contact("ada")).is_connected


async def test_our_own_name_for_somebody_wins_everywhere(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.meet(bob, "Robert")
        await bob.meet(ada)
        await ada.found()
        assert (await ada.add(bob)).text == "added Robert"
        await bob.ends_in("lunch")
        await bob.say("hello")
        await ada.hears("hello")
        page = await ada.service.group_read(schema.GroupReadRequest(group="lunch"))
        assert page.messages[-1].sender_name == "Robert"
        assert {one.name for one in (await ada.group()).members} == {"ada", "Robert"}
        assert (await ada.contact("Robert")).claimed_name == "bob"
        await ada.service.contact_rename(ContactRenameRequest(contact="robert", name="Bobby"))
        assert {one.name for one in (await ada.group()).members} == {"ada", "Bobby"}
        await ada.service.peer_name(schema.PeerNameRequest(peer="Bobby", name="Rob"))
        assert (await ada.contact("Rob")).peer_id == bob.peer_id


async def test_two_people_never_have_one_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    """However the second writes it: the name in a card is the card's, and anybody can call themselves bob."""
    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        await ada.meet(bob)
        for name in ("bob", "BOB", "ｂｏｂ", " ada", "ADA"):
            error = await refused(
                ada.service.contact_add(ContactAddRequest(card=later(eve, name=name.strip()))), ErrorCode.NAME_TAKEN
            )
            assert "--name" in error.hint
        for name in ("#1", "~bob", "a:b", " bob", "bob ", "\u202ebob", eve.peer_id):
            await refused(ada.meet(eve, name), ErrorCode.BAD_REQUEST)
        await refused(ada.service.contact_add(ContactAddRequest(card=later(eve, name=""))), ErrorCode.BAD_REQUEST)
        assert (await ada.meet(eve, "other bob")).name == "other bob"
        await refused(
            ada.service.contact_rename(ContactRenameRequest(contact="other bob", name="Bob")), ErrorCode.NAME_TAKEN
        )


async def test_the_higher_serial_wins(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A card that was copied long ago takes nobody back to an old address."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.meet(bob)
        old = await bob.card()
        moved = later(bob, addresses=("/memory/elsewhere",))
        await ada.service.contact_add(ContactAddRequest(card=moved))
        assert (await ada.contact("bob")).addresses == (f"/memory/elsewhere/p2p/{bob.peer_id}",)
        await ada.service.contact_add(ContactAddRequest(card=old))
        assert (await ada.contact("bob")).addresses == (f"/memory/elsewhere/p2p/{bob.peer_id}",)
        assert len((await ada.service.contact_list(NOTHING)).contacts) == 1


async def test_an_expired_card_is_refused_of_the_new_and_shown_of_the_old(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_people(tmp_path, "ada", "bob", "cyn") as (_, (ada, bob, cyn)):
        error = await refused(
            ada.service.contact_add(ContactAddRequest(card=later(cyn, now_s=1_000_000_000))), ErrorCode.EXPIRED
        )
        assert error.message == "the card expired on 2002-09-09; ask cyn for a new one"
        known = await ada.meet(bob)
        expired = card_from_text(later(bob, now_s=1_000_000_000)).encode()
        store = ada.member.node.context.store
        row = store.contact(bob.peer_id)
        assert row is not None
        with store.transaction() as transaction:
            transaction.put_contact(replace(row, card=expired))
        shown = await ada.contact("bob")
        assert (shown.is_expired, known.is_expired) == (True, False)


async def test_what_changes_in_a_card_is_told_to_contacts(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected ones at once, others when they connect; nobody else."""
    async with open_people(tmp_path, "ada", "bob", "eve") as (world, (ada, bob, eve)):
        await ada.meet(bob)
        await bob.meet(ada)
        before = (await bob.contact("ada")).serial
        monkeypatch.setattr(own, "shareable", lambda addresses: (*addresses, "/memory/new"))
        with trio.fail_after(200):
            while (await bob.contact("ada")).serial == before:  # noqa: ASYNC110 - told within a minute
                await trio.sleep(1)
        assert f"/memory/new/p2p/{ada.peer_id}" in (await bob.contact("ada")).addresses
        with pytest.raises(RequestError) as caught:
            await eve.member.node.context.transport.request(
                ada.peer_id, CARD_PROTOCOL, card_from_text(await eve.card()).encode()
            )
        assert caught.value.kind is RequestFailure.REFUSED
        await bob.member.stop()
        monkeypatch.setattr(own, "shareable", lambda addresses: (*addresses, "/memory/newer"))
        await trio.sleep(exchange.REFRESH_S + 10)
        await bob.member.start()
        with trio.fail_after(200):
            while f"/memory/newer/p2p/{ada.peer_id}" not in (await bob.contact("ada")).addresses:  # noqa: ASYNC110
                await trio.sleep(1)
        assert world.members["bob"] is bob.member


async def test_a_contacts_card_is_its_own(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A contact that tells somebody else's card, or none, changes nothing."""
    async with open_people(tmp_path, "ada", "bob", "cyn") as (_, (ada, bob, cyn)):
        await ada.meet(bob)
        await ada.meet(cyn)
        before = await ada.contact("cyn")
        for payload in (card_from_text(later(cyn)).encode(), b"", b"\xff" * 100, bytes(5000)):
            with pytest.raises(RequestError) as caught:
                await bob.member.node.context.transport.request(ada.peer_id, CARD_PROTOCOL, payload)
            assert caught.value.kind is RequestFailure.REFUSED
        assert (await ada.contact("cyn")).serial == before.serial


async def test_a_verification_holds_until_the_contact_is_removed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        await ada.meet(bob)
        await ada.meet(eve)
        theirs = await bob.meet(ada)
        for wrong in ((await ada.contact("eve")).safety_number, (await ada.contact("eve")).safety_words):
            error = await refused(
                ada.service.contact_verify(ContactVerifyRequest(contact="bob", code=wrong)), ErrorCode.MISMATCH
            )
            assert "one of you has another's card" in error.message
        await refused(
            ada.service.contact_verify(ContactVerifyRequest(contact="bob", code="12345")), ErrorCode.BAD_REQUEST
        )
        assert not (await ada.contact("bob")).is_verified
        verified = await ada.service.contact_verify(ContactVerifyRequest(contact="bob", code=theirs.safety_words))
        assert verified.is_verified
        await ada.service.contact_add(ContactAddRequest(card=later(bob, addresses=())))
        await ada.service.contact_rename(ContactRenameRequest(contact="bob", name="Bobby"))
        assert (await ada.contact("Bobby")).is_verified
        await ada.member.stop()
        await ada.member.start()
        assert (await ada.contact("Bobby")).is_verified
        await ada.service.contact_remove(ContactRequest(contact="Bobby"))
        assert not (await ada.meet(bob)).is_verified
        asked = await ada.service.contact_verify(ContactVerifyRequest(contact="bob"))
        assert not asked.is_verified, "who only looks has not compared"
        assert (await ada.service.contact_verify(ContactVerifyRequest(contact="bob", matches=True))).is_verified


async def test_a_blocked_peer_gets_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """No connection, no key package, no Welcome, and no dial from us; across a restart too."""
    async with open_people(tmp_path, "ada", "eve", accept="anyone") as (_, (ada, eve)):
        await ada.meet(eve)
        await eve.meet(ada)
        transport = eve.member.node.context.transport
        package = await eve.member.node.key_package_of(ada.peer_id, SUITE)
        await eve.found("trap")
        blocked = await ada.service.contact_block(ContactRequest(contact="eve"))
        assert blocked.is_blocked
        await until(lambda: ada.peer_id not in transport.peers())
        for again in (False, True):
            if again:
                await ada.member.stop()
                await ada.member.start(alone=True)
            await eve.member.node.connect(ada.member.address)
            with pytest.raises(RequestError) as caught:
                await transport.request(ada.peer_id, KEY_PACKAGE_PROTOCOL, KeyPackageRequest(SUITE).encode())
            assert caught.value.kind in (
                RequestFailure.REFUSED,
                RequestFailure.NOT_CONNECTED,
                RequestFailure.BROKEN,
            )
            await until(lambda: ada.peer_id not in transport.peers())
            await refused(ada.service.connect(schema.ConnectRequest(address=eve.member.address)), ErrorCode.BLOCKED)
        await eve.member.change(ADD, AddBody(ada.peer_id, package).encode())
        await trio.sleep(60)
        assert await ada.groups() == []
        await refused(ada.service.contact_add(ContactAddRequest(card=await eve.card())), ErrorCode.BLOCKED)
        await refused(ada.service.contact_remove(ContactRequest(contact="eve")), ErrorCode.BLOCKED)
        await ada.service.contact_unblock(ContactRequest(contact="eve"))
        await ada.ends_in("trap")


async def test_a_stranger_is_blocked_by_its_id(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "eve") as (_, (ada, eve)):
        await ada.service.contact_block(ContactRequest(contact=eve.peer_id))
        (listed,) = (await ada.service.contact_list(NOTHING)).contacts
        assert (listed.name, listed.peer_id, listed.is_blocked, listed.card) == ("", eve.peer_id, True, "")
        await refused(ada.service.contact_verify(ContactVerifyRequest(contact=eve.peer_id)), ErrorCode.REFUSED)
        await ada.service.contact_unblock(ContactRequest(contact=eve.peer_id))
        assert (await ada.service.contact_list(NOTHING)).contacts == ()
        await refused(ada.service.contact_block(ContactRequest(contact="nobody")), ErrorCode.BAD_REQUEST)


async def test_who_is_forgotten_is_not_dialled_unless_we_share_a_group(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_people(tmp_path, "ada", "bob", "cyn") as (_, (ada, bob, cyn)):
        for other in (bob, cyn):
            await ada.meet(other)
            await other.meet(ada)
        await ada.found()
        await ada.add(bob)
        await bob.ends_in("lunch")
        for name in ("bob", "cyn"):
            await ada.service.contact_remove(ContactRequest(contact=name))
        store = ada.member.node.context.store
        assert store.peer(cyn.peer_id) is None
        known = store.peer(bob.peer_id)
        assert known is not None
        assert known.addresses
        await refused(ada.contact("bob"), ErrorCode.CONTACT_NOT_FOUND)


async def test_contacts_are_bounded(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "CONTACTS_MAX", 1)
    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        await ada.meet(bob)
        await refused(ada.meet(eve), ErrorCode.REFUSED)
        await refused(ada.service.contact_block(ContactRequest(contact=eve.peer_id)), ErrorCode.REFUSED)
        await ada.service.contact_add(ContactAddRequest(card=later(bob)))


async def test_our_own_card_grows_and_only_when_it_has_to(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada") as (_, (ada,)):
        first = await ada.card()
        assert await ada.card() == first
        await ada.member.stop()
        await ada.member.start()
        assert await ada.card() == first
        ada.member.node.own_card.mailboxes = (card_places(ada),)
        second = card_from_text(await ada.card())
        assert second.serial > card_from_text(first).serial
        assert second.inbox_key == card_from_text(first).inbox_key
        await refused(ada.service.contact_add(ContactAddRequest(card=first)), ErrorCode.BAD_REQUEST)


def card_places(person: Person) -> Place:
    return Place(person.member.node.context.identity.public_key, ())


@pytest.mark.parametrize(
    ("told", "listed"),
    [
        (("/ip4/192.168.1.7/tcp/1", "/ip4/127.0.0.1/tcp/1"), ("/ip4/192.168.1.7/tcp/1",)),
        (("/ip4/127.0.0.1/tcp/1",), ("/ip4/127.0.0.1/tcp/1",)),
        (("/ip6/::1/tcp/1", "/dns/a.example/tcp/1"), ("/dns/a.example/tcp/1",)),
        ((), ()),
    ],
)
def test_only_who_has_no_other_address_tells_the_loopback(told: tuple[str, ...], listed: tuple[str, ...]) -> None:
    assert own.shareable(told) == listed


async def test_a_name_given_before_stays(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        with ada.member.node.context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(bob.peer_id, (), "boss"))
        assert (await ada.meet(bob)).name == "boss"


async def test_a_bad_card_is_told_from_a_mistyped_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        card = await bob.card()
        await refused(ada.service.contact_add(ContactAddRequest(card=card[:-3])), ErrorCode.MISTYPED)
        await refused(ada.service.contact_add(ContactAddRequest(card="hello")), ErrorCode.BAD_REQUEST)
        assert isinstance(await ada.meet(bob), contact_schema.Contact)
