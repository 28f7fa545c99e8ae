"""What this node thinks of a candidate: *hard* (the same at every member) and *soft* (what only we can know).

Hard validity is a pure function of the candidate and the epoch's public state: no clock, no secret. Soft validity is
asked only of fresh values, and its answer is our own: do the tags verify, does our path secret open, were enough
of the next committee's voters heard.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mls import (
    Group,
    MlsError,
    Peek,
    ProposalType,
    PublicGroup,
    PublicStaged,
    SenderType,
    Staged,
    external_joiner,
    peek,
    welcome_references,
)
from node.admission import ADMISSION, check_resync, comes_back, place_of
from node.authority import UNCHANGED, PolicyChange, check_policy, check_removals
from node.electorate import RuleError, Voting, check_leaves, voting_of
from node.evidence import check_eviction
from ordering import PROPOSALS_MAX, BundleId, Candidate, CandidateFacts, ProposalClass

CANDIDATE_LABEL = "Conclave Candidate"
"""The label (RFC 9420 §5.1.2) under which the author signs with its leaf key."""

PEEKS_CACHED: Final = 16
"""Commits whose outside is remembered; each is at most as large as a bundle."""

CHANGES = frozenset(
    (
        ProposalType.ADD,
        ProposalType.UPDATE,
        ProposalType.REMOVE,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
        ProposalType.SELF_REMOVE,
    )
)
"""What a commit may do here. A ReInit would end the group under the ordering, and a PSK is no member's to have."""

URGENT = frozenset((ProposalType.REMOVE, ProposalType.SELF_REMOVE, ProposalType.GROUP_CONTEXT_EXTENSIONS))
"""What class 0 is made of; the group context only where it benches and amends nothing."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What hard validity is judged against: one epoch as the public sees it, and its ordering."""

    public: PublicGroup
    instance: bytes
    voting: Voting


@dataclass(frozen=True, slots=True)
class HardValid:
    """A candidate that every honest member finds well made: what it does, and who votes after it."""

    candidate: Candidate
    id: BundleId
    staged: PublicStaged
    voting: Voting  # of the epoch it would begin
    policy: PolicyChange = UNCHANGED
    replaced: int | None = None  # by a resync: the leaf that its member had

    @property
    def is_resync(self) -> bool:
        """Whether a member comes back by it."""
        return self.replaced is not None

    def class_after(self, last_won: int) -> ProposalClass:
        """Its class, when its member's commit last ended that epoch.

        A resync is urgent; but whose own commit began this epoch was not cut off by it, and gets no precedence.
        """
        if self.is_resync:
            ended = self.staged.successor.epoch - 1
            return ProposalClass.URGENT if last_won < ended - 1 else ProposalClass.ORDINARY
        return self.proposal_class

    @property
    def proposal_class(self) -> ProposalClass:
        """Class 0 when all it does is remove members or bench voters; everything else waits its turn."""
        types = self.staged.proposal_types
        benches = ProposalType.GROUP_CONTEXT_EXTENSIONS in types
        amends = self.policy.is_amended or (benches and not self.policy.benched)
        urgent = bool(types) and URGENT.issuperset(types) and not amends
        return ProposalClass.URGENT if urgent else ProposalClass.ORDINARY


@dataclass(slots=True)
class Known:
    """A candidate of the running epoch as this node holds it."""

    candidate: Candidate
    id: BundleId
    valid: HardValid | None  # None: hard-invalid; kept only as long as somebody may propose it
    first_heard_ms: int
    member: int  # the leaf of the member whose commit it is: its author, or the leaf that a resync replaces
    staged: Staged | None = field(default=None, repr=False)  # our own view of it, once asked for
    soft: bool | None = None
    soft_detail: str = ""
    waits: bool = False  # the soft verdict hangs on who was heard, and may change
    own: bool = False

    @property
    def size(self) -> int:
        """Bytes of what counts; the rest is small."""
        bundle = self.candidate.bundle
        return len(bundle.commit) + len(bundle.welcome) + sum(map(len, bundle.proposals))

    def facts(self, last_won: int) -> CandidateFacts:
        """The same in the ordering layer's words."""
        return CandidateFacts(
            id=self.id,
            committer=self.member,
            ordinal=self.candidate.ordinal,
            proposal_class=ProposalClass.ORDINARY if self.valid is None else self.valid.class_after(last_won),
            last_won=last_won,
            hard=self.valid is not None,
            soft=self.soft,
            available=True,
            resync=self.valid is not None and self.valid.is_resync,
        )


