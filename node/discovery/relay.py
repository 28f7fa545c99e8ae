"""Being reached through relays: what a node does that nobody can dial, as behind a NAT; and being one for others.

A node whose settings name relays stays connected to them, keeps a place reserved at each, and has the addresses that
lead through them among its own, in its card and wherever else it says where it is. This finds nobody.
"""

from collections import Counter
from collections.abc import Callable
from random import Random as Chance
from typing import Final

import trio

from node.context import NodeContext
from node.discovery.port import DiscoveryError, Found
from node.discovery.signposts import Signpost
from node.logs import logger
from node.peer_id import PeerId
from node.transport import KIB, peer_of
from node.transport_relay import RelayError, RelayLimits, Relays, through

LOOK_S: Final = 1.0  # how often it is seen whether a relay is connected, and our place there is kept
PLACE_S: Final = 20.0  # for a place at one of them, before that is shown as a failure
RENEW_S: Final = 900.0  # jittered; a reservation is good for four times as long
RETRY_MIN_S: Final = 5.0
RETRY_MAX_S: Final = 900.0

log = logger("discovery")


class Relayed:
    """Of a running node."""

    name = "relay"

    def __init__(self, context: NodeContext, relays: Relays) -> None:
        self.counters: Counter[str] = Counter()
        self._context = context
        self._relays = relays
        own = context.identity.peer_id
        named = {peer_of(address): address for address in reversed(context.config.discovery.relays)}
        self._addresses = {peer: address for peer, address in reversed(named.items()) if peer != own}
        self._reserved: set[PeerId] = set()
        self._refusal = ""  # the last one
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter

    async def run(self, found: Callable[[Found], None]) -> None:  # noqa: ARG002 - it finds nobody
        """Keep a place at every relay."""
        async with trio.open_nursery() as nursery:
            for relay, address in self._addresses.items():
                self._context.transport.keep(address)
                nursery.start_soon(self._keep_place, relay)

    async def look_up(self, peer: PeerId) -> Found | None:  # noqa: ARG002 - likewise
        await trio.lowlevel.checkpoint()
        return None

    async def announce(self, signpost: Signpost) -> None:  # noqa: ARG002 - others tell it
        """That this node can be reached at all: a relay that has no place for it is shown."""
        with trio.move_on_after(PLACE_S):
            await self._until(lambda: bool(self._reserved))
        if not self._reserved:
            raise DiscoveryError(self._refusal or "no relay of the settings is connected")

    async def _keep_place(self, relay: PeerId) -> None:
        pause_s = RETRY_MIN_S
        while True:
            await self._until(lambda: relay in self._context.transport.peers())
            try:
                await self._relays.reserve(relay)
            except RelayError as error:
                self._refusal = str(error)
                self.counters["refused"] += 1
                log.warning("no place at a relay", relay=relay, reason=str(error))
                self._set(relay, reserved=False)
                await trio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
                pause_s = min(RETRY_MAX_S, 2 * pause_s)
                continue
            pause_s = RETRY_MIN_S
            self._set(relay, reserved=True)
            with trio.move_on_after(RENEW_S * self._chance.uniform(0.75, 1.25)):
                await self._until(lambda: not self._relays.has_place(relay))
                self._set(relay, reserved=False)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - events of the transport have one consumer, which is not this
            await trio.sleep(LOOK_S)

    def _set(self, relay: PeerId, *, reserved: bool) -> None:
        (self._reserved.add if reserved else self._reserved.discard)(relay)
        own = self._context.identity.peer_id
        self.counters["places"] = len(self._reserved)
        ways = (through(address, own) for peer, address in self._addresses.items() if peer in self._reserved)
        self._relays.reached_through(tuple(ways))


def serve_as_relay(context: NodeContext, relays: Relays, is_contact: Callable[[PeerId], bool]) -> None:
    """Be one, as the settings say."""
    settings = context.config.discovery
    if settings.relay_serve == "no":
        return
    limits = RelayLimits(
        reservations=settings.relay_reservations,
        circuits=settings.relay_circuits,
        bytes_per_s=settings.relay_kbytes_per_s * KIB,
        duration_s=settings.relay_minutes * 60.0,
    )
    admits_all = settings.relay_serve == "anyone"
    relays.serve(limits, lambda peer: peer not in context.blocked and (admits_all or is_contact(peer)))
