"""Catch-up: what a laggard lacks, asked for and checked in an order that cannot wedge.

Decision chain first, bundles after it by id, epoch by epoch. `CatchUp` is a small machine like the instance: inputs in,
next state and effects out. It trusts nobody: each chunk is verified from the laggard's own anchor, so any peer may
serve it, and one that serves garbage costs one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from ordering.errors import InvalidError
from ordering.limits import CHAIN_ENTRIES_MAX, CHAIN_SIZE_MAX
from ordering.log import Anchor, LogEntry, verify_entry
from ordering.votes import Verify
from ordering.wire import BundleId, Epoch, GroupId, Wire

REQUEST_TIMEOUT_S: Final = 5.0
PEERS_MAX: Final = 64


class ChainRequest(Wire, frozen=True):
    """Asks for the decided log of a group from an epoch on."""

    SIZE_MAX: ClassVar[int] = 512

    group_id: GroupId
    from_epoch: Epoch
    entry_count: Annotated[int, Meta(ge=1, le=CHAIN_ENTRIES_MAX)]


class Chain(Wire, frozen=True):
    """Consecutive entries of a group's decided log; may be empty or fewer than asked for."""

    SIZE_MAX: ClassVar[int] = CHAIN_SIZE_MAX

    group_id: GroupId
    entries: Annotated[tuple[LogEntry, ...], Meta(max_length=CHAIN_ENTRIES_MAX)]


def answer(request: ChainRequest, log: Sequence[LogEntry]) -> Chain:
    """What to send for a request, out of a log in epoch order."""
    wanted = [entry for entry in log if entry.decision.epoch >= request.from_epoch]
    return Chain(request.group_id, tuple(wanted[: request.entry_count]))


@dataclass(frozen=True, slots=True)
class PeerAhead:
    """A peer's authenticated Status names a later epoch than ours."""

    now_s: float
    peer: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ChainArrived:
    """A peer answered a request."""

    now_s: float
    peer: str
    chain: Chain


@dataclass(frozen=True, slots=True)
class BundleHeld:
    """The decided bundle of an epoch is durable here."""

    now_s: float
    id: BundleId


@dataclass(frozen=True, slots=True)
class EpochEntered:
    """The node applied a Decision, or decided live, and stands in the epoch of this anchor now."""

    now_s: float
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class CatchUpTick:
    """Time passed `wake_at_s`."""

    now_s: float


CatchUpInput = PeerAhead | ChainArrived | BundleHeld | EpochEntered | CatchUpTick


@dataclass(frozen=True, slots=True)
class RequestChain:
    """Ask this peer."""

    peer: str
    request: ChainRequest


@dataclass(frozen=True, slots=True)
class FetchBundle:
    """Get the bytes of a decided bundle, from this peer first; retried by the node until `BundleHeld`."""

    id: BundleId
    epoch: int
    peer: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Drain the epoch's application messages, then end it with this decided bundle, which is held."""

    entry: LogEntry


@dataclass(frozen=True, slots=True)
class BlamePeer:
    """This peer served a chain that does not hold; it is not asked again in this catch-up."""

    peer: str
    detail: str


