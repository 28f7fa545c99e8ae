"""The transport port: everything the rest of the node may ask of the network.

Four services, each with its own promise:

- `request` / `handle`: one question, one answer, a deadline. For large or rare things.
- `send` / `inbox`: kept streams. Ordered per peer, at most once, never blocks the caller. For votes.
- `publish` / `gossip`: a hint to everyone on a topic. May be lost, reordered, or arrive late; not
  twice within `SEEN_WINDOW_S`. Whatever must arrive is repaired by a request.
- `keep` / `peers` / `events`: which peers are there, and who should be.

A frame, a hint or an event that a slow consumer leaves lying is dropped oldest first and counted in
`counters`; a request that cannot be served is answered with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

import trio

from node.errors import NodeError, NodeMisuseError
from node.peer_id import PeerId as PeerId  # in the in-memory network: the node's name
from node.transport_queue import FairQueue

if TYPE_CHECKING:
    from node.transport_kademlia import OpenTable
    from node.transport_relay import Relays

Handler: TypeAlias = Callable[[PeerId, bytes], Awaitable[bytes]]
Frames: TypeAlias = FairQueue[tuple[PeerId, bytes]]
Hints: TypeAlias = trio.abc.ReceiveChannel[tuple[PeerId, str, bytes]]
"""(the neighbour that handed it to us, topic, payload); the author is the payload's business."""

KIB = 1024
MIB = 1024 * KIB

FRAME_SIZE_MAX = 1 * MIB  # one `send` payload
GOSSIP_SIZE_MAX = 64 * KIB  # one `publish` payload
REQUEST_SIZE_MAX = 8 * MIB
RESPONSE_SIZE_MAX = 8 * MIB
TOPIC_SIZE_MAX = 255  # bytes of UTF-8
TOPICS_MAX = 1024  # topics one peer may announce
PROTOCOL_SIZE_MAX = 128  # characters of a request protocol's name

QUEUE_FRAMES_MAX = 4096  # frames waiting to be written to one peer
QUEUE_BYTES_MAX = 16 * MIB
INBOX_FRAMES_MAX = 4096  # frames (or hints) of one peer that nobody has taken yet
INBOX_BYTES_MAX = 4 * MIB
EVENTS_MAX = 4096
REQUESTS_PER_PEER_MAX = 16  # of one peer being served at once; more are answered BUSY
CONNECTIONS_MAX = 256
KEPT_ADDRESSES_MAX = 1024

PERSONA_SIZE = 32  # the seed of a throw-away identity

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 5.0
HANDLER_TIMEOUT_S = 30.0
HEARTBEAT_INTERVAL_S = 4.0
HEARTBEAT_TIMEOUT_S = 10.0  # silence after which a peer counts as hung and is disconnected
REDIAL_MIN_S = 0.25
REDIAL_MAX_S = 30.0

FLOOD_PEERS_MAX = 16  # up to here a hint goes to every subscribed peer directly
SEEN_WINDOW_S = 120.0
SEEN_HINTS_MAX = 65536


class TransportError(NodeError):
    """The network did not do what was asked."""


class DialError(TransportError):
    """No connection to this address: wrong, unreachable, refused, or too slow."""


class OversizeError(TransportError, NodeMisuseError):
    """Our own caller handed over more bytes than the service carries."""


class RequestFailure(StrEnum):
    """Why a request has no answer."""

    NOT_CONNECTED = "not connected"
    TIMEOUT = "no answer in time"
    BROKEN = "the connection broke"
    UNSUPPORTED = "the peer does not serve this protocol"
    REFUSED = "the peer refuses"
    BUSY = "the peer serves too many requests of ours already"
    FAILED = "the peer failed while serving"
    TOO_LARGE = "larger than the cap"
    MALFORMED = "the answer is not a response frame"


class RequestError(TransportError):
    """A request without an answer; `kind` says why, and whether asking again can help."""

    def __init__(self, kind: RequestFailure, detail: str = "") -> None:
        super().__init__(f"{kind.value}: {detail}" if detail else kind.value)
        self.kind = kind


class RefusedError(Exception):
    """Raised by a request handler to answer REFUSED; anything else it raises becomes FAILED."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    peer: PeerId
    reason: str


PeerEvent: TypeAlias = PeerConnected | PeerDisconnected
Events: TypeAlias = trio.abc.ReceiveChannel[PeerEvent]


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """Where to listen and how much to carry; the defaults suit an ordinary node."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    announce: tuple[str, ...] = ()  # shown as `addresses` instead of the listening ones, when not empty
    connections_max: int = CONNECTIONS_MAX
    flood_peers_max: int = FLOOD_PEERS_MAX
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S
    redial_min_s: float = REDIAL_MIN_S
    redial_max_s: float = REDIAL_MAX_S


