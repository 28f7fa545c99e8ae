"""Four members of whom never more than two are awake, and two mailboxes: a week of a group that hardly ever meets."""

from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from node.api import schema
from node.intents import DONE
from node.one_order import Place, messages_after
from ordering import Policy
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.world import SUITE, Member, open_world, until


def in_order(member: Member) -> list[bytes | None]:
    """The ids of what a member has read, in the order that all share."""
    found = messages_after(member.node.context.store, member.session.group_id, None, 10_000)
    return [row.message_id for row in found]


@pytest.mark.parametrize("seed", [1, 2])
async def test_never_more_than_two_awake(tmp_path: Path, autojump_clock: MockClock, seed: int) -> None:
    """At the end all are equal: each message exactly once, in one order, and the same epoch."""
    chance = Random(seed)
    async with open_world(tmp_path) as world:
        boxes = await mailboxes(world, "one", "two")
        members = [await world.member(name, always_on=False) for name in ("ada", "bob", "cyn", "dan")]
        ada = members[0]
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        for other in members[1:]:
            assert (await ada.add(other)).state == DONE
        await until(lambda: all(each.node.sessions for each in members))
        await world.settled(*members)
        for member in members:
            await member.stop()
        said: set[str] = set()
        changes = 0
        for day in range(12):
            awake = chance.sample(members, 2)
            if day % 3 == 0 and ada not in awake:
                awake[0] = ada
            if chance.random() < 0.3:
                await boxes[day % 2].stop()
            for member in awake:
                await member.start()
            for member in awake:
                for number in range(chance.randrange(1, 8)):
                    text = f"{member.name} on day {day}: {number}"
                    await member.session.send(text)
                    said.add(text)
                if ada in awake:
                    row = await member.session.submit("update", b"")
                    assert (await member.session.intent_ended(row.intent_id)).state in (DONE, "already")
                    changes += 1
            for box in boxes:
                if box._running is None:
                    await box.start(alone=True)
            for member in awake:
                await until(lambda: not member.session.mailboxes.backlog)  # noqa: B023
                await until(lambda: not member.session.conversation.drafts)  # noqa: B023
                await member.stop()
        assert changes > 6

        equal: list[tuple[int, list[bytes | None]]] = []
        for _ in range(2):  # the first round brings what somebody had not brought, the second fetches it
            equal.clear()
            for member in members:
                await member.start(alone=True)
                await trio.sleep(60)
                assert len(texts(member)) == len(set(texts(member))), "each once"
                equal.append((member.epoch, in_order(member)))
                await member.stop()
        assert len({epoch for epoch, _ in equal}) == 1
        assert all(order == equal[0][1] for _, order in equal)
        await ada.start(alone=True)
        assert set(texts(ada)) == said


async def test_the_shared_order_is_the_same_whatever_came_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two who learnt of the same messages in another order read them alike; pages go on where the last one ended."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for number in range(5):
            await ada.session.send(f"ada {number}")
        await until(lambda: stored(ada, "ada 4") == 1)
        await ada.stop()
        world.network.partition([bob.peer_id])
        await bob.start(alone=True)
        await until(lambda: len(texts(bob)) == 5)
        for number in range(5):
            await bob.session.send(f"bob {number}")
        await until(lambda: stored(bob, "bob 4") == 1)
        await bob.stop()
        world.network.heal()
        await ada.start(alone=True)
        await until(lambda: len(texts(ada)) == 10)
        order = in_order(ada)
        store, group_id = ada.node.context.store, ada.session.group_id
        place: Place | None = None
        paged: list[bytes | None] = []
        while rows := messages_after(store, group_id, place, 3):
            paged += [row.message_id for row in rows]
            place = Place.from_text(Place.of(rows[-1]).to_text())
        assert paged == order
        await ada.stop()
        await bob.start(alone=True)
        assert in_order(bob) == order
        assert schema.MessagePage(messages=(), last_seq=0, has_more=False).last_place == ""
