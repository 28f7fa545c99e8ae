"""What strangers and broken peers can throw at a real node, and what it costs the node: nothing.

py-libp2p as it comes ends the process on several of these (six garbage bytes are enough).
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from node.transport import (
    FRAME_SIZE_MAX,
    KIB,
    DialError,
    PeerDisconnected,
    PeerId,
    RequestError,
    RequestFailure,
    TransportConfig,
    TransportError,
)
from node.transport_frames import BrokenStreamError, Kind, encode_frame, encode_hint, encode_question
from node.transport_libp2p import muxer, open_libp2p
from node.transport_libp2p.mesh import MESH_PROTOCOL
from node.transport_libp2p.stream import HEADER, STREAM_ERRORS
from node.transport_libp2p.swarm import STREAMS_PER_PEER_MAX
from node.transport_requests import REQUEST_PROTOCOL
from node.transport_streams import KEPT_PROTOCOL, StreamTransport
from tests.node.transport_worlds import QUICK, connect, until, until_counted, until_listening, until_peers


async def echo(peer: PeerId, payload: bytes) -> bytes:
    return payload


class Scene:
    """A victim, a friend it must keep delivering to, and a peer that means ill."""

    def __init__(self, victim: StreamTransport, friend: StreamTransport, mallory: StreamTransport) -> None:
        self.victim = victim
        self.friend = friend
        self.mallory = mallory

    async def raw_stream(self, protocol: str) -> Any:
        """A stream from mallory to the victim, for bytes of her own choice."""
        if self.victim.peer_id not in self.mallory.peers():
            await connect(self.mallory, self.victim)
        wire: Any = self.mallory._wire
        return await wire.open_stream(self.victim.peer_id, protocol)

    async def victim_still_delivers(self) -> None:
        for number in range(3):
            payload = os.urandom(8) + bytes([number])
            assert await self.friend.request(self.victim.peer_id, "echo", payload) == payload
            assert await self.friend.send(self.victim.peer_id, payload)
            assert await self.next_from_friend() == payload
            await self.friend.publish("topic", payload)
            assert await self.victim.gossip().receive() == (self.friend.peer_id, "topic", payload)

    async def next_from_friend(self) -> bytes:
        while True:
            peer, payload = await self.victim.inbox().receive()
            if peer == self.friend.peer_id:
                return payload


@asynccontextmanager
async def open_scene() -> AsyncIterator[Scene]:
    with trio.fail_after(25):
        async with (
            open_libp2p(QUICK, b"v" * 32) as victim,
            open_libp2p(QUICK, b"f" * 32) as friend,
            open_libp2p(QUICK, b"m" * 32) as mallory,
        ):
            victim.handle("echo", echo)
            victim.subscribe("topic")
            await connect(friend, victim)
            await connect(mallory, victim)
            await until_listening(friend, "topic", 1)
            yield Scene(victim, friend, mallory)


def field(number: int, value: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return bytes((number << 3 | 2,)) + varint(len(value)) + value


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes((low | 0x80,)) + varint(rest) if rest else bytes((low,))


def rpc(*messages: bytes) -> bytes:
    body = b"".join(field(2, message) for message in messages)
    return varint(len(body)) + body


HASHED_AUTHOR = b"\x12\x20" + bytes(32)  # a peer id that does not hold its key, so `key` is consulted


def message(author: bytes, key: bytes, topic: bytes = b"topic") -> bytes:
    return (
        field(1, author)
        + field(2, b"data")
        + field(3, bytes(8))
        + field(4, topic)
        + field(5, bytes(64))
        + field(6, key)
    )


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x05\xff\xff\xff\xff\xff", id="six garbage bytes"),
        pytest.param(b"\xff" * 20, id="a length without end"),
        pytest.param(varint(2**30), id="a length of a gigabyte"),
        pytest.param(rpc(message(HASHED_AUTHOR, b"\xff\xff")), id="an undecodable key"),
        pytest.param(rpc(message(b"", b"")), id="nobody's message"),
        pytest.param(rpc(message(b"\x00\x24\x08\x01\x12\x20" + bytes(32), b"")), id="a forged signature"),
        pytest.param(rpc(message(HASHED_AUTHOR, b"", b"\xff\xfe")), id="a topic that is not text"),
        pytest.param(varint(4) + b"\x1a\x02\x0a\x00", id="a control message with an empty part"),
    ],
)
async def test_a_malformed_gossip_rpc_costs_its_sender_the_stream_and_nobody_else(garbage: bytes) -> None:
    async with open_scene() as scene:
        for _ in range(2):
            stream = await scene.raw_stream(MESH_PROTOCOL)
            await stream.write(garbage)
        await trio.sleep(0.2)
        await scene.victim_still_delivers()


async def test_one_rpc_of_many_messages_does_not_stop_the_node() -> None:
    """Each gets a task; libp2p's task manager walks over all tasks for each new one."""
    async with open_scene() as scene:
        stream = await scene.raw_stream(MESH_PROTOCOL)
        await stream.write(rpc(*[field(1, b"a") + field(4, b"topic")] * 20000))
        await until_counted(scene.victim, "hints_dropped")
        with trio.fail_after(5):
            await scene.victim_still_delivers()


