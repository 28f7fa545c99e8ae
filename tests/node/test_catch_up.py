"""Who was away comes back: everything said meanwhile is read, in the order of the epochs, whoever lies about it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from node import feed
from node.intents import DONE
from node.peer_messages import SYNC_PROTOCOL, EpochMessages, SyncReply, SyncRequest
from node.store import Store
from node.store_rows import FeedRow
from node.store_writes import Transaction
from node.transport import Transport
from tests.node.world import Member, open_world, until

EPOCHS = 100
MESSAGES_PER_EPOCH = 10


class Counted:
    """What a node asks of its disk and of the network."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.transactions = 0
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.transactions += 1
        with self._inner.transaction() as transaction:
            yield transaction

    async def request(self, *arguments: Any, **named: Any) -> bytes:
        self.asked.append(arguments[1])
        return cast(bytes, await self._inner.request(*arguments, **named))


async def test_a_hundred_epochs_and_a_thousand_messages(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nothing is lost, the feed is in the order of the epochs, and an epoch costs a handful of steps, not one for
    each message."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for epoch in range(EPOCHS):
            for number in range(MESSAGES_PER_EPOCH):
                await ada.session.send(f"{epoch} {number}")
            assert (await ada.update()).state == DONE
        disks: list[Counted] = []
        wires: list[Counted] = []
        bob.wrap_store = lambda store: cast(Store, counted(disks, store))
        bob.wrap_transport = lambda transport: cast(Transport, counted(wires, transport))

        await bob.start()
        await until(lambda: bob.epoch == ada.epoch)

        rows = messages(bob)
        said = [f"{epoch} {number}" for epoch in range(EPOCHS) for number in range(MESSAGES_PER_EPOCH)]
        assert [feed.MessageBody.decode(row.body).text for row in rows] == said
        assert [row.epoch for row in rows] == sorted(row.epoch for row in rows)
        assert disks[0].transactions <= 5 * EPOCHS
        assert len(wires[0].asked) <= 4 * EPOCHS, Counter(wires[0].asked)


async def test_one_member_that_says_there_was_nothing_is_not_believed(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three keep silent about what they hold; the third has it."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await dan.stop()
        for number in range(30):
            await (ada, bob, cyn)[number % 3].session.send(str(number))
            await until(lambda: all(len(messages(each)) == number + 1 for each in (ada, bob, cyn)))  # noqa: B023
            assert (await (ada, bob, cyn)[number % 3].update()).state == DONE
        await world.settled(ada, bob, cyn)
        for liar in (ada, bob):
            deny(liar, monkeypatch)

        await dan.start()

        await until(lambda: dan.epoch == ada.epoch)
        assert len(messages(dan)) == 30


async def test_a_member_that_never_answers_costs_one_wait(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every epoch asks everybody, and a hung member may not make each of them wait."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await dan.stop()
        for number in range(30):
            assert (await (ada, bob)[number % 2].update()).state == DONE
        await world.settled(ada, bob, cyn)
        hang(cyn)

        began_s = trio.current_time()
        await dan.start()
        await until(lambda: dan.epoch == ada.epoch)

        assert trio.current_time() - began_s < 15


async def test_named_ids_that_nobody_has_do_not_hold_up(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await cyn.stop()
        for number in range(5):
            await ada.session.send(str(number))
            assert (await bob.update()).state == DONE

        def inventing(peer: str, request: SyncRequest) -> SyncReply:
            invented = tuple(bytes([number]) * 32 for number in range(200))
            return SyncReply(bob.epoch, tuple(EpochMessages(each.epoch, invented) for each in request.digests))

        monkeypatch.setattr(bob.session.conversation, "answer_sync", inventing)
        await cyn.start()
        await until(lambda: cyn.epoch == ada.epoch)
        assert len(messages(cyn)) == 5


def counted(made: list[Counted], inner: object) -> Counted:
    made.append(Counted(inner))
    return made[-1]


def messages(member: Member) -> tuple[FeedRow, ...]:
    return member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, 0, 1000)


def deny(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a member answer every comparison with: nothing more."""

    def nothing(peer: str, request: SyncRequest) -> SyncReply:
        return SyncReply(member.epoch, ())

    monkeypatch.setattr(member.session.conversation, "answer_sync", nothing)


def hang(member: Member) -> None:
    """Have a member take questions about messages and answer none."""

    async def hung(peer: str, payload: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    handler: Callable[[str, bytes], Awaitable[bytes]] = hung
    member.node.context.transport.handle(SYNC_PROTOCOL, handler)
