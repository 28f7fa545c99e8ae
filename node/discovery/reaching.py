"""Dialling what one kind has found, within a budget of its own, so that a kind that lies holds up no other.

An address is tried once, then again later and later. The dial proves who answers; only then is the address remembered.
"""

from dataclasses import dataclass
from typing import Final

import trio

from node.addresses import is_far, is_loopback
from node.context import NodeContext
from node.discovery.port import Found
from node.discovery.tally import Tally
from node.introductions import ADDRESSES_MAX, keep
from node.logs import logger
from node.peer_id import PeerId
from node.store_rows import PeerRow
from node.transport import TransportError

DIALS_AT_ONCE_MAX: Final = 2  # by one kind
WAITING_PEERS_MAX: Final = 64  # found by one kind and not dialled yet; of more, the latest are dropped
WAITING_ADDRESSES_MAX: Final = 16  # of one of them; likewise
FAILED_ADDRESSES_MAX: Final = 512  # whose failures one kind remembers, the latest
AGAIN_MIN_S: Final = 30.0
AGAIN_MAX_S: Final = 3600.0

log = logger("discovery")


@dataclass(slots=True)
class _Failed:
    """An address that did not answer."""

    until_s: float
    pause_s: float


class Reaching:
    """Of one kind."""

    def __init__(self, context: NodeContext, tally: Tally) -> None:
        self.tally = tally
        self._context = context
        self._waiting: dict[PeerId, dict[str, bool]] = {}  # addresses to dial, and whether the peer itself named them
        self._failed: dict[str, _Failed] = {}
        self._news = trio.Event()

    def offer(self, found: Found) -> None:
        """Dial a peer there, if that can be meant and has not failed just now."""
        if found.peer in self._context.transport.peers():
            return
        waiting = self._waiting.setdefault(found.peer, {})
        for address in found.addresses:  # behind what is waiting: no later lie displaces it
            if address not in waiting and len(waiting) < WAITING_ADDRESSES_MAX:
                waiting[address] = found.signpost is not None
        while len(self._waiting) > WAITING_PEERS_MAX:
            self._waiting.popitem()
            self.tally.counters["too_many"] += 1
        self._news.set()

    async def run(self) -> None:
        """Dial, for as long as the node runs."""
        async with trio.open_nursery() as nursery:
            for _ in range(DIALS_AT_ONCE_MAX):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._news = trio.Event() if self._news.is_set() else self._news
                await self._news.wait()
            peer = next(iter(self._waiting))
            for address, is_signed in self._waiting.pop(peer).items():
                if peer in self._context.transport.peers() or peer in self._context.blocked:
                    break
                if self._is_meant(address, is_signed=is_signed) and self._is_due(address):
                    await trio.sleep(self.tally.dial_wait_s(self._context.now_s()))
                    await self._dial(peer, address)

    def _is_meant(self, address: str, *, is_signed: bool) -> bool:
        """Not what leads back to ourselves or to many; and a name is resolved only if the peer itself gives it."""
        if not is_signed and address.startswith("/dns"):
            refused = True
        elif is_loopback(address):
            refused = not all(map(is_loopback, self._context.addresses()))  # of nodes on one machine it is true
        else:
            refused = not is_far(address)
        self.tally.counters["addresses_refused"] += refused
        return not refused

    def _is_due(self, address: str) -> bool:
        failed = self._failed.get(address)
        return failed is None or self._context.now_s() >= failed.until_s

    async def _dial(self, peer: PeerId, address: str) -> None:
        try:
            await self._context.transport.connect(address)
        except TransportError as error:
            log.debug("not reached", kind=self.tally.name, peer=peer, reason=str(error))
            self.tally.counters["not_reached"] += 1
            self._remember_failure(address)
            return
        self.tally.reached += 1
        self._failed.pop(address, None)
        self._remember(peer, address)

    def _remember_failure(self, address: str) -> None:
        earlier = self._failed.pop(address, None)
        pause_s = AGAIN_MIN_S if earlier is None else min(AGAIN_MAX_S, 2 * earlier.pause_s)
        self._failed[address] = _Failed(self._context.now_s() + pause_s, pause_s)
        if len(self._failed) > FAILED_ADDRESSES_MAX:
            del self._failed[next(iter(self._failed))]

    def _remember(self, peer: PeerId, address: str) -> None:
        """The peer has answered there: stay connected, and begin there the next time."""
        known = self._context.store.peer(peer)
        had = known.addresses if known is not None else ()
        addresses = tuple(dict.fromkeys((address, *had)))[:ADDRESSES_MAX]
        for old in set(had) - {*addresses, *self._context.config.network.peers}:
            self._context.transport.forget(old)
        if addresses != had:
            with self._context.store.transaction() as transaction:
                transaction.put_peer(PeerRow(peer, addresses, known.name if known is not None else ""))
        keep(self._context, (address,))