def judge_hard(epoch: Epoch, candidate: Candidate, member: int | None = None) -> HardValid:
    """Everything that does not depend on who looks; raises `RuleError` or an `MlsError` for the first rule broken.

    `member` is what `check_wrapper` said of this candidate, where it was asked before.
    """
    bundle = candidate.bundle
    if candidate.instance != epoch.instance:
        raise RuleError("the candidate is of another instance")
    member = check_wrapper(epoch, candidate) if member is None else member
    staged = epoch.public.check_commit(bundle.commit, bundle.proposals, policy=ADMISSION)
    if staged.authenticated_data != epoch.instance:
        raise RuleError("the commit was made for another instance")
    if staged.committer != candidate.author:
        raise RuleError("the candidate's author is not the committer")
    if staged.is_external:
        check_resync(staged, member)
    elif not CHANGES.issuperset(staged.proposal_types):
        raise RuleError("a change that this version does not make by ordered commits")
    if not staged.has_path:
        raise RuleError("the commit has no path")
    if len(staged.proposals) > PROPOSALS_MAX:
        raise RuleError(f"more than {PROPOSALS_MAX} proposals in one commit")
    if sum(each.reference is not None for each in staged.proposals) != len(bundle.proposals):
        raise RuleError("the bundle brings proposals that its commit does not refer to")
    _check_welcome(bundle.welcome, staged)
    convicted = check_eviction(epoch.public, bundle.evidence, staged) if bundle.evidence else frozenset()
    check_leaves(epoch.public, staged)
    voting = voting_of(staged.successor)
    if voting.committee.descriptor != bundle.descriptor:
        raise RuleError("the bundle announces another committee than the one its commit elects")
    change = check_policy(epoch.public, epoch.voting, staged, voting)
    check_removals(epoch.public, epoch.voting, staged, convicted)
    return HardValid(candidate, candidate.id, staged, voting, change, member if staged.is_external else None)


def check_wrapper(epoch: Epoch, candidate: Candidate) -> int:
    """That the committer itself offers the bundle; raises `RuleError` or an `MlsError`. The leaf of that member.

    The id is the bundle's alone, so a bundle that comes under another name or signature says nothing about the id: who
    brings it is at fault, and it must not be remembered.
    """
    member, key = _author(epoch, candidate)
    suite = epoch.public.suite
    if not suite.verify_with_label(key, CANDIDATE_LABEL, candidate.signed_bytes, candidate.signature):
        raise RuleError("the candidate is not signed by its author")
    return member


def member_of(candidate: Candidate) -> int:
    """Whose candidate it claims to be, cheaply and unverified; raises an `MlsError` for what is no public commit."""
    if not _is_external(candidate):
        return candidate.author
    joiner = external_joiner(candidate.bundle.commit)
    return candidate.author if joiner is None or joiner.replaces is None else joiner.replaces


def _is_external(candidate: Candidate) -> bool:
    sender = _peek(candidate.bundle.commit).sender
    return sender is not None and sender.sender_type is SenderType.NEW_MEMBER_COMMIT


@lru_cache(maxsize=PEEKS_CACHED)
def _peek(commit: bytes) -> Peek:
    """Asked several times of each candidate, and all of the commit is decoded for it."""
    return peek(commit)


def _author(epoch: Epoch, candidate: Candidate) -> tuple[int, bytes]:
    """The member whose candidate it is, and the leaf key that signs for it; a resync is signed by its new leaf's."""
    back = comes_back(epoch.public, candidate.bundle.commit) if _is_external(candidate) else None
    if back is not None:
        replaced, leaf = back
        if candidate.author != place_of(epoch.public, replaced):
            raise RuleError("the candidate's author is not the leaf that its commit creates")
        return replaced, leaf.signature_key
    author = epoch.public.leaf(candidate.author)
    if author is None:
        raise RuleError(f"the candidate's author, leaf {candidate.author}, is not a member")
    sender = _peek(candidate.bundle.commit).sender
    if sender is None or sender.leaf_index != candidate.author:
        raise RuleError("the candidate's author is not the committer")
    return candidate.author, author.signature_key


def stage(known: HardValid, group: Group, now: int, *, decided: bool = False) -> Staged:
    """Process the commit with our own secrets; the present group stays as it is. Raises an `MlsError`.

    What is `decided` may be long ago: a newcomer's lifetime was for those to judge who voted.
    """
    bundle = known.candidate.bundle
    return group.stage(bundle.commit, proposals=bundle.proposals, now=now, accepted=decided, known=known.staged)


def _check_welcome(welcome: bytes, staged: PublicStaged) -> None:
    if not staged.adds:
        if welcome:
            raise RuleError("a Welcome for nobody")
        return
    try:
        references = welcome_references(welcome)
    except MlsError as error:
        raise RuleError(f"the bundle adds members without a readable Welcome: {error}") from error
    added = [addition.reference for addition in staged.adds]
    if sorted(references) != sorted(added):
        raise RuleError("the Welcome is not for exactly those the commit adds")
