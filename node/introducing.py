"""When members are told where the others can be reached: on meeting, when members change, and when there is news."""

from collections import deque
from typing import Final

from node.agreement import Agreement
from node.introductions import Introductions, introduce, take_introductions
from node.outward import Outward, Tell
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, group_tag

INTRODUCE_PERIOD_S: Final = 1.0  # news of where members are is passed on at most this often


class Introducing:
    """Of one group."""

    def __init__(self, agreement: Agreement, outward: deque[Outward]) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.outward = outward
        self.due_at_s = float("inf")
        self._told_s = float("-inf")
        self._members: frozenset[PeerId] = frozenset()

    def introduce(self, peers: tuple[PeerId, ...]) -> None:
        """Tell members where we, and those we know, can be reached."""
        for peer in peers:
            told = introduce(self.context, self.agreement.roster.others, peer)
            frame = Frame(group_tag(self.agreement.holding.group_id), FrameKind.INTRODUCTIONS, told.encode())
            self.outward.append(Tell((peer,), frame))

    def receive(self, peer: PeerId, body: bytes) -> None:
        """What a member says; news is passed on."""
        members = frozenset(self.agreement.roster.others)
        if take_introductions(self.context, peer, members, Introductions.decode(body)):
            again_s = max(self.context.now_s(), self._told_s + INTRODUCE_PERIOD_S)
            self.due_at_s = min(self.due_at_s, again_s)

    def tick(self, now_s: float) -> None:
        """Pass the news on if it is time."""
        if now_s >= self.due_at_s:
            self._told_s, self.due_at_s = now_s, float("inf")
            self._introduce_to_all()

    def entered(self) -> None:
        """An epoch has begun, perhaps with other members."""
        members = frozenset(self.agreement.roster.others)
        if self._members != members:
            self._members = members
            self._introduce_to_all()

    def _introduce_to_all(self) -> None:
        self.introduce(self.context.connected(self.agreement.roster.others))