@pytest.mark.parametrize(
    "breach",
    [
        pytest.param((8).to_bytes(4, "big") + b"\x02\x00hello!", id="another version"),
        pytest.param((3).to_bytes(4, "big") + b"\x01\x63!", id="unknown kind"),
        pytest.param((FRAME_SIZE_MAX + 3).to_bytes(4, "big") + b"\x01\x00", id="oversize frame"),
        pytest.param(b"\xff" * 64, id="oversize length"),
        pytest.param((1).to_bytes(4, "big") + b"\x01\x00", id="undersize length"),
        pytest.param(encode_frame(Kind.ANNOUNCE, b"\x93\x01\x02"), id="an announcement that is none"),
        pytest.param(encode_frame(Kind.ANNOUNCE, b"\x91" * 5000), id="deeply nested"),
        pytest.param(encode_frame(Kind.HINT, b"\xffshort"), id="a hint shorter than its topic"),
        pytest.param(encode_frame(Kind.HINT, b"\x02\xff\xfe"), id="a topic that is not text"),
    ],
)
async def test_who_breaks_the_framing_is_disconnected(breach: bytes) -> None:
    async with open_scene() as scene:
        stream = await scene.raw_stream(KEPT_PROTOCOL)
        await stream.write(breach)
        await until_counted(scene.victim, "frames_malformed")
        assert scene.mallory.peer_id not in scene.victim.peers()
        await scene.victim_still_delivers()


async def test_a_frame_that_never_ends_holds_up_nobody() -> None:
    async with open_scene() as scene:
        stream = await scene.raw_stream(KEPT_PROTOCOL)
        await stream.write(encode_frame(Kind.DATA, b"whole") + encode_frame(Kind.DATA, bytes(1000))[:500])
        assert await scene.victim.inbox().receive() == (scene.mallory.peer_id, b"whole")
        await scene.victim_still_delivers()
        await stream.reset()
        await scene.victim_still_delivers()


@pytest.mark.parametrize(
    "question",
    [
        pytest.param(b"\x02\x04echo" + bytes(4), id="another version"),
        pytest.param(b"\x01\x00" + bytes(4), id="no protocol"),
        pytest.param(b"\x01\x04echo\xff\xff\xff\xff", id="oversize"),
        pytest.param(b"\x01\x02\xff\xfe" + bytes(4), id="a name that is not text"),
    ],
)
async def test_a_malformed_question_is_dropped(question: bytes) -> None:
    async with open_scene() as scene:
        stream = await scene.raw_stream(REQUEST_PROTOCOL)
        await stream.write(question)
        await until_counted(scene.victim, "frames_malformed")
        await scene.victim_still_delivers()


