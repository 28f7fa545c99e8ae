"""The wire: sockets, connections and streams of one node, and libp2p put together on top of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio
from libp2p.abc import INetConn, INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from multiaddr import Multiaddr

from node.transport import DialError, PeerId, TransportConfig, TransportError, peer_of
from node.transport_frames import BrokenStreamError
from node.transport_kademlia import Rank
from node.transport_libp2p.circuit_words import HOP, STOP
from node.transport_libp2p.circuits import Circuits
from node.transport_libp2p.faults import Faults, root_of
from node.transport_libp2p.kademlia import OpenThrowaway, Table
from node.transport_libp2p.kademlia_host import KADEMLIA, Asked, TableHost, is_private
from node.transport_libp2p.listening import address_of, listen_on, with_peer
from node.transport_libp2p.mesh import Mesh
from node.transport_libp2p.muxer import bottom_of
from node.transport_libp2p.relay import Relay
from node.transport_libp2p.stream import Stream
from node.transport_libp2p.swarm import Arrivals, GuardedManager, make_swarm
from node.transport_relay import Admits, RelayLimits, is_relayed, split_relayed
from node.transport_requests import REQUEST_PROTOCOL
from node.transport_socket import Socket
from node.transport_streams import KEPT_PROTOCOL, OPEN_TIMEOUT_S, StreamTransport

HANDSHAKES_MAX = 64  # accepted connections that have not said who they are
RELAYED_HANDSHAKES_MAX = 16  # of them through relays, which would have places for nobody else
CONNECTIONS_PER_PEER_MAX = 3  # two nodes may dial each other at once

_log = structlog.get_logger()


class Libp2pWire:
    """Sockets, connections and streams; calls the transport when peers and streams arrive."""

    def __init__(self, config: TransportConfig, key_seed: bytes, nursery: trio.Nursery) -> None:
        self._config = config
        self._nursery = nursery
        self._counters: Counter[str] = Counter()
        self._faults = Faults(self._counters)
        self._sockets: set[Socket] = set()
        self._of_peer: dict[PeerId, set[Socket]] = {}
        self._handshakes = 0
        self._relayed_handshakes = 0
        self._stopping = False
        self._swarm = make_swarm(
            key_seed, config.connections_max + HANDSHAKES_MAX, CONNECTIONS_PER_PEER_MAX, self._faults, self._adopt
        )
        self._id: ID = self._swarm.get_peer_id()
        self._host = BasicHost(network=self._swarm, addrs_factory=self._announced)
        self._host.remove_stream_handler(IDENTIFY_PUSH)
        self._swarm.notifees = [Arrivals(self._connected)]  # identify's own would run in unguarded system tasks
        self._mesh = Mesh(self._faults, self._mesh_arrived, self._host)
        self._circuits = Circuits(self.open_stream, nursery)
        self._visited: Counter[PeerId] = Counter()  # relays that are connected for the sake of so many circuits
        self._relay: Relay | None = None
        self._table: Table | None = None
        for protocol, serve in (
            (KEPT_PROTOCOL, self._serve_kept),
            (REQUEST_PROTOCOL, self._serve_request),
            (STOP, self._serve_stop),
        ):
            self._host.set_stream_handler(TProtocol(protocol), serve)
        self._listeners: list[trio.SocketListener] = []
        self.transport: StreamTransport

    async def start(self) -> None:
        """Listen, then run libp2p's services, then accept."""
        for address in self._config.listen:
            self._listeners += await listen_on(address)
        addresses = self._config.announce or tuple(map(address_of, self._listeners))
        self.transport = StreamTransport(
            self._id.to_base58(),
            tuple(with_peer(address, self._id) for address in addresses),
            self._config,
            self,
            self._nursery,
            self._counters,
        )
        self.transport.relays = self
        for service in (self._swarm, *self._mesh.services):
            manager = GuardedManager(service, self._faults)
            service._manager = manager
            self._nursery.start_soon(manager.run)
            await manager.wait_started()
        await self._mesh.wait_until_ready()
        self._nursery.start_soon(self._mesh.run)
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
        if is_relayed(address):
            await self._dial_through(address)
            return
        try:
            target = Multiaddr(address)
            peer = ID.from_base58(target.value_for_protocol("p2p"))
            await self._swarm.dial_addr(target, peer)
        except Exception as error:  # libp2p, multiaddr and the resolver each raise their own
            raise DialError(f"cannot connect to {address}: {root_of(error)}") from error

    async def _dial_through(self, address: str) -> None:
        """Over a relay, which is connected for it and not kept afterwards."""
        relay_address, target = split_relayed(address)
        relay = peer_of(relay_address)
        if relay in self._visited or relay not in self._of_peer:
            self._visited[relay] += 1
        socket: Socket | None = None
        try:
            await self.transport.connect(relay_address)
            socket = self._adopt(await self._circuits.call(relay, target), is_relayed=True)
            await self._swarm.upgrade_outbound_raw_conn(RawConnection(socket, True), ID.from_base58(target))
        except BaseException as error:
            if socket is not None:
                socket.close_now()
            self._leave(relay)
            if isinstance(error, DialError) or not isinstance(error, Exception):
                raise
            raise DialError(f"cannot connect to {address}: {root_of(error)}") from error
        self._nursery.start_soon(self._leave_after, socket, relay)

    async def _leave_after(self, socket: Socket, relay: PeerId) -> None:
        await socket.ended.wait()
        self._leave(relay)

    def _leave(self, relay: PeerId) -> None:
        """A circuit is over; so is the visit to its relay, if we were there for circuits only and this was the last."""
        if relay in self._visited:
            self._visited[relay] -= 1
            if not self._visited[relay]:
                del self._visited[relay]
                if not self._circuits.has_place(relay):
                    self.hang_up(relay)

    def nearest_s(self, peer: PeerId) -> float | None:
        known = [taken for socket in self._of_peer.get(peer, ()) if (taken := socket.nearest_s()) is not None]
        return min(known, default=None)

    def hang_up(self, peer: PeerId) -> None:
        for socket in list(self._of_peer.get(peer, ())):
            socket.close_now()

    def _adopt(self, stream: trio.SocketStream, *, is_relayed: bool = False) -> Socket:
        if self._stopping or len(self._sockets) >= self._config.connections_max + HANDSHAKES_MAX:
            stream.socket.close()
            raise TransportError("no room for another connection")
        socket = Socket(stream, self._nursery, self._socket_ended)
        socket.is_relayed = is_relayed
        self._sockets.add(socket)
        return socket

    async def _accept(self, stream: trio.SocketStream, *, is_relayed: bool = False) -> None:
        is_too_many = is_relayed and self._relayed_handshakes >= RELAYED_HANDSHAKES_MAX
        if is_too_many or self._handshakes >= HANDSHAKES_MAX:
            self._counters["connections_refused"] += 1
            stream.socket.close()
            return
        self._handshakes += 1
        self._relayed_handshakes += is_relayed
        socket: Socket | None = None
        try:
            socket = self._adopt(stream, is_relayed=is_relayed)
            await self._swarm.upgrade_inbound_raw_conn(RawConnection(socket, False), Multiaddr("/ip4/0.0.0.0/tcp/0"))
        except Exception as error:  # noqa: BLE001 - a stranger's handshake may raise anything
            self._counters["handshakes_failed"] += 1
            _log.debug("transport.handshake_failed", error=type(error).__name__)
            if socket is not None:
                socket.close_now()
        finally:
            self._handshakes -= 1
            self._relayed_handshakes -= is_relayed
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
                self._circuits.gone(socket.peer)
                if self._relay is not None:
                    self._relay.gone(socket.peer)
                self.transport.peer_down(socket.peer)

    # Streams

    async def open_stream(self, peer: PeerId, protocol: str) -> Stream:
        socket = min(self._of_peer.get(peer, ()), key=lambda each: each.is_relayed, default=None)
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
                    await Stream(stream).reset()
        return Stream(stream)

    async def _serve_kept(self, stream: INetStream) -> None:
        if peer := self._live_peer(stream):
            await self.transport.serve_kept(peer, Stream(stream))

    async def _serve_request(self, stream: INetStream) -> None:
        if peer := self._live_peer(stream):
            await self.transport.serve_request(peer, Stream(stream))

    def _live_peer(self, stream: INetStream) -> PeerId | None:
        """Whose stream it is, if connected; a stream may be here before the news of its connection."""
        peer = stream.muxed_conn.peer_id.to_base58()
        if peer not in self._of_peer:
            for connection in self._swarm.connections.get(stream.muxed_conn.peer_id, []):
                self._connected(connection)
        return peer if peer in self._of_peer else None

    # Relays

    def serve(self, limits: RelayLimits, admits: Admits) -> None:
        """See `Relays.serve`."""
        self._relay = Relay(limits, admits, self.open_stream, self._counters)
        self._host.set_stream_handler(HOP, self._serve_hop)

    async def reserve(self, relay: PeerId) -> float:
        """See `Relays.reserve`."""
        return await self._circuits.reserve(relay)

    def has_place(self, relay: PeerId) -> bool:
        """See `Relays.has_place`."""
        return self._circuits.has_place(relay)

    @property
    def lent(self) -> tuple[int, int] | None:
        """See `Relays.lent`."""
        return None if self._relay is None else self._relay.lent

    def reached_through(self, addresses: tuple[str, ...]) -> None:
        """See `Relays.reached_through`."""
        self.transport.reached_through = addresses

    async def _serve_hop(self, stream: INetStream) -> None:
        peer = self._live_peer(stream)
        if peer and self._relay is not None and not _socket_of(stream).is_relayed:  # one relay in a row is enough
            await self._relay.serve(peer, Stream(stream))
        else:
            await Stream(stream).reset()

    async def _serve_stop(self, stream: INetStream) -> None:
        peer = self._live_peer(stream)
        if not peer or _socket_of(stream).is_relayed:
            await Stream(stream).reset()
        elif circuit := await self._circuits.answer(peer, Stream(stream)):
            self._nursery.start_soon(partial(self._accept, circuit, is_relayed=True))

    # Kademlia

    def open_table(
        self, open_throwaway: OpenThrowaway, entries: Sequence[str], rank: Rank, random: Callable[[int], bytes]
    ) -> Table:
        """This node's part in a table; one at most."""
        host = self.table_host(Asked(0), may_dial_private=all(map(is_private, entries)))
        self._table = Table(self.transport, host, open_throwaway, entries, rank, random)
        self._host.set_stream_handler(KADEMLIA, self._serve_table)
        return self._table

    def table_host(self, asked: Asked, *, may_dial_private: bool) -> TableHost:
        """What libp2p's Kademlia takes for its host."""
        return TableHost(
            self.transport,
            self.open_stream,
            self._id,
            self._host.get_private_key(),
            asked,
            may_dial_private=may_dial_private,
        )

    async def _serve_table(self, stream: INetStream) -> None:
        peer = self._live_peer(stream)
        if peer and self._table is not None:
            await self._table.answer(peer, Stream(stream), stream)
        else:
            await Stream(stream).reset()

    # Gossipsub

    def mesh_subscribe(self, topic: str, wanted: bool) -> None:
        self._mesh.subscribe(topic, wanted)

    def mesh_publish(self, topic: str, payload: bytes) -> None:
        self._mesh.publish(topic, payload)

    def mesh_peers(self, topic: str) -> frozenset[PeerId]:
        return self._mesh.peers(topic)

    def _mesh_arrived(self, peer: PeerId, topic: str, payload: bytes) -> None:
        self.transport.mesh_hint(peer, topic, payload)

    def _announced(self, _candidates: list[Multiaddr]) -> list[Multiaddr]:
        transport = getattr(self, "transport", None)
        return [] if transport is None else [Multiaddr(address) for address in transport.addresses]


def _socket_of(upper: INetConn | INetStream) -> Socket:
    """The socket at the bottom of an upgraded connection, or of a stream of one."""
    return bottom_of(upper.muxed_conn.secured_conn)
