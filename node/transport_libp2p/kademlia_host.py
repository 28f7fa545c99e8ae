"""What libp2p's Kademlia takes for its host: our own connections, as many of them and such as we allow."""

# mypy: allow-subclassing-any
from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.ping import ID as PING
from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from multiaddr import Multiaddr

from node.transport import PeerId, TransportError
from node.transport_frames import BrokenStreamError, ByteStream, Exactly
from node.transport_libp2p.kademlia_words import ANSWER_SIZE_MAX, checked_answer, read_message, with_length
from node.transport_streams import OPEN_TIMEOUT_S, StreamTransport

KADEMLIA: Final = TProtocol("/conclave/kademlia/1")
"""Kademlia as libp2p speaks it, in a network of its own: `/ipfs/kad/1.0.0` is that of everybody."""

TOLD_PEERS_MAX: Final = 1000  # whose addresses are kept
TOLD_ADDRESSES_MAX: Final = 4  # of one of them
TOLD_ADDRESS_SIZE_MAX: Final = 128
CONNECTIONS_MAX: Final = 32  # made for the table's sake by a node that serves
PING_SIZE_MAX: Final = 64  # what comes back of a ping
_DIAL_ADDRESSES_MAX: Final = 2  # of one peer that are tried


class NotReachedError(BaseLibp2pError):
    """A peer that could not be asked, or was not to be."""


@dataclass(slots=True)
class Asked:
    """How many dials are left."""

    dials: int


class TableHost:
    """The few things that `KadDHT` asks of a host."""

    def __init__(
        self,
        transport: StreamTransport,
        open_stream: Callable[[PeerId, str], Awaitable[ByteStream]],
        peer_id: ID,
        private_key: Any,
        asked: Asked,
        *,
        may_dial_private: bool,
    ) -> None:
        self.asked = asked
        self.addresses: Callable[[], Sequence[str]] = tuple
        self._transport = transport
        self._open_stream = open_stream
        self._id = peer_id
        self._private_key = private_key
        self._told = Told(may_dial_private)
        self._entered: dict[PeerId, None] = {}
        self._dialled: dict[PeerId, None] = {}  # connections made for this only, oldest first

    @property
    def may_dial_private(self) -> bool:
        return self._told.may_dial_private

    @may_dial_private.setter
    def may_dial_private(self, may: bool) -> None:
        self._told.may_dial_private = may

    # --- for libp2p ---

    def get_id(self) -> ID:
        return self._id

    def get_private_key(self) -> Any:
        return self._private_key

    def get_addrs(self) -> list[Multiaddr]:
        return [Multiaddr(address) for address in self.addresses()][:TOLD_ADDRESSES_MAX]

    def get_peerstore(self) -> PeerStore:
        return self._told

    def get_connected_peers(self) -> list[ID]:
        """To begin a look-up with."""
        connected = self._transport.peers()
        return [ID.from_base58(peer) for peer in self._entered if peer in connected]

    def set_stream_handler(self, protocol: TProtocol, handler: object) -> None:
        """Streams come in by `served`."""

    def remove_stream_handler(self, protocol: TProtocol) -> None: ...

    async def new_stream(self, peer: ID, protocols: Sequence[TProtocol]) -> _Stream:
        name = peer.to_base58()
        if name not in self._transport.peers():
            await self._dial(name, peer)
        try:
            with trio.fail_after(OPEN_TIMEOUT_S):
                stream = await self._open_stream(name, PING if protocols[0] == PING else KADEMLIA)
        except (BrokenStreamError, trio.TooSlowError) as error:
            raise NotReachedError(str(error)) from error
        if protocols[0] == PING:
            return _Stream(stream, peer, raw_size_max=PING_SIZE_MAX)
        assert protocols[0] == PROTOCOL_ID
        return _Stream(stream, peer)

    # --- for the table ---

    def enters_by(self, peer: PeerId) -> None:
        """A look-up may begin with this peer."""
        self._entered[peer] = None

    def is_reached(self, peer: Any) -> bool:
        """Whether a peer is there: an id, or what libp2p knows of one."""
        return getattr(peer, "peer_id", peer).to_base58() in self._transport.peers()

    def reached(self) -> list[str]:
        """Addresses of nodes of the table that are connected."""
        connected = self._transport.peers()
        peers = [peer for peer in self._told.peer_ids() if peer.to_base58() in connected]
        return [f"{address}/p2p/{peer.to_base58()}" for peer in peers for address in self._told.dialled(peer)[:1]]

    async def leave_some(self) -> None:
        """Keep as many connections as we allow, the latest."""
        while len(self._dialled) > CONNECTIONS_MAX:
            peer = next(iter(self._dialled))
            del self._dialled[peer]
            self._entered.pop(peer, None)
            await self._transport.disconnect(peer)

    def served(self, request: bytes, stream: ByteStream, upper: INetStream) -> _Stream:
        """A stream that a peer opened, with the one message that it may say on it."""
        return _Stream(stream, upper.muxed_conn.peer_id, said=with_length(request))

    async def _dial(self, name: PeerId, peer: ID) -> None:
        for address in self._told.dialled(peer)[:_DIAL_ADDRESSES_MAX]:
            if self.asked.dials <= 0:
                raise NotReachedError("enough was dialled for this")
            self.asked.dials -= 1
            try:
                await self._transport.connect(f"{address}/p2p/{name}")
            except TransportError:
                continue
            self._dialled[name] = None
            self._entered[name] = None
            return
        raise NotReachedError("none of its addresses answers")


