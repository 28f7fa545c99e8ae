"""Sealed, stored, delivered: what the sender of a message learns of who has it, and that it never learns too much."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from node.api import schema
from node.conversation import SYNC_EPOCHS
from node.data_dir import DataDir
from node.identity import Identity
from node.mailbox.messages import Deposit
from node.mailbox.sealing import ItemKind, Topic, TopicKeys
from node.mailbox.visiting import Visit
from node.one_order import messages_after
from node.receipts.marks import Mark, seal_section
from node.receipts.receipts import Receipts
from node.receipts.showing import message_receipt
from node.setup import read_identity
from node.store import StoreError, open_store
from ordering import Policy
from tests.node.mailbox.world import mailboxes, stored
from tests.node.test_session import message_count
from tests.node.world import HOLDS, SUITE, Member, World, open_world, until


def receipt(member: Member, text: str) -> schema.MessageReceipt:
    """Of the message with this text, which is the member's own."""
    context, session = member.node.context, member.session
    for row in messages_after(context.store, session.group_id, None, 10_000):
        if row.sender == member.peer_id and text in row.body.decode(errors="replace"):
            return message_receipt(context, session, row)
    raise AssertionError(f"{member.name} has not said {text!r}")


def who_has(member: Member, text: str) -> set[str]:
    """The names of the members that a message is known to be delivered to."""
    names = {other.peer_id: other.name for other in member.world.members.values()}
    return {names[one.peer_id] for one in receipt(member, text).members if one.is_delivered}


async def seen(condition: Callable[[], bool]) -> None:
    """Like `until`, for what is costly to look at."""
    with trio.fail_after(240):
        while not condition():  # noqa: ASYNC110 - it spans nodes, nobody signals it
            await trio.sleep(0.5)


async def three(world: World) -> list[Member]:
    """Ada decides alone."""
    members = [await world.member(name, always_on=False) for name in ("ada", "bob", "cyn")]
    await members[0].node.create_group("test", SUITE, Policy(delta_ms=200))
    for other in members[1:]:
        assert (await members[0].add(other)).state in HOLDS
    await until(lambda: all(each.node.sessions for each in members))
    await world.settled(*members)
    return members


