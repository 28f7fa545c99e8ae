"""Casting votes: R4 (notarize), R6 (finalize), R7 (nullify), each through the guard and onto disk (R12)."""

from __future__ import annotations

from ordering import proposing, receiving, timing
from ordering.candidates import CandidateFacts, ProposalClass
from ordering.errors import GuardRefusal
from ordering.events import Broadcast, Entrust
from ordering.guard import vote_position
from ordering.limits import JUSTIFICATION_VIEWS_MAX
from ordering.state import InstanceState, Work
from ordering.votes import NO_ID, Vote, VoteKind, vote_bytes
from ordering.wire import BundleId


def notarize(work: Work) -> bool:
    """R4: the proposal of this view, if nothing speaks against it. What is missing is waited for."""
    state = work.state
    if state.proposal is None or state.own_votes or state.view in state.spoiled or not state.can_vote:
        return False
    facts = state.candidates.get(state.proposal)
    if facts is None or not state.votable(facts) or _refused(state, facts):
        return False
    return cast(work, VoteKind.NOTARIZE, facts.id)


def finalize(work: Work) -> bool:
    """R6: a notarization of this view, its bytes here and hard-valid, this view not nullified: at once."""
    state = work.state
    notarization = state.notarizations.get(state.view)
    if notarization is None or VoteKind.FINALIZE in state.own_votes or VoteKind.NULLIFY in state.own_votes:
        return False
    if not state.can_vote:
        return False
    facts = state.candidates.get(notarization.bundle)
    if facts is None or not facts.usable:
        return False
    return cast(work, VoteKind.FINALIZE, facts.id)


def nullify(work: Work) -> bool:
    """R7: nothing will come of this view, as far as we can tell. Never after our own Finalize in it.

    With a notarization of the view in hand nobody nullifies: then it is finalized (R6) or left behind (R8).
    """
    state = work.state
    if VoteKind.FINALIZE in state.own_votes or VoteKind.NULLIFY in state.own_votes:
        return False
    if state.view in state.notarizations or not state.can_vote:
        return False
    if _is_last(state) or (not _hopeless(work) and not _overdue(state)):
        return False
    return cast(work, VoteKind.NULLIFY)


def _is_last(state: InstanceState) -> bool:
    """Whether no proof could lead out of this view: it has as many nullified views behind it as one can span.

    The view has no end then, and its leader all the time there is; nobody goes where others could not follow.
    """
    return state.proof is not None and len(state.proof.nullifications) >= JUSTIFICATION_VIEWS_MAX


def _hopeless(work: Work) -> bool:
    """Reasons to nullify at once."""
    state = work.state
    if state.view in state.spoiled:  # R4: a bad proposal
        return True
    if state.tally.get(state.view, VoteKind.NULLIFY, state.leader) is not None:  # the leader's own Nullify
        return True
    if _contradiction(state) or proposing.nothing_to_propose(work):  # R3, last but one sentence
        return True
    if state.proposal is None or VoteKind.NOTARIZE in state.own_votes:
        return False
    facts = state.candidates.get(state.proposal)
    return facts is not None and (not facts.hard or _refused(state, facts))


def _overdue(state: InstanceState) -> bool:
    """The leader timer without an acceptable proposal, or the view timer without a notarization."""
    if VoteKind.NOTARIZE not in state.own_votes and timing.passed(state, timing.leader_deadline_s(state)):
        return True
    return timing.passed(state, timing.view_deadline_s(state))


def _contradiction(state: InstanceState) -> bool:
    """Whether no value can reach q Notarize in this view any more."""
    notarized = state.tally.of(state.view, VoteKind.NOTARIZE)
    nullified = state.tally.of(state.view, VoteKind.NULLIFY)
    if len(notarized) + len(nullified) <= state.config.committee.size - state.config.quorum:  # q are left, at least
        return False
    undecided = state.config.committee.size - len(notarized.keys() | nullified.keys())
    counts: dict[bytes, int] = {}
    for vote in notarized.values():
        counts[vote.id] = counts.get(vote.id, 0) + 1
    return max(counts.values(), default=0) + undecided < state.config.quorum


def _refused(state: InstanceState, facts: CandidateFacts) -> bool:
    """Soft-invalid where soft validity is asked: while the value is fresh."""
    if state.settled(facts.id):
        return False
    return facts.soft is False or _passes_over_urgent(state, facts)


def _passes_over_urgent(state: InstanceState, facts: CandidateFacts) -> bool:
    """The class rule, views 0..f: the leader passed over an urgent candidate that it must have known.

    One that was already proposed in an earlier view had its chance: the leader's own order puts it last.
    """
    if facts.proposal_class is ProposalClass.URGENT or state.view > state.config.faults:
        return False
    latest = state.now_s - 2 * state.config.timing.delta(state.view)
    return any(
        other.proposal_class is ProposalClass.URGENT
        and state.votable(other)
        and state.offered_at_s.get(other.id, state.now_s) < latest
        and state.proposed.get(other.id, state.view) >= state.view
        for other in state.candidates.values()
    )


def cast(work: Work, kind: VoteKind, id: BundleId = NO_ID) -> bool:
    """Sign through the guard, persist, then say it (R12). False, and nothing changes, when the guard refuses."""
    state, config = work.state, work.config
    assert config.own_voter is not None, "only a seated voter casts"
    message = vote_bytes(config.instance, kind, state.view, config.own_voter, id)
    try:
        guard, signature = state.guard.sign(vote_position(config.epoch, state.view, kind), message, config.sign)
    except GuardRefusal:
        return False
    vote = Vote(kind, state.view, config.own_voter, id, signature)
    notarized = state.notarized
    if kind is VoteKind.NOTARIZE and id not in notarized:
        notarized = (*notarized, id)
    work.set(guard=guard, own_votes={**state.own_votes, kind: vote}, notarized=notarized)
    work.persist_votes()
    _say(work, vote)
    receiving.count(work, vote)
    return True


def _say(work: Work, vote: Vote) -> None:
    """R16: to everyone, or first to the leader alone, and to everyone with the next Status.

    A Nullify says that the leader failed; a leader that is not heard, or that has let us wait, gets nothing alone.
    """
    state, config = work.state, work.config
    signed = vote.signed(config.instance)
    relies = config.through_leader and not state.repeated and not timing.leader_unheard(state)
    if vote.kind is VoteKind.NULLIFY or not relies:
        work.emit(Broadcast(signed))
        return
    if not state.leads:
        work.emit(Entrust(state.leader, signed))
    timing.speak_soon(work)
