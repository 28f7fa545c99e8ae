"""Draining one epoch: what its members said in it, gathered from all of them before it is left.

One member alone is not believed when it says that there is nothing more: every connected member (up to
`DRAIN_PEERS_MAX`) is asked for the ids it holds, and what is missing is pulled from one that named it. Who does not
answer in time is not waited for again in the same catch-up, nor is who keeps being the last.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random as Chance
from typing import TYPE_CHECKING, Final

from node.outward import Ask
from node.peer_id import PeerId
from node.peer_messages import (
    MESSAGES_PER_PULL_MAX,
    MESSAGES_PROTOCOL,
    SYNC_PROTOCOL,
    EpochDigest,
    MessagesReply,
    MessagesRequest,
    SyncReply,
    SyncRequest,
)
from ordering import OrderingError, Wire

if TYPE_CHECKING:
    from node.conversation import Conversation

DRAIN_PEERS_MAX: Final = 16
DRAIN_TIMEOUT_S: Final = 2.0
DRAIN_PATIENCE_S: Final = 5.0
"""How long a member may keep us waiting as the last one, over the epochs of one catch-up."""
DRAIN_PULLS_MAX: Final = 256
"""Pulls before an epoch is left: a member could say new things in it for ever."""


@dataclass(slots=True)
class Patience:
    """Whom we have waited for, and how long, while catching up."""

    silent: set[PeerId] = field(default_factory=set)
    waited_s: dict[PeerId, float] = field(default_factory=dict)

    def is_lost(self, peer: PeerId) -> bool:
        """Whether a member has kept us waiting too long to be asked again."""
        return peer in self.silent or self.waited_s.get(peer, 0.0) > DRAIN_PATIENCE_S


@dataclass(frozen=True, slots=True)
class Drained:
    """How it went: which members answered, and the epochs in which they stand."""

    answered: dict[PeerId, int]
    late: frozenset[PeerId] = frozenset()


class Draining:
    """One epoch, until all who were asked have told what they hold and it is here. Calls `then` exactly once."""

    def __init__(
        self,
        conversation: "Conversation",
        epoch: int,
        peers: tuple[PeerId, ...],
        patience: Patience,
        then: Callable[[Drained], None],
    ) -> None:
        self._conversation = conversation
        self._context = conversation.context
        self._epoch = epoch
        self._patience = patience
        self._then = then
        self._peers = self._chosen(peers)
        self._awaited: set[PeerId] = set()
        self._told: dict[PeerId, tuple[bytes, ...]] = {}  # in the order of the answers
        self._answered: dict[PeerId, int] = {}
        self._pulls_left = DRAIN_PULLS_MAX
        self._pulling = False
        self._idle_since_s: float | None = None
        self._is_done = False

    def begin(self) -> None:
        """Ask everybody chosen; with nobody to ask it is over at once."""
        for peer in self._peers:
            self._compare(peer)
        self._go_on()

    def _chosen(self, peers: tuple[PeerId, ...]) -> tuple[PeerId, ...]:
        """The connected ones; the first of them, and of the others as many as we ask, drawn anew for each epoch."""
        connected = self._context.transport.peers()
        there = [peer for peer in peers if peer in connected]
        patient = [peer for peer in there if not self._patience.is_lost(peer)] or there
        chance = Chance(self._context.random(8))  # noqa: S311 - nobody shall foresee who is asked; no secret hangs on it
        others = patient[1:]
        return (*patient[:1], *chance.sample(others, min(len(others), DRAIN_PEERS_MAX - 1)))

    def _compare(self, peer: PeerId) -> None:
        request = SyncRequest(self._conversation.tag, self._epoch, self._digests())
        self._awaited.add(peer)
        accepts = decodes_as(SyncReply)
        ask = Ask((peer,), SYNC_PROTOCOL, request.encode(), self._compared, accepts, DRAIN_TIMEOUT_S)
        self._conversation.outward.append(ask)

    def _digests(self) -> tuple[EpochDigest, ...]:
        """Of the epoch that is drained, and of the one before: who said something in that sees that it is here."""
        before = self._epoch - 1
        epochs = (
            (before, self._epoch)
            if before >= self._conversation.agreement.holding.extra.anchor.epoch
            else (self._epoch,)
        )
        return tuple(self._conversation.digest_of(epoch) for epoch in epochs)

    def _compared(self, peer: PeerId, reply: bytes | None) -> None:
        if self._is_done:
            return
        self._awaited.discard(peer)
        if self._idle_since_s is not None:
            waited_s = self._patience.waited_s.get(peer, 0.0) + self._context.now_s() - self._idle_since_s
            self._patience.waited_s[peer] = waited_s
            self._idle_since_s = None
        if reply is None:
            self._patience.silent.add(peer)
        else:
            answer = SyncReply.decode(reply)
            self._conversation.note_answer(peer, answer)
            self._answered[peer] = answer.epoch
            self._told[peer] = next((each.ids for each in answer.messages if each.epoch == self._epoch), ())
        self._go_on()

    def _go_on(self) -> None:
        """Pull from the first who names something that is missing; done when nobody does and nobody is awaited."""
        if self._pulling or self._is_done:
            return
        while self._told and self._pulls_left and not self._conversation.agreement.is_over:
            peer, ids = next(iter(self._told.items()))
            missing = self._conversation.missing(self._epoch, ids)[:MESSAGES_PER_PULL_MAX]
            if missing:
                self._pull(peer, missing)
                return
            del self._told[peer]
        if self._awaited and self._pulls_left:
            self._idle_since_s = self._context.now_s()
            return
        self._is_done = True
        self._then(Drained(self._answered, frozenset(self._awaited)))

    def _pull(self, peer: PeerId, ids: tuple[bytes, ...]) -> None:
        self._pulling = True
        self._pulls_left -= 1
        request = MessagesRequest(self._conversation.tag, ids).encode()
        then = partial(self._pulled, len(ids))
        self._conversation.outward.append(Ask((peer,), MESSAGES_PROTOCOL, request, then, decodes_as(MessagesReply)))

    def _pulled(self, asked: int, peer: PeerId, reply: bytes | None) -> None:
        """Who gave nothing new is done with; who gave all it named may have had more than one answer holds."""
        self._pulling = False
        fresh = self._conversation.take_pulled(peer, reply)
        if not fresh:
            self._told.pop(peer, None)
        elif asked == MESSAGES_PER_PULL_MAX and self._pulls_left:
            self._told.pop(peer, None)
            self._compare(peer)
        self._go_on()


def decodes_as(kind: type[Wire]) -> Callable[[bytes], bool]:
    """For `Ask.accepts`: whether an answer is one at all."""

    def accepts(reply: bytes) -> bool:
        try:
            kind.decode(reply)
        except OrderingError:
            return False
        return True

    return accepts
