"""Finding by rendezvous: points that our user named keep our signpost, and are asked for those of others.

Our own requests over the transport rather than libp2p's rendezvous: that lists everybody of a namespace to anybody,
keeps what it is told without a bound on namespaces, and its records are not signed by whom they are about.

A point knows who registers. Asked it is under a throw-away identity, a new one each time, and by a tag that changes
every day: it sees a network address, and the peer asked for if that one is registered there.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random as Chance
from typing import Final

import trio

from node.context import NodeContext
from node.discovery.port import DiscoveryError, Found
from node.discovery.rendezvous_messages import (
    ASK_PROTOCOL,
    REGISTER_PROTOCOL,
    Answer,
    Ask,
    Register,
    Registered,
    day_of,
    tag_of,
)
from node.discovery.signposts import Signpost, SignpostError, open_signpost
from node.logs import logger
from node.peer_id import PeerId, public_key_of
from node.transport import PERSONA_SIZE, TransportError, peer_of
from ordering import MalformedError

POINTS_MAX: Final = 8  # of the settings, the first ones; a request to each
REGISTER_PERIOD_S: Final = 600.0  # jittered; a point keeps a signpost three times as long
RETRY_S: Final = 60.0  # when no point, or not every point, has taken it
TIMEOUT_S: Final = 8.0

log = logger("discovery")


class Rendezvous:
    """Of a running node."""

    name = "rendezvous"

    def __init__(self, context: NodeContext) -> None:
        self.counters: Counter[str] = Counter()
        self._context = context
        own = context.identity.peer_id
        named = {peer_of(address): address for address in reversed(context.config.discovery.rendezvous)}
        self._points = [address for peer, address in named.items() if peer != own][:POINTS_MAX]
        self._signpost: Signpost | None = None
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter

    async def run(self, found: Callable[[Found], None]) -> None:  # noqa: ARG002 - points speak when asked
        """Register again and again, for points forget."""
        pause_s = REGISTER_PERIOD_S
        while True:
            await trio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
            kept = 0 if self._signpost is None else await self._register(self._signpost)
            pause_s = REGISTER_PERIOD_S if kept == len(self._points) else RETRY_S

    async def announce(self, signpost: Signpost) -> None:
        """Register at every point."""
        self._signpost = signpost
        if self._points and not await self._register(signpost):
            raise DiscoveryError("no rendezvous point has taken where we are")

    async def look_up(self, peer: PeerId) -> Found | None:
        """Ask every point; the latest signpost counts."""
        if not self._points:
            await trio.lowlevel.checkpoint()
            return None
        persona = self._context.random(PERSONA_SIZE)  # one for all points: they are asked the same
        signposts: list[Signpost] = []
        answered: list[str] = []

        async def ask(address: str) -> None:
            try:
                signpost = await self._ask(address, peer, persona)
            except TransportError as error:
                self.counters["points_failed"] += 1
                log.info("point not asked", point=peer_of(address), reason=str(error))
            except (MalformedError, SignpostError) as error:
                self.counters["lies"] += 1
                log.warning("point lies", point=peer_of(address), reason=str(error))
            else:
                answered.append(address)
                if signpost is not None:
                    signposts.append(signpost)

        async with trio.open_nursery() as nursery:
            for address in self._asked():
                nursery.start_soon(ask, address)
        if not answered:
            raise DiscoveryError("no rendezvous point has answered as it should")
        return Found.by(max(signposts, key=lambda each: each.issued_s)) if signposts else None

    def _asked(self) -> list[str]:
        """The points, but for those whom our user has blocked."""
        return [address for address in self._points if peer_of(address) not in self._context.blocked]

    async def _ask(self, address: str, peer: PeerId, persona: bytes) -> Signpost | None:
        now_s = self._context.now_ms() // 1000
        question = Ask(tag_of(public_key_of(peer), day_of(now_s)))
        reply = await self._context.transport.request_unnamed(
            address,
            ASK_PROTOCOL,
            question.encode(),
            persona=persona,
            timeout_s=TIMEOUT_S,
        )
        data = Answer.decode(reply).signpost
        if not data:
            return None
        signpost = open_signpost(data, now_s)
        if signpost.peer_id != peer:
            raise SignpostError("the signpost of somebody else")
        return signpost

    async def _register(self, signpost: Signpost) -> int:
        """At how many points it is now."""
        kept: list[str] = []

        async def one(address: str) -> None:
            ask = partial(self._context.transport.request, timeout_s=TIMEOUT_S)
            try:
                peer = await self._context.transport.connect(address)
                Registered.decode(await ask(peer, REGISTER_PROTOCOL, Register(signpost.encode()).encode()))
            except (TransportError, MalformedError) as error:
                self.counters["not_registered"] += 1
                log.info("not registered", point=peer_of(address), reason=str(error))
            else:
                kept.append(address)

        async with trio.open_nursery() as nursery:
            for address in self._asked():
                nursery.start_soon(one, address)
        return len(kept)