class Transport(Protocol):
    """One node's view of the network. Obtained from `open_libp2p` or `MemoryNetwork.add`."""

    @property
    def peer_id(self) -> PeerId: ...

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others can reach us; each ends in `/p2p/<our peer id>`."""
        ...

    @property
    def counters(self) -> Counter[str]:
        """What was dropped, refused or cut so far, by name. For metrics."""
        ...

    async def connect(self, address: str) -> PeerId:
        """Dial once and return when the peer is in `peers()`; an existing connection is used.

        :raises DialError: after `CONNECT_TIMEOUT_S` at the latest.
        """
        ...

    def keep(self, address: str) -> None:
        """Stay connected to this address from now on: dial, and dial again with jittered backoff."""
        ...

    def forget(self, address: str) -> None:
        """Stop redialling; an existing connection stays."""
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Close every connection to this peer. A kept address is dialled again."""
        ...

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        """Ask a connected peer and return its answer.

        :raises RequestError: no answer; `kind` says why.
        :raises OversizeError: `payload` is larger than `REQUEST_SIZE_MAX`.
        """
        ...

    async def request_unnamed(
        self, address: str, protocol: str, payload: bytes, *, persona: bytes, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> bytes:
        """Ask the peer at an address, under a throw-away identity instead of ours.

        `persona` is the seed of that identity, `PERSONA_SIZE` bytes drawn for nothing else: what is asked under one
        shares a connection, and nothing ties two of them to each other or to us (but where they come from).

        :raises DialError: nobody could be reached there.
        :raises RequestError: no answer; `kind` says why.
        """
        ...

    def handle(self, protocol: str, handler: Handler) -> None:
        """Serve requests: `await handler(peer, payload)` gives the answer, `RefusedError` refuses."""
        ...

    async def send(self, peer: PeerId, payload: bytes) -> bool:
        """Queue a frame on the peer's kept stream; False if it was dropped (not connected, queue full).

        :raises OversizeError: `payload` is larger than `FRAME_SIZE_MAX`.
        """
        ...

    def inbox(self) -> Frames:
        """Frames that peers sent us: in order per peer, taken from the peers in turn. One consumer."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Tell everyone subscribed to `topic`, ourselves excepted. A hint: it may be lost.

        :raises OversizeError: `payload` is larger than `GOSSIP_SIZE_MAX`.
        """
        ...

    def subscribe(self, topic: str) -> None: ...

    def unsubscribe(self, topic: str) -> None: ...

    def gossip(self) -> Hints:
        """Hints on our topics, each content once per `SEEN_WINDOW_S`. One consumer."""
        ...

    def peers(self) -> frozenset[PeerId]:
        """Peers to whom `send` works now and whose topics we know: what we publish from here on includes them."""
        ...

    def nearest_s(self, peer: PeerId) -> float | None:
        """The least round trip to a connected peer that the network itself has shown, without what either end takes
        over anything; None where that is not known."""
        ...

    def topic_peers(self, topic: str) -> frozenset[PeerId]:
        """Connected peers known to be subscribed to `topic`."""
        ...

    @property
    def relays(self) -> Relays | None:
        """What can be done about relays; None where the network knows none."""
        ...

    @property
    def open_table(self) -> OpenTable | None:
        """Take part in a table of values that is spread over many nodes; None where there is none."""
        ...

    def events(self) -> Events:
        """Peers coming and going, in order. One consumer; `peers()` is the truth."""
        ...


def peer_of(address: str) -> PeerId:
    """The peer id at the end of a multiaddr.

    :raises DialError: the address does not end in `/p2p/<peer id>`.
    """
    head, mark, peer = address.rpartition("/p2p/")
    if not (head and mark and peer) or "/" in peer:
        raise DialError(f"address does not end in /p2p/<peer id>: {address!r}")
    return peer


def check_size(what: str, payload: bytes, size_max: int) -> None:
    """Refuse our own caller's oversize payload before anything is done with it."""
    if len(payload) > size_max:
        raise OversizeError(f"{what} of {len(payload)} bytes; at most {size_max} are carried")


def check_topic(topic: str) -> None:
    if not 0 < len(topic.encode()) <= TOPIC_SIZE_MAX:
        raise OversizeError(f"a topic is 1 to {TOPIC_SIZE_MAX} bytes of UTF-8")
