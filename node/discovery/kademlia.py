"""Finding by a table of signposts that is spread over many nodes (Kademlia), for peers who know no point in common.

What is announced is public: any node of the table may be among those that keep it, and keeps a peer id, addresses, and
a card that only those can open who had one before. Looked for is by a hash of the peer id, under a throw-away identity:
who does not keep the signpost cannot tell who is looked for, and nobody by whom, but for the network address.
"""

import base64
from collections import Counter
from collections.abc import Callable
from random import Random as Chance
from typing import Final

import trio

from node.contacts.own import shareable
from node.context import NodeContext
from node.discovery.port import DiscoveryError, Found
from node.discovery.signposts import Signpost, SignpostError, open_signpost
from node.peer_id import PeerId
from node.transport_kademlia import KademliaError, KademliaLimits, OpenTable, path_of
from node.transport_relay import is_relayed
from ordering import digest

LABEL: Final = "conclave/kademlia/v1"
ANNOUNCE_AGAIN_S: Final = 3600.0  # jittered; nodes come and go, and the table forgets after a day

_PLACE_SIZE: Final = 24


class KademliaFinding:
    """Of a running node."""

    name = "kademlia"

    def __init__(self, context: NodeContext, open_table: OpenTable) -> None:
        self.counters: Counter[str] = Counter()
        self._context = context
        settings = context.config.discovery
        self._table = open_table(settings.kademlia, self._rank, context.random)
        self._serves = settings.kademlia_serve
        self._limits = KademliaLimits(records=settings.kademlia_quota)
        self._signpost: Signpost | None = None
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter

    async def run(self, found: Callable[[Found], None]) -> None:  # noqa: ARG002 - the table speaks when asked
        """Announce again and again; keep others' signposts if the settings say so."""
        async with trio.open_nursery() as nursery:
            if self._serves:
                nursery.start_soon(self._table.serve, self._limits, self._addresses)
            while True:
                await trio.sleep(ANNOUNCE_AGAIN_S * self._chance.uniform(0.75, 1.25))
                if self._signpost is not None:
                    await self.announce(self._signpost)

    async def look_up(self, peer: PeerId) -> Found | None:
        """The latest signpost that the table has."""
        try:
            value = await self._table.get(place_of(peer))
        except KademliaError as error:
            raise DiscoveryError(str(error)) from error
        if value is None:
            return None
        try:
            return Found.by(open_signpost(value, self._now_s()))
        except SignpostError:
            return None  # expired since it was judged

    async def announce(self, signpost: Signpost) -> None:
        """Hand our signpost to those who are to keep it."""
        self._signpost = signpost
        try:
            told = await self._table.put(place_of(signpost.peer_id), signpost.encode())
        except KademliaError as error:
            raise DiscoveryError(str(error)) from error
        self.counters["told"], self.counters["kept"] = told, self._table.record_count
        if not told:
            raise DiscoveryError("no node of the table has taken where we are")

    def _rank(self, key: str, value: bytes) -> int | None:
        """Signposts in their places, the later the better."""
        try:
            signpost = open_signpost(value, self._now_s())
        except SignpostError:
            return None
        return signpost.issued_s if key == path_of(place_of(signpost.peer_id)) else None

    def _addresses(self) -> tuple[str, ...]:
        return tuple(address for address in shareable(self._context.addresses()) if not is_relayed(address))

    def _now_s(self) -> int:
        return self._context.now_ms() // 1000


def place_of(peer: PeerId) -> str:
    """Where in the table the signpost of a peer is."""
    return base64.urlsafe_b64encode(digest(LABEL, peer.encode())[:_PLACE_SIZE]).decode()