async def test_streams_that_are_opened_and_left_are_bounded() -> None:
    async with open_scene() as scene:
        open_already = 2  # mallory's kept stream and gossipsub's
        for _ in range(STREAMS_PER_PEER_MAX - open_already):
            stream = await scene.raw_stream(REQUEST_PROTOCOL)
            await stream.write(b"\x01")
        with pytest.raises(BrokenStreamError):
            await scene.raw_stream(REQUEST_PROTOCOL)
        assert scene.victim.counters["streams_refused"] == 1
        await scene.victim_still_delivers()


async def test_what_nobody_reads_is_bounded_whatever_window_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """libp2p's muxer takes whatever comes, and makes its own class unless it is kept from doing so."""
    monkeypatch.setattr(muxer, "BUFFER_SIZE_MAX", 64 * KIB)

    async def dawdle(peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with open_scene() as scene:
        scene.victim.handle("dawdle", dawdle)
        stream = await scene.raw_stream(REQUEST_PROTOCOL)
        await stream.write(encode_question("dawdle", b""))
        header = HEADER.pack(0, 0, 0, stream._id, 16 * KIB)
        with suppress(*STREAM_ERRORS):
            for _ in range(64):
                await stream._muxer._write_frame(header + bytes(16 * KIB))
        with trio.fail_after(5):
            await until(lambda: scene.mallory.peer_id not in scene.victim.peers())
        await scene.victim_still_delivers()


async def test_a_frame_that_comes_in_pieces_is_read_as_one() -> None:
    """Small frames take a short way past libp2p's loop; what is not here as a whole does not."""
    async with open_scene() as scene:
        stream = await scene.raw_stream(KEPT_PROTOCOL)
        said = encode_frame(Kind.DATA, bytes(1000))
        header = HEADER.pack(0, 0, 0, stream._id, len(said))
        for cut in (1, 11, 12, 13, 500):
            await stream._muxer._write_frame((header + said)[:cut])
            await trio.sleep(0.02)
            await stream._muxer._write_frame((header + said)[cut:] + header + said)
            for _ in range(2):
                assert await scene.victim.inbox().receive() == (scene.mallory.peer_id, bytes(1000))
        await scene.victim_still_delivers()


@pytest.mark.parametrize("ending", ["a packet that nobody sealed", "the connection closes"])
async def test_a_frame_that_is_cut_off_is_nothing(ending: str) -> None:
    """What it carries may be a third party's words, who would put frames of its own in an honest peer's mouth by having
    the connection broken in the middle of them."""
    async with open_scene() as scene:
        stream = await scene.raw_stream(KEPT_PROTOCOL)
        said = encode_frame(Kind.DATA, b"a third party's")
        inner = HEADER.pack(0, 0, 0, stream._id, len(said)) + said
        outer = HEADER.pack(0, 0, 0, stream._id, 64 * KIB)
        await stream._muxer._write_frame(outer + inner * 3)
        await trio.sleep(0.1)  # it is read
        if ending == "the connection closes":
            stream._muxer._socket.close_now()
        else:
            await stream._muxer._socket.write((32).to_bytes(2, "big") + bytes(32))
        with trio.fail_after(5):
            await until(lambda: scene.mallory.peer_id not in scene.victim.peers())
        await scene.friend.send(scene.victim.peer_id, b"the friend's")
        assert await scene.victim.inbox().receive() == (scene.friend.peer_id, b"the friend's")
        await scene.victim_still_delivers()


async def test_hints_on_topics_we_do_not_follow_are_ignored() -> None:
    async with open_scene() as scene:
        stream = await scene.raw_stream(KEPT_PROTOCOL)
        await stream.write(encode_hint("elsewhere", b"spam"))
        await trio.sleep(0.1)
        with pytest.raises(trio.WouldBlock):
            scene.victim.gossip().receive_nowait()  # type: ignore[attr-defined]
        await scene.victim_still_delivers()


def port_of(transport: StreamTransport) -> int:
    return int(transport.addresses[0].split("/")[4])


def multistream(line: str) -> bytes:
    return bytes((len(line) + 1,)) + line.encode() + b"\n"


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/tls/1.0.0", "/secio/1.0.0"])
async def test_only_noise_is_spoken(protocol: str) -> None:
    """py-libp2p offers plaintext unless told not to."""
    async with open_scene() as scene:
        stranger = await trio.open_tcp_stream("127.0.0.1", port_of(scene.victim))
        async with stranger:
            await stranger.send_all(multistream("/multistream/1.0.0") + multistream(protocol))
            answer = b""
            while not answer.endswith(b"\n") or answer.count(b"\n") < 2:
                answer += await stranger.receive_some()
            assert answer == multistream("/multistream/1.0.0") + multistream("na")
        await scene.victim_still_delivers()


async def test_a_plaintext_only_libp2p_host_cannot_connect() -> None:
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.custom_types import TProtocol
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
    from multiaddr import Multiaddr

    async with open_scene() as scene:
        key = create_new_key_pair(b"p" * 32)
        host = new_host(key_pair=key, sec_opt={TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(key)})
        async with host.run([]):
            with pytest.raises(Exception, match="unable to connect"), trio.fail_after(10):
                await host.connect(info_from_p2p_addr(Multiaddr(scene.victim.addresses[0])))
        await scene.victim_still_delivers()


async def test_random_bytes_on_the_port_are_nothing() -> None:
    rng = random.Random(7)
    async with open_scene() as scene:
        for size in (0, 1, 20, 3000):
            stranger = await trio.open_tcp_stream("127.0.0.1", port_of(scene.victim))
            await stranger.send_all(rng.randbytes(size))
            await stranger.aclose()
        silent = [await trio.open_tcp_stream("127.0.0.1", port_of(scene.victim)) for _ in range(20)]
        await scene.victim_still_delivers()
        for stranger in silent:
            await stranger.aclose()


async def test_a_peer_that_falls_silent_is_disconnected() -> None:
    """It hangs with its connection open; TCP alone would not notice."""
    async with open_scene() as scene:
        link = scene.mallory._links[scene.victim.peer_id]
        link.scope.cancel()
        while True:
            event = await scene.victim.events().receive()
            if event == PeerDisconnected(scene.mallory.peer_id, "no heartbeat"):
                break
        assert scene.victim.counters["peers_hung"] == 1
        await scene.victim_still_delivers()


def stop_reading(node: StreamTransport) -> None:
    async def never(n: int | None = None) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    wire: Any = node._wire
    for socket in wire._sockets:
        socket.read = never


async def test_a_full_queue_drops_and_says_so() -> None:
    """A peer that does not read must not cost us memory without bound."""
    async with open_scene() as scene:
        victim, mallory = scene.victim, scene.mallory
        stop_reading(mallory)
        frame = bytes(FRAME_SIZE_MAX)
        sent = [await victim.send(mallory.peer_id, frame) for _ in range(40)]
        assert not all(sent)
        assert victim.counters["frames_queue_full"] >= 1
        await scene.victim_still_delivers()


async def test_a_port_in_use_is_reported_and_not_shared() -> None:
    async with open_scene() as scene:
        taken = TransportConfig(listen=(scene.victim.addresses[0].partition("/p2p/")[0],))
        with pytest.raises(TransportError, match="cannot listen"):
            async with open_libp2p(taken, b"x" * 32):
                pass
        for malformed in ("127.0.0.1:1", "/ip4/127.0.0.1/udp/1/quic-v1", "/dns4/localhost/tcp/0"):
            with pytest.raises(TransportError, match="cannot listen"):
                async with open_libp2p(TransportConfig(listen=(malformed,)), b"x" * 32):
                    pass


async def test_an_address_with_somebody_elses_peer_id_does_not_connect() -> None:
    async with open_scene() as scene:
        wrong = scene.victim.addresses[0].replace(scene.victim.peer_id, scene.friend.peer_id)
        with pytest.raises(DialError):
            await scene.mallory.connect(wrong)
        assert scene.mallory.peers() == {scene.victim.peer_id}


async def test_visitors_leave_nothing_behind() -> None:
    async with open_scene() as scene:
        await trio.sleep(0.5)
        before = trio.lowlevel.current_statistics().tasks_living
        for number in range(15):
            async with open_libp2p(TransportConfig(listen=()), bytes([number]) * 32) as visitor:
                visitor.subscribe("topic")
                await connect(visitor, scene.victim)
                await visitor.publish("topic", bytes([number]))
                assert (await scene.victim.gossip().receive())[0] == visitor.peer_id
        await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)
        wire: Any = scene.victim._wire
        assert len(wire._sockets) == 2
        await scene.victim_still_delivers()


