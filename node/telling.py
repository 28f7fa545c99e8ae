"""Who is told what: what the ordering says, candidates and evidence, as frames to peers or on the group's topic."""

from collections import deque
from typing import TYPE_CHECKING, Final

from node.judgement import Known
from node.outward import Outward, Publish, Tell
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, group_tag
from node.sparing import Sparing
from ordering import Certificate, Decision, Evidence, InstanceMessage, Propose, Status, encode_message

if TYPE_CHECKING:
    from node.agreement import Agreement

DIRECT_MEMBERS_MAX: Final = 64  # up to here what concerns all members is told to each; beyond, the topic carries it


class Telling:
    """Belongs to the group's `Agreement`; what is to go out is appended to `outward`."""

    def __init__(self, agreement: "Agreement", outward: deque[Outward]) -> None:
        self._agreement = agreement
        self._outward = outward
        self.sparing = Sparing(agreement, outward)
        self._tag = group_tag(agreement.holding.group_id)

    def broadcast(self, message: InstanceMessage, *, news: bool) -> None:
        """Votes concern the voters, Decisions the others; certificates and where we stand concern every member.

        Where few are asked before all (`node.sparing`), the rest of a Propose and a certificate waits.
        """
        if isinstance(message, Decision) and not news and self._agreement.instance.freeze is None:
            self._to_followers(message)
            return
        frame = Frame(self._tag, FrameKind.ORDERING, encode_message(message))
        match message:
            case Decision() if news:
                self._decided(message, frame)
            case Certificate():
                self._outward.append(self._sparing(self.to_members(frame)))
            case Propose():
                self._outward.append(self._sparing(Tell(self._agreement.roster.other_voters, frame)))
            case Status() | Decision():
                self._outward.append(self.to_members(frame))
            case _:
                self._outward.append(Tell(self._agreement.roster.other_voters, frame))

    def _decided(self, decision: Decision, frame: Frame) -> None:
        """To whoever waits for it first; to who was not asked last, with the bytes that it decided."""
        outward, known = self.to_members(frame), self._agreement.known.get(decision.id)
        if known is None or not isinstance(outward, Tell):
            self._outward.append(outward)
            return
        committer = self._agreement.roster.peer_at(known.member)
        spared = tuple(peer for peer in self.sparing.spared if peer != committer)
        others = tuple(peer for peer in outward.peers if peer not in (committer, *spared))
        self._outward.append(Tell(tuple(peer for peer in outward.peers if peer == committer), frame))
        late = (Tell(spared, self._candidate_frame(known)), Tell(spared, frame)) if spared else ()
        self.sparing.follow(committer, (Tell(others, frame), *late))

    def _sparing(self, outward: Outward, *, is_first: bool = False) -> Outward:
        """The part of it that is said now, where few are asked before all."""
        if not isinstance(outward, Tell):
            return outward
        return self.sparing.part(outward.peers, outward.frame, is_first=is_first)

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
        outward = self._sparing(self.to_members(self._candidate_frame(known)), is_first=True)
        self._outward.insert(len(self._outward) if place is None else place, outward)

    def _candidate_frame(self, known: Known) -> Frame:
        return Frame(self._tag, FrameKind.CANDIDATE, known.candidate.encode())

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
