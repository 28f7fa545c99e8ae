"""Asking members for the bytes of candidates that are named and not here."""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from node.candidacy import is_candidate
from node.hedging import patience_s
from node.outward import Ask, Outward
from node.peer_id import PeerId
from node.peer_messages import CANDIDATE_PROTOCOL, CandidateRequest, group_tag
from ordering import BundleId, Candidate

if TYPE_CHECKING:
    from node.agreement import Agreement

OFFERS_ASKED_MAX: Final = 32  # offered bundles asked for at once; proposed, notarized and decided ones come on top


class Fetching:
    """Belongs to the group's `Agreement`; each bundle is asked for once at a time, however slow those asked are."""

    def __init__(self, agreement: "Agreement", outward: deque[Outward]) -> None:
        self._agreement = agreement
        self._outward = outward
        self._tag = group_tag(agreement.holding.group_id)
        self._asking: set[BundleId] = set()

    def begin(self) -> None:
        """Another epoch, with other bundles."""
        self._asking = set()

    def fetch(self, id: BundleId, likely: tuple[PeerId, ...], *, named: bool) -> None:
        """From who is likely to have it, the nearest first; what the protocol itself names, from anybody."""
        if id in self._asking:
            return  # it goes on until somebody has it, or nobody does
        if not named and len(self._asking) >= OFFERS_ASKED_MAX:
            return  # it is offered again
        self._asking.add(id)
        roster, trips = self._agreement.roster, self._agreement.context.round_trips
        request = CandidateRequest(self._tag, id).encode()
        everybody = (*roster.other_voters, *roster.others) if named else ()  # made up by one, it is not asked of all
        nearest = sorted(likely, key=lambda peer: patience_s(trips.usual_s(peer)))
        peers = tuple(dict.fromkeys((*nearest, *everybody)))
        then, accepts = partial(self._fetched, id), partial(self._is_wanted, id)
        self._outward.append(Ask(peers, CANDIDATE_PROTOCOL, request, then, accepts))

    def _is_wanted(self, id: BundleId, reply: bytes) -> bool:
        if self._agreement.is_over or not is_candidate(reply, id):
            return False
        return self._agreement.candidacy.author_of(Candidate.decode(reply)) is not None

    def _fetched(self, id: BundleId, peer: PeerId, reply: bytes | None) -> None:
        self._asking.discard(id)
        if reply:
            self._agreement.nominations.receive(peer, reply)
