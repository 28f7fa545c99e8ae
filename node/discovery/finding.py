"""Finding peers: who is looked for, how often, by which kinds; and telling where we are.

Looked for are contacts and members of our groups to whom there is no connection. Nobody else is ever dialled, whatever
a kind says. A peer whose addresses are known has a moment to be reached there before anybody is asked about it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random as Chance
from typing import Final

import trio

from node.contacts.book import Contacts, stored_card
from node.contacts.cards import Card
from node.context import NodeContext
from node.discovery.port import LOOK_UP_TIMEOUT_S, Discovery, DiscoveryError, Found
from node.discovery.reaching import Reaching
from node.discovery.signposts import LIFETIME_S, Signpost, make_signpost
from node.discovery.tally import Tally
from node.logs import logger
from node.mailbox.rates import Bucket
from node.peer_id import PeerId

LOOK_PERIOD_S: Final = 5.0  # between two looks at who is missing
WANTED_S: Final = 2.0  # how long it is taken to be known who is wanted
MISSING_S: Final = 10.0  # a peer with known addresses is redialled for so long before it is looked for
LOOK_AGAIN_MIN_S: Final = 30.0
LOOK_AGAIN_MAX_S: Final = 3600.0
LOOK_UPS_AT_ONCE_MAX: Final = 4  # peers being looked for
LOOK_UPS_WAITING_MAX: Final = 32  # those included; of the others who are due, the turn comes later
LOOK_UPS_PER_S: Final = 0.5
LOOK_UPS_BURST_MAX: Final = 32  # look-ups before the rate counts
SOUGHT_MAX: Final = 8192  # missing peers whose look-ups are remembered
ANNOUNCE_CHECK_S: Final = 60.0  # how often it is seen whether what we say of ourselves is still so
RETRY_MIN_S: Final = 10.0
RETRY_MAX_S: Final = 900.0

log = logger("discovery")


@dataclass(slots=True)
class _Sought:
    """A peer that is missing."""

    due_s: float
    pause_s: float = LOOK_AGAIN_MIN_S


class Finding:
    """Of a running node. `members` are the other members of all its groups, `card` is our present card."""

    def __init__(
        self,
        context: NodeContext,
        contacts: Contacts,
        members: Callable[[], Iterable[PeerId]],
        card: Callable[[], Card],
    ) -> None:
        self._context = context
        self._contacts = contacts
        self._members = members
        self._card = card
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter
        self._kinds: tuple[Discovery, ...] = ()
        self._reaching: dict[str, Reaching] = {}
        self._sought: dict[PeerId, _Sought] = {}
        self._wanted: frozenset[PeerId] = frozenset()
        self._wanted_at_s = float("-inf")
        self._rate = Bucket(LOOK_UPS_PER_S, LOOK_UPS_BURST_MAX)
        self._room = trio.CapacityLimiter(LOOK_UPS_AT_ONCE_MAX)
        self._looking = 0  # look-ups under way, or waiting for that
        self._signpost: Signpost | None = None
        self._signpost_serial = 0
        self._signpost_at_s = float("-inf")  # when it was last seen whether it is still so

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """What each kind has done so far."""
        return tuple(reaching.tally for reaching in self._reaching.values())

    def use(self, *kinds: Discovery) -> None:
        """Find by these; before `run`."""
        self._kinds = kinds
        self._reaching = {kind.name: Reaching(self._context, Tally(kind.name, kind.counters)) for kind in kinds}

    def wanted(self) -> frozenset[PeerId]:
        """Who would be dialled: contacts and members, but nobody whom our user has blocked."""
        if self._context.now_s() - self._wanted_at_s > WANTED_S:
            everybody = {*self._context.store.petnames(), *self._members()}
            self._wanted = frozenset(everybody - self._context.blocked - {self._context.identity.peer_id})
            self._wanted_at_s = self._context.now_s()
        return self._wanted

    async def run(self) -> None:
        """Find, and be found, for as long as the node runs."""
        async with trio.open_nursery() as nursery:
            for kind in self._kinds:
                nursery.start_soon(self._keep_running, kind, self._reaching[kind.name].run)
                nursery.start_soon(self._keep_running, kind, partial(kind.run, partial(self._take, kind)))
                nursery.start_soon(self._announce, kind)
            while True:
                for peer in self._due():
                    self._looking += 1
                    nursery.start_soon(self._look_up, peer)
                await trio.sleep(LOOK_PERIOD_S * self._chance.uniform(0.75, 1.25))

    # --- one kind ---

    async def _keep_running(self, kind: Discovery, work: Callable[[], object]) -> None:
        """What it does, or the dials for it; what fails is started again, later and later."""
        pause_s = RETRY_MIN_S
        while True:
            began_s = self._context.now_s()
            if await self._guarded(kind, work):
                return
            if self._context.now_s() - began_s > RETRY_MAX_S:
                pause_s = RETRY_MIN_S
            await trio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
            pause_s = min(RETRY_MAX_S, 2 * pause_s)

    async def _announce(self, kind: Discovery) -> None:
        """Tell our signpost when there is a new one; again, later and later, until it is told."""
        told: Signpost | None = None
        pause_s = RETRY_MIN_S
        while True:
            signpost = self._own_signpost()
            if signpost == told:
                await trio.sleep(ANNOUNCE_CHECK_S * self._chance.uniform(0.75, 1.25))
            elif await self._guarded(kind, partial(kind.announce, signpost)):
                told, pause_s = signpost, RETRY_MIN_S
            else:
                await trio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
                pause_s = min(RETRY_MAX_S, 2 * pause_s)

    def _own_signpost(self) -> Signpost:
        """Where we are now: a new one when our card has changed, or half its life is over."""
        present, looked_s = self._signpost, self._context.now_s() - self._signpost_at_s
        if present is not None and looked_s < ANNOUNCE_CHECK_S / 2:
            return present
        self._signpost_at_s = self._context.now_s()
        card, now_s = self._card(), self._context.now_ms() // 1000
        if present is None or self._signpost_serial != card.serial or present.expires_s - now_s < LIFETIME_S // 2:
            issued_s = now_s if present is None else max(now_s, present.issued_s + 1)
            present = self._signpost = make_signpost(self._context.identity, card, issued_s)
            self._signpost_serial = card.serial
        return present

    async def _guarded(self, kind: Discovery, work: Callable[[], object]) -> bool:
        """Whether it went well. What others provoke in a kind is no end of the node."""
        tally = self._reaching[kind.name].tally
        try:
            await work()  # type: ignore[misc]
        except DiscoveryError as error:
            tally.failed(str(error), self._context.now_ms())
            log.info("finding failed", kind=kind.name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a library's, or a bug: shown, and the node goes on
            tally.failed(f"{type(error).__name__} in this kind of finding", self._context.now_ms())
            log.error("finding broke", kind=kind.name, error=type(error).__name__)
        else:
            return True
        return False

    # --- looking ---

    def _due(self) -> list[PeerId]:
        """Who is looked for now, within the rate: members first, their groups wait for them; who is overdue longest."""
        now_s, missing = self._context.now_s(), self.wanted() - self._context.transport.peers()
        for gone in [peer for peer in self._sought if peer not in missing]:
            del self._sought[gone]
        for peer in missing:
            if peer not in self._sought and len(self._sought) < SOUGHT_MAX:
                self._sought[peer] = _Sought(now_s + (MISSING_S if self._has_addresses(peer) else 0.0))
        members, due = set(self._members()), [peer for peer, each in self._sought.items() if now_s >= each.due_s]
        due.sort(key=lambda peer: (peer not in members, self._sought[peer].due_s))
        taken: list[PeerId] = []
        for peer in due:
            if self._looking + len(taken) >= LOOK_UPS_WAITING_MAX or self._rate.wait_s(1.0, now_s) > 0:
                break
            self._rate.owed += 1.0
            sought = self._sought[peer]
            sought.due_s = now_s + sought.pause_s * self._chance.uniform(0.75, 1.25)
            sought.pause_s = min(LOOK_AGAIN_MAX_S, 2 * sought.pause_s)
            taken.append(peer)
        return taken

    def _has_addresses(self, peer: PeerId) -> bool:
        row = self._context.store.peer(peer)
        return row is not None and bool(row.addresses)

    async def _look_up(self, peer: PeerId) -> None:
        """Ask all kinds about a peer, at once."""
        async with self._room, trio.open_nursery() as nursery:
            for kind in self._kinds:
                nursery.start_soon(self._ask, kind, peer)
        self._looking -= 1

    async def _ask(self, kind: Discovery, peer: PeerId) -> None:
        async def ask() -> None:
            found = await kind.look_up(peer)
            if found is not None:
                self._take(kind, found)

        with trio.move_on_after(LOOK_UP_TIMEOUT_S) as scope:
            await self._guarded(kind, ask)
        if scope.cancelled_caught:
            kind.counters["too_slow"] += 1

    # --- what is found ---

    def _take(self, kind: Discovery, found: Found) -> None:
        """A kind says where a peer may be."""
        reaching = self._reaching[kind.name]
        if not reaching.tally.has_room(self._context.now_s()):
            kind.counters["too_many"] += 1
        elif found.peer not in self.wanted():
            kind.counters["strangers"] += 1
        else:
            reaching.tally.found += 1
            if found.signpost is not None:
                self._take_card(found.signpost)
            reaching.offer(found)

    def _take_card(self, signpost: Signpost) -> None:
        """The card inside, if we have had one of this peer before and this one is newer."""
        row = self._context.store.contact(signpost.peer_id)
        if row is None or row.card is None:
            return
        card = signpost.card(stored_card(row.card).inbox_key)
        if card is not None and self._contacts.update(card):
            log.info("newer card", peer=card.peer_id, serial=card.serial)
