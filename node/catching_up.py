"""A node that was away: it asks for the decided chain, fetches the bundles, and walks epoch by epoch.

`ordering.CatchUp` decides what to ask whom and verifies every link from our own anchor; this file carries its wishes
to the network and its results into the agreement, which decides each epoch as if it had heard the Decision live.
"""

from collections import deque
from functools import partial
from typing import Final

from mls import ed25519_verify
from node.agreement import Agreement
from node.candidacy import is_candidate
from node.conversation import Conversation
from node.draining import Drained, Patience, decodes_as
from node.logs import logger, short
from node.outward import Ask, Outward
from node.peer_id import PeerId
from node.peer_messages import (
    BUNDLE_PROTOCOL,
    CHAIN_PROTOCOL,
    KEPT_PROTOCOL,
    BundleRequest,
    ChainQuestion,
    Kept,
    KeptRequest,
    group_tag,
)
from ordering import (
    Anchor,
    Apply,
    BlamePeer,
    BundleHeld,
    BundleId,
    CatchUp,
    CatchUpEffect,
    CatchUpInput,
    CatchUpTick,
    Chain,
    ChainArrived,
    EpochEntered,
    FetchBundle,
    LogEntry,
    MessageKind,
    PeerAhead,
    RequestChain,
    Status,
    decode_message,
)

HELD_MAX: Final = 16
"""Bundles asked for or held ahead of the epoch we stand in."""
COMPANY_S: Final = 3.0
"""How long who comes back waits for more than one member to be connected, before it believes those who are."""
COMPANY_POLL_S: Final = 0.1
_STATUS: Final = bytes((MessageKind.STATUS,))
ASKED_MAX: Final = 4096  # members whose word about what they keep is remembered
log = logger("catch-up")


