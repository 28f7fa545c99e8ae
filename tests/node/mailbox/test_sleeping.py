"""Sleeping through whatever happens to a group, and waking up with a mailbox alone."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api.errors import ApiError, ErrorCode
from node.api.schema import GroupSummary
from node.views import group_summary
from ordering import Policy
from tests.node.mailbox.test_using import rows
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.receipts.test_receipts import marks_of, receipt, seen, who_has
from tests.node.world import HOLDS, SUITE, Member, World, committee_size, open_world, until


async def group(world: World, *names: str) -> list[Member]:
    """Founded by the first, who decides alone."""
    members = [await world.member(name, always_on=False) for name in names]
    await members[0].node.create_group("test", SUITE, Policy(delta_ms=200))
    for other in members[1:]:
        assert (await members[0].add(other)).state in HOLDS
    await until(lambda: all(each.node.sessions for each in members))
    await world.settled(*members)
    return members


def shown(member: Member) -> GroupSummary:
    """The group in one line, as its user sees it."""
    node = member.node
    row = node.context.store.groups()[0]
    return group_summary(node.context, row, None if row.removed else node.sessions.get(row.group_id))


async def brought(*members: Member) -> None:
    """Until everything of theirs is at the mailboxes."""
    await until(lambda: not any(member.session.mailboxes.backlog for member in members))


async def test_others_come_and_go_and_another_committee_decides(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Bob sleeps through adds, a removal and a new committee, with something said in between; then he is up to date."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob, cyn = await group(world, "ada", "bob", "cyn")
        await bob.stop()
        await ada.session.send("cyn goes")
        assert (await ada.remove(cyn)).state in HOLDS
        dan, eve = [await world.member(name, always_on=False) for name in ("dan", "eve")]
        for other in (dan, eve):
            assert (await ada.add(other)).state in HOLDS
            await until(lambda: bool(other.node.sessions))  # noqa: B023
        await world.settled(ada, dan, eve)
        await dan.session.send("dan is new")
        for other in (dan, eve):
            assert (await other.opt_in()).state in HOLDS
        await until(lambda: committee_size(ada) == committee_size(dan) == committee_size(eve) == 3)
        assert (await eve.update()).state in HOLDS
        await eve.session.send("eve has the last word")
        await world.settled(ada, dan, eve)
        await brought(ada, dan, eve)
        epoch, fingerprint = ada.epoch, ada.session.fingerprint()
        assert "cyn goes" not in texts(dan), "who came later reads nothing of before"
        for member in (ada, dan, eve):
            await member.stop()

        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob)[-1:] == ["eve has the last word"])
        assert bob.session.fingerprint() == fingerprint
        assert sorted(texts(bob)) == ["cyn goes", "dan is new", "eve has the last word"]
        assert committee_size(bob) == 3
        assert set(bob.session.agreement.roster.others) == {ada.peer_id, dan.peer_id, eve.peer_id}


async def test_a_hundred_epochs_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It is simply up to date, and who spoke in each of them learns it from a mark or two."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await group(world, "ada", "bob")
        await bob.stop()
        asleep_in = ada.epoch
        for number in range(100):
            if number % 4 == 0:
                await ada.session.send(f"number {number}")
            assert (await ada.update()).state in HOLDS
        await brought(ada)
        epoch = ada.epoch
        assert epoch >= asleep_in + 100
        await ada.stop()

        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch)
        assert texts(bob) == [f"number {number}" for number in range(0, 100, 4)]
        await seen(lambda: not bob.node.context.store.unmarked_epochs(bob.session.group_id, 1))
        await brought(bob)
        assert marks_of(bob) <= 2
        await bob.stop()
        await ada.start(alone=True)
        await seen(lambda: who_has(ada, "number 0") == {"bob"})
        assert all(who_has(ada, f"number {number}") == {"bob"} for number in range(0, 100, 4))


async def test_all_others_sleep_while_each_speaks(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nobody is ever awake with anybody; what each said arrives at all, and each learns that it did."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        members = await group(world, "ada", "bob", "cyn")
        for member in members:
            await member.stop()
        for member in members:
            await member.start(alone=True)
            await member.session.send(f"{member.name} alone")
            await until(lambda: stored(member, f"{member.name} alone") == 1)  # noqa: B023
            await member.stop()
        for member in (*members, *members):
            await member.start(alone=True)
            await until(lambda: len(texts(member)) == 3)  # noqa: B023
            await until(lambda: not member.node.context.store.unmarked_epochs(member.session.group_id, 1))  # noqa: B023
            await brought(member)
            await member.stop()
        for member in members:
            await member.start(alone=True)
            await seen(lambda: receipt(member, f"{member.name} alone").delivered_to == 2)  # noqa: B023
            await member.stop()


async def test_who_was_removed_while_asleep_is_told_so_in_a_sentence(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It keeps what it could read and what it knew of its own messages; it reads and says nothing after."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await group(world, "ada", "bob")
        await bob.session.send("bob was here")
        await seen(lambda: who_has(bob, "bob was here") == {"ada"})
        group_id = bob.session.group_id
        await bob.stop()
        await ada.session.send("before")
        assert (await ada.remove(bob)).state in HOLDS
        await ada.session.send("after")
        await until(lambda: stored(ada, "after") == 1)
        await brought(ada)
        await ada.stop()

        await bob.start(alone=True)
        session = bob.session
        await until(lambda: bool(bob.node.context.store.groups()[0].removed))
        told = shown(bob)
        assert (told.health, told.health_text) == (
            "removed",
            "this node was removed from the group; what was received can still be read",
        )
        assert told.next_step == f"to come back, ask a member to add {bob.peer_id}"
        store = bob.node.context.store
        said = [row.body for row in store.feed_of_kind(group_id, "message", 0, 10)]
        assert len(said) == 2, "its own, and what was said while it was still a member"
        assert b"before" in said[1]
        assert set(store.deliveries(group_id, store.spoken(group_id, 0, 100)[0].epoch)) == {ada.peer_id}
        with pytest.raises(ApiError) as refused:
            await session.send("am I still here?")
        assert refused.value.code is ErrorCode.NOT_MEMBER
        await trio.sleep(60)
        assert len(store.feed_of_kind(group_id, "message", 0, 10)) == 2
        assert store.topic_keys(group_id, told.epoch) is None, "no key of any topic is left"
        assert store.standings(group_id) == {}


async def test_what_is_at_no_mailbox_any_more_is_said(tmp_path: Path, autojump_clock: MockClock) -> None:
    """How the epoch ended is certified, what was decided is gone: the user is told, and a member makes up for it."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob = await group(world, "ada", "bob")
        await bob.stop()
        assert (await ada.update()).state in HOLDS
        await brought(ada)
        await ada.stop()
        rows(box, "DELETE FROM items")

        await bob.start(alone=True)
        await until(lambda: shown(bob).health == "catching_up")
        told = shown(bob)
        assert told.health_text == f"the group has gone on from epoch {bob.epoch}; what was decided is being fetched"
        assert told.next_step == "stay online; any member that has it can give it"
        await ada.start()
        await until(lambda: bob.epoch == ada.epoch)
        await until(lambda: shown(bob).health == "ok")
