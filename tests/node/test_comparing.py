"""Comparing message sets by one hash: enough to find what is missing, and nothing is asked while nothing is."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.comparing import MEASURED_GAP_S
from node.conversation import SYNC_EPOCHS, Conversation
from node.inbox import FrameIn
from node.intents import DONE
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, Holds, group_tag
from node.store import Store
from node.transport_memory import Conditions
from tests.node.test_session import message_count
from tests.node.world import Member, open_world, until

GAP_S = 30.0  # many turns of everybody


def ask_nobody_in_turn(members: Iterable[Member]) -> None:
    """As if all had been asked just now, in other groups."""
    members = tuple(members)
    for member in members:
        member.node.context.asked_s = {other.peer_id: float("inf") for other in members}


def count_questions(monkeypatch: pytest.MonkeyPatch) -> list[PeerId]:
    """Whom anybody asks what it holds, from now on."""
    asked: list[PeerId] = []
    original = Conversation.compare_with

    def compare_with(conversation: Conversation, peer: PeerId) -> None:
        asked.append(peer)
        original(conversation, peer)

    monkeypatch.setattr(Conversation, "compare_with", compare_with)
    return asked


async def test_a_hash_finds_what_was_lost(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whoever says it: who has the message learns that it was missed, and who has not, that there is one."""
    async with open_world(tmp_path, conditions=Conditions(gossip_loss=1.0)) as world:
        members = await world.group_of("ada", "bob", "cyn", committee=3)
        ask_nobody_in_turn(members)

        for number, member in enumerate(members):
            await member.session.send(str(number))

        await until(lambda: all(message_count(member) == 3 for member in members))


async def test_who_holds_the_same_is_not_asked(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fifty groups, questions in every turn of each were most of what an idle node did. Nor is it a difference
    that somebody was added later, and has nothing of the epochs before."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await ada.session.send("before")
        dan = await world.member("dan")
        assert (await ada.add(dan)).state == DONE
        await until(lambda: bool(dan.node.sessions))
        await ada.session.send("after")
        await until(lambda: message_count(dan) == 1)
        await world.settled(ada, bob, dan)
        await trio.sleep(5)
        ask_nobody_in_turn((ada, bob, dan))
        asked = count_questions(monkeypatch)

        await trio.sleep(GAP_S)

        assert asked == []


async def test_a_member_is_asked_now_and_then_over_all_groups(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round trips are learnt from it, as long as they tell something."""
    async with open_world(tmp_path, conditions=Conditions(delay_s=(0.03, 0.04))) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        asked = count_questions(monkeypatch)

        await trio.sleep(GAP_S)

        assert asked.count(bob.peer_id) >= GAP_S / 5
        assert ada.node.context.may_ask(bob.peer_id, 0.0)
        assert not ada.node.context.may_ask(bob.peer_id, 1.0)


async def test_who_is_known_to_be_near_is_asked_seldom(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question costs as much as twenty frames: of thirty idle members' questions a machine had a lot to do."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await trio.sleep(GAP_S)
        assert ada.node.context.round_trips.p99_s(bob.peer_id) is not None
        asked = count_questions(monkeypatch)

        await trio.sleep(GAP_S)

        assert 1 <= asked.count(bob.peer_id) <= 1 + GAP_S / MEASURED_GAP_S


async def test_a_liar_makes_nobody_ask_without_end(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        asked = count_questions(monkeypatch)
        holds = Holds(0, ada.epoch, bytes(32), True)
        frame = Frame(group_tag(ada.session.group_id), FrameKind.HOLDS, holds.encode())

        for _ in range(100):
            ada.session.post(FrameIn(bob.peer_id, frame))
            await trio.testing.wait_all_tasks_blocked()

        assert 1 <= asked.count(bob.peer_id) <= 3


async def test_a_liar_makes_nobody_read_without_end(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty bytes cost a look at all that is held of the epochs they name: so these are few, and the looks too."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        for _ in range(SYNC_EPOCHS):
            await ada.update()
        await world.settled(ada, bob)
        ask_nobody_in_turn((ada, bob))
        looks: list[int] = []
        original = Conversation.digest_between

        def digest_between(conversation: Conversation, first: int, last: int) -> bytes:
            if conversation is ada.session.conversation:
                looks.append(last - first + 1)
            return original(conversation, first, last)

        monkeypatch.setattr(Conversation, "digest_between", digest_between)

        async def say(first: int, times: int) -> None:
            holds = Holds(first, ada.epoch, bytes(32), True)
            frame = Frame(group_tag(ada.session.group_id), FrameKind.HOLDS, holds.encode())
            for _ in range(times):
                ada.session.post(FrameIn(bob.peer_id, frame))
            await trio.testing.wait_all_tasks_blocked()

        await say(0, 1)
        assert looks == []
        await say(ada.epoch - SYNC_EPOCHS + 1, 100)
        assert looks == [SYNC_EPOCHS]


async def test_what_lies_there_is_taken_in_with_one_wait_for_the_disk(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small steps, one commit; and a caller's wish among them has its turn, and its answer."""
    async with open_world(tmp_path, conditions=Conditions(gossip_loss=1.0)) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        ask_nobody_in_turn((ada, bob))
        for number in range(8):
            await ada.session.send(str(number))
        store, group_id = ada.node.context.store, ada.session.group_id
        ids = store.message_ids_as_they_came(group_id, ada.epoch)
        frames = [
            FrameIn(ada.peer_id, Frame(group_tag(group_id), FrameKind.MESSAGE, row.payload))
            for row in store.messages(group_id, ids)
        ]
        commits = 0
        original = Store._rows

        def rows(self: Store, sql: str, *bindings: object) -> list[tuple[object, ...]]:
            nonlocal commits
            commits += self is bob.node.context.store and sql == "COMMIT"
            return original(self, sql, *bindings)

        monkeypatch.setattr(Store, "_rows", rows)
        counts: list[int] = []
        async with trio.open_nursery() as nursery:
            for item in frames[:4]:
                bob.session.post(item)

            async def wish() -> None:
                counts.append(await bob.session.ask(lambda: message_count(bob)))

            nursery.start_soon(wish)
            await trio.testing.wait_all_tasks_blocked()
            for item in frames[4:]:
                bob.session.post(item)

        await until(lambda: message_count(bob) == 8)
        assert counts == [4]
        assert commits == 2
