"""The transport port on py-libp2p: the only file that knows libp2p. Importing it takes seconds.

TCP, Noise and Yamux, nothing else. libp2p 0.8.1 is used from below its own conveniences, because as
it comes any connected peer can end the process, an accepted connection is never given back, and one
failed dial blocks a peer for a minute. So here:

- we listen, accept and dial ourselves, and give libp2p the socket (`_Wire`);
- every task and handler of libp2p's services runs guarded (`_Guards`): what a peer makes them raise is counted
  and costs that peer its stream;
- gossipsub speaks `/meshsub/1.1.0` with the defences that lose messages switched off, and hands what
  arrives to us instead of to its 32-entry queues (`_Pubsub`);
- the muxer refuses to buffer without bound and writes small frames with fewer steps (`_Yamux`).

Names of libp2p that begin with an underscore are used where there is no other way; the version is pinned.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import errno
import logging
import os
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
import trio

os.environ["PY_YAMUX_RELEASE_ON_READ"] = "0"  # fewer window updates; read by libp2p at each use

import libp2p.pubsub.pubsub as pubsub_module
import libp2p.stream_muxer.muxer_multistream as muxer_module
from libp2p.abc import INetConn, INetStream, INetwork, INotifee, IRawConnection
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import (
    HEADER_SIZE,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.tools.anyio_service import TrioManager
from libp2p.tools.anyio_service.api import Service
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from node.transport import (
    GOSSIP_SIZE_MAX,
    KIB,
    MIB,
    TOPICS_MAX,
    DialError,
    PeerId,
    TransportConfig,
    TransportError,
)
from node.transport_frames import BrokenStreamError
from node.transport_gossip import SeenWindow, content_id
from node.transport_packets import Packets
from node.transport_requests import REQUEST_PROTOCOL
from node.transport_scope import open_background
from node.transport_socket import Socket
from node.transport_streams import KEPT_PROTOCOL, OPEN_TIMEOUT_S, StreamTransport
from node.transport_unnamed import Personas

MESH_PROTOCOL = TProtocol("/meshsub/1.1.0")
MESH_RPC_SIZE_MAX = 512 * KIB
MESH_QUEUE_MAX = 1024  # libp2p: 32, and silence beyond
MESH_PUBLISH_MAX = 1024  # own publishes waiting for gossipsub
MESH_TASKS_MAX = 2048  # messages being checked; one RPC can carry tens of thousands

HANDSHAKES_MAX = 64  # accepted connections that have not said who they are
HANDSHAKE_TIMEOUT_S = 5.0
CONNECTIONS_PER_PEER_MAX = 3  # two nodes may dial each other at once
STREAMS_PER_PEER_MAX = 64  # that the peer has opened and we have not finished with
BUFFER_SIZE_MAX = 24 * MIB  # unread bytes of one connection
BODY_TIMEOUT_S = 60.0  # for the rest of a muxer frame whose header is here
SHUTDOWN_TIMEOUT_S = 1.5
DAEMON_PAUSE_S = 1.0  # before a service task of libp2p that failed is started again

_log = structlog.get_logger()


@asynccontextmanager
async def open_libp2p(config: TransportConfig, key_seed: bytes) -> AsyncIterator[StreamTransport]:
    """A node on the network for as long as the block lasts; leaving it takes less than two seconds.

    :param key_seed: the 32 secret bytes of the node's Ed25519 key, which decides its peer id.
    :raises TransportError: an address to listen on is malformed, not TCP, or taken.
    """
    _quiet_libp2p()
    async with open_background() as nursery:
        wire = _Wire(config, key_seed, nursery)
        await wire.start()
        transport = wire.transport
        dialling = replace(config, listen=(), announce=())
        transport.personas = Personas(partial(open_libp2p, dialling), nursery.start_soon)
        try:
            yield transport
        finally:
            with trio.move_on_after(SHUTDOWN_TIMEOUT_S) as scope:
                scope.shield = True
                transport.close()
                await wire.stop()


class _Faults:
    """Where exceptions that a peer provoked inside libp2p end: counted, logged by type, not raised."""

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters

    def caught(self, where: str, error: Exception, peer: str = "") -> None:
        self.counters["faults_caught"] += 1
        _log.warning("transport.fault", where=where, error=type(error).__name__, peer=peer)


class _Wire:
    """Sockets, connections and streams; calls the transport when peers and streams arrive."""

    def __init__(self, config: TransportConfig, key_seed: bytes, nursery: trio.Nursery) -> None:
        self._config = config
        self._nursery = nursery
        self._counters: Counter[str] = Counter()
        self._faults = _Faults(self._counters)
        self._sockets: set[Socket] = set()
        self._of_peer: dict[PeerId, set[Socket]] = {}
        self._handshakes = 0
        self._stopping = False
        self._mesh_orders, self._mesh_work = trio.open_memory_channel[Callable[[], Awaitable[object]]](MESH_PUBLISH_MAX)
        key = create_new_key_pair(key_seed)
        self._id = ID.from_pubkey(key.public_key)
        noise = Noise(key, noise_privkey=create_noise_key_pair().private_key)
        peerstore = PeerStore()
        peerstore.add_key_pair(self._id, key)
        sockets_max = config.connections_max + HANDSHAKES_MAX
        self._swarm = _Swarm(
            self._faults,
            self._id,
            peerstore,
            TransportUpgrader({NOISE: noise}, {TProtocol(YAMUX): _Yamux}),
            transports=[_TCP(self._adopt)],
            retry_config=RetryConfig(max_retries=0),
            connection_config=ConnectionConfig(
                max_connections=2 * sockets_max,
                high_watermark=2 * sockets_max,
                low_watermark=0,
                min_connections=0,
                max_connections_per_peer=2 * CONNECTIONS_PER_PEER_MAX,
                inbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
                outbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
                inbound_stream_protocol_negotiation_timeout=OPEN_TIMEOUT_S,
                outbound_stream_protocol_negotiation_timeout=OPEN_TIMEOUT_S,
            ),
        )
        self._host = BasicHost(network=self._swarm, addrs_factory=self._announced)
        self._host.remove_stream_handler(IDENTIFY_PUSH)
        self._swarm.notifees = [_Arrivals(self._connected)]  # identify's own would run in unguarded system tasks
        self._router = _Router(
            protocols=[MESH_PROTOCOL],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            do_px=False,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            max_pending_messages_per_peer=4,
        )
        self._pubsub = _Pubsub(self._faults, self._mesh_arrived, self._host, self._router)
        for protocol, serve in ((KEPT_PROTOCOL, self._serve_kept), (REQUEST_PROTOCOL, self._serve_request)):
            self._host.set_stream_handler(TProtocol(protocol), serve)
        self._listeners: list[trio.SocketListener] = []
        self.transport: StreamTransport

    async def start(self) -> None:
        """Listen, then run libp2p's services, then accept."""
        for address in self._config.listen:
            self._listeners += await _listen(address)
        addresses = self._config.announce or tuple(map(_address_of, self._listeners))
        self.transport = StreamTransport(
            self._id.to_base58(),
            tuple(_with_peer(address, self._id) for address in addresses),
            self._config,
            self,
            self._nursery,
            self._counters,
        )
        for service in (self._swarm, self._pubsub, self._router):
            manager = _Manager(service, self._faults)
            service._manager = manager
            self._nursery.start_soon(manager.run)
            await manager.wait_started()
        await self._pubsub.wait_until_ready()
        self._nursery.start_soon(self._do_mesh_work)
        if self._listeners:
            self._nursery.start_soon(trio.serve_listeners, self._accept, self._listeners)

    async def stop(self) -> None:
        """Close every socket, then give libp2p the moment it needs to notice."""
        self._stopping = True  # a connection accepted from here on is closed at once
        for socket in list(self._sockets):
            socket.close_now()
        while self._swarm.connections and self._swarm.manager.is_running:  # noqa: ASYNC110 - no event for it
            await trio.sleep(0.02)

    # Connections

    async def dial(self, address: str) -> None:
        try:
            target = Multiaddr(address)
            peer = ID.from_base58(target.value_for_protocol("p2p"))
            await self._swarm.dial_addr(target, peer)
        except Exception as error:  # libp2p, multiaddr and the resolver each raise their own
            raise DialError(f"cannot connect to {address}: {_root(error)}") from error

    def nearest_s(self, peer: PeerId) -> float | None:
        known = [taken for socket in self._of_peer.get(peer, ()) if (taken := socket.nearest_s()) is not None]
        return min(known, default=None)

    def hang_up(self, peer: PeerId) -> None:
        for socket in list(self._of_peer.get(peer, ())):
            socket.close_now()

    def _adopt(self, stream: trio.SocketStream) -> Socket:
        if self._stopping or len(self._sockets) >= self._config.connections_max + HANDSHAKES_MAX:
            stream.socket.close()
            raise TransportError("no room for another connection")
        socket = Socket(stream, self._nursery, self._socket_ended)
        self._sockets.add(socket)
        return socket

    async def _accept(self, stream: trio.SocketStream) -> None:
        if self._handshakes >= HANDSHAKES_MAX:
            self._counters["connections_refused"] += 1
            return
        self._handshakes += 1
        socket: Socket | None = None
        try:
            socket = self._adopt(stream)
            await self._swarm.upgrade_inbound_raw_conn(RawConnection(socket, False), Multiaddr("/ip4/0.0.0.0/tcp/0"))
        except Exception as error:  # noqa: BLE001 - a stranger's handshake may raise anything
            self._counters["handshakes_failed"] += 1
            _log.debug("transport.handshake_failed", error=type(error).__name__)
            if socket is not None:
                socket.close_now()
        finally:
            self._handshakes -= 1
        if socket is not None:
            await socket.ended.wait()

    def _connected(self, connection: INetConn) -> None:
        """A connection has proven whose it is."""
        socket = _socket_of(connection)
        peer = connection.muxed_conn.peer_id.to_base58()
        connections = self._of_peer.setdefault(peer, set())
        others = len(self._of_peer) - (0 if connections else 1)
        if socket.ended.is_set():
            pass
        elif len(connections) >= CONNECTIONS_PER_PEER_MAX or others >= self._config.connections_max:
            self._counters["connections_refused"] += 1
            socket.close_now()
        else:
            socket.peer, socket.connection = peer, connection
            connections.add(socket)
            self.transport.peer_up(peer)
        if not connections:
            self._of_peer.pop(peer, None)

    def _socket_ended(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        connections = self._of_peer.get(socket.peer)
        if connections is not None:
            connections.discard(socket)
            if not connections:
                del self._of_peer[socket.peer]
                self.transport.peer_down(socket.peer)

    # Streams

    async def open_stream(self, peer: PeerId, protocol: str) -> _Stream:
        socket = next(iter(self._of_peer.get(peer, ())), None)
        if socket is None or socket.connection is None:
            await trio.lowlevel.checkpoint()
            raise BrokenStreamError("not connected")
        try:
            stream = await socket.connection.new_stream()
        except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenStreamError(str(error)) from error
        agreed = False
        try:
            await self._host.multiselect_client.select_one_of(
                [TProtocol(protocol)], MultiselectCommunicator(stream), int(OPEN_TIMEOUT_S)
            )
            agreed = True
        except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenStreamError(f"the peer does not speak {protocol}") from error
        finally:
            if not agreed:
                with trio.CancelScope(shield=True):
                    await _Stream(stream).reset()
        return _Stream(stream)

    async def _serve_kept(self, stream: INetStream) -> None:
        if peer := self._live_peer(stream):
            await self.transport.serve_kept(peer, _Stream(stream))

    async def _serve_request(self, stream: INetStream) -> None:
        if peer := self._live_peer(stream):
            await self.transport.serve_request(peer, _Stream(stream))

    def _live_peer(self, stream: INetStream) -> PeerId | None:
        """Whose stream it is, if connected; a stream may be here before the news of its connection."""
        peer = stream.muxed_conn.peer_id.to_base58()
        if peer not in self._of_peer:
            for connection in self._swarm.connections.get(stream.muxed_conn.peer_id, []):
                self._connected(connection)
        return peer if peer in self._of_peer else None

    # Gossipsub

    def mesh_subscribe(self, topic: str, wanted: bool) -> None:
        change = self._pubsub.subscribe if wanted else self._pubsub.unsubscribe
        self._order(lambda: change(topic))

    def mesh_publish(self, topic: str, payload: bytes) -> None:
        self._order(lambda: self._pubsub.publish(topic, payload))

    def mesh_peers(self, topic: str) -> frozenset[PeerId]:
        return frozenset(peer.to_base58() for peer in self._pubsub.peer_topics.get(topic, ()))

    def _order(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            self._mesh_orders.send_nowait(work)
        except trio.WouldBlock:
            self._counters["mesh_dropped"] += 1

    async def _do_mesh_work(self) -> None:
        async for work in self._mesh_work:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - gossipsub's state is not worth the node
                self._faults.caught("gossipsub", error)

    def _mesh_arrived(self, peer: PeerId, topic: str, payload: bytes) -> None:
        self.transport.mesh_hint(peer, topic, payload)

    def _announced(self, _candidates: list[Multiaddr]) -> list[Multiaddr]:
        transport = getattr(self, "transport", None)
        return [] if transport is None else [Multiaddr(address) for address in transport.addresses]


class _Stream:
    """A stream of a connection, read and written by the shortest way through the muxer."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._muxed: YamuxStream = stream.muxed_stream
        self._muxer: Yamux = self._muxed.conn
        self._id: int = self._muxed.stream_id

    async def read(self) -> bytes:
        muxed, muxer = self._muxed, self._muxer
        while True:
            buffer = muxer.stream_buffers.get(self._id)
            if buffer:
                data = bytes(buffer)
                buffer.clear()
                await self._make_room()
                return data
            if buffer is None or muxed.reset_received or muxer.event_shutting_down.is_set():
                raise BrokenStreamError("the stream was reset")
            if muxed.recv_closed:
                return b""
            event = muxer.stream_events[self._id]
            await event.wait()
            if muxer.stream_events.get(self._id) is event:
                muxer.stream_events[self._id] = trio.Event()

    async def _make_room(self) -> None:
        """Tell the writer that it may go on, once half of the window is used up."""
        muxed = self._muxed
        try:
            if muxed.closed:
                await self._muxer._finalize_stream(muxed, fully_closed=True)
            elif 2 * muxed.recv_window <= muxed.target_recv_window:
                await muxed._auto_tune_and_send_window_update(bytes_read=0)
        except _STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error

    async def write(self, data: bytes) -> None:
        muxed = self._muxed
        try:
            if not (muxed.closed or muxed.send_closed) and len(data) <= min(muxed.send_window, _FRAME_SIZE_MAX):
                muxed.send_window -= len(data)
                header = _HEADER.pack(0, TYPE_DATA, 0, self._id, len(data))
                await self._muxer._write_frame(header + data)
            else:
                await muxed.write(data)
        except _STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error

    async def close(self) -> None:
        with suppress(*_STREAM_ERRORS):
            await self._stream.close()

    async def reset(self) -> None:
        with suppress(*_STREAM_ERRORS):
            await self._stream.reset()


_STREAM_ERRORS = (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError)
_HEADER = struct.Struct(YAMUX_HEADER_FORMAT)
_FRAME_SIZE_MAX = MAX_MESSAGE_SIZE - HEADER_SIZE - 16  # so that header, frame and tag are one Noise packet


class _Yamux(Yamux):
    """The muxer with a bound on what it buffers, and the shortest way for small frames, in both directions.

    libp2p reads a connection through four layers and a task each frame wakes; here what one read of the socket gave is
    opened at once and data for streams that are there goes to their buffers. Every other frame, and every frame that
    is not here as a whole, is left to libp2p's own loop, which asks for the header of the next.
    """

    def __init__(self, secured_conn: Any, *args: Any, **options: Any) -> None:
        super().__init__(secured_conn, *args, **options)
        noise = secured_conn.conn.noise_state
        self._socket = _bottom_of(secured_conn)
        self._packets = Packets(noise.encrypt, noise.decrypt)
        self._plain = bytearray(secured_conn._drain(None))  # opened, and not yet taken
        secured_conn.read = self._next_header  # what libp2p's loop reads

    async def _write_frame(self, data: bytes) -> None:
        """Sealed and written in one go, so that no lock is needed to keep the packets in order."""
        try:
            await self._socket.write(self._packets.seal(data))
        except ConnectionResetError as error:
            raise RawConnError(str(error)) from error

    async def _next_header(self, size: int) -> bytes:
        """The header of the next frame that is not taken here."""
        assert size == HEADER_SIZE
        plain = self._plain
        while True:
            start = 0
            while len(plain) - start >= HEADER_SIZE:
                end = self._take_data(start)
                if end == start:
                    header = bytes(plain[start : start + HEADER_SIZE])
                    del plain[: start + HEADER_SIZE]
                    return header
                start = end
            del plain[:start]
            await self._read_more()

    def _take_data(self, start: int) -> int:
        """Give the frame at `start` to its stream and return where it ends; `start` if that is not for us to do."""
        _, kind, flags, stream_id, length = _HEADER.unpack_from(self._plain, start)
        body = start + HEADER_SIZE
        end: int = body + length
        if kind != TYPE_DATA or flags or end > len(self._plain) or self.streams_lock.locked():
            return start
        stream = self.streams.get(stream_id)
        if stream is None or length > stream.recv_window or self._is_full(length):
            return start
        self.stream_buffers[stream_id] += self._plain[body:end]
        stream.recv_window -= length
        self.stream_events[stream_id].set()
        return end

    async def _read_data_body(self, length: int) -> bytes:
        if self._is_full(length):
            raise trio.TooSlowError  # the muxer's word for: close this connection
        plain = self._plain
        with trio.fail_after(BODY_TIMEOUT_S):
            while len(plain) < length:
                await self._read_more()
        body = bytes(plain[:length])
        del plain[:length]
        return body

    async def _read_more(self) -> None:
        """At the end of the connection nothing is left: libp2p's loop goes on after a body that it could not read, and
        would take what is here of that body for frames."""
        try:
            for said in self._packets.open(await self._socket.read()):
                self._plain += said
        except Exception as error:
            self._plain.clear()
            self._socket.close_now()
            raise RawConnError(str(error) or "a packet that the peer did not seal") from error

    def _is_full(self, length: int) -> bool:
        return length + sum(map(len, self.stream_buffers.values())) > BUFFER_SIZE_MAX


muxer_module.Yamux = _Yamux  # libp2p makes its own whatever class it was given


class _Swarm(Swarm):
    """Connections and streams, without a will of its own: it dials nobody unless told which address."""

    def __init__(self, faults: _Faults, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.auto_connector = _NoAutoConnector()
        self._faults = faults
        self._open: Counter[str] = Counter()

    async def dial_peer(self, peer_id: ID) -> list[INetConn]:
        raise SwarmException(f"not connected to {peer_id}")

    def set_stream_handler(self, stream_handler: Callable[[INetStream], Awaitable[None]]) -> None:
        async def serve(stream: INetStream) -> None:
            peer = stream.muxed_conn.peer_id.to_base58()
            if self._open[peer] >= STREAMS_PER_PEER_MAX:
                self._faults.counters["streams_refused"] += 1
                await _Stream(stream).reset()
                return
            self._open[peer] += 1
            try:
                await stream_handler(stream)
            except Exception as error:  # noqa: BLE001 - whatever a stream's bytes provoke ends with that stream
                self._faults.caught("stream", error, peer)
                await _Stream(stream).reset()
            finally:
                self._open[peer] -= 1
                if not self._open[peer]:
                    del self._open[peer]

        super().set_stream_handler(serve)


class _NoAutoConnector:
    """libp2p's would look for peers to dial whenever there are few, whatever its watermarks."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_background_task(self, nursery: trio.Nursery) -> None: ...

    async def maybe_connect(self) -> None: ...

    def record_disconnect(self, peer_id: ID) -> None: ...


class _Manager(TrioManager):
    """Runs a service's tasks so that one that raises does not take the service, and the node, with it."""

    def __init__(self, service: Service, faults: _Faults) -> None:
        super().__init__(service)
        self._faults = faults
        self._name = type(service).__name__

    def _find_parent_task(self, trio_task: trio.lowlevel.Task) -> None:
        """No hierarchy: looking for the parent takes a walk over all tasks, for each task."""

    def run_task(
        self,
        async_fn: Callable[..., Awaitable[Any]],
        *args: Any,
        daemon: bool = False,
        name: str | None = None,
        _internal: bool = False,
    ) -> None:
        async def guarded(*args: Any) -> None:
            while True:
                try:
                    await async_fn(*args)
                except Exception as error:  # noqa: BLE001 - see the class
                    self._faults.caught(self._name, error)
                if not daemon:
                    return
                await trio.sleep(DAEMON_PAUSE_S)

        task = async_fn if _internal else guarded
        super().run_task(task, *args, daemon=daemon, name=name or self._name, _internal=_internal)


class _Arrivals(INotifee):
    """Tells us about connections."""

    def __init__(self, connected: Callable[[INetConn], None]) -> None:
        self._connected = connected

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        self._connected(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None: ...

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...


class _Router(GossipSub):
    """Gossipsub that does not remember every publish for ever, and keeps the mesh it has."""

    async def _maintain_mesh_quality(self, topic: str) -> None:
        """libp2p would swap a peer for another each second, among equals too, until some are in hardly any mesh."""

    async def publish(self, msg_forwarder: ID, pubsub_msg: Any) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()


_forwarder: ContextVar[str] = ContextVar("forwarder", default="")


class _Pubsub(Pubsub):
    """Gossipsub's inbound side, guarded: a malformed RPC costs its sender the stream and nobody else anything."""

    def __init__(
        self, faults: _Faults, arrived: Callable[[PeerId, str, bytes], None], host: BasicHost, router: GossipSub
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            msg_id_constructor=_message_id,
            max_subscriptions_per_rpc=TOPICS_MAX,
            max_subscriptions_per_peer=TOPICS_MAX,
            max_inbound_rpc_size=MESH_RPC_SIZE_MAX,
        )
        self._faults = faults
        self._arrived = arrived
        pubsub: Any = self
        pubsub.seen_messages.stop()  # a thread, and no bound
        pubsub.seen_messages = _Seen()

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        try:
            await super().continuously_read_stream(stream)
        except _STREAM_ERRORS:
            await _Stream(stream).reset()
        except Exception as error:  # noqa: BLE001 - undecodable bytes raise whatever the decoder raises
            self._faults.caught("gossipsub rpc", error, peer.to_base58())
            self._forget_all_subscriptions(peer)
            await _Stream(stream).reset()

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """As libp2p does, and repeat what was subscribed while its greeting was on the way: it forgets that."""
        before = set(self.topic_ids)
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is not None:
            for topic in before ^ set(self.topic_ids):
                queue.push(self._build_announce_rpc(topic, topic in self.topic_ids)[0])

    def _is_subscribed_to_msg(self, msg: Any) -> bool:
        """Asked before each message of an RPC gets its task."""
        if len(self.manager._root_tasks) >= MESH_TASKS_MAX:
            self._faults.counters["hints_dropped"] += 1
            return False
        subscribed: bool = super()._is_subscribed_to_msg(msg)
        return subscribed

    async def push_msg(self, msg_forwarder: ID, msg: Any) -> None:
        if len(msg.topicIDs) != 1 or len(msg.data) > GOSSIP_SIZE_MAX:
            self._faults.counters["hints_malformed"] += 1
            return
        _forwarder.set(msg_forwarder.to_base58())
        try:
            await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # noqa: BLE001 - an undecodable key, an unusable author
            self._faults.caught("gossipsub message", error, msg_forwarder.to_base58())

    def notify_subscriptions(self, publish_message: Any) -> None:
        forwarder = _forwarder.get()
        if forwarder != self.my_id.to_base58():
            self._arrived(forwarder, publish_message.topicIDs[0], publish_message.data)


class _Seen:
    """libp2p's cache of seen message ids, as a bounded window without a thread."""

    def __init__(self) -> None:
        self._window = SeenWindow()

    def has(self, key: bytes) -> bool:
        return self._window.has(key, trio.current_time())

    def add(self, key: bytes) -> bool:
        return self._window.first(key, trio.current_time())


class _LongQueue(RpcQueue):
    def __init__(self) -> None:
        super().__init__(max_size=MESH_QUEUE_MAX)


pubsub_module.RpcQueue = _LongQueue


class _TCP(TCP):
    """Dials, and hands the socket to us."""

    def __init__(self, adopt: Callable[[trio.SocketStream], Socket]) -> None:
        super().__init__()
        self._adopt = adopt

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        connection = await super().dial(maddr)
        connection.stream = self._adopt(connection.stream.stream)
        return connection


def _message_id(message: Any) -> bytes:
    return content_id(message.topicIDs[0] if message.topicIDs else "", message.data)


def _socket_of(connection: INetConn) -> Socket:
    """The socket at the bottom of an upgraded connection."""
    return _bottom_of(connection.muxed_conn.secured_conn)


def _bottom_of(secured: Any) -> Socket:
    """The socket under a secured connection: session, cipher, packets, raw, socket."""
    socket = secured.conn.read_writer.read_write_closer.stream
    assert isinstance(socket, Socket)
    return socket


async def _listen(address: str) -> list[trio.SocketListener]:
    """Without SO_REUSEPORT, which libp2p sets: two nodes on one port would share its callers."""
    try:
        target = Multiaddr(address)
        names = [protocol.name for protocol in target.protocols()]
        if len(names) != 2 or names[0] not in ("ip4", "ip6") or names[1] != "tcp":
            raise TransportError(f"cannot listen on {address}: /ip4/<address>/tcp/<port> or /ip6/… is expected")
        host, port = target.value_for_protocol(names[0]), int(target.value_for_protocol("tcp"))
        return list(await trio.open_tcp_listeners(port, host=host))
    except (ValueError, OSError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "the port is taken; name another with --network-listen, port 0 takes any free one"
        raise TransportError(f"cannot listen on {address}: {reason}") from error


def _address_of(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def _with_peer(address: str, peer: ID) -> str:
    return address if "/p2p/" in address else f"{address}/p2p/{peer.to_base58()}"


def _root(error: BaseException) -> str:
    """The innermost reason, for people: libp2p wraps errors in groups and causes several deep."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return str(error) or type(error).__name__


def _quiet_libp2p() -> None:
    """libp2p's loggers speak to ours, from errors up: below that they tell each peer's mishap at length."""
    logger = logging.getLogger("libp2p")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.CRITICAL)
