"""A mailbox and a member's conversation with it: who is served, how fast, and which lies are noticed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from node.errors import NodeError
from node.mailbox import serving
from node.mailbox.messages import (
    COMPARE_PROTOCOL,
    DEPOSIT_PROTOCOL,
    FETCH_PROTOCOL,
    HELLO_PROTOCOL,
    RECEIVED,
    Asked,
    CompareReply,
    Deposit,
    DepositReply,
    Fetch,
    FetchReply,
    Hello,
    Outcome,
    Statement,
    Terms,
)
from node.mailbox.rates import BYTES_BURST_MAX, REQUESTS_BURST_MAX, WAIT_S_MAX, Rates
from node.mailbox.reconciling import Range, digest
from node.mailbox.sealing import ItemKind, Topic, TopicKeys, item_id
from node.mailbox.serving import CHALLENGE_S
from node.mailbox.visiting import FaultKind, Visit, VisitError, check_succession
from node.transport import RefusedError, RequestError, RequestFailure
from node.transport_memory import open_memory_network
from tests.node.mailbox.boxes import Box, open_box
from tests.node.mailbox.chain import MadeChain

CHANCE = Random(3)


def topic(number: int = 1) -> Topic:
    chance = Random(number)
    return Topic(TopicKeys(chance.randbytes(32), chance.randbytes(32)))


def messages(of: Topic, count: int, first: int = 0) -> tuple[bytes, ...]:
    return tuple(of.seal(ItemKind.MESSAGE, number.to_bytes(8, "big")) for number in range(first, first + count))


async def test_what_one_member_leaves_another_finds(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The whole conversation: leave, compare, fetch; and how the epoch ended."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada, bob = network.add("ada"), network.add("bob")
        here = topic()
        items, entry = messages(here, 700), MadeChain().entry()
        leaving = Visit(ada, box.address, os.urandom(32))
        for first in range(0, 700, 200):
            outcomes, receipt = await leaving.deposit(here, Deposit(items[first : first + 200]))
            assert set(outcomes) == {Outcome.STORED}
        _, receipt = await leaving.deposit(here, Deposit((), entry.encode()))
        assert (receipt.count, receipt.has_entry) == (700, True)

        visit = Visit(bob, box.address, os.urandom(32))
        compared = await visit.compare(here, [])
        assert compared.need == set(map(item_id, items))
        assert compared.entries == (entry,)
        found, missing = await visit.fetch(here, sorted(compared.need))
        assert set(found.values()) == set(items)
        assert not missing
        ids = sorted(map(item_id, items[5:]))
        again = await visit.compare(here, [*ids, *[b"\xff" * 32]])
        assert again.need == set(map(item_id, items[:5]))
        assert again.have == {b"\xff" * 32}
        assert again.rounds <= 4
        check_succession(receipt, again.statement)


async def test_a_mailbox_never_sees_who_visits_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Not the peer, and not twice the same throw-away."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada = network.add("ada")
        seen: set[str] = set()
        for _ in range(3):
            await Visit(ada, box.address, os.urandom(32)).compare(topic(), [])
            seen |= box.transport.peers()
        assert len(seen) == 3
        assert ada.peer_id not in seen


async def test_who_has_not_the_topics_key_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Neither reading nor writing; nor with what was signed for another connection, or long ago."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada, eve = network.add("ada"), network.add("eve")
        here, body = topic(), Fetch((bytes(32),)).encode()

        async def challenge(persona: bytes) -> bytes:
            reply = await eve.request_unnamed(box.address, HELLO_PROTOCOL, Hello().encode(), persona=persona)
            return Terms.decode(reply).challenge

        async def refused(asked: Asked, persona: bytes) -> bool:
            try:
                await eve.request_unnamed(box.address, FETCH_PROTOCOL, asked.encode(), persona=persona)
            except RequestError as error:
                return error.kind is RequestFailure.REFUSED
            return False

        one, two = os.urandom(32), os.urandom(32)
        public = box.identity.public_key
        good = Asked.sign(here.key, FETCH_PROTOCOL, public, await challenge(one), body)
        assert not await refused(good, one)
        assert await refused(good, two), "another connection"
        assert await refused(Asked(topic(2).id, good.body, good.signature), one), "another topic"
        assert await refused(Asked.sign(here.key, COMPARE_PROTOCOL, public, await challenge(one), body), one)
        box.now_ms += 3 * CHALLENGE_S * 1000
        assert await refused(good, one), "long ago"
        await Visit(ada, box.address, os.urandom(32)).fetch(here, [bytes(32)])


async def test_a_long_visit_gets_a_fresh_challenge(tmp_path: Path, autojump_clock: MockClock) -> None:
    """And nobody's clock has to be right for it."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        visit = Visit(network.add("ada"), box.address, os.urandom(32))
        for _ in range(3):
            await visit.deposit(topic(), Deposit(messages(topic(), 1)))
            box.now_ms += 5 * CHALLENGE_S * 1000


