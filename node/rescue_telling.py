"""Telling the other members about a rescue: the offer, our endorsement, the recognition; and what they answer."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.logs import logger, short
from node.outward import Ask, Outward
from node.peer_id import PeerId
from node.peer_messages import RESCUE_PROTOCOL
from node.rescue import RescueReply, RescueRequest

if TYPE_CHECKING:
    from node.rescuing import Rescuing

AGAIN_MIN_S: Final = 5.0
AGAIN_MAX_S: Final = 300.0
"""Until a member that has not said yes is told again: doubled each time, and begun anew when it connects."""

log = logger("rescue")


@dataclass(frozen=True, slots=True)
class _Pause:
    until_s: float
    pause_s: float


class RescueTelling:
    """Belongs to the group's `Rescuing`; questions are appended to `outward`."""

    def __init__(self, rescuing: "Rescuing", outward: deque[Outward], tag: bytes) -> None:
        self._rescuing = rescuing
        self._agreement = rescuing.agreement
        self._context = rescuing.context
        self._outward = outward
        self._tag = tag
        self._told: set[PeerId] = set()  # who knows of the recognition
        self._paused: dict[PeerId, _Pause] = {}  # who has been told something in vain

    def anew(self) -> None:
        """There is something else to say: everybody is told of it at once."""
        self._paused.clear()

    def connected(self, peer: PeerId) -> None:
        """This member is there again: what it does not know it is told at once."""
        self._paused.pop(peer, None)
        self.pursue()

    def forgotten(self, peer: PeerId) -> None:
        """This member does not know of the recognition after all: it is told again in its time."""
        self._told.discard(peer)

    def pursue(self) -> None:
        """Offer to those who have not endorsed, or bring the recognition to those who do not know of it."""
        record = self._rescuing.record
        if record.recognised is None and record.founded is None and record.endorsed is None:
            return
        now_s = self._context.now_s()
        ready = {
            peer
            for peer in self._context.transport.peers()
            if peer not in self._paused or now_s >= self._paused[peer].until_s
        }
        if record.recognised is not None:
            request = RescueRequest(self._tag, recognition=record.recognised)
            for peer in self._agreement.roster.others:
                if peer in ready and peer not in self._told:
                    self.ask(peer, request, self._heard_recognition)
        elif record.founded is not None:
            founded = record.founded
            leaves = {each.leaf for each in founded.collected}
            for peer in founded.offer.members:
                if peer in ready and self._agreement.roster.leaf_of(peer) not in leaves:
                    self.ask(peer, RescueRequest(self._tag, offer=founded.offer), self._rescuing.heard_member)
        elif record.endorsed is not None:
            founder = self._rescuing.founder_of(record.endorsed.successor)
            if founder in ready:
                self.ask(founder, RescueRequest(self._tag, endorsement=record.endorsed), self.heard_founder)

    def ask(self, peer: PeerId, request: RescueRequest, then: Callable[[PeerId, RescueReply], None] | None) -> None:
        """Say one thing to a member, `then` to hear what it makes of it; it has its time until it is told again."""

        def answered(by: PeerId, reply: bytes | None) -> None:
            if reply is not None and then is not None and not self._agreement.is_over:
                then(by, RescueReply.decode(reply))

        pause_s = min(AGAIN_MAX_S, 2 * self._paused[peer].pause_s) if peer in self._paused else AGAIN_MIN_S
        self._paused[peer] = _Pause(self._context.now_s() + pause_s, pause_s)
        self._outward.append(Ask((peer,), RESCUE_PROTOCOL, request.encode(), answered))

    def heard_founder(self, peer: PeerId, reply: RescueReply) -> None:
        """What the founder makes of our endorsement."""
        if reply.text:
            log.info(
                "endorsement not taken", group=short(self._agreement.holding.group_id), peer=peer, reason=reply.text
            )

    def _heard_recognition(self, peer: PeerId, reply: RescueReply) -> None:
        if not reply.text:
            self._told.add(peer)
