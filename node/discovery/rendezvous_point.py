"""A rendezvous point: keeps the signposts of peers that register, for a while and in memory, and gives them out by tag.

A peer registers itself, over a connection that proves who it is, and has one place. When all are taken strangers are
refused, and a contact of this node takes the place of the stranger that has not registered for longest.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Never

import trio

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
from node.discovery.signposts import SignpostError, open_signpost
from node.mailbox.rates import Bucket
from node.peer_id import PeerId
from node.transport import Handler, RefusedError, Transport
from ordering import MalformedError

TTL_S: Final = 1800
REGISTERS_PER_S: Final = 10.0
REGISTERS_BURST_MAX: Final = 100  # registrations of all strangers together, before the rate counts
CONTACT_REGISTERS_BURST_MAX: Final = 1_000  # likewise of contacts
PEER_PAUSE_S: Final = 30.0  # between two registrations of one peer
ASKS_PER_S: Final = 100.0
ASKS_BURST_MAX: Final = 1_000  # questions of all together, before the rate counts
PEER_ASKS_PER_S: Final = 1.0
PEER_ASKS_BURST_MAX: Final = 32  # questions over one connection, before the rate counts
ASKERS_MAX: Final = 1_024  # connections whose questions are remembered, the latest


@dataclass(frozen=True, slots=True)
class _Registration:
    data: bytes
    public_key: bytes
    issued_s: int
    until_s: float
    at_s: float
    is_contact: bool


class RendezvousPoint:
    """Of a running node. `is_contact` tells whose place nobody takes; without `admits_all` only they have one."""

    def __init__(
        self, *, quota: int, admits_all: bool, is_contact: Callable[[PeerId], bool], now_ms: Callable[[], int]
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._quota = quota
        self._admits_all = admits_all
        self._is_contact = is_contact
        self._now_ms = now_ms
        self._registered: dict[PeerId, _Registration] = {}  # the latest last
        self._by_tag: dict[bytes, PeerId] = {}
        self._day = -1
        self._strangers = Bucket(REGISTERS_PER_S, REGISTERS_BURST_MAX)
        self._contacts = Bucket(REGISTERS_PER_S, CONTACT_REGISTERS_BURST_MAX)
        self._asks = Bucket(ASKS_PER_S, ASKS_BURST_MAX)
        self._askers: dict[PeerId, Bucket] = {}

    def __len__(self) -> int:
        return len(self._registered)

    def answer(self, transport: Transport, guard: Callable[[Handler], Handler]) -> None:
        """From now on peers are served; `guard` keeps those out whom our user has blocked."""
        transport.handle(REGISTER_PROTOCOL, guard(self.register))
        transport.handle(ASK_PROTOCOL, guard(self.ask))

    async def register(self, peer: PeerId, payload: bytes) -> bytes:
        """Keep a peer's own signpost; `RefusedError` says why not."""
        await trio.lowlevel.checkpoint()
        now_s, is_contact = trio.current_time(), self._is_contact(peer)
        self._tidy(now_s)
        if not (is_contact or self._admits_all):
            self._refuse("strangers", "this point serves its contacts")
        present = self._registered.get(peer)
        if present is not None and now_s - present.at_s < PEER_PAUSE_S:
            self._refuse("too_fast", "registered a moment ago")
        self._count(self._contacts if is_contact else self._strangers, now_s)
        try:
            data = Register.decode(payload).signpost
            signpost = open_signpost(data, self._now_ms() // 1000)
        except (MalformedError, SignpostError) as error:
            self._refuse("malformed", str(error))
        if signpost.peer_id != peer:
            self._refuse("foreign", "a signpost of somebody else")
        if present is not None and signpost.issued_s < present.issued_s:
            self._refuse("stale", "a later one is here")
        if present is None and len(self._registered) >= self._quota:
            self._make_room(is_contact=is_contact)
        ttl_s = min(TTL_S, signpost.expires_s - self._now_ms() // 1000)
        self._drop(peer)
        self._registered[peer] = _Registration(
            data, signpost.public_key, signpost.issued_s, now_s + ttl_s, now_s, is_contact
        )
        self._file(peer)
        self.counters["registered"] += 1
        return Registered(max(1, ttl_s)).encode()

    async def ask(self, peer: PeerId, payload: bytes) -> bytes:
        """The signpost behind a tag, if there is one. Whoever knows whom to ask for may ask."""
        await trio.lowlevel.checkpoint()
        now_s = trio.current_time()
        self._count(self._asker(peer), now_s)
        self._count(self._asks, now_s)
        tag = Ask.decode(payload).tag
        self._tidy(now_s)
        registered = self._registered.get(self._by_tag.get(tag, ""))
        if registered is not None and registered.until_s <= now_s:
            registered = None
        self.counters["asked"] += 1
        self.counters["answered"] += registered is not None
        return Answer(b"" if registered is None else registered.data).encode()

    # --- room ---

    def _count(self, bucket: Bucket, now_s: float) -> None:
        if bucket.wait_s(1.0, now_s) > 0:
            self._refuse("too_fast", "too many at once; try again in a minute")
        bucket.owed += 1.0

    def _asker(self, peer: PeerId) -> Bucket:
        bucket = self._askers.pop(peer, None) or Bucket(PEER_ASKS_PER_S, PEER_ASKS_BURST_MAX)
        self._askers[peer] = bucket  # the latest last
        if len(self._askers) > ASKERS_MAX:
            del self._askers[next(iter(self._askers))]
        return bucket

    def _refuse(self, counter: str, reason: str) -> Never:
        self.counters[counter] += 1
        raise RefusedError(reason)

    def _make_room(self, *, is_contact: bool) -> None:
        stranger = next((peer for peer, each in self._registered.items() if not each.is_contact), None)
        if not is_contact or stranger is None:
            self._refuse("full", "this point is full")
        self._drop(stranger)

    def _tidy(self, now_s: float) -> None:
        """Forget whose time is over: those at the front, the others when it is their turn. And see what day it is."""
        while self._registered and (first := next(iter(self._registered.items())))[1].until_s <= now_s:
            self._drop(first[0])
        self._turn_day()

    # --- tags ---

    def _turn_day(self) -> None:
        """Tags are those of yesterday, today and tomorrow: clocks differ."""
        day = day_of(self._now_ms() // 1000)
        if day != self._day:
            self._day = day
            self._by_tag.clear()
            for peer in self._registered:
                self._file(peer)

    def _file(self, peer: PeerId) -> None:
        self._by_tag.update(dict.fromkeys(self._tags(peer), peer))

    def _drop(self, peer: PeerId) -> None:
        if peer in self._registered:
            for tag in self._tags(peer):
                self._by_tag.pop(tag, None)
            del self._registered[peer]

    def _tags(self, peer: PeerId) -> Iterator[bytes]:
        public_key = self._registered[peer].public_key
        return (tag_of(public_key, self._day + step) for step in (-1, 0, 1))
