"""The candidates of one epoch as this node holds them: judged, remembered, told of in the ordering layer's words."""

from dataclasses import replace
from typing import Final

from mls import Group, MlsError
from node import cut_off
from node.building import Built
from node.context import NodeContext, group_config
from node.electorate import RuleError, peer_of
from node.holding import Holding
from node.judgement import Epoch, HardValid, Known, check_wrapper, judge_hard, member_of, stage
from node.logs import logger, short
from node.presence import NotNowError, UnheardError, check_own, check_presence
from node.store_rows import CandidateRow
from ordering import (
    BUNDLE_SIZE_MAX,
    PLAIN_ORDINAL,
    BundleId,
    Candidate,
    CandidateFacts,
    OrderingError,
    ProposalClass,
)

KNOWN_PER_AUTHOR_MAX: Final = 8
"""Candidates of one member kept in an epoch: it can crowd out its own only. An honest one makes two or three."""

KNOWN_SIZE_PER_AUTHOR_MAX: Final = 2 * BUNDLE_SIZE_MAX
"""Bytes of them after which no more are taken; the last one may go beyond."""

log = logger("candidates")


class Candidacy:
    """What competes to end one epoch. Made anew with every epoch."""

    def __init__(self, context: NodeContext, holding: Holding, epoch: Epoch, *, judges: bool) -> None:
        """`judges`: we hold a seat, so our own view of a candidate is asked for before it is decided."""
        assert holding.group is not None
        self.context = context
        self.holding = holding
        self.epoch = epoch
        self.known: dict[BundleId, Known] = {}
        self.own: dict[BundleId, Built] = {}
        self._judges = judges
        self.may_hurry = True  # whether class 0 goes first in this epoch: at most in every other one

    @property
    def group(self) -> Group:
        """The group in this epoch, as it was when the epoch began: commits do not depend on messages since."""
        assert self.holding.group is not None
        return self.holding.group

    def has_room(self, candidate: Candidate) -> bool:
        """Whether another candidate of its member is taken in unasked."""
        try:
            member = member_of(candidate)
        except MlsError:
            return False
        sizes = [known.size for known in self.known.values() if known.member == member]
        return len(sizes) < KNOWN_PER_AUTHOR_MAX and sum(sizes) < KNOWN_SIZE_PER_AUTHOR_MAX

    @property
    def rival_count(self) -> int:
        """How many members' commits compete."""
        return sum(1 for each in self.known.values() if each.valid is not None and each.candidate.ordinal == 0)

    def has_own(self, ordinal: int) -> bool:
        """Whether a candidate of ours with that ordinal is under way."""
        return any(built.candidate.ordinal == ordinal for built in self.own.values())

    def facts(self, known: Known) -> CandidateFacts:
        """What the instance is told of a candidate."""
        facts = known.facts(self.holding.extra.last_won(known.member))
        return facts if self.may_hurry else replace(facts, proposal_class=ProposalClass.ORDINARY)

    def author_of(self, candidate: Candidate) -> int | None:
        """The leaf of the member that itself offers it; None for nobody: then it is dropped unremembered."""
        try:
            return check_wrapper(self.epoch, candidate)
        except (RuleError, MlsError) as error:
            log.info("candidate dropped", group=short(self.holding.group_id), reason=str(error))
            return None

    def admit(self, candidate: Candidate, member: int | None = None) -> Known:
        """Judge a candidate that came in, and remember it, valid or not; `member` is what `author_of` said."""
        valid: HardValid | None = None
        try:
            valid = judge_hard(self.epoch, candidate, member)
        except (RuleError, MlsError, OrderingError) as error:
            log.info("candidate is hard-invalid", group=short(self.holding.group_id), reason=str(error))
        known = Known(candidate, candidate.id, valid, self.context.now_ms(), member_of(candidate))
        self._judge_soft(known)
        return self._remember(known)

    def admit_own(self, built: Built, *, is_new: bool = True) -> Known:
        """Remember a candidate of ours; like every sender we run the receivers' checks first.

        Raises a `RuleError`, `NotNowError` among them, or an `MlsError` for one that had better not be offered.
        """
        valid = self.judge_own(built, is_new=is_new)
        self.own[built.id] = built
        member = member_of(built.candidate)
        known = Known(built.candidate, built.id, valid, self.context.now_ms(), member, soft=True, own=True)
        return self._remember(known)

    def judge_own(self, built: Built, *, is_new: bool = True) -> HardValid:
        """The same, and nothing is remembered. What we have signed just now, our own wrapper, is not verified again."""
        signed_now = is_new and built.candidate.author == self.group.own_leaf and not self.holding.is_cut_off
        valid = judge_hard(self.epoch, built.candidate, self.group.own_leaf if signed_now else None)
        if is_new and built.candidate.ordinal != PLAIN_ORDINAL and not valid.is_resync:
            check_own(self.context, valid, is_voter=self._judges)
        return valid

    def recall(self, row: CandidateRow) -> Known | None:
        """A candidate found on our disk after a restart; None when it belongs elsewhere or is known."""
        candidate = Candidate.decode(row.candidate)
        if candidate.id in self.known or candidate.instance != self.epoch.instance:
            return None
        if row.successor is None:
            return self.admit(candidate)
        successor = Group.from_bytes(row.successor, group_config(self.context.config))
        return self.admit_own(Built(candidate, candidate.id, successor, row.intent_ids), is_new=False)

    def forget(self, holding: Holding) -> None:
        """The group is no more ours: keep no value of it, neither the epoch's nor those that candidates lead to."""
        self.holding = holding
        self.own.clear()
        self.known.clear()

    def row(self, known: Known) -> CandidateRow:
        """How a candidate is stored: ours with the successor that only we can compute."""
        built = self.own.get(known.id)
        return CandidateRow(
            self.holding.group_id,
            self.holding.epoch,
            known.id,
            known.candidate.encode(),
            None if built is None else built.successor.to_bytes(),
            () if built is None else built.intent_ids,
            known.candidate.ordinal,
        )

    def _remember(self, known: Known) -> Known:
        self.known[known.id] = known
        return known

    def reconsider(self) -> list[Known]:
        """Those whose verdict hung on who was heard, and has changed."""
        waiting = [known for known in self.known.values() if known.waits]
        before = {known.id: known.soft for known in waiting}
        for known in waiting:
            self._judge_soft(known)
        return [known for known in waiting if known.soft is not before[known.id]]

    def _judge_soft(self, known: Known) -> None:
        """Our own view of a hard-valid candidate: does it open for us, and does who was heard speak for it."""
        if known.valid is None or not self._judges:
            return
        if self.holding.is_cut_off:  # we could open nothing; see `ordering.CandidateFacts`
            known.soft = True if known.own or self._may_come_back(known.valid) else None
            return
        known.waits = False
        try:
            if known.staged is None:
                known.staged = stage(known.valid, self.group, self.context.now_ms() // 1000)
            check_presence(self.context, known.valid)
            known.soft = True
        except (RuleError, MlsError) as error:
            known.waits = isinstance(error, NotNowError)
            known.soft = None if isinstance(error, UnheardError) else False
            if known.soft_detail != str(error):
                known.soft_detail = str(error)
                log.info("candidate is soft-invalid", group=short(self.holding.group_id), reason=str(error))

    def _may_come_back(self, valid: HardValid) -> bool:
        """Cut off: whether we speak for a resync, blindly, since its voter cannot vote for anything else either.

        Not for whose own commit began the epoch, for it was not cut off; nor for whose commit we could not open: what
        it did to us it may do to others, and with the blind on its side it would need the fewer of them.
        """
        committee, public = self.epoch.voting.committee, self.epoch.public
        leaf = None if valid.replaced is None else public.leaf(valid.replaced)
        if valid.replaced is None or leaf is None or committee.voter_of_leaf(valid.replaced) is None:
            return False
        began = self.holding.extra.last_won(valid.replaced) >= public.epoch - 1
        return not began and peer_of(public, leaf) not in cut_off.blamed(self.context.store, self.holding.group_id)


def is_candidate(reply: bytes, id: BundleId) -> bool:
    """Whether these bytes are a candidate with that bundle."""
    try:
        return Candidate.decode(reply).id == id
    except OrderingError:
        return False
