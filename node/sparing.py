"""Asking as few as can decide (R16): where a large committee is near, a commit first goes to a quorum and two more.

What everybody works out at once keeps those waiting whose votes are needed. The others hear of it with the Decision,
or a moment later if there is none by then; after that everybody is asked at once for a while. And whose commit was
decided hears so a round trip before the others: it has somebody waiting.
"""

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from node.outward import Outward, Tell
from node.peer_id import PeerId
from node.peer_messages import Frame
from node.round_trips import NEAR_S

if TYPE_CHECKING:
    from node.agreement import Agreement

SPARE_VOTERS: Final = 2  # asked beyond a quorum, so that one or two slow ones hold up nothing
WAIT_MAX_S: Final = 0.25  # for a Decision, before the others are asked too
HEAD_START_S: Final = NEAR_S  # of whose commit was decided
EPOCHS_WITHOUT: Final = 8  # in which everybody is asked at once, after the others were needed


class Sparing:
    """Belongs to the group's `Telling`; what is to go out is appended to `outward`."""

    def __init__(self, agreement: "Agreement", outward: deque[Outward]) -> None:
        self._agreement = agreement
        self._outward = outward
        self._withheld: list[Tell] = []  # of this epoch
        self._ask_all_at_s = math.inf
        self._following: list[Tell] = []  # of the one that has just been decided
        self._follow_at_s = math.inf
        self._without_until = 0  # epoch

    @property
    def due_at_s(self) -> float:
        """When `tick` is due."""
        return min(self._ask_all_at_s, self._follow_at_s)

    @property
    def spared(self) -> tuple[PeerId, ...]:
        """From whom something is withheld."""
        return tuple(dict.fromkeys(peer for each in self._withheld for peer in each.peers))

    def part(self, peers: tuple[PeerId, ...], frame: Frame, *, is_first: bool = False) -> Tell:
        """What is to be said to these peers now; the rest waits. `is_first`: before what waits already."""
        asked = self._asked()
        if asked is None:
            return Tell(peers, frame)
        spared = tuple(peer for peer in peers if peer not in asked)
        if spared:
            self._withheld.insert(0 if is_first else len(self._withheld), Tell(spared, frame))
            self._ask_all_at_s = min(self._ask_all_at_s, self._agreement.context.now_s() + self._wait_s())
        return Tell(tuple(peer for peer in peers if peer in asked), frame)

    def follow(self, first: PeerId | None, others: tuple[Tell, ...]) -> None:
        """These, a moment after what was just said to `first`; at once where nobody is waiting there."""
        context = self._agreement.context
        if self._agreement.instance.config.through_leader and first in context.transport.peers():
            self._following += others
            self._follow_at_s = context.now_s() + HEAD_START_S
        else:
            self._outward.extend(others)

    def entered(self) -> None:
        """The epoch is over: what was withheld in it is of no use any more."""
        self._withheld.clear()
        self._ask_all_at_s = math.inf

    def tick(self, now_s: float) -> None:
        """The head start is over; or there is no Decision in time, and everybody is asked."""
        if now_s >= self._follow_at_s:
            self._outward.extend(self._following)
            self._following.clear()
            self._follow_at_s = math.inf
        if now_s >= self._ask_all_at_s:
            self._outward.extend(self._withheld)
            self.entered()
            self._without_until = self._agreement.instance.config.epoch + EPOCHS_WITHOUT

    def _asked(self) -> frozenset[PeerId] | None:
        """Whom to ask first: from the leader on, those who are connected, oneself counted; None: everybody.

        So author and leader ask the same, as long as they are connected to the same.
        """
        instance = self._agreement.instance
        config = instance.config
        if not config.through_leader or instance.view > 0 or instance.repeated or config.epoch < self._without_until:
            return None
        size, count = config.committee.size, config.quorum + SPARE_VOTERS
        connected = self._agreement.context.transport.peers()
        able: list[int] = []
        for ahead in range(size):
            voter = (instance.leader + ahead) % size
            if voter == config.own_voter or connected.issuperset(self._agreement.roster.voters((voter,))):
                able.append(voter)
        return frozenset(self._agreement.roster.voters(able[:count])) if len(able) > count else None

    def _wait_s(self) -> float:
        return min(self._agreement.instance.config.timing.delta_s / 2, WAIT_MAX_S)
