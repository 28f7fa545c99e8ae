"""Whole nodes and somebody who abuses them: floods and repetitions stay within their bounds and touch nobody else."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import trio
import trio.lowlevel
from trio.testing import MockClock

from node.contacts.cards import open_card
from node.data_dir import DataDir
from node.inbox import INBOX_MAX, WAITING_PER_PEER_MAX
from node.intents import ADD, DONE, AddBody
from node.mailbox.inboxes import NOTES_MAX
from node.mailbox.messages import COMPARE_PROTOCOL, DEPOSIT_PROTOCOL, FETCH_PROTOCOL, Deposit
from node.mailbox.notes import COLLECT_PROTOCOL, NOTE_PROTOCOL, Note, NoteReply, inbox_topic, week_of
from node.mailbox.room import LONE_SHARE, Limits
from node.mailbox.sealing import ItemKind, Topic, TopicKeys
from node.mailbox.store import open_mailbox
from node.mailbox.visiting import Visit, VisitError
from node.peer_messages import SYNC_PROTOCOL, WELCOME_PROTOCOL, Frame, FrameKind, group_tag, topic_of
from node.transport import KIB, MIB, REQUESTS_PER_PEER_MAX, RequestError, RequestFailure, Transport
from node.transport_frames import BrokenStreamError, encode_question
from node.transport_libp2p.swarm import STREAMS_PER_PEER_MAX
from node.transport_requests import REQUEST_PROTOCOL
from ordering import Policy
from tests.node.libp2p_world import Scene, open_scene
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.recorder import Recorder
from tests.node.world import SUITE, Member, open_world, until

BOX_MB = 2


# --- floods ---


async def flooded(scene: Scene, speaker: Transport, share: str) -> int:
    """Frames and questions as fast as they go, while the group works; the most that ever lay in the victim's inbox."""
    victim, tag, most = scene.victim, group_tag(scene.victim.session.group_id), 0
    sizes = (40, 60 * KIB, 900 * KIB)
    frames = [Frame(tag, FrameKind.ORDERING, b"\x01" + os.urandom(size)).encode() for size in sizes]

    async def attack() -> None:
        nonlocal most
        for number in range(1500):
            await speaker.send(victim.peer_id, frames[2 if number % 100 == 0 else number % 2])
            inbox = victim.session.inbox
            most = max(most, inbox._waiting.get(share, 0))
            assert len(inbox) <= INBOX_MAX
            if number % 10 == 0:
                await trio.lowlevel.checkpoint()
        topic = topic_of(victim.session.group_id)
        for _ in range(300):
            await speaker.publish(topic, os.urandom(2000))

    await scene.under(attack)
    return most


async def test_a_flood_of_frames_and_hints_by_a_stranger(tmp_path: Path) -> None:
    """Over libp2p: all who are no members have one share of each group's inbox together, and the group goes on."""
    async with open_scene(tmp_path) as scene:
        assert await flooded(scene, scene.stranger.transport, "") <= WAITING_PER_PEER_MAX


async def test_a_flood_of_frames_and_hints_by_a_member(tmp_path: Path) -> None:
    """It has a share of its own, and no more of the others'."""
    async with open_scene(tmp_path) as scene:
        assert await flooded(scene, scene.cyn.transport, scene.cyn.peer_id) <= WAITING_PER_PEER_MAX


async def test_a_flood_of_questions(tmp_path: Path) -> None:
    """Streams without number, each with a question: what is beyond the bounds is turned away, others are answered."""
    async with open_scene(tmp_path) as scene:
        question = encode_question(SYNC_PROTOCOL, os.urandom(900))
        victim, stranger = scene.victim.transport, scene.stranger
        turned_away, most = 0, 0

        async def ask() -> None:
            nonlocal turned_away
            try:
                stream = await stranger.stream(REQUEST_PROTOCOL)
                await stream.write(question)
                await trio.sleep(0.2)
                await stream.reset()
            except BrokenStreamError:
                turned_away += 1

        async def watch() -> None:
            nonlocal most
            while True:
                link = victim._links.get(stranger.transport.peer_id)
                most = max(most, link.serving if link else 0)
                await trio.lowlevel.checkpoint()

        async def attack() -> None:
            async with trio.open_nursery() as watching:
                watching.start_soon(watch)
                async with trio.open_nursery() as nursery:
                    for _ in range(2 * STREAMS_PER_PEER_MAX):
                        nursery.start_soon(ask)
                watching.cancel_scope.cancel()

        await scene.under(attack)
        assert turned_away > 0
        assert 0 < most <= REQUESTS_PER_PEER_MAX


