"""Comparing message sets with the other members, one after the other: what gossip lost is found, and then pulled.

Mostly nothing was lost, and a question with its answer costs many times what a frame does. So a member is *asked* now
and then, in whichever group is due (which also tells how far away it is, `node.round_trips`), and in between it is
*told* what we hold, as one hash. Who holds something else asks, and says in return what it holds.
"""

from typing import Final

from node.context import NodeContext
from node.conversation import SYNC_EPOCHS, Conversation
from node.electorate import RuleError
from node.outward import Tell
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, Holds
from node.round_trips import NEAR_S
from ordering import VOTES_TO_ALL_MAX

QUESTION_GAP_S: Final = 2.0  # between two questions to a peer, over all groups; it is told a hash in between
MEASURED_GAP_S: Final = 20.0  # between two questions to whomever, where it is known how far away the peer is: near
DIFFERENCE_GAP_S: Final = 0.5  # between two questions to a member because it says that it holds something else,
DIFFERENCE_EPOCHS: Final = 4  # unless so many epochs have passed
WORD_GAP_S: Final = 0.1  # in an epoch, between two words of a member that are looked at: each costs a hash of all held


class Comparing:
    """Of one group."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.agreement = conversation.agreement
        self._turn = int.from_bytes(self.context.random(2), "big")
        self._asked: dict[PeerId, tuple[float, int]] = {}  # whom because of a difference: when, and in which epoch
        self._heard: dict[PeerId, tuple[float, int]] = {}  # whose word was looked at just now: when, and in which epoch

    @property
    def context(self) -> NodeContext:
        return self.agreement.context

    def next(self) -> None:
        """Compare with the member whose turn it is, among those connected."""
        connected = self.context.connected(self.agreement.roster.others)
        if not connected:
            return
        self._turn += 1
        peer = connected[self._turn % len(connected)]
        over_all_s = MEASURED_GAP_S if self._is_measured(peer) else 0.0
        if self.agreement.holding.is_cut_off or self.context.may_ask(peer, QUESTION_GAP_S, over_all_s):
            self.conversation.compare_with(peer)
        else:
            self._tell(peer, self.conversation.first_compared)

    def _is_measured(self, peer: PeerId) -> bool:
        """Whether its next answer would tell nothing new of how far away it is, which is near.

        In a large committee the timers' unit is never less than the policy's, so that such an answer adds nothing.
        """
        nearest_s, round_trips = self.context.transport.nearest_s(peer), self.context.round_trips
        if nearest_s is None or nearest_s >= NEAR_S:
            return False
        return len(self.agreement.roster.other_voters) >= VOTES_TO_ALL_MAX or round_trips.p99_s(peer) is not None

    def take(self, peer: PeerId, body: bytes) -> None:
        """What a member says it holds. With the same there is nothing to do.

        Raises `RuleError` for more epochs than anybody compares.
        """
        theirs, here = Holds.decode(body), self.agreement.holding.epoch
        if theirs.epoch - theirs.first >= SYNC_EPOCHS:
            raise RuleError("message sets of too many epochs")
        self.conversation.receipts.stands(peer, theirs.epoch)
        if self.agreement.holding.is_cut_off:
            return  # we ask, in our turn
        if theirs.epoch > here + 1:  # by one: it is on its way
            self.conversation.behind(peer, theirs.epoch)
            return
        if not self._is_looked_at(peer):
            return
        joined = self.agreement.holding.extra.anchor.epoch
        if theirs.epoch < here - 1 or theirs.first < joined:  # it is behind; or it has been a member for longer than we
            if not theirs.is_answer:
                self._tell(peer, self.conversation.first_compared)
            return
        if theirs.digest == self.conversation.digest_between(theirs.first, theirs.epoch):
            self.conversation.receipts.holds_the_same(peer, theirs.first, theirs.epoch)
            return
        self._ask(peer)
        if not theirs.is_answer:
            self._tell(peer, theirs.first, is_answer=True)

    def _is_looked_at(self, peer: PeerId) -> bool:
        now, here = self.context.now_s(), self.agreement.holding.epoch
        self._heard = {
            each: (at, then) for each, (at, then) in self._heard.items() if at > now - WORD_GAP_S and then == here
        }
        if peer in self._heard:
            return False
        self._heard[peer] = (now, here)
        return True

    def _ask(self, peer: PeerId) -> None:
        now, epoch = self.context.now_s(), self.agreement.holding.epoch
        self._asked = {
            each: (at, then)
            for each, (at, then) in self._asked.items()
            if at > now - DIFFERENCE_GAP_S and then > epoch - DIFFERENCE_EPOCHS
        }
        if peer not in self._asked:
            self._asked[peer] = (now, epoch)
            self.conversation.compare_with(peer)

    def _tell(self, peer: PeerId, first: int, *, is_answer: bool = False) -> None:
        epoch = self.agreement.holding.epoch
        holds = Holds(first, epoch, self.conversation.digest_between(first, epoch), is_answer)
        frame = Frame(self.conversation.tag, FrameKind.HOLDS, holds.encode())
        self.conversation.outward.append(Tell((peer,), frame))
