"""Events: durable with what they tell of, bounded in number, and never missing without a word."""

from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from node import feed, trimming
from node.api import schema
from node.store import Store
from node.trimming import events_cut, trim
from tests.node.contacts.people import Person, open_people


async def everything(person: Person, since: int = 0) -> list[schema.Event]:
    """Page by page, as a program reads them."""
    found: list[schema.Event] = []
    while True:
        batch = await person.service.events(schema.EventsRequest(since=since, limit=7, wait_s=0))
        found += batch.events
        if batch.last_seq == since:
            return found
        since = batch.last_seq


async def keep(person: Person, count: int) -> int:
    """Trim to so many events."""
    context = person.member.node.context
    context.config = replace(context.config, retention=replace(context.config.retention, events=count))
    return await trim(context)


async def test_a_reader_that_was_away_too_long_is_told_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It gets one event that says up to where nothing is kept, and then all the rest; who was there misses nothing."""
    async with open_people(tmp_path, "ada") as (_, (ada,)):
        await ada.found()
        for number in range(30):
            await ada.say(f"number {number}")
        before = await everything(ada)

        cut = await keep(ada, 10)

        head = ada.member.node.context.store.feed_head()
        assert cut == head - 10
        late, there = await everything(ada, since=3), await everything(ada, since=cut)
        assert [event.kind for event in late[:2]] == ["truncated", "message"]
        assert late[0].seq == cut
        assert late[1:] == there == [event for event in before if event.seq > cut]
        assert len(await ada.heard()) == 30, "messages are history, and stay"
        resumed = await everything(ada, since=late[0].seq)
        assert resumed == there, "the number of the word itself is one to go on from"


async def test_what_is_trimmed_leaves_the_disk_but_for_history(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Else a node that runs for years keeps every word about every change."""
    async with open_people(tmp_path, "ada") as (_, (ada,)):
        await ada.found()
        for _ in range(8):
            await ada.member.update()
            await ada.say("hello")
        store = ada.member.node.context.store

        await keep(ada, 1)

        assert kinds(store) <= {feed.MESSAGE, feed.DECISION, newest_kind(store)}
        assert len((await ada.service.group_log(schema.GroupLogRequest(group="lunch"))).entries) == 8
        assert await keep(ada, 1) == events_cut(store), "twice is once"


async def test_a_full_disk_does_not_end_the_node_and_others_run_between_two_steps(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.store_writes import Transaction

    async with open_people(tmp_path, "ada") as (_, (ada,)):
        await ada.found()
        for number in range(30):
            await ada.say(f"number {number}")
        context = ada.member.node.context
        context.config = replace(context.config, retention=replace(context.config.retention, events=1))
        wanted = context.store.feed_head() - 1
        monkeypatch.setattr(trimming, "EVENTS_PER_STEP", 1)

        def full(*_: object, **__: object) -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(Transaction, "trim_feed", full)
            await trio.sleep(2.5 * trimming.TRIM_PERIOD_S)
        assert events_cut(context.store) == 0
        seen = []
        async with trio.open_nursery() as nursery:

            async def others() -> None:
                while (cut := events_cut(context.store)) < wanted:
                    seen.append(cut)
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(others)
            await trim(context)
        assert len(set(seen)) > wanted // 4  # about half of them: who runs first is left to chance
        await ada.say("still here")


def kinds(store: Store) -> set[str]:
    return {row.kind for row in store.feed(0, 1000)}


def newest_kind(store: Store) -> str:
    return store.feed(store.feed_head() - 1, 1)[0].kind


async def test_an_event_is_on_the_disk_with_what_it_tells_of(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both or neither: a crash between the two would leave a program with another story than the node."""
    from node.store_writes import Transaction

    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        head = ada.member.node.context.store.feed_head()

        def full(self: Transaction, row: object) -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(Transaction, "append_feed", full)
            with pytest.raises(OSError, match="disk is full"):
                await ada.meet(bob)
        assert ada.member.node.context.store.contacts() == ()
        assert ada.member.node.context.store.feed_head() == head

        await ada.meet(bob)
        [event] = await everything(ada, since=head)
        assert (event.kind, event.text, event.peer_id) == ("contact", "bob is a contact now", bob.peer_id)
        assert event.group_id == ""


async def test_what_waits_for_the_user_is_an_event(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An invitation that nobody hears of is none."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await ada.meet(bob)
        await ada.add(bob)

        [event] = [each for each in await everything(bob) if each.kind == "invitation"]
        assert event.peer_id == ada.peer_id
        assert event.text.endswith("adds this node to lunch: group invitations")


async def test_numbers_go_on_after_a_restart(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A program that kept a number reads on from it, whatever became of the node in between."""
    async with open_people(tmp_path, "ada") as (_, (ada,)):
        await ada.found()
        await ada.say("one")
        seen = await everything(ada)
        await ada.member.stop()
        await ada.member.start()
        await ada.say("two")

        rest = await everything(ada, since=seen[-1].seq)

        assert [event.message.text for event in rest if event.message] == ["two"]