async def test_the_connection_limit_holds() -> None:
    with trio.fail_after(15):
        small = TransportConfig(connections_max=2, heartbeat_interval_s=0.2, heartbeat_timeout_s=1.0)
        async with (
            open_libp2p(small, b"s" * 32) as node,
            open_libp2p(QUICK, b"1" * 32) as one,
            open_libp2p(QUICK, b"2" * 32) as two,
            open_libp2p(QUICK, b"3" * 32) as three,
        ):
            await connect(one, node)
            await connect(two, node)
            with pytest.raises(TransportError):
                await three.connect(node.addresses[0])
            assert node.peers() == {one.peer_id, two.peer_id}
            await two.disconnect(node.peer_id)
            await until(lambda: len(node.peers()) == 1)
            await connect(three, node)


async def test_large_audiences_are_told_through_gossipsub() -> None:
    """The threshold lowered to nobody: what the mesh delivers looks like what flooding delivers."""
    with trio.fail_after(20):
        mesh = TransportConfig(flood_peers_max=0, heartbeat_interval_s=0.2, heartbeat_timeout_s=2.0)
        async with (
            open_libp2p(mesh, b"1" * 32) as one,
            open_libp2p(mesh, b"2" * 32) as two,
            open_libp2p(mesh, b"3" * 32) as three,
        ):
            nodes = (one, two, three)
            for a, b in ((one, two), (two, three), (one, three)):
                await connect(a, b)
            for node in nodes:
                node.subscribe("topic")
            await until_listening(one, "topic", 2)
            await until(lambda: len(one._wire.mesh_peers("topic")) == 2)
            await trio.sleep(1.2)  # gossipsub's heartbeat builds its mesh
            for number in range(100):
                await one.publish("topic", number.to_bytes(2, "big"))
            for node in (two, three):
                payloads = {(await node.gossip().receive())[2] for _ in range(100)}
                assert payloads == {number.to_bytes(2, "big") for number in range(100)}