async def test_many_deposits_wait_for_the_disk_once(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is durable when it is acknowledged, and what comes meanwhile is written together."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        batches: list[int] = []
        take = box.store.take

        def counted(deposits: Sequence[tuple[bytes, Deposit]], now_s: int) -> Any:
            batches.append(len(deposits))
            return take(deposits, now_s)

        monkeypatch.setattr(box.store, "take", counted)
        visits = [Visit(network.add(f"m{number}"), box.address, os.urandom(32)) for number in range(10)]

        async def leave(number: int, visit: Visit) -> None:
            for item in messages(topic(number), 10):
                assert (await visit.deposit(topic(number), Deposit((item,))))[0] == (Outcome.STORED,)
                assert item_id(item) in box.store.ids(topic(number).id)

        async with trio.open_nursery() as nursery:
            for number, visit in enumerate(visits):
                nursery.start_soon(leave, number, visit)
        assert sum(batches) == 100
        assert len(batches) < 90


async def test_a_disk_that_refuses_is_not_acknowledged(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the mailbox goes on."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        visit = Visit(network.add("ada"), box.address, os.urandom(32))
        with monkeypatch.context() as broken:
            broken.setattr(box.store, "take", refuse)
            with pytest.raises(VisitError):
                await visit.deposit(topic(), Deposit(messages(topic(), 1)))
        await trio.sleep(2)
        assert (await visit.deposit(topic(), Deposit(messages(topic(), 1))))[0] == (Outcome.STORED,)


def refuse(*_: object) -> None:
    raise NodeError("disk full")


async def test_a_flooder_waits_and_others_do_not(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its own rate is its own bound; a request that would wait too long is refused."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        eve, ada = network.add("eve"), network.add("ada")
        refusals = 0

        async def flood(visit: Visit, number: int) -> None:
            nonlocal refusals
            for _ in range(60):
                try:
                    await visit.compare(topic(number), [])
                except VisitError:
                    refusals += 1

        began_s = trio.current_time()
        flooding = Visit(eve, box.address, bytes(32))
        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(flood, flooding, number)
            await trio.sleep(1)
            asked_s = trio.current_time()
            await Visit(ada, box.address, os.urandom(32)).compare(topic(), [])
            assert trio.current_time() - asked_s < 0.5
        assert trio.current_time() - began_s > (960 - REQUESTS_BURST_MAX) / 100 - WAIT_S_MAX


async def test_rates_are_kept_in_bytes_and_in_requests(autojump_clock: MockClock) -> None:
    """And who asks for more than its turn can bear is told at once."""
    rates = Rates()
    await rates.turn("eve", BYTES_BURST_MAX)
    began_s = trio.current_time()
    await rates.turn("eve", 4 * 1024 * 1024)
    assert 0.9 < trio.current_time() - began_s < 1.2
    with pytest.raises(RefusedError):
        await rates.turn("eve", 16 * 1024 * 1024)
    await rates.turn("ada", 1000)


async def test_a_flood_of_one_topic_leaves_the_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its bytes are bounded by what one owner may fill."""
    limits = replace(Box.LIMITS, owner_quota=200_000)
    async with open_memory_network() as network, open_box(network, tmp_path, limits) as box:
        ada, eve = (
            Visit(network.add("ada"), box.address, bytes(32)),
            Visit(network.add("eve"), box.address, bytes(31) + b"1"),
        )
        await ada.deposit(topic(1), Deposit(messages(topic(1), 20)))
        for first in range(0, 3000, 250):
            await eve.deposit(topic(2), Deposit(messages(topic(2), 250, first)))
        assert box.store.size < 250_000
        assert len((await ada.compare(topic(1), [])).need) == 20


Spoil = Callable[[str, bytes], bytes]


class Lying:
    """A mailbox between a member and an honest one: it spoils the answers it passes on."""

    def __init__(self, transport: Any, spoil: Spoil) -> None:
        self._transport = transport
        self._spoil = spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def request_unnamed(self, address: str, protocol: str, payload: bytes, **named: Any) -> bytes:
        reply: bytes = await self._transport.request_unnamed(address, protocol, payload, **named)
        return self._spoil(protocol, reply)


def spoil_fetch(act: Callable[[FetchReply], FetchReply]) -> Spoil:
    return lambda protocol, reply: act(FetchReply.decode(reply)).encode() if protocol == FETCH_PROTOCOL else reply


def spoil_compare(act: Callable[[CompareReply], CompareReply]) -> Spoil:
    return lambda protocol, reply: act(CompareReply.decode(reply)).encode() if protocol == COMPARE_PROTOCOL else reply


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda protocol, reply: bytes(9), FaultKind.GARBAGE),
        (spoil_fetch(lambda reply: structs.replace(reply, items=(bytes(512),))), FaultKind.GARBAGE),
        (spoil_fetch(lambda reply: structs.replace(reply, considered=0, items=())), FaultKind.GARBAGE),
        (spoil_compare(lambda reply: structs.replace(reply, ranges=(Range(b"", ids=()),))), FaultKind.GARBAGE),
        (
            spoil_compare(lambda reply: structs.replace(reply, ranges=(Range(b"", digest=bytes(32)),))),
            FaultKind.GARBAGE,
        ),
        (spoil_compare(lambda reply: structs.replace(reply, entries=(b"no",))), FaultKind.GARBAGE),
        (
            spoil_compare(lambda reply: structs.replace(reply, statement=structs.replace(reply.statement, count=1))),
            FaultKind.GARBAGE,
        ),
    ],
)
async def test_garbage_is_noticed(tmp_path: Path, autojump_clock: MockClock, spoil: Spoil, kind: FaultKind) -> None:
    """Whatever part of an answer it is in."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada = network.add("ada")
        await Visit(ada, box.address, bytes(32)).deposit(topic(), Deposit(messages(topic(), 5)))
        visit = Visit(Lying(ada, spoil), box.address, os.urandom(32))
        with pytest.raises(VisitError) as caught:  # noqa: PT012 - either of the two may notice
            await visit.compare(topic(), [])
            await visit.fetch(topic(), [item_id(each) for each in messages(topic(), 5)])
        assert caught.value.kind is kind


async def test_what_is_listed_and_not_handed_out_is_noticed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its own signed list names it."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada = network.add("ada")
        items = messages(topic(), 5)
        await Visit(ada, box.address, bytes(32)).deposit(topic(), Deposit(items))
        withholding = spoil_fetch(lambda reply: structs.replace(reply, items=reply.items[1:]))
        visit = Visit(Lying(ada, withholding), box.address, os.urandom(32))
        compared = await visit.compare(topic(), [])
        found, missing = await visit.fetch(topic(), sorted(compared.need))
        assert len(found) == 4
        assert missing == (min(map(item_id, items)),)


async def test_a_false_receipt_is_noticed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """For fewer items, for others, or of another key."""
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        ada = network.add("ada")

        def fewer(protocol: str, reply: bytes) -> bytes:
            if protocol != DEPOSIT_PROTOCOL:
                return reply
            said = DepositReply.decode(reply).receipt
            receipt = Statement.sign(
                box.identity.sign, RECEIVED, topic().id, said.born, said.serial, said.count, said.has_entry, digest([])
            )
            return DepositReply((Outcome.STORED,), receipt).encode()

        with pytest.raises(VisitError, match="other items"):
            await Visit(Lying(ada, fewer), box.address, bytes(32)).deposit(topic(), Deposit(messages(topic(), 1)))


def test_an_older_state_cannot_follow_a_newer() -> None:
    """A store restored from a backup, one that was lost, one that denies how an epoch ended."""
    now = Statement(bytes(16), 7, 3, True, bytes(32), bytes(64))
    check_succession(None, now)
    check_succession(now, structs.replace(now, serial=8, count=1))
    for false in (
        structs.replace(now, serial=6),
        structs.replace(now, born=b"1" * 16),
        structs.replace(now, serial=9, has_entry=False),
    ):
        with pytest.raises(VisitError) as caught:
            check_succession(now, false)
        assert caught.value.kind is FaultKind.OLD_STATE


async def test_so_much_waits_for_the_disk(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deposits are refused, not gathered in memory without end."""
    monkeypatch.setattr(serving, "PENDING_BYTES_MAX", 1000)
    async with open_memory_network() as network, open_box(network, tmp_path) as box:
        visit = Visit(network.add("ada"), box.address, bytes(32))
        await visit.deposit(topic(), Deposit(messages(topic(), 1)))
        with pytest.raises(VisitError) as caught:
            await visit.deposit(topic(), Deposit(messages(topic(), 2)))
        assert caught.value.kind is FaultKind.REFUSED
