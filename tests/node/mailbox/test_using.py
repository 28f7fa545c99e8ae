"""Members who are never awake together, through mailboxes alone; and mailboxes that lie, beside one that does not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from node import feed
from node.config import MailboxSection
from node.contacts.rows import ContactRow
from node.data_dir import DataDir
from node.intents import DONE
from node.mailbox.messages import COMPARE_PROTOCOL, FETCH_PROTOCOL, Asked, Deposit, FetchReply
from node.mailbox.room import Limits
from node.mailbox.sealing import ItemKind, Topic, TopicKeys, item_id
from node.mailbox.store import open_mailbox
from node.mailbox.visiting import LIES as LIES_SHOWN
from node.mailbox.visiting import FaultKind, Visit
from node.transport import Transport
from node.views import group_detail
from ordering import Policy
from tests.node.mailbox.chain import MadeChain
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.world import SUITE, Member, World, open_world, until

Spoil = Callable[[str, str, bytes], bytes]


async def pair(world: World) -> tuple[Member, Member]:
    """Ada, who decides alone, and Bob; both know the group, and Bob sleeps."""
    ada, bob = await world.group_of("ada", "bob", committee=1)
    await bob.stop()
    return ada, bob


async def test_two_who_are_never_awake_together_follow_each_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Commits and messages, both ways, in the order of the epochs, through one mailbox."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await pair(world)
        for number in range(3):
            await ada.session.send(f"ada {number}")
            assert (await ada.update()).state == DONE
        await until(lambda: stored(ada, "ada 2") == 1)
        await ada.session.send("last")
        await until(lambda: stored(ada, "last") == 1)
        epoch = ada.epoch
        await ada.stop()

        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob)[-1:] == ["last"])
        assert texts(bob) == ["ada 0", "ada 1", "ada 2", "last"]
        await bob.session.send("bob is here")
        await until(lambda: stored(bob, "bob is here") == 1)
        await bob.stop()

        await ada.start(alone=True)
        await until(lambda: texts(ada)[-1:] == ["bob is here"])
        assert len(texts(ada)) == 5


class Through:
    """A member's transport with something between it and the mailboxes."""

    def __init__(self, inner: Any, spoil: Spoil) -> None:
        self._inner = inner
        self._spoil = spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def request_unnamed(self, address: str, protocol: str, payload: bytes, **named: Any) -> bytes:
        reply: bytes = await self._inner.request_unnamed(address, protocol, payload, **named)
        return self._spoil(address, protocol, reply)


def beside(liar: Member, protocol: str, spoil: Callable[[bytes], bytes]) -> Callable[[Transport], Transport]:
    """What `liar` answers to these requests is spoilt on its way; what other mailboxes answer is not."""

    def act(address: str, asked: str, reply: bytes) -> bytes:
        return spoil(reply) if (address, asked) == (liar.address, protocol) else reply

    return lambda transport: cast(Transport, Through(transport, act))


def hiding(reply: bytes) -> bytes:
    return structs.replace(FetchReply.decode(reply), items=()).encode()


LIES: dict[str, tuple[str, Callable[[bytes], bytes], FaultKind]] = {
    "garbage instead of items": (FETCH_PROTOCOL, lambda reply: bytes(100), FaultKind.GARBAGE),
    "garbage instead of ids": (COMPARE_PROTOCOL, lambda reply: reply[:-70] + bytes(70), FaultKind.GARBAGE),
    "lists and does not hand out": (FETCH_PROTOCOL, hiding, FaultKind.WITHHELD),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_mailbox_is_shown_and_another_makes_up_for_it(
    tmp_path: Path, autojump_clock: MockClock, lie: str
) -> None:
    """Nothing is lost, nothing comes twice, and who lied is named."""
    protocol, spoil, kind = LIES[lie]
    async with open_world(tmp_path) as world:
        liar, honest = await mailboxes(world, "liar", "honest")
        ada, bob = await pair(world)
        for number in range(4):
            await ada.session.send(str(number))
            assert (await ada.update()).state == DONE
        await ada.session.send("last")
        await until(lambda: stored(ada, "last") == 2 and stored(ada, "0") == 2)
        await until(lambda: bool(bundles(honest)) and len(bundles(honest)) == len(bundles(liar)))
        epoch = ada.epoch
        await ada.stop()

        bob.wrap_transport = beside(liar, protocol, spoil)
        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob)[-1:] == ["last"])
        assert texts(bob) == ["0", "1", "2", "3", "last"]
        fault = bob.node.context.store.mailbox_fault(liar.peer_id)
        assert fault is not None
        assert fault.kind == kind
        assert bob.node.context.store.mailbox_fault(honest.peer_id) is None
        detail = group_detail(bob.node.context, bob.node.context.store.groups()[0], bob.session)
        shown = {each.peer_id: each for each in detail.mailboxes}
        assert shown[honest.peer_id].state == "ok"
        assert shown[liar.peer_id].fault_count > 0
        assert shown[liar.peer_id].last_fault.startswith(kind.value)