async def test_leaving_is_quick_with_connections_open_and_requests_running() -> None:
    async def never(peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    with trio.fail_after(20):
        async with open_libp2p(QUICK, b"1" * 32) as one:
            one.handle("never", never)
            async with trio.open_nursery() as nursery:
                failures: list[RequestFailure] = []

                async def ask(node: StreamTransport) -> None:
                    with pytest.raises(RequestError) as caught:
                        await node.request(one.peer_id, "never", b"")
                    failures.append(caught.value.kind)

                async with open_libp2p(QUICK, b"2" * 32) as two:
                    await connect(two, one)
                    nursery.start_soon(ask, two)
                    await trio.sleep(0.1)
                    leaving_s = trio.current_time()
                assert trio.current_time() - leaving_s < 2
                assert failures in ([RequestFailure.BROKEN], [])
                nursery.cancel_scope.cancel()
            await until(lambda: not one.peers())


async def test_an_error_of_the_body_arrives_unwrapped() -> None:
    with trio.fail_after(5), pytest.raises(ZeroDivisionError):
        async with open_libp2p(QUICK, b"1" * 32):
            raise ZeroDivisionError


async def test_the_peer_id_is_the_keys() -> None:
    async with open_libp2p(TransportConfig(listen=()), bytes(32)) as node:
        assert node.peer_id == "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
        assert node.addresses == ()
        await until_peers(node)
