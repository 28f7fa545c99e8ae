"""A rendezvous point and those who would abuse it: whose signposts are kept, for how long, how many."""

import time
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from node.discovery.rendezvous_messages import DAY_S, Answer, Ask, Register, Registered, day_of, tag_of
from node.discovery.rendezvous_point import (
    ASKERS_MAX,
    ASKS_BURST_MAX,
    PEER_ASKS_BURST_MAX,
    PEER_PAUSE_S,
    REGISTERS_BURST_MAX,
    TTL_S,
    RendezvousPoint,
)
from node.discovery.signposts import LIFETIME_S, SIGNPOST_SIZE_MAX
from node.transport import RefusedError
from ordering import MalformedError
from tests.node.discovery.cards import NOW_S, Somebody

HERE = "/ip4/192.0.2.7/tcp/4840"


class Point(RendezvousPoint):
    """One whose unix clock goes with trio's."""

    def __init__(self, quota: int = 8, *, admits_all: bool = True, contacts: tuple[str, ...] = ()) -> None:
        began_s = trio.current_time()
        super().__init__(
            quota=quota,
            admits_all=admits_all,
            is_contact=contacts.__contains__,
            now_ms=lambda: int(1000 * (NOW_S + trio.current_time() - began_s)),
        )

    async def take(self, somebody: Somebody, by: Somebody | None = None, **changes: int) -> int:
        signpost = somebody.signpost(HERE, **changes)
        reply = await self.register((by or somebody).peer_id, Register(signpost.encode()).encode())
        return Registered.decode(reply).ttl_s

    async def find(self, somebody: Somebody, *, asker: str = "anybody", day: int = 0) -> bool:
        tag = tag_of(somebody.identity.public_key, day_of(NOW_S) + day)
        return Answer.decode(await self.ask(asker, Ask(tag).encode())).signpost != b""


async def refused(work: Callable[[], object], match: str) -> None:
    with pytest.raises(RefusedError, match=match):
        await work()  # type: ignore[misc]


async def test_who_registers_is_found_by_who_knows_the_peer_id_until_its_time_is_over(
    autojump_clock: MockClock,
) -> None:
    point, ada = Point(), Somebody("ada")
    assert await point.take(ada) == TTL_S
    for day in (-1, 0, 1):  # clocks differ
        assert await point.find(ada, day=day)
    assert not await point.find(ada, day=2)
    assert not await point.find(Somebody())
    await trio.sleep(TTL_S + 1)
    assert not await point.find(ada)
    assert len(point) == 0


async def test_a_signpost_that_expires_first_is_gone_first(autojump_clock: MockClock) -> None:
    point, ada, bob = Point(), Somebody("ada"), Somebody("bob")
    await point.take(ada)
    assert await point.take(bob, now_s=NOW_S + 60 - LIFETIME_S) == 60
    await trio.sleep(61)
    assert await point.find(ada)
    assert not await point.find(bob)


async def test_a_day_later_it_is_found_by_that_days_tag(autojump_clock: MockClock) -> None:
    point, ada = Point(), Somebody()
    await trio.sleep(DAY_S - TTL_S)
    await point.take(ada, now_s=NOW_S + DAY_S - TTL_S)
    await trio.sleep(TTL_S - 10)
    assert await point.find(ada, day=1)
    await trio.sleep(5)
    await point.take(ada, now_s=NOW_S + DAY_S - TTL_S)
    await trio.sleep(TTL_S - 10)
    assert await point.find(ada, day=2)


async def test_nobody_registers_somebody_else_or_what_is_no_signpost(autojump_clock: MockClock) -> None:
    point, ada, eve = Point(), Somebody("ada"), Somebody("eve")
    await refused(lambda: point.take(ada, by=eve), "somebody else")
    await refused(lambda: point.take(eve, now_s=NOW_S - 3 * 24 * 3600), "expired")
    await refused(lambda: point.take(eve, now_s=NOW_S + 3 * 24 * 3600), "future")
    bent = bytearray(eve.signpost(HERE).encode())
    bent[-1] ^= 1
    for junk in (b"", b"junk", Register(bytes(bent)).encode(), bytes(SIGNPOST_SIZE_MAX * 2)):
        await refused(lambda junk=junk: point.register(eve.peer_id, junk), "signpost|Register")  # type: ignore[misc]
    assert len(point) == 0
    with pytest.raises(MalformedError):
        await point.ask(eve.peer_id, bytes(1000))


async def test_an_older_signpost_does_not_replace_a_later_one(autojump_clock: MockClock) -> None:
    point, ada = Point(), Somebody()
    await point.take(ada, now_s=NOW_S)
    await refused(lambda: point.take(ada, now_s=NOW_S), "a moment ago")
    await trio.sleep(PEER_PAUSE_S)
    await refused(lambda: point.take(ada, now_s=NOW_S - 100), "a later one")
    assert await point.take(ada, now_s=NOW_S) == TTL_S


async def test_strangers_cannot_take_a_contacts_place(autojump_clock: MockClock) -> None:
    """A flood of new identities fills the point, no more; the contact gets in, and stays."""
    friend, crowd = Somebody("friend"), [Somebody() for _ in range(12)]
    point = Point(quota=8, contacts=(friend.peer_id,))
    for stranger in crowd[:8]:
        await point.take(stranger)
    for stranger in crowd[8:]:
        await refused(lambda stranger=stranger: point.take(stranger), "full")  # type: ignore[misc]
    await point.take(friend)
    assert len(point) == 8
    assert await point.find(friend)
    assert not await point.find(crowd[0])
    await refused(lambda: point.take(crowd[0]), "full")
    assert point.counters["full"] == 5


async def test_a_point_for_contacts_serves_no_strangers(autojump_clock: MockClock) -> None:
    friend = Somebody()
    point = Point(admits_all=False, contacts=(friend.peer_id,))
    await refused(lambda: point.take(Somebody()), "serves its contacts")
    assert await point.take(friend) == TTL_S


async def test_floods_are_refused_before_anything_is_verified(autojump_clock: MockClock) -> None:
    friend = Somebody()
    point = Point(contacts=(friend.peer_id,))
    junk = Register(b"").encode()
    for number in range(REGISTERS_BURST_MAX + 50):
        with pytest.raises(RefusedError):
            await point.register(f"stranger {number}", junk)
    assert point.counters["malformed"] == REGISTERS_BURST_MAX
    assert point.counters["too_fast"] == 50
    await point.take(friend)  # whom strangers leave room

    for _ in range(PEER_ASKS_BURST_MAX):
        await point.find(friend, asker="greedy")
    await refused(lambda: point.find(friend, asker="greedy"), "too many")
    assert await point.find(friend, asker="modest")
    for number in range(ASKS_BURST_MAX - PEER_ASKS_BURST_MAX - 1):
        await point.find(friend, asker=f"one of many {number}")
    await refused(lambda: point.find(friend, asker="one more"), "too many")
    assert len(point._askers) <= ASKERS_MAX


def test_a_tag_tells_nothing_to_who_does_not_know_the_peer() -> None:
    ada = Somebody()
    today, tomorrow = (tag_of(ada.identity.public_key, day_of(int(time.time())) + step) for step in (0, 1))
    assert today != tomorrow
    assert ada.identity.public_key not in today
