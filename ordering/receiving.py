"""Taking in what peers send: verify in order of cost (R13), count it, keep certificates (R5, R11)."""

from __future__ import annotations

from ordering import deciding, progress, timing
from ordering.certificate import Certificate, certify, verified_votes, well_formed
from ordering.events import Abstained, Broadcast, EvidenceFound
from ordering.evidence import Evidence, conflict, rivals
from ordering.guard import vote_position
from ordering.justification import Justification
from ordering.limits import VIEWS_AHEAD_MAX
from ordering.messages import Propose
from ordering.state import Work
from ordering.votes import SignedVote, Vote, VoteKind
from ordering.wire import BundleId


def take_vote(work: Work, signed: SignedVote) -> bool:
    """One vote of a peer. Returns whether it is true, seen before or not."""
    state, config = work.state, work.config
    if signed.instance != config.instance or signed.voter >= config.committee.size:
        return False
    if signed.view > state.view + VIEWS_AHEAD_MAX:  # R11; the past is counted
        return False
    known = state.tally.get(signed.view, signed.kind, signed.voter)
    if known is not None and known.id == signed.id:  # R13: equality before signature
        return True
    if known is not None and signed.voter in state.accused:  # its lies cost no more signature checks
        return False
    if not config.verify(config.descriptor.vote_keys[signed.voter], signed.signed_bytes, signed.signature):
        return False
    if known is None:
        timing.hear(work, signed.voter)  # a repeat is no sign of life
    count(work, Vote(signed.kind, signed.view, signed.voter, BundleId(signed.id), signed.signature))
    return True


def count(work: Work, vote: Vote) -> None:
    """Tally a verified vote, and whatever it completes."""
    _watch_own(work, vote, None)
    _watch_contradiction(work, vote)
    state, config = work.state, work.config
    tally = state.tally.add(vote)
    if tally is state.tally:
        return
    work.set(tally=tally)
    if tally.count(vote.view, vote.kind, vote.id) != config.quorum:  # the vote that completes it
        return
    agreeing = [other for other in tally.of(vote.view, vote.kind).values() if other.id == vote.id]
    keep(work, certify(config.instance, agreeing, config.quorum), gathered=True)


def keep(work: Work, certificate: Certificate, *, gathered: bool = False) -> None:
    """Store a verified certificate, `gathered` from votes or received; nothing moves here, the rules do that."""
    state = work.state
    view = certificate.view
    match certificate.kind:
        case VoteKind.NOTARIZE if view not in state.notarizations:
            work.set(notarizations={**state.notarizations, view: certificate})
            _relay(work, certificate)
        case VoteKind.NULLIFY if view not in state.nullifications:
            work.set(nullifications={**state.nullifications, view: certificate})
        case VoteKind.FINALIZE:
            deciding.decide(work, certificate, gathered=gathered)
        case _:
            pass


def _relay(work: Work, notarization: Certificate) -> None:
    """R5: even before the bytes are here. Where it need not be at once, it is with the next Status."""
    state, config, view = work.state, work.config, notarization.view
    if config.own_voter is None or view < state.view:
        return
    leads = config.committee.leader(config.epoch, view) == config.own_voter
    # R16: from its leader to everyone. Else the votes of this view went to everyone who was in it.
    at_once = leads if config.gathers else view > state.view
    if at_once:
        work.emit(Broadcast(notarization))
    else:
        timing.speak_soon(work)


def take_certificate(work: Work, certificate: Certificate) -> bool:
    """A certificate from anyone, of any view: it proves itself (R11). Returns whether it holds."""
    state, config = work.state, work.config
    if not well_formed(certificate, config.instance, config.descriptor):
        return False
    if _holds(work, certificate):
        return True
    votes = verified_votes(certificate, config.descriptor, config.verify, state.tally)
    if votes is None:
        return False
    for vote in votes:
        _watch_own(work, vote, certificate.kind)
    keep(work, certificate)
    for vote in votes:
        count(work, vote)
    return True


def _holds(work: Work, certificate: Certificate) -> bool:
    """Whether a certificate that says the same is held: then this one need not be verified (R13)."""
    state = work.state
    match certificate.kind:
        case VoteKind.NOTARIZE:
            known = state.notarizations.get(certificate.view)
            return known is not None and known.id == certificate.id
        case VoteKind.NULLIFY:
            return certificate.view in state.nullifications
        case VoteKind.FINALIZE:
            return state.decision is not None and state.decision.id == certificate.id