def bundles(box: Member) -> list[object]:
    """The decided bundles that a mailbox keeps longest."""
    return rows(box, "SELECT id FROM items WHERE rank = 1")


def rows(box: Member, sql: str) -> list[object]:
    path = DataDir(box.config.data_dir).mailbox_path
    key = box.node.context.store.meta("mailbox key")
    assert key is not None
    with open_mailbox(path, key, Limits(1, 1, 1), os.urandom) as store:
        return list(store._rows(sql))


class Repeating(Through):
    """From a moment on one mailbox's word about a topic is what it was then; all else it does as it should."""

    def __init__(self, inner: Any, liar: Member) -> None:
        super().__init__(inner, lambda _address, _protocol, reply: reply)
        self._liar = liar
        self._said: dict[bytes, bytes] = {}
        self.repeats = False

    async def request_unnamed(self, address: str, protocol: str, payload: bytes, **named: Any) -> bytes:
        reply = await super().request_unnamed(address, protocol, payload, **named)
        if (address, protocol) != (self._liar.address, COMPARE_PROTOCOL):
            return reply
        topic = Asked.decode(payload).topic
        return self._said.setdefault(topic, reply) if self.repeats else self._note(topic, reply)

    def _note(self, topic: bytes, reply: bytes) -> bytes:
        self._said[topic] = reply
        return reply


async def test_a_mailbox_that_repeats_what_it_said_is_shown(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its signature of then is still good. It is not of the set that we describe now, nor behind what it acknowledged
    since: either shows it up, and nothing is missed."""
    async with open_world(tmp_path) as world:
        liar, honest = await mailboxes(world, "liar", "honest")
        ada, bob = await pair(world)
        await ada.session.send("one")
        await until(lambda: stored(ada, "one") == 2)
        await ada.stop()
        wires: list[Repeating] = []

        def wrap(inner: Transport) -> Transport:
            wires.append(Repeating(inner, liar))
            return cast(Transport, wires[-1])

        bob.wrap_transport = wrap
        await bob.start(alone=True)
        await until(lambda: texts(bob) == ["one"] and bob.session.caution.is_over)
        await trio.sleep(20)
        wires[-1].repeats = True
        await bob.session.send("two")
        await until(lambda: stored(bob, "two") == 2)
        await ada.start(alone=True)
        await ada.session.send("three")
        await until(lambda: texts(bob) == ["one", "two", "three"])

        await until(lambda: bob.node.context.store.mailbox_fault(liar.peer_id) is not None)
        fault = bob.node.context.store.mailbox_fault(liar.peer_id)
        assert fault is not None
        assert fault.kind in LIES_SHOWN
        assert bob.node.context.store.mailbox_fault(honest.peer_id) is None


async def test_a_mailbox_restored_from_a_backup_is_noticed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It has gone back behind what it acknowledged, meaning to or not; and what it lost is brought again."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, _ = await pair(world)
        await ada.session.send("one")
        await until(lambda: stored(ada, "one") == 1)
        path = DataDir(box.config.data_dir).mailbox_path
        await box.stop()
        older = path.read_bytes()
        await box.start(alone=True)
        await ada.session.send("two")
        await until(lambda: stored(ada, "two") == 1)
        await box.stop()
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.write_bytes(older)
        await box.start(alone=True)

        await until(lambda: ada.node.context.store.mailbox_fault(box.peer_id) is not None)
        fault = ada.node.context.store.mailbox_fault(box.peer_id)
        assert fault is not None
        assert fault.kind in (FaultKind.OLD_STATE, FaultKind.WITHHELD)
        await until(lambda: len(rows(box, "SELECT 1 FROM items WHERE rank = 0")) == 2)


async def test_an_unreachable_mailbox_costs_nothing_but_its_copy(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What it lacks is brought when it is back."""
    async with open_world(tmp_path) as world:
        one, two = await mailboxes(world, "one", "two")
        await two.stop()
        ada, bob = await pair(world)
        await ada.session.send("hello")
        await until(lambda: stored(ada, "hello") == 1)
        assert (await ada.update()).state == DONE
        await two.start(alone=True)
        await until(lambda: stored(ada, "hello") == 2)
        await until(lambda: len(bundles(two)) == len(bundles(one)))
        await one.stop()
        epoch = ada.epoch
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob) == ["hello"])


