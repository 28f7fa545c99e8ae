"""What every part of a running node shares: its store, its network, its identity, its clocks."""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from mls import GroupConfig, MultipleOf
from node.addresses import reachable
from node.admission import ADMISSION
from node.config import Config
from node.identity import Identity
from node.joint import Joint
from node.pace import Pace
from node.peer_id import PeerId
from node.round_trips import RoundTrips
from node.silence import LISTEN_AGAIN_S, Silence
from node.store import Store
from node.transport import Transport
from node.turns import Turns

if TYPE_CHECKING:
    from node.mailbox.notes import NoteKind

HEARD_MAX: Final = 16_384
"""Peers whose last traffic is remembered; identities cost a stranger nothing."""

GAP_S: Final = 60.0
"""A running node looks at its clock every few seconds; a longer gap means that it was stopped."""


class FeedSignal:
    """Wakes those who wait for the feed to grow."""

    def __init__(self, head: Callable[[], int]) -> None:
        self._head = head
        self._grown = trio.Event()

    def grew(self) -> None:
        """Say that entries were appended (after they are durable)."""
        self._grown.set()
        self._grown = trio.Event()

    async def wait(self, after_seq: int, timeout_s: float) -> None:
        """Return when there is an entry above `after_seq`, or when the time is up."""
        with trio.move_on_after(timeout_s):
            while self._head() <= after_seq:
                await self._grown.wait()


async def _nothing_anew(_group_id: bytes, _peer: PeerId) -> bool:
    """Nobody is added before the node runs."""
    return False


async def _no_notes(_peer: PeerId, _kind: "NoteKind", _body: bytes) -> int:
    """There is no post before the node runs."""
    return 0


