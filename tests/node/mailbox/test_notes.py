"""Notes to one person: who may leave them, who may read them, and a Welcome that waits for who sleeps."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import ed25519_generate, suite
from node.config import MailboxSection
from node.contacts.cards import INBOX_SUITE
from node.contacts.rows import ContactRow
from node.intents import ADD, DONE, AddBody
from node.mailbox import inboxes
from node.mailbox.admission import LOOK_GAP_S
from node.mailbox.notes import (
    COLLECT_PROTOCOL,
    INBOX_PROTOCOL,
    NOTE_PROTOCOL,
    Collect,
    CollectReply,
    InboxChallenge,
    InboxRequest,
    Note,
    NoteKind,
    NoteReply,
    inbox_topic,
    open_challenge,
    open_note,
    seal_challenge,
    seal_note,
    week_of,
)
from node.mailbox.sealing import is_padded, item_id
from node.transport import RequestError, RequestFailure
from node.transport_memory import open_memory_network
from ordering import MalformedError, Policy
from tests.node.mailbox.boxes import Box, open_box
from tests.node.mailbox.world import mailboxes, stored, texts, use
from tests.node.world import SUITE, Member, World, open_world, until

CIPHER = suite(INBOX_SUITE)
KEY, OTHER = CIPHER.generate_hpke_key(os.urandom), CIPHER.generate_hpke_key(os.urandom)


@pytest.mark.parametrize("size", [0, 1, 400, 1000, 70_000])
def test_a_note_is_for_one_key_and_of_a_padded_size(size: int) -> None:
    """Two of the same content do not even look alike."""
    body = os.urandom(size)
    item = seal_note(KEY.public, NoteKind.WELCOME, body, os.urandom)
    assert open_note(KEY, item) == (NoteKind.WELCOME, body)
    assert is_padded(len(item))
    assert item != seal_note(KEY.public, NoteKind.WELCOME, body, os.urandom)
    for false in (item[:-1], item + b"\0", bytes(len(item)), b""):
        with pytest.raises(MalformedError):
            open_note(KEY, false)
    with pytest.raises(MalformedError):
        open_note(OTHER, item)


def test_a_challenge_is_of_one_mailbox() -> None:
    """Or a mailbox could pass on another's, and read there in the owner's name."""
    one, two = (ed25519_generate(os.urandom).public for _ in range(2))
    sealed = seal_challenge(KEY.public, one, bytes(16), os.urandom)
    assert open_challenge(KEY, one, sealed) == bytes(16)
    with pytest.raises(MalformedError):
        open_challenge(KEY, two, sealed)
    with pytest.raises(MalformedError):
        open_challenge(OTHER, one, sealed)


async def test_only_the_holder_of_the_key_collects(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Anybody leaves; the owner shows the challenge that only it could open, on the connection it was given to."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        eve = network.add("eve")
        week = week_of(box.now_ms)
        items = [seal_note(KEY.public, NoteKind.WELCOME, bytes([number]), os.urandom) for number in range(3)]

        async def ask(protocol: str, payload: bytes, persona: bytes) -> bytes:
            return await eve.request_unnamed(box.address, protocol, payload, persona=persona)

        for item in items:
            reply = await ask(NOTE_PROTOCOL, Note(inbox_topic(KEY.public, week), item).encode(), os.urandom(32))
            assert NoteReply.decode(reply).is_kept
        one, two = os.urandom(32), os.urandom(32)
        sealed = InboxChallenge.decode(await ask(INBOX_PROTOCOL, InboxRequest(KEY.public).encode(), one)).sealed
        challenge = open_challenge(KEY, box.identity.public_key, sealed)
        question = Collect(KEY.public, challenge, (week,), ())
        with pytest.raises(RequestError) as caught:
            await ask(COLLECT_PROTOCOL, question.encode(), two)
        assert caught.value.kind is RequestFailure.REFUSED
        with pytest.raises(RequestError):
            await ask(COLLECT_PROTOCOL, Collect(OTHER.public, challenge, (week,), ()).encode(), one)
        found = CollectReply.decode(await ask(COLLECT_PROTOCOL, question.encode(), one)).items
        assert set(found) == set(items)
        had = Collect(KEY.public, challenge, (week,), tuple(map(item_id, found)))
        assert CollectReply.decode(await ask(COLLECT_PROTOCOL, had.encode(), one)).items == ()
        assert box.store.ids(inbox_topic(KEY.public, week)) == []


async def test_an_inbox_is_bounded(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full one takes nothing more; what is there stays, and other inboxes do not notice."""
    monkeypatch.setattr(inboxes, "NOTES_MAX", 3)
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        eve, week = network.add("eve"), week_of(box.now_ms)

        async def leave(box: Box, key: bytes) -> bool:
            note = Note(inbox_topic(key, week), seal_note(key, NoteKind.WELCOME, os.urandom(9), os.urandom))
            reply = await eve.request_unnamed(box.address, NOTE_PROTOCOL, note.encode(), persona=bytes(32))
            return NoteReply.decode(reply).is_kept

        assert [await leave(box, KEY.public) for _ in range(5)] == [True, True, True, False, False]
        assert await leave(box, OTHER.public)