async def test_those_who_are_awake_tell_it_by_what_they_compare(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Without a mailbox, without a question more; who sleeps is not counted until it says so itself."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await cyn.stop()
        await ada.session.send("hello")
        await seen(lambda: who_has(ada, "hello") == {"bob"})
        told = receipt(ada, "hello")
        assert (told.stored_at, told.delivered_to, told.recipients) == (0, 1, 2)
        assert told.text == "sealed, delivered to 1 of 2"
        await bob.session.send("hello back")
        await seen(lambda: who_has(bob, "hello back") == {"ada"})
        await cyn.start()
        await seen(lambda: who_has(ada, "hello") == {"bob", "cyn"})

        await ada.stop()
        await ada.start(alone=True)
        assert who_has(ada, "hello") == {"bob", "cyn"}, "it is durable"


async def test_those_who_never_meet_tell_it_by_marks(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two mailboxes between three members of whom one is awake at a time; and the mailboxes keep no more than that."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "one", "two")
        ada, bob, cyn = await three(world)
        for member in (ada, bob, cyn):
            await member.stop()
        await ada.start(alone=True)
        for number in range(3):
            await ada.session.send(f"ada {number}")
            assert (await ada.update()).state in HOLDS
        await until(lambda: stored(ada, "ada 2") == 2 and not ada.session.mailboxes.backlog)
        assert receipt(ada, "ada 0").text == "sealed, stored at 2 mailboxes, delivered to 0 of 2"
        epoch = ada.epoch
        await ada.stop()
        for member in (bob, cyn):
            await member.start(alone=True)
            await until(lambda: member.epoch == epoch and message_count(member) >= 3)  # noqa: B023
            await member.session.send(f"{member.name} has read it")
            await until(lambda: has_marked(member))  # noqa: B023
            await until(lambda: not member.session.mailboxes.backlog)  # noqa: B023
            await member.stop()

        await ada.start(alone=True)
        for number in range(3):
            await seen(lambda: who_has(ada, f"ada {number}") == {"bob", "cyn"})  # noqa: B023
        await until(lambda: has_marked(ada) and not ada.session.mailboxes.backlog)
        await ada.stop()
        await bob.start(alone=True)
        await seen(lambda: who_has(bob, "bob has read it") == {"ada", "cyn"})
        assert marks_of(bob) <= 2, "a mark tells of all the epochs that it went through; one for each time it was awake"


def has_marked(member: Member) -> bool:
    store = member.node.context.store
    return not store.unmarked_epochs(member.session.group_id, 1) and marks_of(member) > 0


def marks_of(member: Member) -> int:
    sql = "SELECT count(*) FROM marks WHERE body IS NOT NULL"
    return int(member.node.context.store._rows(sql)[0][0])


async def test_who_was_no_member_is_not_counted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A message counts the members of the epoch that it was sealed in: not who came later, and who has gone still."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada")
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        await ada.session.send("to nobody")
        bob = await world.member("bob")
        assert (await ada.add(bob)).state in HOLDS
        await ada.session.send("to bob")
        await seen(lambda: who_has(ada, "to bob") == {"bob"})
        cyn = await world.member("cyn")
        assert (await ada.add(cyn)).state in HOLDS
        await ada.session.send("to both")
        await seen(lambda: who_has(ada, "to both") == {"bob", "cyn"})
        assert (await ada.remove(bob)).state in HOLDS
        await ada.session.send("to cyn")
        await seen(lambda: who_has(ada, "to cyn") == {"cyn"})

        assert receipt(ada, "to nobody").text == "sealed, nobody else was in the group"
        assert (who_has(ada, "to bob"), receipt(ada, "to bob").recipients) == ({"bob"}, 1)
        assert (who_has(ada, "to both"), receipt(ada, "to both").recipients) == ({"bob", "cyn"}, 2)
        gone = {one.peer_id: one.is_member for one in receipt(ada, "to both").members}
        assert gone == {bob.peer_id: False, cyn.peer_id: True}
        assert receipt(ada, "to cyn").recipients == 1


async def test_nobody_says_for_another_that_it_has_a_message(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Bob can put any mark into his group's topic. Of Cyn's he can make none, nor bring one of hers elsewhere."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob, cyn = await three(world)
        await cyn.stop()
        await bob.stop()
        await ada.session.send("hello")
        await until(lambda: stored(ada, "hello") == 1)
        group_id, epoch = ada.session.group_id, ada.epoch
        row = ada.node.context.store.topic_keys(group_id, epoch)
        assert row is not None
        leaf = ada.session.agreement.own_leaf
        for_bob = seal_section(row.seal_key, group_id, epoch, identity_of(bob).public_key, {leaf: ((0, 100),)})
        for_cyn = seal_section(row.seal_key, group_id, epoch, identity_of(cyn).public_key, {leaf: ((0, 100),)})
        bobs = identity_of(bob)
        said_by_bob = Mark.sign(bobs, group_id, epoch, (for_bob,))
        false = [
            structs.replace(said_by_bob, member=identity_of(cyn).public_key, sections=(for_cyn,)),
            Mark.sign(bobs, group_id, epoch + 1, (for_bob,)),
            Mark.sign(bobs, group_id, epoch, (for_cyn,)),
        ]
        topic = Topic(TopicKeys(row.seed, row.seal_key))
        items = tuple(topic.seal(ItemKind.MARK, mark.encode()) for mark in false)
        visit = Visit(ada.node.context.transport, box.address, os.urandom(32))
        await visit.deposit(topic, Deposit((*items, topic.seal(ItemKind.MARK, b"junk"))))
        await until(lambda: len(ada.session.mailboxes._junk) == 4)
        assert who_has(ada, "hello") == set()
        await visit.deposit(topic, Deposit((topic.seal(ItemKind.MARK, said_by_bob.encode()),)))
        await seen(lambda: who_has(ada, "hello") == {"bob"})
        assert ada.node.context.store.mailbox_fault(box.peer_id) is None


async def test_marks_without_number_are_remembered_up_to_a_bound(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them count, the rest is looked at again after a start; nothing else is held up."""
    monkeypatch.setattr("node.receipts.receipts.MARKS_KNOWN_MAX", 3)
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob, _ = await three(world)
        await bob.stop()
        for number in range(6):
            await ada.session.send(f"number {number}.")
        await until(lambda: stored(ada, "number 5.") == 1)
        store, group_id, epoch, bobs = ada.node.context.store, ada.session.group_id, ada.epoch, identity_of(bob)
        row = store.topic_keys(group_id, epoch)
        assert row is not None
        topic, leaf = Topic(TopicKeys(row.seed, row.seal_key)), ada.session.agreement.own_leaf
        (spoken,) = store.spoken(group_id, epoch, epoch)
        first = spoken.generations[0][0]
        told = [
            seal_section(row.seal_key, group_id, epoch, bobs.public_key, {leaf: ((number, number),)})
            for number in range(first, first + 6)
        ]
        marks = [Mark.sign(bobs, group_id, epoch, (each,)).encode() for each in told]
        visit = Visit(ada.node.context.transport, box.address, os.urandom(32))
        await visit.deposit(topic, Deposit(tuple(topic.seal(ItemKind.MARK, mark) for mark in marks)))
        await seen(lambda: all(who_has(ada, f"number {number}.") >= {"bob"} for number in range(6)))
        assert len(store.mark_items(group_id, epoch)) <= 3
        await ada.session.send("on it goes")
        await until(lambda: stored(ada, "on it goes") == 1)


async def test_a_crash_while_a_mark_is_taken_in_loses_nothing_of_it(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is durable before it is remembered as known: a mark that is known is not fetched again."""
    taken: list[int] = []
    take_marks, keep = Receipts.take_marks, Receipts.keep

    def take(self: Receipts, epoch: int, marks: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
        taken.append(len(marks))
        return take_marks(self, epoch, marks)

    def fail(self: Receipts) -> None:
        if taken:
            raise StoreError("the disk is full")
        keep(self)

    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob, _ = await three(world)
        await bob.stop()
        await ada.session.send("hello")
        await until(lambda: stored(ada, "hello") == 1 and not ada.session.mailboxes.backlog)
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: message_count(bob) == 1 and has_marked(bob))
        await until(lambda: not bob.session.mailboxes.backlog)
        await bob.stop()
        with monkeypatch.context() as patched:
            patched.setattr(Receipts, "take_marks", take)
            patched.setattr(Receipts, "keep", fail)
            await ada.start(alone=True)
            await until(lambda: bool(taken))
            await ada.stop()
        await ada.start(alone=True)
        await seen(lambda: who_has(ada, "hello") >= {"bob"})


def identity_of(member: Member) -> Identity:
    """Of a member that does not run."""
    with open_store(DataDir(member.config.data_dir).store_path, member.key.value) as store:
        return read_identity(store)


async def test_who_catches_up_tells_it_epoch_by_epoch(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Without a mailbox, over more epochs than members compare: its questions on the way say what it has by then."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for number in range(SYNC_EPOCHS + 4):
            await ada.session.send(f"number {number}.")
            assert (await ada.update()).state in HOLDS
        await bob.start()
        await until(lambda: bob.epoch == ada.epoch)
        await seen(lambda: all(who_has(ada, f"number {number}.") == {"bob"} for number in range(SYNC_EPOCHS + 4)))


async def test_what_is_not_kept_any_more_is_not_counted_for_who_missed_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Bob was away for longer than messages are kept: both have nothing of that epoch then, which says nothing."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        await ada.session.send("too late")
        assert (await ada.update()).state in HOLDS
        store, group_id = ada.node.context.store, ada.session.group_id
        with store.transaction() as transaction:
            transaction.prune_messages(group_id, ada.epoch, ada.node.context.now_ms() + 1)
        await ada.session.send("in time")
        await bob.start()
        await until(lambda: bob.epoch == ada.epoch)
        await seen(lambda: who_has(ada, "in time") == {"bob"})
        await trio.sleep(120)
        assert message_count(bob) == 1
        assert who_has(ada, "too late") == set()