class CatchingUp:
    """The catch-up of one group."""

    def __init__(self, agreement: Agreement, conversation: Conversation, outward: deque[Outward]) -> None:
        self.agreement = agreement
        self.conversation = conversation
        self.context = agreement.context
        self.outward = outward
        self.machine = CatchUp(ed25519_verify, self._anchor())
        self._bundles: dict[BundleId, tuple[PeerId, bytes]] = {}  # fetched, of epochs still ahead
        self._wanted: dict[BundleId, tuple[int, PeerId]] = {}  # not asked for yet: epoch, and who told of it
        self._asked: set[BundleId] = set()
        self._patience = Patience()
        self._behind_since_s = float("-inf")
        self._kept: dict[PeerId, Kept] = {}  # members that are ahead and cannot lead us there
        self._ahead: set[PeerId] = set()  # members that say that they are ahead of this epoch
        self._waiting: LogEntry | None = None  # to be applied once more members are here, or time is up
        self._retry_at_s: float | None = None
        self._tag = group_tag(agreement.holding.group_id)

    @property
    def wake_at_s(self) -> float | None:
        """When `tick` is due."""
        due = [each for each in (self.machine.wake_at_s, self._retry_at_s) if each is not None]
        return min(due, default=None)

    @property
    def is_stranded(self) -> bool:
        """Whether nobody keeps any more what leads from here to where the group is: who is here says so."""
        return self.gap is not None

    @property
    def gap(self) -> tuple[int, int] | None:
        """What is missing when we are stranded: from our epoch to the first that anybody here keeps.

        Every connected member that is ahead has to say so, and with four voters or more as many as show that one of
        them does not lie.
        """
        epoch, connected = self.agreement.holding.epoch, self.context.transport.peers()
        said = {peer: kept for peer, kept in self._kept.items() if peer in connected}
        enough = self.agreement.epoch.voting.committee.faults + 1
        if len(said) < enough or any(kept.first <= epoch for kept in said.values()):
            return None
        if any(peer in connected and peer not in said for peer in self._ahead):
            return None
        return epoch, min(kept.first for kept in said.values())

    @property
    def is_behind(self) -> bool:
        """Whether something is known to be missing."""
        return not self.machine.done

    def notice(self, peer: PeerId, body: bytes) -> None:
        """A Status of a later epoch tells that we lag. Its claim is checked by what the peer can show."""
        if self.agreement.is_over or self.agreement.is_frozen or body[:1] != _STATUS:
            return
        message = decode_message(body)
        is_member = peer in self.agreement.roster
        if not isinstance(message, Status) or not (is_member or self.machine.done):
            return  # a stranger may be a member added since, so it is heard while no member is known to be ahead
        if message.epoch > self.agreement.holding.epoch:
            self.peer_ahead(peer, message.epoch)

    def peer_ahead(self, peer: PeerId, epoch: int) -> None:
        """A peer stands in a later epoch than we do."""
        if self.agreement.is_frozen:
            return
        if peer in self.agreement.roster:
            self._ahead.add(peer)
        if self.machine.done:
            self._behind_since_s = self.context.now_s()
        self._step(PeerAhead(self.context.now_s(), peer, epoch))

    def entered(self) -> None:
        """The group stands in a new epoch, however it got there."""
        epoch = self.agreement.holding.epoch
        self._kept.clear()
        self._ahead.clear()
        self._bundles = {id: held for id, held in self._bundles.items() if self._is_pending(id)}
        self._wanted = {id: wanted for id, wanted in self._wanted.items() if wanted[0] >= epoch}
        self._step(EpochEntered(self.context.now_s(), self._anchor()))

    def tick(self, now_s: float) -> None:
        """`wake_at_s` may have come."""
        if self.machine.wake_at_s is not None and now_s >= self.machine.wake_at_s:
            self._step(CatchUpTick(now_s))
        if self._retry_at_s is not None and now_s >= self._retry_at_s:
            self._retry_at_s = None
            if self._waiting is not None:
                self._apply(self._waiting)

    def _anchor(self) -> Anchor:
        """What ends the present epoch: its committee, after the bundle that began it."""
        holding, epoch = self.agreement.holding, self.agreement.epoch
        return Anchor(holding.group_id, holding.epoch, holding.extra.prev, epoch.voting.committee.descriptor)

    def _is_pending(self, id: BundleId) -> bool:
        return any(entry.decision.id == id for entry in self.machine.pending)

    def _step(self, event: CatchUpInput) -> None:
        self.machine, effects = self.machine.step(event)
        for effect in effects:
            self._perform(effect)
        self._fetch_more()

    def _perform(self, effect: CatchUpEffect) -> None:
        match effect:
            case RequestChain(peer, request):
                question = ChainQuestion(self._tag, request.encode())
                self.outward.append(Ask((peer,), CHAIN_PROTOCOL, question.encode(), self._chain_arrived))
            case FetchBundle(id, epoch, peer):
                self._wanted[id] = (epoch, peer)
            case Apply(entry):
                self._apply(entry)
            case BlamePeer(peer, detail):
                log.warning("chain refused", group=short(self.agreement.holding.group_id), peer=peer, reason=detail)

    def _chain_arrived(self, peer: PeerId, reply: bytes | None) -> None:
        """No answer counts as one that holds nothing: somebody else is asked at once."""
        if self.agreement.is_over:
            return
        chain = Chain(self.agreement.holding.group_id, ()) if reply is None else Chain.decode(reply)
        if reply is not None and not chain.entries and peer in self.agreement.roster:
            request = KeptRequest(self._tag)
            self.outward.append(Ask((peer,), KEPT_PROTOCOL, request.encode(), self._kept_told, decodes_as(Kept)))
        self._step(ChainArrived(self.context.now_s(), peer, chain))

    def _kept_told(self, peer: PeerId, reply: bytes | None) -> None:
        """A member that is ahead, and had nothing for us, says where what it keeps begins."""
        if reply is None or self.agreement.is_over:
            return
        kept = Kept.decode(reply)
        if kept.epoch > self.agreement.holding.epoch and len(self._kept) < ASKED_MAX:
            self._kept[peer] = kept

    def _fetch_more(self) -> None:
        """The oldest first and few at a time: what is fetched waits here for the epochs before it."""
        while self._wanted and len(self._asked) + len(self._bundles) < HELD_MAX:
            id = min(self._wanted, key=lambda each: self._wanted[each][0])
            epoch, peer = self._wanted.pop(id)
            if id not in self._asked:
                self._asked.add(id)
                self._fetch(id, epoch, peer)

    def _fetch(self, id: BundleId, epoch: int, first: PeerId) -> None:
        peers = tuple(dict.fromkeys((first, *self.agreement.roster.others)))
        request = BundleRequest(self._tag, epoch)

        def arrived(peer: PeerId, reply: bytes | None) -> None:
            self._asked.discard(id)
            if self.agreement.is_over or not self._is_pending(id):
                return
            if reply is None:  # nobody has it now
                self._begin_again()
                return
            self._bundles[id] = (peer, reply)
            self._step(BundleHeld(self.context.now_s(), id))

        accepts = partial(is_candidate, id=id)
        self.outward.append(Ask(peers, BUNDLE_PROTOCOL, request.encode(), arrived, accepts))

    def _apply(self, entry: LogEntry) -> None:
        """The oldest missing epoch: what was said in it, then its candidate and Decision by the ordinary door."""
        decision = entry.decision
        if decision.epoch != self.agreement.holding.epoch:
            return
        self._waiting = None
        if self._is_too_lonely():
            self._waiting, self._retry_at_s = entry, self.context.now_s() + COMPANY_POLL_S
            return
        peer, body = self._bundles.pop(BundleId(decision.id))

        def decide(_: Drained) -> None:
            if self.agreement.is_over or decision.epoch != self.agreement.holding.epoch:
                return  # decided live meanwhile
            if not self.agreement.decide_from_log(peer, body, decision):
                self._begin_again()

        peers = tuple(dict.fromkeys((peer, *self.agreement.roster.others)))
        self.conversation.drain(peers, decision.epoch, decide, self._patience)

    def _is_too_lonely(self) -> bool:
        """Whether so few members are connected, and we lag for so short a time, that others may still turn up.

        What is said in an epoch is asked of all who are there before it is left, and one member alone may lie.
        """
        others = self.agreement.roster.others
        wanted = min(len(others), max(2, self.agreement.epoch.voting.committee.faults + 1))
        there = len(self.context.transport.peers().intersection(others))
        return there < wanted and self.context.now_s() - self._behind_since_s < COMPANY_S

    def _begin_again(self) -> None:
        """Forget what was asked: the next Status of somebody ahead starts anew."""
        self.machine = CatchUp(ed25519_verify, self._anchor())
        self._bundles.clear()
        self._wanted.clear()
        self._waiting = None
