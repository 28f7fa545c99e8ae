"""Few are asked before all (R16): who is asked, what the others hear and when, and what one that keeps silent costs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node import instance_setup, round_trips, sparing
from node.carrying import Carrier
from node.config import OrderingSection
from node.intents import UPDATE
from node.peer_messages import Frame, FrameKind
from node.sparing import HEAD_START_S, WAIT_MAX_S
from ordering import Candidate, MessageKind
from tests.node.world import Member, World, open_world

NAMES = "abcdefg"
QUORUM = 5


@dataclass
class Told:
    """Frames that left, with when, from whom and to how many."""

    frames: list[tuple[float, str, Frame, int]] = field(default_factory=list)

    def of(self, kind: FrameKind, message: MessageKind | None = None) -> list[tuple[float, str, int]]:
        return [
            (at_s, peer, count)
            for at_s, peer, frame, count in self.frames
            if frame.kind is kind and count and (message is None or frame.body[0] == message)
        ]


@asynccontextmanager
async def open_group(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, list[Member], Told]]:
    """Seven voters that gather votes as if they were many, and none asked beyond a quorum."""
    monkeypatch.setattr(instance_setup, "VOTES_TO_ALL_MAX", 4)
    monkeypatch.setattr(round_trips, "VOTES_TO_ALL_MAX", 4)
    monkeypatch.setattr(sparing, "SPARE_VOTERS", 0)
    told, tell = Told(), Carrier._tell

    async def noted(carrier: Carrier, peers: tuple[str, ...], frame: Frame) -> None:
        told.frames.append((trio.current_time(), carrier.context.identity.peer_id, frame, len(peers)))
        await tell(carrier, peers, frame)

    async with open_world(folder) as world:
        world.ordering = OrderingSection(delta_ms=200, status_period_ms=10_000, status_idle_period_ms=10_000)
        members = await world.group_of(*NAMES, committee=len(NAMES))
        await trio.sleep(30)
        assert (await members[0].update()).state == "done"  # an epoch that began with everybody known to be near
        await world.settled(*members)
        await trio.sleep(3)
        monkeypatch.setattr(Carrier, "_tell", noted)
        yield world, members, told


async def test_only_a_quorum_is_asked_and_everybody_ends_in_the_next_epoch(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group(tmp_path, monkeypatch) as (world, members, told):
        for author in members[:3]:
            told.frames.clear()
            assert (await author.update()).state == "done"
            await world.settled(*members)

            asked, *later = told.of(FrameKind.CANDIDATE)
            assert asked[1] == author.peer_id
            assert asked[2] in (QUORUM - 1, QUORUM)  # its author may be one of the quorum or not
            (proposed,) = told.of(FrameKind.ORDERING, MessageKind.PROPOSE)
            assert proposed[2] == QUORUM - 1
            decided = [each for each in told.of(FrameKind.ORDERING, MessageKind.DECISION) if each[1] == proposed[1]]
            assert later
            assert all(each[0] >= decided[0][0] for each in later)
            assert {each[1] for each in later} == {proposed[1]}
            assert sum(each[2] for each in decided) == len(NAMES) - 1
            if proposed[1] != author.peer_id:
                assert decided[0][2] == 1  # who waits for it
                assert decided[1][0] >= decided[0][0] + HEAD_START_S
            await trio.sleep(1)


async def test_who_keeps_silent_costs_a_moment_and_then_everybody_is_asked(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are enough without it, as they were before."""
    async with open_group(tmp_path, monkeypatch) as (_, members, told):
        instance = members[0].session.agreement.instance
        roster, size = members[0].session.agreement.roster, len(NAMES)
        silent, *_ = roster.voters([(instance.leader + ahead) % size for ahead in (1, 2)])
        mute = next(member for member in members if member.peer_id == silent)
        author = next(member for member in members if member is not mute)
        monkeypatch.setattr(mute.session, "post", lambda item: None)

        began_s = trio.current_time()
        assert (await author.update()).state == "done"
        assert trio.current_time() - began_s < WAIT_MAX_S + 0.1
        candidates = told.of(FrameKind.CANDIDATE)
        assert candidates[0][2] < len(NAMES) - 1
        assert sum(each[2] for each in candidates if each[1] == author.peer_id) == len(NAMES) - 1

        told.frames.clear()
        await trio.sleep(1)
        assert (await author.update()).state == "done"
        assert told.of(FrameKind.CANDIDATE)[0][2] == len(NAMES) - 1


async def test_a_commit_made_as_the_epoch_begins_is_told_to_all_as_well(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made in the step that ended the epoch before; what was withheld in that one is of no use, this is."""
    async with open_group(tmp_path, monkeypatch) as (_, members, told):
        leader, size = members[0].session.agreement.instance.leader, len(NAMES)
        own = {member.session.agreement.instance.config.own_voter: member for member in members}
        author, mute = own[(leader + 2) % size], own[(leader + QUORUM) % size]  # asked in the next epoch, not in this
        monkeypatch.setattr(mute.session, "post", lambda item: None)
        began_s, epoch = trio.current_time(), author.epoch

        await author.submit(UPDATE)
        row = await author.submit(UPDATE)
        assert (await author.session.intent_ended(row.intent_id)).state == "done"

        assert author.epoch == epoch + 2
        assert trio.current_time() - began_s < WAIT_MAX_S + 0.2
        by_instance: dict[bytes, int] = {}
        for _, peer, frame, count in told.frames:
            if frame.kind is FrameKind.CANDIDATE and peer == author.peer_id:
                instance = Candidate.decode(frame.body).instance
                by_instance[instance] = by_instance.get(instance, 0) + count
        assert list(by_instance.values()) == [QUORUM - 1, size - 1]


async def test_a_leader_that_keeps_silent_is_passed_over_as_before(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group(tmp_path, monkeypatch) as (_, members, _):
        leader = members[0].session.agreement.instance.leader
        own = {member.session.agreement.instance.config.own_voter: member for member in members}
        mute, author = own[leader], own[(leader + 3) % len(NAMES)]
        monkeypatch.setattr(mute.session, "post", lambda item: None)
        with trio.fail_after(10):
            assert (await author.update()).state == "done"