async def test_what_was_sealed_before_a_crash_is_brought_after_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The outbox is in the transaction that sealed it."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob = await pair(world)
        await box.stop()
        await ada.session.send("hello")
        assert stored(ada, "hello") == 0
        await ada.stop()
        await box.start(alone=True)
        await ada.start(alone=True)
        await until(lambda: stored(ada, "hello") == 1)
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: texts(bob) == ["hello"])


async def test_who_was_removed_while_asleep_learns_it_from_a_mailbox(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It keeps what it could read, and reads nothing of what came after."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await pair(world)
        await ada.session.send("before")
        assert (await ada.remove(bob)).state == DONE
        await ada.session.send("after")
        await until(lambda: stored(ada, "after") == 1 and stored(ada, "before") == 1)
        group_id = ada.session.group_id
        await ada.stop()

        await bob.start(alone=True)
        await until(lambda: bool(bob.node.context.store.groups()[0].removed))
        said = bob.node.context.store.feed_of_kind(group_id, feed.MESSAGE, 0, 10)
        assert [feed.MessageBody.decode(row.body).text for row in said] == ["before"]
        tables = ("topic_keys", "deposits", "mailbox_statements")
        assert [bob.node.context.store._rows(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * 3


async def test_junk_of_a_member_stops_nobody(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A member can put anything into its group's topic: it is dropped once, and the mailbox is not blamed."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob = await pair(world)
        row = ada.node.context.store.topic_keys(ada.session.group_id, ada.epoch)
        assert row is not None
        topic = Topic(TopicKeys(row.seed, row.seal_key))
        false = Topic(TopicKeys(row.seed, bytes(32)))
        junk = (false.seal(ItemKind.MESSAGE, b"junk"), topic.seal(ItemKind.BUNDLE, b"junk"), bytes(512))
        visit = Visit(ada.node.context.transport, box.address, os.urandom(32))
        made_up = MadeChain(group_id=ada.session.group_id, epoch=ada.epoch).entry().encode()
        await visit.deposit(topic, Deposit(junk, made_up, (item_id(junk[1]),)))
        await ada.session.send("hello")
        assert (await ada.update()).state == DONE
        await until(lambda: stored(ada, "hello") == 1 and len(bundles(box)) > 1)
        epoch = ada.epoch
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob) == ["hello"])
        assert bob.node.context.store.mailbox_fault(box.peer_id) is None


async def test_a_members_card_names_its_mailboxes(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who has the card brings there what the member will look for there, without a setting of its own."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        bob = await world.member("bob")
        world.mailbox = MailboxSection()
        ada = await world.member("ada")
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        assert ada.session.mailboxes.addresses == ()
        assert (await ada.add(bob)).state == DONE
        await until(lambda: bool(bob.node.sessions))
        card = bob.node.own_card.card
        assert [place.peer_id for place in card.mailboxes] == [box.peer_id]
        row = ContactRow(bob.peer_id, "bob", card.encode(), None, False, 0)
        with ada.node.context.store.transaction() as transaction:
            transaction.put_contact(row)
        await until(lambda: bool(ada.session.mailboxes.addresses))
        await bob.stop()
        await ada.session.send("hello")
        await until(lambda: stored(ada, "hello") == 1)
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: texts(bob) == ["hello"])


async def test_a_dead_mailbox_does_not_hold_up_the_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whatever has piled up for it, what is said goes to the living one at once."""
    async with open_world(tmp_path) as world:
        dead, _ = await mailboxes(world, "dead", "alive")
        await dead.stop()
        ada, _bob = await pair(world)
        for number in range(5):
            await ada.session.send(f"before {number}")
        await until(lambda: stored(ada, "before 4") == 1)
        await trio.sleep(60)
        asked_s = trio.current_time()
        await ada.session.send("now")
        await until(lambda: stored(ada, "now") == 1)
        assert trio.current_time() - asked_s < 12, "one try of the dead one at most"
        assert ada.session.mailboxes.backlog >= 6