@dataclass(slots=True)
class NodeContext:
    """One per process."""

    config: Config
    identity: Identity
    store: Store
    transport: Transport
    random: Callable[[int], bytes]
    boot: int  # grows with every start, so that our Statuses are never taken for replays
    started_s: float
    feed: FeedSignal
    heard_s: dict[PeerId, float] = field(default_factory=dict)  # the last authenticated traffic of each peer
    round_trips: RoundTrips = field(default_factory=RoundTrips)
    pace: Pace = field(default_factory=Pace)
    joint: Joint = field(default_factory=Joint)
    running: set[bytes] = field(default_factory=set)  # the groups whose tasks run
    turns: Turns = field(init=False)
    listening_since_s: float = float("-inf")  # others' silence before that says nothing; see `listen`
    looked_s: float = float("-inf")  # when it was last seen that this process runs
    blocked: set[PeerId] = field(default_factory=set)  # whom our user wants nothing from
    waiting: set[tuple[bytes, PeerId]] = field(default_factory=set)  # newcomers whose users have not accepted, by group
    up_to_date: set[bytes] = field(default_factory=set)  # groups in which this process may seal (`node.caution`)
    silence: Silence = field(default_factory=Silence)  # of before we listened this time
    refused_groups: dict[bytes, str] = field(default_factory=dict)  # on the disk, not opened by this version, and why
    with_mailboxes: set[bytes] = field(default_factory=set)  # groups that have any (`node.mailbox.using`)
    leave_note: Callable[[PeerId, "NoteKind", bytes], Awaitable[int]] = _no_notes  # for a contact (`node.mailbox.post`)
    add_anew: Callable[[bytes, PeerId], Awaitable[bool]] = _nothing_anew  # whose Welcome is of no use (`key_packages`)
    stir_packages: Callable[[], None] = lambda: None  # set by the daemon: one of our key packages was used
    start_group: Callable[[bytes], None] = lambda _: None  # set by the daemon: a group came into the store by itself
    intent_ended: dict[bytes, dict[bytes, trio.Event]] = field(default_factory=dict)  # by group: those waited for
    cleaned_s: float = float("-inf")  # when the write-ahead log was last truncated
    unclean_since_s: float | None = None  # since when it should have been, and could not be
    asked_s: dict[PeerId, float] = field(default_factory=dict)  # when a member was last asked what it holds

    def __post_init__(self) -> None:
        self.turns = Turns(self.pace)

    @staticmethod
    def now_s() -> float:
        """Seconds of the monotonic clock that all timers use."""
        return trio.current_time()

    @staticmethod
    def now_ms() -> int:
        """Unix milliseconds, for people and for rows."""
        return time.time_ns() // 1_000_000

    def clean(self) -> bool:
        """Truncate the write-ahead log, so that what was deleted leaves the disk; whether nobody was in the way.

        Whoever deletes a secret calls it. All groups share the log, and each tries again later what failed here.
        """
        if self.store.checkpoint():
            self.cleaned_s, self.unclean_since_s = self.now_s(), None
            return True
        if self.unclean_since_s is None:
            self.unclean_since_s = self.now_s()
        return False

    def listen(self) -> None:
        """Called again and again while the node runs: after a gap it was stopped, and heard nobody meanwhile."""
        now_s = self.now_s()
        if now_s - self.looked_s > GAP_S:
            self.silence.stopped(self.heard_s, max(self.listening_since_s, self.started_s), self.looked_s)
            self.listening_since_s = now_s
        self.looked_s = now_s

    def listened_s(self) -> float:
        """For how long this node has been able to hear others."""
        return self.now_s() - max(self.listening_since_s, self.started_s)

    def silence_s(self, peer: PeerId) -> float:
        """For how long a peer has been silent while we listened, over stops and restarts; see `node.silence`."""
        if peer == self.identity.peer_id:
            return 0.0
        since_s = max(self.listening_since_s, self.started_s, self.heard_s.get(peer, float("-inf")))
        return self.now_s() - since_s + self.silence.before_s(peer)

    def unheard_for(self, peer: PeerId, seconds: float) -> bool:
        """Whether a peer was silent for that long while we listened."""
        return self.listened_s() >= min(seconds, LISTEN_AGAIN_S) and self.silence_s(peer) >= seconds

    def connected(self, peers: Iterable[PeerId]) -> tuple[PeerId, ...]:
        """Those of them whom we are connected to, in order."""
        return tuple(sorted(self.transport.peers().intersection(peers)))

    def addresses(self) -> tuple[str, ...]:
        """Where others can reach us; each ends in `/p2p/<our peer id>`."""
        return reachable(self.transport.addresses)

    def hear(self, peer: PeerId) -> None:
        """Note traffic of a peer; the transport has authenticated it. The latest so many peers are remembered."""
        self.silence.heard(peer)
        self.heard_s.pop(peer, None)
        self.heard_s[peer] = self.now_s()
        if len(self.heard_s) > HEARD_MAX:
            del self.heard_s[next(iter(self.heard_s))]

    def may_ask(self, peer: PeerId, gap_s: float, over_all_s: float = 0.0) -> bool:
        """Whether a member may be asked what it holds, which in all groups together is done once in that time.

        `over_all_s`: likewise between questions to whomever. Who is told that it may is taken to ask.
        """
        now_s = self.now_s()
        last_s = max(self.asked_s.values(), default=float("-inf")) if over_all_s else float("-inf")
        if now_s - self.asked_s.get(peer, float("-inf")) < gap_s or now_s - last_s < over_all_s:
            return False
        if len(self.asked_s) >= HEARD_MAX:
            self.asked_s.clear()
        self.asked_s[peer] = now_s
        return True

    def heard_within(self, peer: PeerId, seconds: float) -> bool:
        """Whether a peer was heard that lately; we always hear ourselves."""
        if peer == self.identity.peer_id:
            return True
        return self.now_s() - self.heard_s.get(peer, float("-inf")) <= seconds


def group_config(config: Config) -> GroupConfig:
    """The engine's settings for the groups of this node.

    That every leaf names its peer is checked where leaves enter: by `electorate.check_leaves` and `joining`.
    """
    return GroupConfig(padding=MultipleOf(max(1, config.group.padding)), policy=ADMISSION)