async def test_notes_are_kept_for_contacts_only_if_the_operator_wants_it_so(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """An inbox is told by the card of its owner; who leaves a note nobody can tell. Groups are served all the same."""
    async with open_world(tmp_path) as world:
        world.mailbox = MailboxSection(serve=True, admit="contacts")
        box = await world.member("box", alone=True)
        use(world, [box])
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await ada.session.send("hello")
        await until(lambda: stored(ada, "hello") == 1)

        async def leave(member: Member) -> int:
            return await ada.node.post.leave(member.node.own_card.card, NoteKind.WELCOME, b"note")

        know(box, bob, "bob")
        await trio.sleep(LOOK_GAP_S)
        assert await leave(bob) == 1
        box.node.contacts.acquaint(ada.node.own_card.card)
        await trio.sleep(LOOK_GAP_S)
        assert await leave(ada) == 0, "whom its user has met and never named is no contact"
        know(box, ada, "ada")
        await trio.sleep(LOOK_GAP_S)
        assert await leave(ada) == 1
        blocked = blocked_row(box, bob)
        with box.node.context.store.transaction() as transaction:
            transaction.put_contact(blocked)
        await trio.sleep(LOOK_GAP_S)
        assert await leave(bob) == 0


def blocked_row(member: Member, other: Member) -> ContactRow:
    """The same contact, blocked."""
    row = member.node.context.store.contact(other.peer_id)
    assert row is not None
    return replace(row, blocked=True)


def know(member: Member, other: Member, name: str) -> None:
    """Have somebody's card."""
    row = ContactRow(other.peer_id, name, other.node.own_card.card.encode(), None, False, 0)
    with member.node.context.store.transaction() as transaction:
        transaction.put_contact(row)


async def alone_with_a_package(world: World) -> tuple[Member, Member, bytes]:
    """Ada with a group, Bob asleep, and a key package of his."""
    ada, bob = await world.member("ada"), await world.member("bob")
    know(ada, bob, "bob")
    know(bob, ada, "ada")
    await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
    package = await ada.node.key_package_of(bob.peer_id, SUITE)
    await bob.stop()
    return ada, bob, package


async def test_a_welcome_waits_for_who_sleeps(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Added, spoken to and never awake with anybody: it wakes as a member, and reads what was said."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob, package = await alone_with_a_package(world)
        row = await ada.session.submit(ADD, AddBody(bob.peer_id, package).encode())
        assert (await ada.session.intent_ended(row.intent_id)).state == DONE
        await ada.session.send("welcome, bob")
        await until(lambda: stored(ada, "welcome, bob") == 1)
        (box,) = [each for each in world.members.values() if each.name == "box"]
        topic = inbox_topic(_inbox_key(bob, ada), week_of(ada.node.context.now_ms()))
        await until(lambda: _notes(box, topic) == 1)
        await ada.stop()

        await bob.start(alone=True)
        await until(lambda: bool(bob.node.sessions) and texts(bob) == ["welcome, bob"])
        await until(lambda: _notes(box, topic) == 0)
        await bob.session.send("thank you")
        await until(lambda: stored(bob, "thank you") == 1)
        await bob.stop()
        await ada.start(alone=True)
        await until(lambda: texts(ada)[-1] == "thank you")


async def test_a_note_that_is_none_is_dropped(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Garbage in an inbox is fetched once and forgotten."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        bob = await world.member("bob")
        world.mailbox = MailboxSection()
        eve = await world.member("eve")
        card = bob.node.own_card.card
        assert await eve.node.post.leave(card, NoteKind.WELCOME, b"garbage") == 1
        assert await eve.node.post.leave(card, NoteKind.JOIN_REQUEST, b"for nobody yet") == 1
        topic = inbox_topic(card.inbox_key, week_of(bob.node.context.now_ms()))
        await until(lambda: _notes(box, topic) == 0)
        assert not bob.node.sessions


def _inbox_key(bob: Member, ada: Member) -> bytes:
    from node.contacts.cards import open_card

    contact = ada.node.context.store.contact(bob.peer_id)
    assert contact is not None
    assert contact.card is not None
    return open_card(contact.card).inbox_key


def _notes(box: Member, topic: bytes) -> int:
    from tests.node.mailbox.test_using import rows

    return len(
        rows(box, f"SELECT 1 FROM items WHERE topic = (SELECT number FROM topics WHERE topic = x'{topic.hex()}')")
    )
