"""Telling the other members about a rescue: the offer, our endorsement, the recognition; and what they answer."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from node.logs import logger, short
from node.outward import Ask, Outward
from node.peer_id import PeerId
from node.peer_messages import RESCUE_PROTOCOL
from node.rescue import RescueReply, RescueRequest

if TYPE_CHECKING:
    from node.rescuing import Rescuing

PERIOD_S: Final = 5.0
"""Between two offers to a member that has not answered with an endorsement."""

log = logger("rescue")


class RescueTelling:
    """Belongs to the group's `Rescuing`; questions are appended to `outward`."""

    def __init__(self, rescuing: "Rescuing", outward: deque[Outward], tag: bytes) -> None:
        self._rescuing = rescuing
        self._agreement = rescuing.agreement
        self._context = rescuing.context
        self._outward = outward
        self._tag = tag
        self._next_s = float("-inf")
        self._told: set[PeerId] = set()  # who knows of the recognition

    def at_once(self, forgetful: PeerId | None = None) -> None:
        """There is something new to say; `forgetful` does not know of the recognition after all."""
        if forgetful is not None:
            self._told.discard(forgetful)
        self._next_s = float("-inf")

    def pursue(self, *, at_once: bool = False) -> None:
        """Offer to those who have not endorsed, or bring the recognition to those who do not know of it."""
        now_s = self._context.now_s()
        if now_s < self._next_s and not at_once:
            return
        self._next_s = now_s + PERIOD_S
        connected = self._context.transport.peers()
        if self._rescuing.record.recognised is not None:
            request = RescueRequest(self._tag, recognition=self._rescuing.record.recognised)
            for peer in self._agreement.roster.others:
                if peer in connected and peer not in self._told:
                    self.ask(peer, request, self._heard_recognition)
        elif self._rescuing.record.founded is not None:
            founded = self._rescuing.record.founded
            leaves = {each.leaf for each in founded.collected}
            for peer in founded.offer.members:
                if peer in connected and self._agreement.roster.leaf_of(peer) not in leaves:
                    self.ask(peer, RescueRequest(self._tag, offer=founded.offer), self._rescuing.heard_member)
        elif self._rescuing.record.endorsed is not None:
            founder = self._rescuing.founder_of(self._rescuing.record.endorsed.successor)
            if founder in connected:
                self.ask(
                    founder, RescueRequest(self._tag, endorsement=self._rescuing.record.endorsed), self.heard_founder
                )

    def ask(self, peer: PeerId, request: RescueRequest, then: Callable[[PeerId, RescueReply], None] | None) -> None:
        def answered(by: PeerId, reply: bytes | None) -> None:
            if reply is not None and then is not None and not self._agreement.is_over:
                then(by, RescueReply.decode(reply))

        self._outward.append(Ask((peer,), RESCUE_PROTOCOL, request.encode(), answered))

    def heard_founder(self, peer: PeerId, reply: RescueReply) -> None:
        if reply.text:
            log.info(
                "endorsement not taken", group=short(self._agreement.holding.group_id), peer=peer, reason=reply.text
            )

    def _heard_recognition(self, peer: PeerId, reply: RescueReply) -> None:
        if not reply.text:
            self._told.add(peer)
