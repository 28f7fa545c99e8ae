"""Kademlia by libp2p's `KadDHT`, which gets a host of ours, and of others' messages only what it may see.

As it comes, a peer can make it grow and dial without end: it takes messages of 4 MiB, keeps every address in them,
dials whomever an answer names for as long as answers name more, puts peers into its table that nobody has reached,
keeps providers for anybody, and lets a dozen silent streams keep everybody else out. What is its own here is the
table, the walk towards a key, and the messages.

- Look-ups are made by a throw-away node that lives for one of them: what it is told ends with it, and nobody learns who
  asked. It dials `DIALS_MAX` peers at most.
- The node that serves sees one message a stream, of a bounded size and of the four kinds it needs, within each peer's
  rate; it keeps what the caller's rank accepts, and of too much what is nearest to its own id.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.records.validator import NamespacedValidator

from node.mailbox.rates import Bucket
from node.transport import PERSONA_SIZE, PeerId, TransportError, peer_of
from node.transport_frames import BrokenStreamError, ByteStream, Exactly, FrameError
from node.transport_kademlia import (
    DIALS_MAX,
    ENTRIES_MAX,
    LOOK_UP_S,
    NAMESPACE,
    QUORUM,
    TOLD_S,
    KademliaError,
    KademliaLimits,
    Rank,
    path_of,
)
from node.transport_libp2p.kademlia_host import Asked, TableHost, is_private
from node.transport_libp2p.kademlia_values import NearestValues, ToldValues
from node.transport_libp2p.kademlia_words import Judge, PutError, checked_request, read_message
from node.transport_libp2p.relay import CLOSE_TIMEOUT_S
from node.transport_scope import shielded_for
from node.transport_streams import OPEN_TIMEOUT_S, StreamTransport

SERVE_TIMEOUT_S: Final = 10.0  # for one message of a peer, from its first byte to our answer
SERVED_AT_ONCE_MAX: Final = 32  # messages
SERVED_OF_PEER_MAX: Final = 4  # of them of one peer
ASKERS_MAX: Final = 2048  # peers whose rate is remembered, the latest
REFRESH_S: Final = 600.0
REFRESH_EARLY_S: Final = 20.0  # while we know few others
REFRESH_DIALS_MAX: Final = 32
FEW: Final = 4

OpenThrowaway = Callable[[bytes], AbstractAsyncContextManager[StreamTransport]]


class Table:
    """One node's part in a table, see `Kademlia`. `entries` are addresses of nodes that serve."""

    def __init__(
        self,
        transport: StreamTransport,
        host: TableHost,
        open_throwaway: OpenThrowaway,
        entries: Sequence[str],
        rank: Rank,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.counters = transport.counters
        self._transport = transport
        self._host = host
        self._open_throwaway = open_throwaway
        self._entries = tuple(address for address in entries if peer_of(address) != transport.peer_id)
        self._rank = rank
        self._random = random_bytes
        self._chance = random.Random(random_bytes(8))  # noqa: S311 - jitter, and whom to ask first
        self._dht: KadDHT | None = None
        self._values: NearestValues | None = None
        self._limits = KademliaLimits()
        self._asks: dict[PeerId, Bucket] = {}
        self._puts = Bucket(self._limits.puts_per_s, self._limits.puts_burst)
        self._serving: Counter[PeerId] = Counter()

    @property
    def record_count(self) -> int:
        return 0 if self._values is None else len(self._values.store)

    # --- asking ---

    async def get(self, key: str) -> bytes | None:
        """See `Kademlia.get`."""
        judge = Judge(self._rank)
        if self._values is not None and (kept := self._values.get(path_of(key).encode())) is not None:
            judge.look(path_of(key), kept.value)

        async def ask(dht: KadDHT) -> None:
            async with trio.open_nursery() as nursery:
                for peer in dht.host.get_connected_peers():  # whom our user named, whatever they say of others
                    nursery.start_soon(self._ask_one, dht, peer, path_of(key), judge)
            await dht.get_value(path_of(key), quorum=QUORUM)

        with trio.move_on_after(LOOK_UP_S):
            try:
                await self._as_nobody(judge, ask)
            except KademliaError:
                if judge.best is None:
                    raise
        return judge.best

    async def put(self, key: str, value: bytes) -> int:
        """See `Kademlia.put`."""
        Judge(self._rank).validate(path_of(key), value)
        told, kept = 0, self._values is not None
        if self._values is not None:
            self._values.take(path_of(key).encode(), value)
        with trio.move_on_after(TOLD_S):

            async def tell(dht: KadDHT) -> None:
                nonlocal told
                values = dht.value_store = ToldValues(dht.host, dht.local_peer_id)
                try:
                    await dht.put_value(path_of(key), value)
                finally:
                    told = values.told

            try:
                await self._as_nobody(Judge(self._rank), tell)
            except KademliaError:
                if not kept:
                    raise
        return told + kept

    async def _as_nobody(self, judge: Judge, work: Callable[[KadDHT], Awaitable[None]]) -> None:
        async with self._open_throwaway(self._random(PERSONA_SIZE)) as throwaway:
            wire = throwaway._wire
            host: TableHost = wire.table_host(Asked(DIALS_MAX), may_dial_private=self._is_private)  # type: ignore[attr-defined]
            await self._enter(throwaway, host)
            dht = KadDHT(
                host,
                DHTMode.CLIENT,
                validator=NamespacedValidator({NAMESPACE: judge}, strict_validation=True),
                validator_changed=True,
                strict_validation=True,
            )
            _only_the_reached(dht, host)
            await work(dht)

    async def _ask_one(self, dht: KadDHT, peer: ID, path: str, judge: Judge) -> None:
        with trio.move_on_after(OPEN_TIMEOUT_S):
            value = await dht.value_store._get_from_peer(peer, path.encode())
            if isinstance(value, bytes):
                judge.look(path, value)

    async def _enter(self, throwaway: StreamTransport, host: TableHost) -> None:
        """Be connected to a few nodes of the table to begin with."""
        known = [*self._entries, *self._host.reached()]
        self._chance.shuffle(known)

        async def connect(address: str) -> None:
            with suppress(TransportError):
                host.enters_by(await throwaway.connect(address))

        async with trio.open_nursery() as nursery:
            for address in known[:ENTRIES_MAX]:
                nursery.start_soon(connect, address)
        if not host.get_connected_peers():
            raise KademliaError("no node of the table could be reached")

    @property
    def _is_private(self) -> bool:
        return self._host.may_dial_private

    # --- serving ---

    async def serve(self, limits: KademliaLimits, addresses: Callable[[], Sequence[str]]) -> None:
        """See `Kademlia.serve`."""
        self._limits, self._puts = limits, Bucket(limits.puts_per_s, limits.puts_burst)
        host = self._host
        host.addresses = addresses
        dht = KadDHT(
            host,
            DHTMode.SERVER,
            validator=NamespacedValidator({NAMESPACE: Judge(self._rank)}, strict_validation=True),
            validator_changed=True,
            strict_validation=True,
        )
        _only_the_reached(dht, host)
        self._values = dht.value_store = NearestValues(host, self._rank, limits.records)
        self._dht = dht
        try:
            while True:
                await self._refresh(dht)
                self._values.cleanup_expired()
                pause_s = REFRESH_S if dht.routing_table.size() >= FEW else REFRESH_EARLY_S
                await trio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
        finally:
            self._dht = None

    async def _refresh(self, dht: KadDHT) -> None:
        """Know, and be known to, the nodes near us and some far away."""
        self._host.asked = Asked(REFRESH_DIALS_MAX)
        if not self._entries:  # the first of a table: it is a private one if this node is reached privately only
            own = self._host.addresses()
            self._host.may_dial_private = bool(own) and all(map(is_private, own))
        for address in self._entries:
            if peer_of(address) not in self._transport.peers():
                with suppress(TransportError):
                    await self._transport.connect(address)
            if peer_of(address) in self._transport.peers():
                self._host.enters_by(peer_of(address))
        with trio.move_on_after(REFRESH_S / 2):
            await dht.refresh_routing_table()
        await self._host.leave_some()

    async def answer(self, peer: PeerId, stream: ByteStream, upper: INetStream) -> None:
        """One message of a peer."""
        dht = self._dht
        bucket = self._asks_of(peer)
        is_full = self._serving.total() >= SERVED_AT_ONCE_MAX or self._serving[peer] >= SERVED_OF_PEER_MAX
        if dht is None or is_full or bucket.wait_s(1.0, trio.current_time()) > 0:
            self.counters["kademlia_refused"] += 1
            await stream.reset()
            return
        bucket.owed += 1.0
        self._serving[peer] += 1
        try:
            with trio.fail_after(SERVE_TIMEOUT_S):
                request = checked_request(await read_message(Exactly(stream)), self._rank, self._may_put)
                await dht.handle_stream(self._host.served(request, stream, upper))
        except (FrameError, BrokenStreamError, PutError, trio.TooSlowError):
            self.counters["kademlia_refused"] += 1
            with shielded_for(CLOSE_TIMEOUT_S):
                await stream.reset()
        finally:
            self._serving[peer] -= 1
            self._serving += Counter()  # forget who has none

    def _asks_of(self, peer: PeerId) -> Bucket:
        bucket = self._asks.pop(peer, None) or Bucket(self._limits.asks_per_s, self._limits.asks_burst)
        self._asks[peer] = bucket
        if len(self._asks) > ASKERS_MAX:
            del self._asks[next(iter(self._asks))]
        return bucket

    def _may_put(self) -> bool:
        if self._puts.wait_s(1.0, trio.current_time()) > 0:
            return False
        self._puts.owed += 1.0
        return True


def _only_the_reached(dht: KadDHT, host: TableHost) -> None:
    """libp2p would put into its table whomever an answer names."""
    add = dht.routing_table.add_peer

    async def add_reached(peer: ID, *, skip_server_mode_check: bool = False) -> bool:
        added: bool = host.is_reached(peer) and await add(peer, skip_server_mode_check=skip_server_mode_check)
        return added

    dht.routing_table.add_peer = add_reached