CatchUpEffect = RequestChain | FetchBundle | Apply | BlamePeer


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A catch-up in progress.

    `anchor` is after the last verified entry; `pending` are verified entries not yet applied, oldest first.
    """

    verify: Verify
    anchor: Anchor
    pending: tuple[LogEntry, ...] = ()
    held: tuple[BundleId, ...] = ()
    peers: tuple[tuple[str, int], ...] = ()  # (peer, its epoch), in the order they were heard
    asked: str | None = None
    applying: bool = False
    wake_at_s: float | None = None

    @property
    def done(self) -> bool:
        """Nothing known to be missing."""
        return not self.pending and not any(epoch > self.anchor.epoch for _, epoch in self.peers)

    def step(self, event: CatchUpInput) -> tuple[CatchUp, tuple[CatchUpEffect, ...]]:
        """Apply one input."""
        effects: list[CatchUpEffect] = []
        state = self
        match event:
            case PeerAhead(_, peer, epoch):
                state = state._with_peer(peer, epoch)
            case ChainArrived(_, peer, chain) if peer == state.asked:  # unasked chains cost nothing
                state = state._take(peer, chain, effects)
            case BundleHeld(_, id) if id not in state.held and any(e.decision.id == id for e in state.pending):
                state = replace(state, held=(*state.held, id))
            case EpochEntered(_, anchor):
                state = state._entered(anchor)
            case CatchUpTick(now_s) if state.wake_at_s is not None and now_s >= state.wake_at_s:
                state = state._give_up_on_asked()
            case _:
                pass
        state = state._ask(event.now_s, effects)
        state = state._apply(effects)
        return state, tuple(effects)

    def _with_peer(self, peer: str, epoch: int) -> CatchUp:
        others = tuple(entry for entry in self.peers if entry[0] != peer)
        return replace(self, peers=(*others, (peer, epoch))[-PEERS_MAX:])

    def _without_peer(self, peer: str) -> CatchUp:
        return replace(self, peers=tuple(entry for entry in self.peers if entry[0] != peer))

    def _take(self, peer: str, chain: Chain, effects: list[CatchUpEffect]) -> CatchUp:
        """Verify what a peer sent, from our own anchor; keep the part that holds."""
        state = replace(self, asked=None, wake_at_s=None)
        took = False
        for entry in chain.entries:
            if entry.decision.epoch < state.anchor.epoch:
                continue
            try:
                anchor = verify_entry(state.anchor, entry, state.verify)
            except InvalidError as error:
                effects.append(BlamePeer(peer, str(error)))
                return state._without_peer(peer)
            effects.append(FetchBundle(entry.decision.id, entry.decision.epoch, peer))
            state = replace(state, anchor=anchor, pending=(*state.pending, entry))
            took = True
        return state if took else state._without_peer(peer)  # it had nothing: ask someone else

    def _entered(self, anchor: Anchor) -> CatchUp:
        """Drop what is applied. If the node got further than our chain by deciding live, go on from there."""
        if anchor.epoch > self.anchor.epoch:
            return replace(self, anchor=anchor, pending=(), held=(), applying=False)
        pending = tuple(entry for entry in self.pending if entry.decision.epoch >= anchor.epoch)
        ids = [entry.decision.id for entry in pending]
        return replace(self, pending=pending, held=tuple(id for id in self.held if id in ids), applying=False)

    def _give_up_on_asked(self) -> CatchUp:
        """An unanswered request: the peer goes to the end of the line by being forgotten until its next Status."""
        state = replace(self, asked=None, wake_at_s=None)
        return state if self.asked is None else state._without_peer(self.asked)

    def _ask(self, now_s: float, effects: list[CatchUpEffect]) -> CatchUp:
        """One request at a time, to the peer that is furthest ahead, while the backlog is short."""
        if self.asked is not None or len(self.pending) >= CHAIN_ENTRIES_MAX:
            return self
        ahead = [entry for entry in self.peers if entry[1] > self.anchor.epoch]
        if not ahead:
            return self
        peer = max(ahead, key=lambda entry: entry[1])[0]
        effects.append(RequestChain(peer, ChainRequest(self.anchor.group_id, self.anchor.epoch, CHAIN_ENTRIES_MAX)))
        return replace(self, asked=peer, wake_at_s=now_s + REQUEST_TIMEOUT_S)

    def _apply(self, effects: list[CatchUpEffect]) -> CatchUp:
        """Epoch by epoch: the oldest entry whose bytes are here, once, until the node says it entered."""
        if self.applying or not self.pending or self.pending[0].decision.id not in self.held:
            return self
        effects.append(Apply(self.pending[0]))
        return replace(self, applying=True)
