"""What `node.transport` promises, kept by both adapters."""

from __future__ import annotations

import sys

import pytest
import trio

from node.transport import (
    FRAME_SIZE_MAX,
    GOSSIP_SIZE_MAX,
    MIB,
    REQUEST_SIZE_MAX,
    DialError,
    OversizeError,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    RefusedError,
    RequestError,
    RequestFailure,
    Transport,
)
from tests.node.transport_worlds import connect, open_world, until_listening, until_peers

pytestmark = pytest.mark.parametrize("kind", ["memory", "libp2p"])


async def echo(peer: PeerId, payload: bytes) -> bytes:
    return payload


async def refuse(peer: PeerId, payload: bytes) -> bytes:
    raise RefusedError


async def fail(peer: PeerId, payload: bytes) -> bytes:
    raise ZeroDivisionError


async def hang(peer: PeerId, payload: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


async def failure(transport: Transport, peer: PeerId, protocol: str) -> RequestFailure:
    with pytest.raises(RequestError) as caught:
        await transport.request(peer, protocol, b"", timeout_s=0.5)
    return caught.value.kind


async def test_a_request_has_its_answer_or_a_reason(kind: str) -> None:
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            assert await failure(alice, bob.peer_id, "echo") is RequestFailure.NOT_CONNECTED
            await connect(alice, bob)
            for name, handler in {"echo": echo, "refuse": refuse, "fail": fail, "hang": hang}.items():
                bob.handle(name, handler)

            large = bytes(range(256)) * (3 * MIB // 256)
            assert await alice.request(bob.peer_id, "echo", b"") == b""
            assert await alice.request(bob.peer_id, "echo", large) == large
            assert await failure(alice, bob.peer_id, "nothing") is RequestFailure.UNSUPPORTED
            assert await failure(alice, bob.peer_id, "refuse") is RequestFailure.REFUSED
            assert await failure(alice, bob.peer_id, "fail") is RequestFailure.FAILED
            assert await failure(alice, bob.peer_id, "hang") is RequestFailure.TIMEOUT
            assert bob.counters["handlers_failed"] == 1
            assert await alice.request(bob.peer_id, "echo", b"still here") == b"still here"


async def test_how_near_a_peer_is_does_not_depend_on_how_long_it_takes(kind: str) -> None:
    """The network answers for it, once something has gone there and back."""
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            await connect(alice, bob)
            bob.handle("hang", hang)
            bob.handle("echo", echo)
            assert await failure(alice, bob.peer_id, "hang") is RequestFailure.TIMEOUT
            await alice.request(bob.peer_id, "echo", b"")
            nearest_s = alice.nearest_s(bob.peer_id)
            assert nearest_s is None or 0 < nearest_s < 0.5
            assert nearest_s is not None or sys.platform != "linux"


async def test_many_requests_at_once_are_all_answered(kind: str) -> None:
    """Our own bound makes the surplus wait here instead of being refused there."""
    answers: list[bytes] = []
    with trio.fail_after(20):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            await connect(alice, bob)
            bob.handle("echo", echo)

            async def ask(number: int) -> None:
                answers.append(await alice.request(bob.peer_id, "echo", bytes([number])))

            async with trio.open_nursery() as nursery:
                for number in range(60):
                    nursery.start_soon(ask, number)
    assert sorted(answers) == [bytes([number]) for number in range(60)]


async def test_frames_arrive_in_order_in_both_directions(kind: str) -> None:
    count = 3000
    with trio.fail_after(20):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            await connect(alice, bob)

            async def burst(sender: Transport, receiver: Transport) -> None:
                for number in range(count):
                    assert await sender.send(receiver.peer_id, number.to_bytes(4, "big") * 20)

            async def expect(receiver: Transport, sender: Transport) -> None:
                inbox = receiver.inbox()
                for number in range(count):
                    assert await inbox.receive() == (sender.peer_id, number.to_bytes(4, "big") * 20)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(burst, alice, bob)
                nursery.start_soon(burst, bob, alice)
                nursery.start_soon(expect, bob, alice)
                nursery.start_soon(expect, alice, bob)


async def test_the_largest_frame_passes_and_a_larger_one_is_our_own_mistake(kind: str) -> None:
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            await connect(alice, bob)
            frame = bytes(FRAME_SIZE_MAX)
            assert await alice.send(bob.peer_id, frame)
            assert await alice.send(bob.peer_id, b"after")
            assert await bob.inbox().receive() == (alice.peer_id, frame)
            assert await bob.inbox().receive() == (alice.peer_id, b"after")
            with pytest.raises(OversizeError):
                await alice.send(bob.peer_id, frame + b"!")
            with pytest.raises(OversizeError):
                await alice.publish("topic", bytes(GOSSIP_SIZE_MAX + 1))
            with pytest.raises(OversizeError):
                await alice.request(bob.peer_id, "echo", bytes(REQUEST_SIZE_MAX + 1))


async def test_sending_to_nobody_is_a_drop_and_not_an_error(kind: str) -> None:
    with trio.fail_after(10):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            assert not await alice.send(bob.peer_id, b"frame")
            assert alice.counters["frames_without_connection"] == 1


async def test_a_hint_reaches_each_subscriber_once_and_nobody_else(kind: str) -> None:
    with trio.fail_after(20):
        async with open_world(kind) as world:
            nodes = [await world.add(name) for name in ("alice", "bob", "carol", "dave")]
            for index, node in enumerate(nodes):
                for other in nodes[index + 1 :]:
                    await connect(node, other)
            alice, bob, carol, dave = nodes
            for node in (alice, bob, carol):
                node.subscribe("topic")
            dave.subscribe("another topic")
            await until_listening(alice, "topic", 2)

            largest = bytes(GOSSIP_SIZE_MAX)
            for payload in (b"first", b"first", largest, b"last"):
                await alice.publish("topic", payload)
            for node in (bob, carol):
                received = [await node.gossip().receive() for _ in range(3)]
                assert sorted(received) == sorted(
                    (alice.peer_id, "topic", payload) for payload in (b"first", largest, b"last")
                )
            await trio.sleep(0.1)
            for node in nodes:
                with pytest.raises(trio.WouldBlock):
                    node.gossip().receive_nowait()  # type: ignore[attr-defined]


async def test_a_hint_is_passed_on_where_not_everybody_is_connected(kind: str) -> None:
    """Alice and carol have only bob in common."""
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob, carol = [await world.add(name) for name in ("alice", "bob", "carol")]
            await connect(alice, bob)
            await connect(bob, carol)
            for node in (alice, bob, carol):
                node.subscribe("topic")
            await until_listening(alice, "topic", 1)
            await until_listening(bob, "topic", 2)
            await alice.publish("topic", b"hint")
            assert await carol.gossip().receive() == (bob.peer_id, "topic", b"hint")


async def test_whoever_is_connected_is_included_in_the_next_publish(kind: str) -> None:
    with trio.fail_after(10):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            bob.subscribe("topic")
            await alice.connect(bob.addresses[0])
            assert alice.topic_peers("topic") == {bob.peer_id}
            await alice.publish("topic", b"hint")
            assert await bob.gossip().receive() == (alice.peer_id, "topic", b"hint")


async def test_a_kept_address_is_dialled_again_after_the_peer_restarts(kind: str) -> None:
    with trio.fail_after(20):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            alice.keep(bob.addresses[0])
            assert await alice.events().receive() == PeerConnected(bob.peer_id)

            await world.remove("bob")
            gone = await alice.events().receive()
            assert isinstance(gone, PeerDisconnected)
            assert gone.peer == bob.peer_id
            assert alice.peers() == frozenset()
            again = await world.add("bob")
            assert again.peer_id == bob.peer_id
            assert await alice.events().receive() == PeerConnected(bob.peer_id)

            await until_peers(again, alice.peer_id)
            assert await alice.send(bob.peer_id, b"welcome back")
            assert await again.inbox().receive() == (alice.peer_id, b"welcome back")
            assert await again.send(alice.peer_id, b"thanks")
            assert await alice.inbox().receive() == (bob.peer_id, b"thanks")


async def test_two_nodes_that_keep_each_other_end_up_connected(kind: str) -> None:
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            alice.keep(bob.addresses[0])
            bob.keep(alice.addresses[0])
            await until_peers(alice, bob.peer_id)
            await until_peers(bob, alice.peer_id)
            for number in range(20):
                assert await alice.send(bob.peer_id, bytes([number]))
            assert [(await bob.inbox().receive())[1] for _ in range(20)] == [bytes([number]) for number in range(20)]


async def test_a_disconnected_peer_hears_of_it(kind: str) -> None:
    with trio.fail_after(10):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            await connect(alice, bob)
            assert await bob.events().receive() == PeerConnected(alice.peer_id)
            await alice.disconnect(bob.peer_id)
            assert alice.peers() == frozenset()
            assert isinstance(await bob.events().receive(), PeerDisconnected)


async def test_a_dial_that_cannot_work_says_so(kind: str) -> None:
    with trio.fail_after(15):
        async with open_world(kind) as world:
            alice, bob = await world.add("alice"), await world.add("bob")
            address = bob.addresses[0]
            await world.remove("bob")
            for wrong in (address, alice.addresses[0], "/ip4/127.0.0.1/tcp/1", "nonsense", address[:-1] + "/p2p/x"):
                with pytest.raises(DialError):
                    await alice.connect(wrong)


async def test_the_channels_end_with_the_transport(kind: str) -> None:
    with trio.fail_after(10):
        async with open_world(kind) as world:
            alice = await world.add("alice")
            await world.remove("alice")
            for channel in (alice.inbox(), alice.gossip(), alice.events()):
                with pytest.raises(trio.EndOfChannel):
                    await channel.receive()
