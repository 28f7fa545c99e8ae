"""A node that is killed at any durable step of a commit and started again loses nothing and contradicts nothing.

The commit has a rival: both sides want an update of their own and a newcomer, so that each asks the other for its own.
"""

import shutil
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from node import feed
from node.api.errors import ApiError
from node.feed import MessageBody
from node.intents import ADD, ALREADY, DONE, UPDATE, AddBody
from node.peer_messages import Frame, FrameKind
from node.store import Store
from node.transport import DialError, Transport
from ordering import Propose, SignedVote, decode_message
from ordering.evidence import conflict
from tests.node.contention import add_body
from tests.node.crash import Crash, CrashingStore, CrashingTransport, Points
from tests.node.world import Member, World, open_world, until

NAMES = ("ada", "bob", "cyn", "dan")
SHARES = 4  # the points are dealt out over so many tests, for parallel runs


@pytest.mark.parametrize("share", range(SHARES))
async def test_killed_anywhere_in_a_commit(tmp_path: Path, autojump_clock: MockClock, share: int) -> None:
    """Before and after every transaction and every send, one run each, until a run has no such point any more."""
    base = tmp_path / "base"
    async with open_world(base) as world:
        for member in await world.group_of(*NAMES, committee=4):
            await member.stop()

    point, more, votes = share, True, 0
    while more:
        folder = tmp_path / str(point)
        shutil.copytree(base, folder)
        more, cast_votes = await play(folder, point)
        votes += cast_votes
        shutil.rmtree(folder)
        point += SHARES
    assert votes > point / SHARES, "the victim votes in most runs"
    assert point > 10 * SHARES, "a commit and a message pass more points than this"


async def play(folder: Path, crash_at: int) -> tuple[bool, int]:
    """One run with a crash at that point: whether the node got that far, and how many votes it sent."""
    async with open_world(folder) as world:
        members = [await world.member(name) for name in NAMES[:-1]]
        victim = Member(world, NAMES[-1], always_on=True)
        world.members[victim.name] = victim
        points = crashing(victim, crash_at)
        intents: set[bytes] = set()
        ours, theirs = add_body(), add_body()
        texts: set[str] = set()

        async def act() -> None:
            """What the victim was asked to do; whatever it confirmed must hold."""
            intents.add((await victim.submit(UPDATE)).intent_id)
            intents.add((await victim.submit(ADD, theirs)).intent_id)
            row = await victim.session.send("said by the victim")
            assert row.message_id is not None
            texts.add("said by the victim")

        world.nursery.start_soon(start_quietly, victim)
        await until(lambda: points.crashed or victim._running is not None)
        world.nursery.start_soon(until_crash, act)
        other = await members[0].submit(UPDATE)
        rival = await members[0].submit(ADD, ours)
        await members[1].session.send("said by another")
        texts.add("said by another")
        with trio.move_on_after(20):
            await members[0].session.intent_ended(other.intent_id)
            await until(lambda: points.crashed or settled_here(victim))

        if points.crashed:
            await victim.ended()
            victim.wrap_store = lambda store: store
            again = crashing(victim, None)
            await victim.start()
        else:
            again = Points(None)
        everyone = [*members, victim]
        await world.settled(*everyone)
        await until(lambda: all(texts <= read(m) for m in everyone))
        wanted = intents | {other.intent_id, rival.intent_id}
        votes = check(world, everyone, wanted, (*points.sent, *again.sent))
        assert AddBody.decode(ours).peer in members[0].session.agreement.roster
        return points.crashed, votes


def crashing(member: Member, crash_at: int | None) -> Points:
    points = Points(crash_at)
    member.wrap_store = lambda store: cast(Store, CrashingStore(store, points))
    member.wrap_transport = lambda transport: cast(Transport, CrashingTransport(transport, points))
    member.survives = Crash
    return points


async def start_quietly(member: Member) -> None:
    """Start a node that may crash while it starts."""
    with suppress(RuntimeError, DialError):  # it ended before it said that it started, or was gone when we dialled
        await member.start()


async def until_crash(act: Callable[[], Awaitable[None]]) -> None:
    """Whatever was under way when the node died ends with it."""
    with suppress(Crash, AssertionError, ApiError):
        await act()


def settled_here(member: Member) -> bool:
    if member._running is None:
        return False
    store, session = member.node.context.store, member.session
    return bool(store.intents(session.group_id)) and not store.open_intents(session.group_id)


def read(member: Member) -> set[str]:
    rows = member.node.context.store.feed(0, 1000, member.session.group_id)
    return {MessageBody.decode(row.body).text for row in rows if row.kind == feed.MESSAGE}


def check(world: World, members: list[Member], intents: set[bytes], sent: Iterable[bytes]) -> int:
    """No fork, nothing lost or done twice, no key used twice, no vote contradicted; returns how many votes left."""
    group_id = members[0].session.group_id
    decided: dict[int, set[bytes]] = {}
    for member in members:
        for decision in member.node.context.store.decisions(group_id, 0, 1000):
            decided.setdefault(decision.epoch, set()).add(decision.candidate_id)
    assert all(len(ids) == 1 for ids in decided.values()), "forked"

    for member in members:
        for row in member.node.context.store.intents(group_id):
            if row.intent_id in intents:
                assert row.state == DONE or (row.kind == ADD and row.state == ALREADY)
                if row.kind == ADD:
                    assert AddBody.decode(row.body).peer in member.session.agreement.roster

    for member in members:
        rows = [r for r in member.node.context.store.feed(0, 1000, group_id) if r.kind == feed.MESSAGE]
        assert len({row.message_id for row in rows}) == len(rows)
        received = [(row, MessageBody.decode(row.body)) for row in rows if row.sender != member.peer_id]
        keys = [(row.epoch, body.sender_leaf, body.generation) for row, body in received]
        assert len(set(keys)) == len(keys), "a ratchet key was used twice"

    votes: list[SignedVote] = []
    for payload in sent:
        frame = Frame.decode(payload)
        if frame.kind is not FrameKind.ORDERING:
            continue
        message = decode_message(frame.body)
        if isinstance(message, SignedVote):
            votes.append(message)
        elif isinstance(message, Propose):
            votes.append(message.vote)
    assert not any(conflict(one, other) for one, other in combinations(set(votes), 2))
    return len(votes)
