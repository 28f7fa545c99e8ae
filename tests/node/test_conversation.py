"""Messages that gossip lost: repaired in an order that opens them, whoever was away and however much was said."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import GroupConfig
from node import conversation, draining, session
from node.intents import DONE
from node.peer_messages import SYNC_PROTOCOL, SyncReply, SyncRequest, group_tag
from node.transport_memory import Conditions
from tests.node.test_session import message_count
from tests.node.world import open_world, until


async def test_a_long_backlog_of_one_sender_is_read_whole(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender's message opens only so far ahead of those before it; pulled in the order of their ids, most of a long
    backlog was too far ahead, and given up for good. With the engine's bound, that begins at a thousand messages."""
    monkeypatch.setattr(
        "node.supervision.group_config", lambda _: GroupConfig(forward_distance_max=30, out_of_order_max=30)
    )
    monkeypatch.setattr(conversation, "MESSAGES_PER_PULL_MAX", 20)
    monkeypatch.setattr(draining, "MESSAGES_PER_PULL_MAX", 20)
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for number in range(80):
            await ada.session.send(str(number))

        await bob.start()

        await until(lambda: message_count(bob) == 80)


async def test_more_messages_than_one_answer_names_are_all_found(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never stands in the answer would never be pulled."""
    monkeypatch.setattr(conversation, "MESSAGE_IDS_PER_SYNC_MAX", 12)
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for number in range(24):
            await ada.session.send(str(number))

        await bob.start()

        await until(lambda: message_count(bob) == 24, timeout_s=600)


async def test_who_was_removed_learns_that_and_no_later_epoch(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        tag = group_tag(ada.session.group_id)
        assert (await ada.remove(cyn)).state == DONE
        removed_at = ada.epoch
        await until(lambda: cyn.session.holding.removed)
        for _ in range(3):
            assert (await ada.update()).state == DONE
        await world.settled(ada, bob)

        with trio.fail_after(5):
            question = SyncRequest(tag, 0, ()).encode()
            answer = await cyn.node.context.transport.request(ada.peer_id, SYNC_PROTOCOL, question)
        assert SyncReply.decode(answer).epoch == removed_at < ada.epoch


async def test_messages_of_epochs_that_pass_quickly_are_found_in_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A hint that is lost, or comes before its epoch is entered, is found by comparison; and many changes in a row may
    leave its epoch far behind before the next one is due by the clock. Forty epochs pass here in a fifth of a second.
    """
    async with open_world(tmp_path, conditions=Conditions(gossip_loss=0.5)) as world:
        members = await world.group_of("ada", "bob", "cyn", committee=3)
        began_s = trio.current_time()
        for number in range(40):
            await members[number % 3].session.send(str(number))
            assert (await members[(number + 1) % 3].update()).state == DONE
        assert trio.current_time() - began_s < session.SYNC_PERIOD_S

        await until(lambda: all(message_count(member) == 40 for member in members))