async def test_a_mailbox_that_is_flooded_serves_the_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A hundred identities with a topic each: they have half of the room at most, and lose their own oldest items.
    What the group brought is there, and its members still follow one another through it."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box", quota_mb=BOX_MB)
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        await ada.session.send("before the flood")
        assert (await ada.update()).state == DONE
        await until(lambda: not ada.session.mailboxes.backlog)
        eve = world.network.add("eve")

        async def flood(number: int) -> None:
            topic = Topic(TopicKeys(os.urandom(32), os.urandom(32)))
            visit = Visit(eve, box.address, number.to_bytes(32, "big"))
            for _ in range(4):
                items = tuple(topic.seal(ItemKind.MESSAGE, os.urandom(2000)) for _ in range(16))
                try:
                    await visit.deposit(topic, Deposit(items))
                except VisitError:
                    return

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(flood, number)
            await ada.session.send("during the flood")
            with trio.fail_after(30):
                await until(lambda: stored(ada, "during the flood") == 1)
        lone, everything = room_of(box)
        assert 0.25 * MIB < lone <= BOX_MB * MIB / LONE_SHARE
        assert everything <= BOX_MB * MIB
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: texts(bob) == ["before the flood", "during the flood"])


def room_of(box: Member) -> tuple[int, int]:
    """Bytes of topics without a chain, and of all."""
    key = box.node.context.store.meta("mailbox key")
    assert key is not None
    path = DataDir(box.config.data_dir).mailbox_path
    with open_mailbox(path, key, Limits(1, 1, 1), os.urandom) as store:
        ((lone, every),) = store._rows("SELECT sum(bytes) FILTER (WHERE group_id IS NULL), sum(bytes) FROM owners")
    return lone or 0, every


