"""One node of the in-memory network: the port's promises, kept with values instead of sockets."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from node.transport import (
    CONNECT_TIMEOUT_S,
    EVENTS_MAX,
    FRAME_SIZE_MAX,
    GOSSIP_SIZE_MAX,
    HANDLER_TIMEOUT_S,
    INBOX_BYTES_MAX,
    INBOX_FRAMES_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_FRAMES_MAX,
    REQUEST_SIZE_MAX,
    REQUEST_TIMEOUT_S,
    REQUESTS_PER_PEER_MAX,
    RESPONSE_SIZE_MAX,
    DialError,
    Events,
    Frames,
    Handler,
    Hints,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    RefusedError,
    RequestError,
    RequestFailure,
    TransportConfig,
    check_size,
    check_topic,
    peer_of,
)
from node.transport_dial import DialManager
from node.transport_gossip import Audience, SeenWindow, content_id
from node.transport_kademlia import OpenTable
from node.transport_queue import FairQueue
from node.transport_relay import Relays
from node.transport_unnamed import Personas

if TYPE_CHECKING:
    from node.transport_memory import MemoryNetwork


class MemoryTransport:
    """One node of a `MemoryNetwork`; keeps the promises of `Transport`."""

    relays: Relays | None = None
    open_table: OpenTable | None = None

    def __init__(self, network: MemoryNetwork, peer_id: PeerId, config: TransportConfig) -> None:
        self.peer_id = peer_id
        self.addresses: tuple[str, ...] = (f"/memory/{peer_id}/p2p/{peer_id}",)
        self.counters: Counter[str] = Counter()
        self.config = config
        self.connections: dict[PeerId, Connection] = {}
        self.topics: set[str] = set()
        self._network = network
        self._handlers: dict[str, Handler] = {}
        self._asking: dict[PeerId, trio.CapacityLimiter] = {}
        self._inbox: FairQueue[tuple[PeerId, bytes]] = FairQueue(INBOX_FRAMES_MAX, INBOX_BYTES_MAX)
        self._hints: FairQueue[tuple[PeerId, str, bytes]] = FairQueue(INBOX_FRAMES_MAX, INBOX_BYTES_MAX)
        self._events: FairQueue[PeerEvent] = FairQueue(EVENTS_MAX, EVENTS_MAX)
        self._seen = SeenWindow()
        self._audience = Audience()
        self._tasks: set[trio.CancelScope] = set()
        self._dials = DialManager(
            self.connect, self.connections.__contains__, self._spawn, config, network.rng(peer_id)
        )
        self._closed = False
        self._personas = Personas(network.unnamed, self._spawn)

    # Peers

    async def connect(self, address: str) -> PeerId:
        peer = peer_of(address)
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await trio.sleep(2 * self._network.delay_s(self.peer_id, peer))
            other = self._network.node(peer)
            if peer in self.connections:
                return peer
            if other is None or other is self or self._closed:
                raise DialError(f"nobody answers at {address}")
            if not self._network.reaches(self.peer_id, peer):
                await trio.sleep_forever()
            if max(len(self.connections), len(other.connections)) >= self.config.connections_max:
                raise DialError("one of the two has all the connections it wants")
            self._network.join(self, other)
            return peer
        raise DialError(f"no answer in {CONNECT_TIMEOUT_S} s from {address}")

    def keep(self, address: str) -> None:
        self._dials.keep(address)

    def forget(self, address: str) -> None:
        self._dials.forget(address)

    async def disconnect(self, peer: PeerId) -> None:
        if connection := self.connections.get(peer):
            self._network.cut(connection, "disconnected")
        await trio.lowlevel.checkpoint()

    def peers(self) -> frozenset[PeerId]:
        return frozenset(self.connections)

    def events(self) -> Events:
        return self._events

    # Kept streams

    async def send(self, peer: PeerId, payload: bytes) -> bool:
        check_size("a frame", payload, FRAME_SIZE_MAX)
        await trio.lowlevel.checkpoint()
        connection = self.connections.get(peer)
        if connection is None:
            self.counters["frames_without_connection"] += 1
            return False
        direction = connection.directions[self.peer_id]
        if direction.frames >= QUEUE_FRAMES_MAX or direction.bytes + len(payload) > QUEUE_BYTES_MAX:
            self.counters["frames_queue_full"] += 1
            return False
        direction.frames += 1
        direction.bytes += len(payload)
        lost = self._network.chance(self._network.link(self.peer_id, peer).frame_loss)
        receiver = connection.other(self.peer_id)

        def arrive() -> None:
            direction.frames -= 1
            direction.bytes -= len(payload)
            if not lost:
                receiver.frame_arrived(self.peer_id, payload)

        self._network.carry(connection, self.peer_id, arrive, ordered=True)
        return True

    def inbox(self) -> Frames:
        return self._inbox

    # Requests

    def handle(self, protocol: str, handler: Handler) -> None:
        self._handlers[protocol] = handler

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        check_size("a request", payload, REQUEST_SIZE_MAX)
        if peer not in self.connections:
            await trio.lowlevel.checkpoint()
            raise RequestError(RequestFailure.NOT_CONNECTED, peer)
        with trio.move_on_after(timeout_s):
            async with self._asking.setdefault(peer, trio.CapacityLimiter(REQUESTS_PER_PEER_MAX)):
                result = await self._ask(peer, protocol, payload)
            if isinstance(result, RequestFailure):
                raise RequestError(result, protocol)
            return result
        raise RequestError(RequestFailure.TIMEOUT, f"{protocol}, {timeout_s} s")

    async def request_unnamed(
        self, address: str, protocol: str, payload: bytes, *, persona: bytes, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        return await self._personas.request(address, protocol, payload, persona, timeout_s)

    async def _ask(self, peer: PeerId, protocol: str, payload: bytes) -> bytes | RequestFailure:
        connection = self.connections.get(peer)
        if connection is None:
            return RequestFailure.BROKEN
        answered = trio.Event()
        answers: list[bytes | RequestFailure] = []
        receiver = connection.other(self.peer_id)

        def answer(result: bytes | RequestFailure) -> None:
            answers.append(result)
            answered.set()

        if not self._network.chance(self._network.link(self.peer_id, peer).request_loss):
            self._network.carry(
                connection,
                self.peer_id,
                lambda: receiver.question_arrived(connection, self.peer_id, protocol, payload, answer),
                ordered=False,
            )
        connection.on_cut[answered] = answered.set
        try:
            await answered.wait()
        finally:
            del connection.on_cut[answered]
        return answers[0] if answers else RequestFailure.BROKEN

    def question_arrived(
        self,
        connection: Connection,
        peer: PeerId,
        protocol: str,
        payload: bytes,
        answer: Callable[[bytes | RequestFailure], None],
    ) -> None:
        lost = self._network.chance(self._network.link(self.peer_id, peer).request_loss)

        def reply(result: bytes | RequestFailure) -> None:
            if not lost and not connection.cut:
                self._network.carry(connection, self.peer_id, lambda: answer(result), ordered=False)

        async def serve() -> None:
            reply(await self._serve(peer, protocol, payload))

        if protocol not in self._handlers:
            reply(RequestFailure.UNSUPPORTED)
        else:
            self._spawn(serve)

    async def _serve(self, peer: PeerId, protocol: str, payload: bytes) -> bytes | RequestFailure:
        try:
            with trio.fail_after(HANDLER_TIMEOUT_S):
                response = await self._handlers[protocol](peer, payload)
        except RefusedError:
            return RequestFailure.REFUSED
        except Exception:  # noqa: BLE001 - whatever a handler does wrong, its peer gets an answer
            self.counters["handlers_failed"] += 1
            return RequestFailure.FAILED
        return response if len(response) <= RESPONSE_SIZE_MAX else RequestFailure.TOO_LARGE

    # Hints

    async def publish(self, topic: str, payload: bytes) -> None:
        check_topic(topic)
        check_size("a hint", payload, GOSSIP_SIZE_MAX)
        await trio.lowlevel.checkpoint()
        self._seen.first(content_id(topic, payload), trio.current_time())
        self._tell(self.topic_peers(topic), topic, payload)

    def _tell(self, peers: frozenset[PeerId], topic: str, payload: bytes) -> None:
        for peer in sorted(peers):
            link = self._network.link(self.peer_id, peer)
            if not self._network.chance(link.gossip_loss):
                again = self._network.chance(link.gossip_duplicate)
                self._carry_hint(self.connections[peer], topic, payload, again=again, repeated=False)

    def _carry_hint(self, connection: Connection, topic: str, payload: bytes, *, again: bool, repeated: bool) -> None:
        receiver = connection.other(self.peer_id)

        def arrive() -> None:
            receiver.hint_arrived(self.peer_id, topic, payload, repeated=repeated)
            if again:
                self._carry_hint(connection, topic, payload, again=False, repeated=True)

        self._network.carry(connection, self.peer_id, arrive, ordered=False)

    def subscribe(self, topic: str) -> None:
        check_topic(topic)
        self.topics.add(topic)
        self._announce()

    def unsubscribe(self, topic: str) -> None:
        self.topics.discard(topic)
        self._announce()

    def gossip(self) -> Hints:
        return self._hints

    def nearest_s(self, peer: PeerId) -> float | None:
        there, back = self._network.link(self.peer_id, peer), self._network.link(peer, self.peer_id)
        return there.delay_s[0] + back.delay_s[0]

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        return self._audience.subscribed(topic) & self.peers()

    def _announce(self) -> None:
        """Tell every neighbour our topics and neighbours, in order with our frames."""
        for peer, connection in self.connections.items():
            other = connection.other(self.peer_id)
            topics, neighbours = frozenset(self.topics), self.peers() - {peer}

            def arrive(
                other: MemoryTransport = other,
                topics: frozenset[str] = topics,
                neighbours: frozenset[PeerId] = neighbours,
            ) -> None:
                other.announcement_arrived(self.peer_id, topics, neighbours)

            self._network.carry(connection, self.peer_id, arrive, ordered=True)

    # What the network does to us

    def connected(self, peer: PeerId, connection: Connection) -> None:
        self.connections[peer] = connection
        self._events.put("", PeerConnected(peer), 1)
        self._announce()
        self._dials.peers_changed()

    def disconnected(self, peer: PeerId, reason: str) -> None:
        self.connections.pop(peer, None)
        self._audience.gone(peer)
        self._events.put("", PeerDisconnected(peer, reason), 1)
        self._announce()
        self._dials.peers_changed()

    def frame_arrived(self, peer: PeerId, payload: bytes) -> None:
        if dropped := self._inbox.put(peer, (peer, payload), len(payload)):
            self.counters["inbox_dropped"] += dropped

    def announcement_arrived(self, peer: PeerId, topics: frozenset[str], neighbours: frozenset[PeerId]) -> None:
        self._audience.announced(peer, topics, neighbours)

    def hint_arrived(self, peer: PeerId, topic: str, payload: bytes, *, repeated: bool) -> None:
        first = self._seen.first(content_id(topic, payload), trio.current_time())
        if first:
            self._tell(self._audience.passed_on_to(topic, peer) & self.peers(), topic, payload)
        elif not repeated:
            self.counters["hints_duplicate"] += 1
            return
        if topic in self.topics and (dropped := self._hints.put(peer, (peer, topic, payload), len(payload))):
            self.counters["hints_dropped"] += dropped

    def _spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task of this node in the network's nursery, until it ends or the node leaves."""
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await task()
            self._tasks.discard(scope)

        self._tasks.add(scope)
        self._network.spawn(run)

    def close(self) -> None:
        self._closed = True
        for scope in self._tasks:
            scope.cancel()
        self._inbox.close()
        self._hints.close()
        self._events.close()


@dataclass(slots=True)
class Direction:
    """What one node has under way to another, oldest first."""

    not_before_s: float = 0.0
    frames: int = 0
    bytes: int = 0
    stalled: deque[Callable[[], None]] = field(default_factory=deque)


class Connection:
    """Two nodes connected: one direction each way, cut at most once."""

    def __init__(self, a: MemoryTransport, b: MemoryTransport) -> None:
        self.ends = (a, b)
        self.directions = {a.peer_id: Direction(), b.peer_id: Direction()}  # by sender
        self.cut = False
        self.on_cut: dict[object, Callable[[], None]] = {}  # by asker, in order of asking
        self.stalled_since_s: float | None = None

    def other(self, peer: PeerId) -> MemoryTransport:
        a, b = self.ends
        return b if a.peer_id == peer else a
