"""The transport port built on connections with streams, whoever provides those (see `Wire`).

Everything that is ours and not libp2p's lives here and in what this file puts together: kept streams and their
heartbeat (`Link`), questions and answers (`Requests`), who is told which hint, the dial manager, the bounds.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from typing import Protocol

import structlog
import trio

from node.transport import (
    CONNECT_TIMEOUT_S,
    EVENTS_MAX,
    FRAME_SIZE_MAX,
    GOSSIP_SIZE_MAX,
    INBOX_BYTES_MAX,
    INBOX_FRAMES_MAX,
    REQUEST_SIZE_MAX,
    REQUEST_TIMEOUT_S,
    TOPICS_MAX,
    DialError,
    Events,
    Frames,
    Handler,
    Hints,
    OversizeError,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    RequestError,
    RequestFailure,
    TransportConfig,
    check_size,
    check_topic,
    peer_of,
)
from node.transport_dial import DialManager
from node.transport_frames import (
    Announcement,
    BrokenStreamError,
    ByteStream,
    FrameError,
    FrameReader,
    Kind,
    decode_announcement,
    decode_hint,
    encode_announcement,
    encode_frame,
    encode_hint,
)
from node.transport_gossip import Audience, SeenWindow, content_id
from node.transport_kademlia import OpenTable
from node.transport_link import Link
from node.transport_queue import FairQueue
from node.transport_relay import Relays
from node.transport_requests import REQUEST_PROTOCOL, Requests
from node.transport_unnamed import Personas

KEPT_PROTOCOL = "/conclave/kept/1"
OPEN_TIMEOUT_S = 5.0  # for a new stream, negotiation included
DIRECT_FIRST = 2  # of our own addresses, before those through relays

_log = structlog.get_logger()


class Wire(Protocol):
    """What `StreamTransport` needs from the network underneath."""

    async def dial(self, address: str) -> None:
        """Connect; the caller bounds the time. :raises DialError: it did not work."""
        ...

    async def open_stream(self, peer: PeerId, protocol: str) -> ByteStream:
        """:raises BrokenStreamError: not connected, or the peer does not speak `protocol`."""
        ...

    def hang_up(self, peer: PeerId) -> None:
        """Close every connection to `peer` without waiting for anything."""
        ...

    def nearest_s(self, peer: PeerId) -> float | None:
        """See `Transport.nearest_s`."""
        ...

    def mesh_subscribe(self, topic: str, wanted: bool) -> None: ...

    def mesh_publish(self, topic: str, payload: bytes) -> None: ...

    def mesh_peers(self, topic: str) -> frozenset[PeerId]: ...


class StreamTransport:
    """Keeps the promises of `Transport` over a `Wire`. The wire calls `peer_up`, `peer_down`,
    `serve_kept`, `serve_request` and `mesh_hint`."""

    def __init__(
        self,
        peer_id: PeerId,
        addresses: tuple[str, ...],
        config: TransportConfig,
        wire: Wire,
        nursery: trio.Nursery,
        counters: Counter[str],
    ) -> None:
        self.peer_id = peer_id
        self.reached_through: tuple[str, ...] = ()  # addresses of ours that lead through relays
        self.counters = counters
        self._direct = addresses
        self._config = config
        self._wire = wire
        self._nursery = nursery
        self._links: dict[PeerId, Link] = {}
        self._ready: set[PeerId] = set()
        self._requests = Requests(partial(wire.open_stream, protocol=REQUEST_PROTOCOL), counters)
        self._topics: set[str] = set()
        self._audience = Audience()
        self._seen = SeenWindow()
        self._inbox: FairQueue[tuple[PeerId, bytes]] = FairQueue(INBOX_FRAMES_MAX, INBOX_BYTES_MAX)
        self._hints: FairQueue[tuple[PeerId, str, bytes]] = FairQueue(INBOX_FRAMES_MAX, INBOX_BYTES_MAX)
        self._events: FairQueue[PeerEvent] = FairQueue(EVENTS_MAX, EVENTS_MAX)
        self._dials = DialManager(
            self.connect, self._ready.__contains__, nursery.start_soon, config, random.SystemRandom()
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where we listen, and between the first and the rest of that the ways through relays: who keeps or tells only
        a few addresses of a node has some of both kinds."""
        return (*self._direct[:DIRECT_FIRST], *self.reached_through, *self._direct[DIRECT_FIRST:])

    # Peers

    async def connect(self, address: str) -> PeerId:
        peer = peer_of(address)
        if peer == self.peer_id:
            raise DialError("that is our own address")
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            if peer not in self._links:
                if len(self._links) >= self._config.connections_max:
                    raise DialError(f"{self._config.connections_max} peers are connected already")
                await self._wire.dial(address)
            if link := self._links.get(peer):
                await link.settled.wait()
            if peer in self._ready:
                return peer
            raise DialError(f"the connection to {address} was closed at once")
        raise DialError(f"no answer in {CONNECT_TIMEOUT_S} s from {address}")

    def keep(self, address: str) -> None:
        if peer_of(address) != self.peer_id:
            self._dials.keep(address)

    def forget(self, address: str) -> None:
        self._dials.forget(address)

    async def disconnect(self, peer: PeerId) -> None:
        self._drop(peer, "disconnected")
        await trio.lowlevel.checkpoint()

    def peers(self) -> frozenset[PeerId]:
        return frozenset(self._ready)

    def events(self) -> Events:
        return self._events

    def peer_up(self, peer: PeerId) -> None:
        """A first connection to `peer` exists."""
        if peer not in self._links:
            link = self._links[peer] = Link(peer, self._config, partial(self._link_ready, peer))
            self._nursery.start_soon(self._run_link, link)

    def peer_down(self, peer: PeerId) -> None:
        """The last connection to `peer` is gone."""
        self._drop(peer, "the connection closed")

    async def _run_link(self, link: Link) -> None:
        with link.scope:
            await link.run(partial(self._open_kept, link.peer), self._announcement)
            self.counters["peers_hung"] += 1
            self._drop(link.peer, "no heartbeat")

    def _link_ready(self, peer: PeerId) -> None:
        self._ready.add(peer)
        self._events.put("", PeerConnected(peer), 1)
        self._neighbours_changed()

    async def _open_kept(self, peer: PeerId) -> ByteStream:
        with trio.move_on_after(OPEN_TIMEOUT_S):
            return await self._wire.open_stream(peer, KEPT_PROTOCOL)
        raise BrokenStreamError("no kept stream in time")

    def _drop(self, peer: PeerId, reason: str) -> None:
        link = self._links.pop(peer, None)
        if link is None:
            return
        link.scope.cancel()
        link.settled.set()
        if link.reading is not None:
            link.reading.cancel()
        self._audience.gone(peer)
        self._wire.hang_up(peer)
        if peer in self._ready:
            self._ready.discard(peer)
            self._events.put("", PeerDisconnected(peer, reason), 1)
            self._neighbours_changed()

    def _neighbours_changed(self) -> None:
        self._dials.peers_changed()
        for link in self._links.values():
            link.announcement_due = True  # with the next frame or beat: what it saves is only copies

    # Kept streams

    async def send(self, peer: PeerId, payload: bytes) -> bool:
        """Lets nobody else run: what one step says to many is written by as many tasks afterwards, in one round."""
        check_size("a frame", payload, FRAME_SIZE_MAX)
        if peer not in self._ready:
            self.counters["frames_without_connection"] += 1
            return False
        return self._put(peer, encode_frame(Kind.DATA, payload))

    def inbox(self) -> Frames:
        return self._inbox

    async def serve_kept(self, peer: PeerId, stream: ByteStream) -> None:
        """Read a kept stream that `peer` opened, until it ends or breaks a rule. A newer one replaces it."""
        link = self._links.get(peer)
        if link is None:
            await stream.reset()
            return
        if link.reading is not None:
            link.reading.cancel()
        scope = link.reading = trio.CancelScope()
        try:
            with scope:
                await self._read_kept(link, stream)
        except FrameError as error:
            self.counters["frames_malformed"] += 1
            _log.warning("transport.breach", peer=peer, detail=str(error))
            self._drop(peer, "it broke the framing")
        except BrokenStreamError:
            pass  # the peer opens another, or the connection is gone and `peer_down` says so
        finally:
            if link.reading is scope:
                link.reading = None
            with trio.CancelScope(shield=True):
                await stream.reset()

    async def _read_kept(self, link: Link, stream: ByteStream) -> None:
        reader = FrameReader()
        while data := await stream.read():
            link.heard()
            for kind, body in reader.feed(data):
                self._frame_arrived(link, kind, body)

    def _frame_arrived(self, link: Link, kind: Kind, body: bytes) -> None:
        peer = link.peer
        match kind:
            case Kind.DATA:
                if dropped := self._inbox.put(peer, (peer, body), len(body)):
                    self.counters["inbox_dropped"] += dropped
            case Kind.BEAT:
                pass
            case Kind.ANNOUNCE:
                announcement = decode_announcement(body)
                self._audience.announced(peer, announcement.topics, announcement.neighbours)
                link.told()
            case Kind.HINT:
                self._hint_arrived(peer, *decode_hint(body))

    def _put(self, peer: PeerId, frame: bytes) -> bool:
        if self._links[peer].put(frame):
            return True
        self.counters["frames_queue_full"] += 1
        return False

    def _announcement(self) -> bytes:
        return encode_announcement(Announcement(tuple(sorted(self._topics)), tuple(sorted(self._ready))))

    # Hints

    async def publish(self, topic: str, payload: bytes) -> None:
        check_topic(topic)
        check_size("a hint", payload, GOSSIP_SIZE_MAX)
        await trio.lowlevel.checkpoint()
        self._seen.first(content_id(topic, payload), trio.current_time())
        listeners = self.topic_peers(topic)
        if len(listeners) > self._config.flood_peers_max:
            self._wire.mesh_publish(topic, payload)
            return
        self._flood(listeners, topic, payload)
        if self._wire.mesh_peers(topic) - self._ready:
            self._wire.mesh_publish(topic, payload)  # someone who speaks gossipsub and not our kept streams

    def subscribe(self, topic: str) -> None:
        check_topic(topic)
        if topic not in self._topics:
            if len(self._topics) >= TOPICS_MAX:
                raise OversizeError(f"a node subscribes to at most {TOPICS_MAX} topics")
            self._topics.add(topic)
            self._topics_changed(topic, wanted=True)

    def unsubscribe(self, topic: str) -> None:
        if topic in self._topics:
            self._topics.remove(topic)
            self._topics_changed(topic, wanted=False)

    def gossip(self) -> Hints:
        return self._hints

    def nearest_s(self, peer: PeerId) -> float | None:
        return self._wire.nearest_s(peer)

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        return self._audience.subscribed(topic) & self._ready

    def mesh_hint(self, peer: PeerId, topic: str, payload: bytes) -> None:
        """A hint that came by gossipsub, which passes it on itself."""
        if topic in self._topics and self._first(topic, payload):
            self._deliver(peer, topic, payload)

    def _hint_arrived(self, peer: PeerId, topic: str, payload: bytes) -> None:
        if topic not in self._topics or not self._first(topic, payload):
            return
        self._deliver(peer, topic, payload)
        if len(self.topic_peers(topic)) > self._config.flood_peers_max:
            self._wire.mesh_publish(topic, payload)
        else:
            self._flood(self._audience.passed_on_to(topic, peer) & self._ready, topic, payload)

    def _first(self, topic: str, payload: bytes) -> bool:
        if self._seen.first(content_id(topic, payload), trio.current_time()):
            return True
        self.counters["hints_duplicate"] += 1
        return False

    def _deliver(self, peer: PeerId, topic: str, payload: bytes) -> None:
        if dropped := self._hints.put(peer, (peer, topic, payload), len(payload)):
            self.counters["hints_dropped"] += dropped

    def _flood(self, listeners: frozenset[PeerId], topic: str, payload: bytes) -> None:
        if listeners:
            frame = encode_hint(topic, payload)
            for peer in listeners:
                self._put(peer, frame)

    def _topics_changed(self, topic: str, *, wanted: bool) -> None:
        self._wire.mesh_subscribe(topic, wanted)
        for link in self._links.values():
            link.announce()

    # Requests

    def handle(self, protocol: str, handler: Handler) -> None:
        self._requests.handle(protocol, handler)

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        check_size("a request", payload, REQUEST_SIZE_MAX)
        link = self._links.get(peer)
        if link is None or peer not in self._ready:
            await trio.lowlevel.checkpoint()
            raise RequestError(RequestFailure.NOT_CONNECTED, peer)
        return await self._requests.ask(link, protocol, payload, timeout_s)

    personas: Personas
    """Set by whoever opens the transport: how throw-away identities are had."""
    relays: Relays | None = None
    """Likewise: what can be done about relays, where the network underneath knows any."""
    open_table: OpenTable | None = None
    """Likewise: a part in a table of values, spread over many nodes."""

    async def request_unnamed(
        self, address: str, protocol: str, payload: bytes, *, persona: bytes, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        return await self.personas.request(address, protocol, payload, persona, timeout_s)

    async def serve_request(self, peer: PeerId, stream: ByteStream) -> None:
        """Answer one question on a stream that `peer` opened."""
        await self._requests.serve(self._links.get(peer), peer, stream)

    def close(self) -> None:
        """End the three channels for their consumers. The wire closes the connections."""
        for peer in list(self._links):
            self._drop(peer, "this node is closing")
        self._inbox.close()
        self._hints.close()
        self._events.close()
