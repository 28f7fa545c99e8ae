"""The commits put up for the running epoch: others' as they arrive, our own as they are made.

What each is worth is `Candidacy`'s to say; here is what of it is durable when, and who is told.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mls import MlsError
from node.building import Built, build_plain
from node.electorate import RuleError
from node.fetching import Fetching
from node.judgement import Known
from node.logs import logger, short
from node.outward import Outward
from node.peer_id import PeerId
from node.peer_messages import FrameKind
from node.store_writes import Write
from ordering import INTENT_ORDINAL, BundleId, Candidate, Decision, Learned

if TYPE_CHECKING:
    from node.agreement import Agreement

log = logger("nominations")


class Nominations:
    """Belongs to the group's `Agreement`, whose every epoch it goes on through."""

    def __init__(self, agreement: "Agreement", outward: deque[Outward], step: Callable[..., None]) -> None:
        """`step` feeds the instance one input, with what is to be written in the transaction that it leads to."""
        self._agreement = agreement
        self._context = agreement.context
        self._outward = outward
        self._step = step
        self.fetching = Fetching(agreement, outward)
        self.unwritten: list[Write] = []  # candidates of others that nothing we said relies on yet

    def begin(self) -> None:
        """Another epoch, with other bundles."""
        self.fetching.begin()

    # --- others' ---

    def receive(self, peer: PeerId, body: bytes) -> None:
        """A candidate's bytes: judge, and tell the instance. Of another epoch: parked for the next."""
        agreement = self._agreement
        if agreement.is_over or agreement.is_frozen:
            return
        candidate = Candidate.decode(body)
        if candidate.instance != agreement.instance.config.instance:
            agreement.others.park(peer, candidate.instance, FrameKind.CANDIDATE, body)
            return
        id = candidate.id
        if id in agreement.known or not (self._is_named(id) or agreement.candidacy.has_room(candidate)):
            return
        member = agreement.candidacy.author_of(candidate)
        if member is not None:
            self._take(candidate, member)
            agreement.pursuit.consider()

    def take_decided(self, candidate: Candidate, decision: Decision) -> bool:
        """What a Decision of this epoch is known to have decided; False when the wrapper is not its committer's."""
        if candidate.id not in self._agreement.known:
            member = self._agreement.candidacy.author_of(candidate)
            if decision.instance != self._agreement.instance.config.instance or member is None:
                return False
            self._take(candidate, member)
        return True

    def _take(self, candidate: Candidate, member: int) -> None:
        """Another member's candidate: durable with the first thing we say after it, a vote for it or an offer (R15)."""
        known = self._agreement.candidacy.admit(candidate, member)
        row = self._agreement.candidacy.row(known)
        self.unwritten.append(lambda transaction: transaction.put_candidate(row))
        self.learn(known)

    def _is_named(self, id: BundleId) -> bool:
        """Whether the protocol itself asks for it: proposed in this view, notarized, decided."""
        instance = self._agreement.instance
        named = {instance.proposal, *(each.bundle for each in instance.notarizations.values())}
        return id in named or (instance.decision is not None and instance.decision.id == id)

    def fetch(self, id: BundleId, likely: tuple[PeerId, ...]) -> None:
        """Bytes that are missing."""
        known = self._agreement.known.get(id)
        if known is not None:
            self.learn(known)
        else:
            self.fetching.fetch(id, likely, named=self._is_named(id))

    # --- our own ---

    def offer(self, known: Known) -> None:
        """Store an own candidate with the successor only we can compute, then tell everyone."""
        row = self._agreement.candidacy.row(known)
        place = len(self._outward)
        self.learn(known, lambda transaction: transaction.put_candidate(row))
        self._agreement.telling.candidate(known, place)

    def offer_plain(self) -> None:
        """R3: the plain commit a step asked for; durable in a transaction of its own, reported as the next input.

        Of a cut-off node it is its resync, which is under way.
        """
        agreement, context = self._agreement, self._context
        if agreement.holding.is_cut_off:
            return
        now = context.now_ms() // 1000
        try:
            built = build_plain(agreement.group, agreement.epoch.instance, context.random, now)
            known = agreement.candidacy.admit_own(built)
        except (MlsError, RuleError) as error:  # this view is lost, no more than that
            log.error("no plain commit", group=short(agreement.holding.group_id), reason=str(error))
            return
        with context.store.transaction() as transaction:
            transaction.put_candidate(agreement.candidacy.row(known))
        agreement.telling.candidate(known)
        self.learn(known)

    def offer_eviction(self, built: Built) -> bool:
        """Offer the removal of proven liars as our commit of this epoch, if there is no other."""
        agreement = self._agreement
        is_open = agreement.instance.freeze is None and agreement.instance.decision is None and not agreement.is_frozen
        if is_open and not agreement.candidacy.has_own(INTENT_ORDINAL):
            self.offer(agreement.candidacy.admit_own(built))
            return True
        return False

    # --- both ---

    def learn(self, known: Known, *writes: Write) -> None:
        """Tell the instance what a candidate is worth; in the middle of a step that is the next input."""
        facts = self._agreement.candidacy.facts(known)
        self._step(Learned(self._context.now_s(), facts), *writes)

    def reconsider(self) -> None:
        """Look again at those that were waiting for somebody to be heard."""
        for known in self._agreement.candidacy.reconsider():
            self.learn(known)

    def restore(self) -> None:
        """Those on our disk; our own are told again."""
        holding = self._agreement.holding
        for row in self._context.store.candidates(holding.group_id, holding.epoch):
            known = self._agreement.candidacy.recall(row)
            if known is not None:
                self.learn(known)
                if known.own:
                    self._agreement.telling.candidate(known)
