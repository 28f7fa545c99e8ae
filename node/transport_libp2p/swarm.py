"""libp2p's connections and services, held to what we ask of them."""

# mypy: allow-subclassing-any
from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee, IRawConnection
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.tools.anyio_service import TrioManager
from libp2p.tools.anyio_service.api import Service
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from node.transport_libp2p.faults import Faults
from node.transport_libp2p.muxer import BoundedYamux
from node.transport_libp2p.stream import Stream
from node.transport_socket import Socket
from node.transport_streams import OPEN_TIMEOUT_S

HANDSHAKE_TIMEOUT_S = 5.0
STREAMS_PER_PEER_MAX = 64  # that the peer has opened and we have not finished with
DAEMON_PAUSE_S = 1.0  # before a service task of libp2p that failed is started again


def make_swarm(
    key_seed: bytes,
    sockets_max: int,
    connections_per_peer_max: int,
    faults: Faults,
    adopt: Callable[[trio.SocketStream], Socket],
) -> QuietSwarm:
    """Noise over TCP and nothing else, with limits beyond ours: libp2p's are inexact."""
    key = create_new_key_pair(key_seed)
    peer_id = ID.from_pubkey(key.public_key)
    peerstore = PeerStore()
    peerstore.add_key_pair(peer_id, key)
    noise = Noise(key, noise_privkey=create_noise_key_pair().private_key)
    return QuietSwarm(
        faults,
        peer_id,
        peerstore,
        TransportUpgrader({NOISE: noise}, {TProtocol(YAMUX): BoundedYamux}),
        transports=[DialTcp(adopt)],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            max_connections=2 * sockets_max,
            high_watermark=2 * sockets_max,
            low_watermark=0,
            min_connections=0,
            max_connections_per_peer=2 * connections_per_peer_max,
            inbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
            outbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
            inbound_stream_protocol_negotiation_timeout=OPEN_TIMEOUT_S,
            outbound_stream_protocol_negotiation_timeout=OPEN_TIMEOUT_S,
        ),
    )


class QuietSwarm(Swarm):
    """Connections and streams, without a will of its own: it dials nobody unless told which address."""

    def __init__(self, faults: Faults, *args: Any, **options: Any) -> None:
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
                await Stream(stream).reset()
                return
            self._open[peer] += 1
            try:
                await stream_handler(stream)
            except Exception as error:  # noqa: BLE001 - whatever a stream's bytes provoke ends with that stream
                self._faults.caught("stream", error, peer)
                await Stream(stream).reset()
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


class GuardedManager(TrioManager):
    """Runs a service's tasks so that one that raises does not take the service, and the node, with it."""

    def __init__(self, service: Service, faults: Faults) -> None:
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


class Arrivals(INotifee):
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


class DialTcp(TCP):
    """Dials, and hands the socket to us."""

    def __init__(self, adopt: Callable[[trio.SocketStream], Socket]) -> None:
        super().__init__()
        self._adopt = adopt

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        connection = await super().dial(maddr)
        connection.stream = self._adopt(connection.stream.stream)
        return connection
