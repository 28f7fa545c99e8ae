"""What who is out of a group, or never was in it, is told when it asks as members do."""

from __future__ import annotations

from pathlib import Path

from trio.testing import MockClock

from node.intents import DONE
from node.peer_messages import (
    BUNDLE_PROTOCOL,
    CHAIN_PROTOCOL,
    MESSAGES_PROTOCOL,
    SYNC_PROTOCOL,
    BundleRequest,
    ChainQuestion,
    MessagesReply,
    MessagesRequest,
    Sealed,
    SyncRequest,
    group_tag,
    topic_of,
)
from node.transport import RequestError
from ordering import Chain, ChainRequest, Policy
from tests.node.mailbox.world import texts
from tests.node.recorder import Recorder
from tests.node.world import SUITE, Member, open_world, until


async def asked(member: Member, of: Member, protocol: str, payload: bytes) -> bytes | None:
    """What is answered; None when it is refused."""
    try:
        return await member.node.context.transport.request(of.peer_id, protocol, payload)
    except RequestError:
        return None


async def test_a_removed_member_is_told_what_ended_its_last_epoch_and_nothing_after(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Or it could follow who is added, who speaks and when. It learns of its own removal, which it has a right to."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        tag, group_id = group_tag(ada.session.group_id), ada.session.group_id
        assert (await ada.remove(cyn)).state == DONE
        await until(lambda: cyn.session.holding.removed)
        removed = ada.epoch
        await bob.session.send("without her")
        await until(lambda: texts(ada) == ["without her"])
        assert (await ada.update()).state == DONE
        await world.settled(ada, bob)
        (id,) = ada.node.context.store.message_ids(group_id, removed)

        assert await asked(cyn, ada, BUNDLE_PROTOCOL, BundleRequest(tag, removed - 1).encode())
        assert await asked(cyn, ada, BUNDLE_PROTOCOL, BundleRequest(tag, removed).encode()) is None
        question = ChainQuestion(tag, ChainRequest(group_id, 0, 64).encode())
        reply = await asked(cyn, ada, CHAIN_PROTOCOL, question.encode())
        assert reply is not None
        assert [entry.decision.epoch for entry in Chain.decode(reply).entries][-1] == removed - 1
        got = await asked(cyn, ada, MESSAGES_PROTOCOL, MessagesRequest(tag, (id,)).encode())
        assert got is None or MessagesReply.decode(got).payloads == ()
        synced = await asked(cyn, ada, SYNC_PROTOCOL, SyncRequest(tag, ada.epoch, ()).encode())
        assert synced is None or id not in synced


async def test_who_overhears_a_topic_gets_sealed_hints(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A relay, a stranger, a removed member: epoch, time and size are there; the words, and who says them, are not."""
    async with open_world(tmp_path) as world:
        recorder = Recorder()
        ada, bob = await recorder.member(world, "ada"), await recorder.member(world, "bob")
        await ada.node.create_group("the hidden garden", SUITE, Policy(delta_ms=200))
        assert (await ada.add(bob)).state == DONE
        await until(lambda: bool(bob.node.sessions))
        eve = world.network.add("eve")
        for member in (ada, bob):
            await eve.connect(member.address)
        topic = topic_of(ada.session.group_id)
        eve.subscribe(topic)
        heard: list[bytes] = []

        async def listen() -> None:
            async for _, _, payload in eve.gossip():
                heard.append(payload)

        world.nursery.start_soon(listen)
        await until(lambda: eve.peer_id in ada.node.context.transport.topic_peers(topic))
        for number in range(5):
            await ada.session.send(f"meet me where the river turns {number}")
        await until(lambda: len(texts(bob)) == 5 and len(heard) >= 5)

        for payload in heard:
            sealed = Sealed.decode(payload)
            assert sealed.epoch == ada.epoch
            for secret in (b"river", b"hidden garden", ada.peer_id.encode(), ada.session.group_id):
                assert secret not in payload
