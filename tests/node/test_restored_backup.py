"""A node restored from an older copy of its folder: it uses no message key twice and contradicts no vote of its own."""

import shutil
from itertools import combinations
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node import caution, conversation, feed
from node.data_dir import DataDir
from node.feed import MessageBody
from node.holding import ABSTAINING, OK
from node.intents import DONE
from node.peer_messages import Frame, FrameKind
from ordering import Propose, SignedVote, decode_message
from ordering.evidence import conflict
from tests.node.test_crashes import crashing
from tests.node.world import Member, World, open_world, until


class Backup:
    """A copy of a member's folder, made while it is stopped."""

    def __init__(self, world: World, member: Member) -> None:
        self.member = member
        self.live = DataDir(member.config.data_dir).path
        self.copy = world.folder / "backup"
        shutil.copytree(self.live, self.copy)

    def restore(self) -> None:
        shutil.rmtree(self.live)
        shutil.copytree(self.copy, self.live)


def generations(member: Member, sender: Member) -> list[tuple[int, int]]:
    """The keys of a sender's messages that were opened here: epoch and generation."""
    rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, 0, 1000)
    return [(row.epoch, MessageBody.decode(row.body).generation) for row in rows if row.sender == sender.peer_id]


def texts(member: Member) -> list[str]:
    rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, 0, 1000)
    return [MessageBody.decode(row.body).text for row in rows]


async def test_what_it_had_sent_is_fetched_and_no_key_is_used_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await bob.stop()
        backup = Backup(world, bob)
        await bob.start()
        for number in range(5):
            await bob.session.send(f"forgotten {number}")
        await until(lambda: all(len(texts(m)) == 5 for m in (ada, cyn)))
        await bob.stop()
        backup.restore()

        await bob.start()
        assert (await bob.session.send("new")).message_id is not None

        await until(lambda: all(len(texts(m)) == 6 for m in (ada, bob, cyn)))
        for member in (ada, cyn):
            keys = generations(member, bob)
            assert len(keys) == len(set(keys)) == 6
        assert set(texts(bob)) == {"new", *(f"forgotten {number}" for number in range(5))}
        notices = [
            feed.NoticeBody.decode(row.body).text
            for row in bob.node.context.store.feed(0, 1000, bob.session.group_id)
            if row.kind == feed.HEALTH
        ]
        assert any("older copy of itself" in text for text in notices)


async def test_alone_it_seals_nothing_and_sends_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    """With nobody there, nobody could receive it: it waits, also through a restart, and goes out in order."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        backup = Backup(world, bob)
        await bob.start()
        await bob.session.send("forgotten")
        await until(lambda: texts(ada) == ["forgotten"])
        await bob.stop()
        await ada.stop()
        backup.restore()

        await bob.start()
        kept = await bob.session.send("one")
        assert (kept.message_id, kept.seq) == (None, 0)
        await bob.session.send("two")
        group = bob.session.holding.group
        assert group is not None
        before = group.next_generation
        await trio.sleep(60)
        assert texts(bob) == []
        await bob.stop()
        await bob.start()
        assert bob.session.holding.group is not None
        assert bob.session.holding.group.next_generation == before

        await ada.start()

        await until(lambda: sorted(texts(ada)) == ["forgotten", "one", "two"])
        assert [text for text in texts(bob) if text != "forgotten"] == ["one", "two"]
        assert not bob.session.conversation.drafts


async def test_messages_that_nobody_there_has_are_skipped(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only cyn got what bob had said last, and cyn is away: the first new message leaves room for it. Each start leaves
    another room: one that was always the same led the restored copy to the very keys its other self had used."""
    drawn = iter((40, 90, 40, 90, 90))
    monkeypatch.setattr(caution, "generations_to_skip", lambda _: next(drawn))
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await bob.stop()
        backup = Backup(world, bob)
        await ada.stop()
        await bob.start()
        for number in range(3):
            await bob.session.send(f"to cyn {number}")
        await until(lambda: len(texts(cyn)) == 3)
        await bob.stop()
        await cyn.stop()
        backup.restore()
        await ada.start()

        await bob.start()
        await bob.session.send("new")
        await until(lambda: texts(ada) == ["new"])
        await cyn.start()

        await until(lambda: all(len(texts(m)) == 4 for m in (ada, bob, cyn)))
        for member in (ada, cyn):
            keys = generations(member, bob)
            assert len(keys) == len(set(keys)) == 4


async def test_a_member_that_boasts_of_later_epochs_silences_nobody(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed over after a while; somebody else has to be there, though."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await bob.stop()
        honest = conversation.Conversation.answer_sync

        def boasting(self: conversation.Conversation, peer: str, request: object) -> object:
            reply = honest(self, peer, request)  # type: ignore[arg-type]
            return type(reply)(reply.epoch + 100, reply.messages)

        monkeypatch.setattr(ada.session.conversation, "answer_sync", boasting.__get__(ada.session.conversation))
        await bob.start()
        await bob.session.send("hello")

        await until(lambda: texts(cyn) == ["hello"])


async def test_a_voter_abstains_where_it_may_have_voted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Three of four decide, so dan's vote is in the certificate; his restored copy is shown it, and is silent in that
    epoch and the next. It votes again after that. All that ever left him is free of contradiction."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        group_id = ada.session.group_id
        await cyn.stop()
        await dan.stop()
        backup = Backup(world, dan)
        sent = [crashing(dan, None)]
        await dan.start()
        assert (await ada.update()).state == DONE
        await world.settled(ada, bob, dan)
        await dan.stop()
        backup.restore()
        sent.append(crashing(dan, None))

        await dan.start()
        await until(lambda: dan.epoch == ada.epoch)
        await until(lambda: dan.session.holding.health == ABSTAINING)
        row = await bob.submit("update")
        await trio.sleep(60)
        assert bob.node.context.store.intent(row.intent_id).state == "open"  # type: ignore[union-attr]

        await cyn.start()
        assert (await bob.session.intent_ended(row.intent_id)).state == DONE
        await until(lambda: dan.session.holding.health == OK)
        await cyn.stop()
        assert (await bob.update()).state == DONE, "with dan's vote"

        votes: set[SignedVote] = set()
        for payload in (payload for points in sent for payload in points.sent):
            frame = Frame.decode(payload)
            message = decode_message(frame.body) if frame.kind is FrameKind.ORDERING else None
            if isinstance(message, SignedVote | Propose):
                votes.add(message.vote if isinstance(message, Propose) else message)
        assert votes
        assert not any(conflict(one, other) for one, other in combinations(votes, 2))
        assert dan.node.context.store.guard(group_id) is not None
