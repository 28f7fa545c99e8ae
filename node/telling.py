"""Who is told what: what the ordering says, candidates and evidence, as frames to peers or on the group's topic."""

from collections import deque
from typing import TYPE_CHECKING, Final

from node.judgement import Known
from node.outward import Outward, Publish, Tell
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, group_tag
from ordering import Certificate, Decision, Evidence, InstanceMessage, Status, encode_message

if TYPE_CHECKING:
    from node.agreement import Agreement

DIRECT_MEMBERS_MAX: Final = 64  # up to here what concerns all members is told to each; beyond, the topic carries it


class Telling:
    """Belongs to the group's `Agreement`; what is to go out is appended to `outward`."""

    def __init__(self, agreement: "Agreement", outward: deque[Outward]) -> None:
        self._agreement = agreement
        self._outward = outward
        self._tag = group_tag(agreement.holding.group_id)

    def broadcast(self, message: InstanceMessage, *, news: bool) -> None:
        """Votes concern the voters, Decisions the others; certificates and where we stand concern every member."""
        if isinstance(message, Decision) and not news and self._agreement.instance.freeze is None:
            self._to_followers(message)
            return
        frame = Frame(self._tag, FrameKind.ORDERING, encode_message(message))
        if isinstance(message, Status | Decision | Certificate):
            self._outward.append(self.to_members(frame))
        else:
            self._outward.append(Tell(self._agreement.roster.other_voters, frame))

    def _to_followers(self, decision: Decision) -> None:
        """Voters have the votes that it consists of; who lacks some says in its next Status where it stands."""
        followers = self._agreement.roster.followers
        if followers:
            frame = Frame(self._tag, FrameKind.ORDERING, encode_message(decision))
            many = len(followers) > DIRECT_MEMBERS_MAX
            self._outward.append(self.to_members(frame) if many else Tell(followers, frame))

    def message(self, peers: tuple[PeerId, ...], message: InstanceMessage) -> None:
        """An ordering message to these peers."""
        self._outward.append(Tell(peers, Frame(self._tag, FrameKind.ORDERING, encode_message(message))))

    def candidate(self, known: Known, place: int | None = None) -> None:
        """The candidate's bytes to all members; at `place` in the queue, before votes that name it."""
        outward = self.to_members(Frame(self._tag, FrameKind.CANDIDATE, known.candidate.encode()))
        self._outward.insert(len(self._outward) if place is None else place, outward)

    def evidence(self, peer: PeerId | None, evidence: Evidence) -> None:
        """Contradicting votes, to one peer or to all members."""
        frame = Frame(self._tag, FrameKind.EVIDENCE, evidence.encode())
        self._outward.append(self.to_members(frame) if peer is None else Tell((peer,), frame))

    def to_members(self, frame: Frame) -> Outward:
        """How a frame reaches every member."""
        roster, holding = self._agreement.roster, self._agreement.holding
        if len(roster.others) <= DIRECT_MEMBERS_MAX:
            return Tell(roster.others, frame)
        return Tell(roster.other_voters, frame) if holding.is_cut_off else Publish(frame, holding.epoch)
