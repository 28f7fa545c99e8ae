"""The in-memory network misbehaves as the real one does, and only as it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from node.transport import (
    CONNECT_TIMEOUT_S,
    HEARTBEAT_TIMEOUT_S,
    INBOX_FRAMES_MAX,
    QUEUE_FRAMES_MAX,
    DialError,
    PeerConnected,
    PeerDisconnected,
    RequestError,
    RequestFailure,
)
from node.transport_memory import Conditions, MemoryNetwork, open_memory_network
from node.transport_memory_node import MemoryTransport


@asynccontextmanager
async def open_network(seed: int = 0, conditions: Conditions | None = None) -> AsyncIterator[MemoryNetwork]:
    """With a deadline far beyond any of the tests: under a jumping clock, waiting for ever would be just that."""
    with trio.fail_after(24 * 3600):
        async with open_memory_network(seed, conditions) as network:
            yield network


async def pair(network: MemoryNetwork) -> tuple[MemoryTransport, MemoryTransport]:
    alice, bob = network.add("alice"), network.add("bob")
    await alice.connect(bob.addresses[0])
    for node in (alice, bob):
        assert isinstance(await node.events().receive(), PeerConnected)
    return alice, bob


async def received(node: MemoryTransport) -> list[bytes]:
    """What lies in the inbox now."""
    frames: list[bytes] = []
    with trio.move_on_after(60):
        async for _, frame in node.inbox():
            frames.append(frame)
    return frames


async def story(seed: int) -> tuple[list[tuple[float, str, bytes]], dict[str, int]]:
    """A lossy hour of three nodes, told with times."""
    told: list[tuple[float, str, bytes]] = []
    rough = Conditions(delay_s=(0.01, 0.5), frame_loss=0.1, gossip_loss=0.3, gossip_duplicate=0.2)
    async with open_network(seed, rough) as network, trio.open_nursery() as nursery:
        nodes = [network.add(name) for name in ("alice", "bob", "carol")]
        await network.connect_all()
        start_s = trio.current_time()

        async def listen(node: MemoryTransport) -> None:
            async for peer, _, payload in node.gossip():
                told.append((round(trio.current_time() - start_s, 9), node.peer_id + " from " + peer, payload))

        for node in nodes:
            node.subscribe("topic")
            nursery.start_soon(listen, node)
        for number in range(50):
            for node in nodes:
                await node.publish("topic", f"{node.peer_id} {number}".encode())
                await trio.sleep(1)
        counters = {name: count for node in nodes for name, count in node.counters.items()}
        nursery.cancel_scope.cancel()
    return sorted(told), counters


async def test_the_same_seed_tells_the_same_story(autojump_clock: MockClock) -> None:
    assert await story(5) == await story(5)
    assert await story(5) != await story(6)


async def test_frames_do_not_overtake_each_other_however_uneven_the_delay(autojump_clock: MockClock) -> None:
    async with open_network(3, Conditions(delay_s=(0.001, 2.0))) as network:
        alice, bob = await pair(network)
        for number in range(100):
            assert await alice.send("bob", bytes([number]))
        assert await received(bob) == [bytes([number]) for number in range(100)]


async def test_frame_loss_loses_about_the_fraction_it_says(autojump_clock: MockClock) -> None:
    async with open_network(3, Conditions(frame_loss=0.25)) as network:
        alice, bob = await pair(network)
        for _ in range(2000):
            assert await alice.send("bob", b"frame")
        assert 1350 < len(await received(bob)) < 1650


async def test_a_full_queue_drops_the_newest_and_a_full_inbox_the_oldest(autojump_clock: MockClock) -> None:
    async with open_network(3) as network:
        alice, bob = await pair(network)
        network.partition(["alice"])
        sent = [await alice.send("bob", number.to_bytes(4, "big")) for number in range(QUEUE_FRAMES_MAX + 10)]
        assert sent.count(False) == 10
        assert alice.counters["frames_queue_full"] == 10
        network.heal()
        await trio.sleep(1)
        for number in range(10):
            assert await alice.send("bob", b"late" + bytes([number]))
        await trio.sleep(1)
        assert bob.counters["inbox_dropped"] == QUEUE_FRAMES_MAX + 10 - INBOX_FRAMES_MAX
        assert (await received(bob))[-1] == b"late\x09"


async def test_a_short_partition_delays_and_a_long_one_disconnects(autojump_clock: MockClock) -> None:
    async with open_network(3) as network:
        alice, bob = await pair(network)
        alice.keep(bob.addresses[0])
        network.partition(["alice"], ["bob"])
        assert await alice.send("bob", b"delayed")
        await trio.sleep(HEARTBEAT_TIMEOUT_S / 2)
        network.heal()
        assert await bob.inbox().receive() == ("alice", b"delayed")

        network.partition(["alice"], ["bob"])
        cut_s = trio.current_time()
        assert await alice.send("bob", b"lost")
        assert await alice.events().receive() == PeerDisconnected("bob", "no heartbeat")
        assert trio.current_time() - cut_s == pytest.approx(HEARTBEAT_TIMEOUT_S)
        assert alice.counters["peers_hung"] == 1
        assert not await alice.send("bob", b"nobody there")
        await trio.sleep(60)
        network.heal()
        assert await alice.events().receive() == PeerConnected("bob")
        assert await alice.send("bob", b"again")
        assert await bob.inbox().receive() == ("alice", b"again")


async def test_a_hung_peer_answers_nobody_until_it_resumes(autojump_clock: MockClock) -> None:
    async def answer(peer: str, payload: bytes) -> bytes:
        return payload

    async with open_network(3) as network:
        alice, bob = await pair(network)
        bob.handle("echo", answer)
        network.hang("bob")
        with pytest.raises(RequestError) as caught:
            await alice.request("bob", "echo", b"", timeout_s=5)
        assert caught.value.kind is RequestFailure.TIMEOUT
        with pytest.raises(RequestError) as caught:
            await alice.request("bob", "echo", b"", timeout_s=60)
        assert caught.value.kind is RequestFailure.BROKEN

        dialled_s = trio.current_time()
        with pytest.raises(DialError):
            await alice.connect(bob.addresses[0])
        assert trio.current_time() - dialled_s == pytest.approx(CONNECT_TIMEOUT_S)
        network.resume("bob")
        await alice.connect(bob.addresses[0])
        assert await alice.request("bob", "echo", b"back") == b"back"


async def test_hints_are_lost_and_repeated_as_told(autojump_clock: MockClock) -> None:
    async with open_network(3, Conditions(gossip_duplicate=1.0)) as network:
        alice, bob = await pair(network)
        bob.subscribe("topic")
        await trio.sleep(1)
        await alice.publish("topic", b"hint")
        for _ in range(2):
            assert await bob.gossip().receive() == ("alice", "topic", b"hint")

        network.set_link("alice", "bob", Conditions(gossip_loss=1.0))
        await alice.publish("topic", b"never seen")
        network.set_link("alice", "bob", None)
        await alice.publish("topic", b"seen")
        assert (await bob.gossip().receive())[2] == b"seen"


async def test_lost_questions_and_answers_end_in_a_timeout(autojump_clock: MockClock) -> None:
    served = 0

    async def count(peer: str, payload: bytes) -> bytes:
        nonlocal served
        served += 1
        return b""

    async with open_network(3, Conditions(request_loss=0.5)) as network:
        alice, bob = await pair(network)
        bob.handle("count", count)
        failures: list[RequestFailure] = []
        for _ in range(100):
            try:
                await alice.request("bob", "count", b"")
            except RequestError as error:
                failures.append(error.kind)
    assert 60 < len(failures) < 90
    assert set(failures) == {RequestFailure.TIMEOUT}
    assert 35 < served < 65  # some of which answered in vain


async def test_a_node_that_leaves_takes_its_tasks_along(autojump_clock: MockClock) -> None:
    async def never(peer: str, payload: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with open_network(3) as network:
        alice, bob = await pair(network)
        bob.handle("never", never)
        bob.keep("/memory/nobody/p2p/nobody")

        async def remove_soon() -> None:
            await trio.sleep(1)
            network.remove("bob")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove_soon)
            with pytest.raises(RequestError) as caught:
                await alice.request("bob", "never", b"", timeout_s=60)
        assert caught.value.kind is RequestFailure.BROKEN
        assert await alice.events().receive() == PeerDisconnected("bob", "closed by the peer")
        with pytest.raises(trio.EndOfChannel):
            await bob.inbox().receive()
        with pytest.raises(DialError):
            await alice.connect(bob.addresses[0])


async def test_an_error_of_the_body_arrives_unwrapped(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_network():
            raise ZeroDivisionError