async def test_an_inbox_that_is_flooded_is_emptied_by_its_owner(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Eve has Bob's card: so many notes and no more fit. Another's inbox is not touched, and once Bob has looked, all
    of it is gone and a true Welcome arrives."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob = await world.member("ada"), await world.member("bob")
        know(ada, bob, "bob")
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        package = await ada.node.key_package_of(bob.peer_id, SUITE)
        await bob.stop()
        eve, card = world.network.add("eve"), open_card(contact_card(ada, bob))
        week = week_of(ada.node.context.now_ms())
        numbers = count()

        async def leave(topic: bytes) -> bool:
            item = Topic(TopicKeys(bytes(32), bytes(32))).seal(ItemKind.MESSAGE, next(numbers).to_bytes(4, "big"))
            persona = (next(numbers) // 100).to_bytes(32, "big")
            reply = await eve.request_unnamed(box.address, NOTE_PROTOCOL, Note(topic, item).encode(), persona=persona)
            return NoteReply.decode(reply).is_kept

        kept = [await leave(inbox_topic(card.inbox_key, week)) for _ in range(NOTES_MAX + 40)]
        assert sum(kept) == NOTES_MAX
        assert await leave(inbox_topic(os.urandom(32), week)), "another inbox has room"
        row = await ada.session.submit(ADD, AddBody(bob.peer_id, package).encode())
        assert (await ada.session.intent_ended(row.intent_id)).state == DONE
        await trio.sleep(5)

        await bob.start(alone=True)
        await until(lambda: bool(bob.node.sessions) and bob.epoch == ada.epoch, 600)


def know(member: Member, other: Member, name: str) -> None:
    """Have somebody's card."""
    from tests.node.mailbox.test_notes import know

    know(member, other, name)


def contact_card(member: Member, other: Member) -> bytes:
    row = member.node.context.store.contact(other.peer_id)
    assert row is not None
    assert row.card is not None
    return row.card


# --- repetitions ---


def standing(member: Member) -> dict[str, Any]:
    """What must not change by anything that was said before."""
    session, store = member.session, member.node.context.store
    rows = store.feed(0, 1000, session.group_id)
    return {
        "fingerprint": session.fingerprint(),
        "health": session.holding.health,
        "feed": [(row.kind, row.epoch, row.message_id) for row in rows],
        "frozen": session.agreement.is_frozen,
        "peers": sorted(member.node.context.transport.peers()),
    }


async def test_everything_that_was_ever_said_is_said_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Old votes, candidates, decisions, messages, hints, Welcomes: by a stranger and by a member, to everybody. Nothing
    changes by it, nobody is blamed for what was repeated in its name, and the group goes on."""
    async with open_world(tmp_path) as world:
        recorder = Recorder()
        ada, bob, cyn, dan = [await recorder.member(world, name) for name in ("ada", "bob", "cyn", "dan")]
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        for other in (bob, cyn, dan):
            assert (await ada.add(other)).state == DONE
        everybody = (ada, bob, cyn, dan)
        await until(lambda: all(each.node.sessions and each.committee.size == 4 for each in everybody))
        await world.settled(*everybody)
        for round in range(2):
            for member in everybody:
                await member.session.send(f"{member.name} {round}")
            assert (await everybody[round].update()).state == DONE
            await world.settled(*everybody)
        assert (await ada.remove(dan)).state == DONE
        await world.settled(ada, bob, cyn)
        await until(lambda: dan.session.agreement.is_over)
        await trio.sleep(5)
        assert len(recorder.frames) > 50
        assert {protocol for _, protocol, _ in recorder.requests} >= {WELCOME_PROTOCOL}

        eve = await world.member("eve")
        said = Recorder()
        said.frames, said.hints, said.requests = list(recorder.frames), list(recorder.hints), list(recorder.requests)
        before = {member.name: standing(member) for member in everybody}
        for speaker in (eve, cyn):
            listeners = [each.peer_id for each in everybody if each is not speaker]
            assert await said.replay(speaker.node.context.transport, listeners) > 0
            await trio.sleep(10)
        assert {member.name: standing(member) for member in everybody} == before
        assert dan.session.agreement.is_over, "its Welcome of then brings nobody back"
        assert (await bob.update()).state == DONE
        await ada.session.send("and on")
        await until(lambda: all(texts(each)[-1] == "and on" for each in (ada, bob, cyn)))
        assert all(len(texts(each)) == len(set(texts(each))) for each in everybody)


async def test_what_was_said_to_a_mailbox_is_said_to_it_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """By who listened at the mailbox's own line, say: deposits and questions are good on one connection only, and a
    note comes a second time to somebody who has no use for it."""
    async with open_world(tmp_path) as world:
        recorder = Recorder()
        (box,) = await mailboxes(world, "box")
        ada, bob = [await recorder.member(world, name) for name in ("ada", "bob")]
        know(ada, bob, "bob")
        know(bob, ada, "ada")
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        package = await ada.node.key_package_of(bob.peer_id, SUITE)
        await bob.stop()
        row = await ada.session.submit(ADD, AddBody(bob.peer_id, package).encode())
        assert (await ada.session.intent_ended(row.intent_id)).state == DONE
        await ada.session.send("welcome")
        await until(lambda: stored(ada, "welcome") == 1)
        await ada.stop()
        await bob.start(alone=True)
        await until(lambda: bool(bob.node.sessions) and texts(bob) == ["welcome"])
        await until(lambda: not bob.session.mailboxes.backlog)
        await bob.stop()
        await ada.start()
        assert (await ada.remove(bob)).state == DONE
        await until(lambda: not ada.session.mailboxes.backlog)
        await bob.start()
        await until(lambda: bob.session.agreement.is_over)

        before = room_of(box)
        eve = world.network.add("eve")
        outcomes: dict[str, set[str]] = {}
        for address, protocol, payload in list(recorder.unnamed):
            try:
                await eve.request_unnamed(address, protocol, payload, persona=os.urandom(32))
                outcome = "answered"
            except RequestError as error:
                outcome = error.kind.value
            outcomes.setdefault(protocol, set()).add(outcome)
        refused = {RequestFailure.REFUSED.value}
        assert outcomes[DEPOSIT_PROTOCOL] == outcomes[COMPARE_PROTOCOL] == outcomes[FETCH_PROTOCOL] == refused
        assert outcomes[COLLECT_PROTOCOL] == refused
        assert outcomes[NOTE_PROTOCOL] == {"answered"}, "anybody may leave a note"
        await until(lambda: room_of(box)[0] <= before[0] + 8 * KIB, 300)
        await trio.sleep(120)
        assert bob.session.agreement.is_over, "its Welcome of then brings nobody back"
        assert (await ada.update()).state == DONE