def take_justification(work: Work, justification: Justification) -> bool:
    """All certificates of a J or proof; the true ones are kept even when a later one is false."""
    if justification.instance != work.config.instance:
        return False
    return all(take_certificate(work, certificate) for certificate in justification.certificates())


def take_proof(work: Work, proof: Justification) -> None:
    """R2: a relayed proof of a later view."""
    if proof.view > work.state.view and take_justification(work, proof) and proof.view > work.state.view:
        progress.enter(work, proof.view)


def take_propose(work: Work, propose: Propose) -> None:
    """R4, as far as it is about the message: who signed it, and does its justification hold."""
    state, config = work.state, work.config
    if propose.instance != config.instance or propose.voter != config.committee.leader(config.epoch, propose.view):
        return
    if propose.view < state.view:  # late: its vote counts (R11), the proposal does not
        if take_vote(work, propose.vote):
            note_proposed(work, propose.view, BundleId(propose.id))
        return
    if propose.view == state.view and state.proposal is not None:  # one proposal per view; a second may be Evidence
        take_vote(work, propose.vote)
        return
    key = config.descriptor.vote_keys[propose.voter]
    if not config.verify(key, propose.signed_bytes, propose.signature):
        return  # corrupted on the way, perhaps by a relay: no fault of the leader's
    known = state.tally.get(propose.view, VoteKind.NOTARIZE, propose.voter)
    vote = propose.vote
    if (known is None or known.id != vote.id) and not config.verify(key, vote.signed_bytes, vote.signature):
        return
    justification = propose.justification
    if (
        justification.view != propose.view
        or not justification.permits(propose.id)
        or not take_justification(work, justification)
    ):
        _spoil(work, propose.view)  # R4: the leader signed it, and it is bad
        return
    if propose.view > work.state.view:
        progress.enter(work, propose.view)  # R2: enter first, then tally
    timing.hear(work, propose.voter)
    note_proposed(work, propose.view, BundleId(propose.id))
    if propose.view == work.state.view:
        proposal = BundleId(propose.id)
        asked = tuple(id for id in work.state.fetched if id != proposal)  # R15: not its leader, perhaps, who has it
        work.set(proposal=proposal, fetched=asked)
    count(work, Vote(VoteKind.NOTARIZE, propose.view, propose.voter, BundleId(propose.id), propose.notarize))


def note_proposed(work: Work, view: int, id: BundleId) -> None:
    """Remember the first view in which a value was proposed, for the order key, and whether it was in one above f."""
    state = work.state
    if view < state.proposed.get(id, view + 1):
        work.set(proposed={**state.proposed, id: view})
    if view > state.config.faults and id not in state.proposed_late:
        work.set(proposed_late=(*state.proposed_late, id))


def _spoil(work: Work, view: int) -> None:
    """A view whose leader disqualified itself; remembered only as far ahead as votes are (R11)."""
    state = work.state
    if state.view <= view <= state.view + VIEWS_AHEAD_MAX and view not in state.spoiled:
        work.set(spoiled=(*state.spoiled, view))


def _watch_contradiction(work: Work, vote: Vote) -> None:
    """Two votes that no honest voter casts are Evidence; reported once per voter."""
    state, instance = work.state, work.config.instance
    if vote.voter in state.accused or vote.voter == work.config.own_voter:
        return
    for kind in rivals(vote):
        other = state.tally.get(vote.view, kind, vote.voter)
        if other is not None and conflict(other.signed(instance), vote.signed(instance)):
            work.set(accused=(*state.accused, vote.voter))
            work.emit(EvidenceFound(Evidence(other.signed(instance), vote.signed(instance))))
            return


def _watch_own(work: Work, vote: Vote, certified: VoteKind | None) -> None:
    """Guard: a vote of our own that this guard cannot have signed means a restored backup or a clone. Abstain.

    Inside a Decision it says more: whoever cast it went on, and may have voted in the next epoch too.
    """
    state, config = work.state, work.config
    through = config.epoch + 1 if certified is VoteKind.FINALIZE else config.epoch
    if vote.voter != config.own_voter or state.own_votes.get(vote.kind) == vote or state.guard.abstains(through):
        return
    message = vote.signed(config.instance).signed_bytes
    if not state.guard.foreign(vote_position(config.epoch, vote.view, vote.kind), message):
        return
    work.set(guard=state.guard.abstaining(through))
    work.persist_guard()
    work.emit(Abstained(through, hopeless=config.committee.size == 1))