class Told(PeerStore):
    """Addresses that peers tell of others, and of themselves: few of each, and only such as may be dialled."""

    def __init__(self, may_dial_private: bool) -> None:
        super().__init__(max_records=TOLD_PEERS_MAX, max_peers=TOLD_PEERS_MAX)
        self.may_dial_private = may_dial_private

    def add_addrs(self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int = 0) -> None:
        bare = list(dict.fromkeys(text for each in addrs[: 2 * TOLD_ADDRESSES_MAX] if (text := self._usable(each))))
        if bare:
            self.peer_data_map.pop(peer_id, None)  # what is said last
            super().add_addrs(peer_id, [Multiaddr(text) for text in bare[:TOLD_ADDRESSES_MAX]], ttl)

    def consume_peer_record(self, envelope: Any, ttl: int) -> bool:
        """Used for its addresses; it is not passed on. The dial proves who answers, not the record."""
        record = envelope.record()
        if not envelope.public_key or ID.from_pubkey(envelope.public_key) != record.peer_id:
            return False
        self.add_addrs(record.peer_id, list(record.addrs), ttl)
        return True

    def get_peer_record(self, peer_id: ID) -> None:  # noqa: ARG002 - libp2p's signature
        return None

    def addrs(self, peer_id: ID) -> list[Multiaddr]:
        data = self.peer_data_map.get(peer_id)
        return [] if data is None or data.is_expired() else list(data.get_addrs())

    def dialled(self, peer: ID) -> list[str]:
        return [str(address) for address in self.addrs(peer)]

    def _usable(self, address: Multiaddr) -> str:
        """The address without a peer id at its end; empty when it is none of ours to dial."""
        try:
            parts = str(address).split("/")
            if len(str(address)) > TOLD_ADDRESS_SIZE_MAX or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp":
                return ""
            if len(parts) not in (5, 7) or (len(parts) == 7 and parts[5] != "p2p"):
                return ""
            is_open = ipaddress.ip_address(parts[2]).is_global or self.may_dial_private
            return "/".join(parts[:5]) if is_open and int(parts[4]) else ""
        except (ValueError, IndexError):
            return ""


class _Stream:
    """A stream of ours as libp2p reads it: one message that was looked at (or so many bytes), and no more.

    `said` is that message where a peer asks us; where we ask, it is the answer, which is waited for when it is read.
    """

    metric_send_channel = None

    def __init__(self, stream: ByteStream, peer: ID, said: bytes | None = None, raw_size_max: int = 0) -> None:
        self.muxed_conn = SimpleNamespace(peer_id=peer)
        self._stream = stream
        self._buffer = bytearray(said or b"")
        self._is_asked = said is None and not raw_size_max
        self._left = raw_size_max

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_asked:
            self._is_asked = False
            answer = await read_message(Exactly(self._stream), ANSWER_SIZE_MAX)
            self._buffer += with_length(checked_answer(answer))
        elif not self._buffer and self._left > 0:
            self._buffer += (await self._stream.read())[: self._left]
            self._left -= len(self._buffer)
        data = bytes(self._buffer[:n])
        del self._buffer[: len(data)]
        return data

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    async def reset(self) -> None:
        await self._stream.reset()


def is_private(address: str) -> bool:
    """Whether an address of the settings is of a network of one's own, so that others of it may be dialled too."""
    parts = address.split("/")
    try:
        return parts[1] in ("ip4", "ip6") and not ipaddress.ip_address(parts[2]).is_global
    except (ValueError, IndexError):
        return False
