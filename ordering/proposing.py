"""Leading a view: R3. What to propose, and when there is nothing to."""

from __future__ import annotations

from ordering import receiving, timing
from ordering.candidates import PLAIN_ORDINAL, CandidateFacts, order_key
from ordering.errors import GuardRefusal
from ordering.events import Broadcast, BuildOwn
from ordering.guard import propose_position, vote_position
from ordering.justification import Justification, justify
from ordering.messages import Propose, propose_bytes
from ordering.state import InstanceState, Work
from ordering.votes import Vote, VoteKind, vote_bytes
from ordering.wire import BundleId


def propose(work: Work) -> bool:
    """R3: once per view, on the strongest justification we know, guarded like a vote."""
    state = work.state
    if state.own_votes or state.own_propose is not None or not state.leads or not state.can_vote:
        return False
    justification = _justification(state)
    if justification is None:
        return False
    id = _choose(work, justification)
    return id is not None and _put_forward(work, justification, id)


def nothing_to_propose(work: Work) -> bool:
    """R3: whether we lead, armed, and have nothing: then nobody needs to wait for our timer.

    A value whose bytes or verdict are on the way is something, and so is the own plain commit being built.
    """
    state = work.state
    if state.own_votes or state.own_propose is not None or not state.leads or not timing.armed(state):
        return False
    justification = _justification(state)
    if justification is None:
        return False  # the view was entered on a notarization of itself
    if justification.constraint is not None or state.view > state.config.faults:
        return False
    return not any(f.hard and (f.soft is None or state.votable(f)) for f in state.candidates.values())


def in_order(state: InstanceState, view: int) -> list[CandidateFacts]:
    """The candidates in order-key order, as a leader of `view` sees them."""
    config = state.config
    firsts: dict[tuple[int, int], BundleId] = {}
    for facts in state.candidates.values():
        firsts.setdefault((facts.committer, facts.ordinal), facts.id)

    def key(facts: CandidateFacts) -> tuple[bool, bool, int, int, bytes, bytes]:
        tried = state.proposed.get(facts.id, view) < view
        rival = firsts[facts.committer, facts.ordinal] != facts.id
        return order_key(facts, config.group_id, config.epoch, tried=tried, rival=rival)

    return sorted(state.candidates.values(), key=key)


def note_collection(work: Work) -> bool:
    """The collection window opens with the first candidate that could be notarized."""
    state = work.state
    if state.collect_since_s is not None or not any(state.votable(f) for f in state.candidates.values()):
        return False
    work.set(collect_since_s=state.now_s)
    return True


def _justification(state: InstanceState) -> Justification | None:
    """J for this view from the highest notarization below it, or None when only a proof of the view exists."""
    justification = justify(state.config.instance, state.view, state.notarizations, state.nullifications)
    return justification if justification is not None and justification.justifies_proposal else None


def _choose(work: Work, justification: Justification) -> BundleId | None:
    """What to propose now; None to wait."""
    state = work.state
    constraint = justification.constraint
    if constraint is not None:  # constrained: that value, once it is here
        facts = state.candidates.get(constraint)
        return constraint if facts is not None and facts.usable else None
    if state.view > state.config.faults:  # from view f+1 on what everyone can open, or cannot do without
        return _resync(state) or _own_plain(work)
    votable = [facts for facts in in_order(state, state.view) if state.votable(facts)]
    if not votable or not _collected(state, votable):
        return None
    return votable[0].id


def _resync(state: InstanceState) -> BundleId | None:
    """A cut-off voter's resync: until then it, and others like it, can notarize nothing else that is fresh.

    Of each voter one, once in these views: who comes back again and again costs no more than a view. Our own is our
    plain commit.
    """
    late = {state.candidates[id].committer for id in state.proposed_late if id in state.candidates}
    for facts in in_order(state, state.view):
        seat = state.config.committee.voter_of_leaf(facts.committer)
        of_another = seat is not None and seat != state.config.own_voter
        if facts.resync and of_another and facts.committer not in late and state.votable(facts):
            return facts.id
    return None


def _own_plain(work: Work) -> BundleId | None:
    """The own plain commit, built on demand; for a cut-off voter its resync, the one commit it can make."""
    state = work.state
    for facts in in_order(state, state.view):
        own = facts.committer == state.config.own_leaf and (facts.resync or facts.ordinal == PLAIN_ORDINAL)
        if own and state.votable(facts):
            return facts.id
    if state.built_in != state.view:
        work.set(built_in=state.view)
        work.emit(BuildOwn(PLAIN_ORDINAL))
    return None


def _collected(state: InstanceState, votable: list[CandidateFacts]) -> bool:
    """Whether the collection window is over: at once for a lone candidate whose committer did not win lately."""
    won_lately = votable[0].last_won >= max(0, state.config.epoch - 2)
    if len(votable) == 1 and not won_lately:
        return True
    since = state.collect_since_s
    return since is not None and state.now_s + 1e-6 >= since + timing.collect_window_s(state)


def _put_forward(work: Work, justification: Justification, id: BundleId) -> bool:
    """Sign Propose and Notarize, persist both (R12), send them as one message."""
    state, config = work.state, work.config
    assert config.own_voter is not None, "only a seated voter leads"
    view, voter = state.view, config.own_voter
    message = propose_bytes(config.instance, voter, view, id, justification.hash)
    ballot = vote_bytes(config.instance, VoteKind.NOTARIZE, view, voter, id)
    try:
        guard, signature = state.guard.sign(propose_position(config.epoch, view), message, config.sign)
        guard, notarize = guard.sign(vote_position(config.epoch, view, VoteKind.NOTARIZE), ballot, config.sign)
    except GuardRefusal:
        return False
    proposal = Propose(config.instance, view, voter, id, justification, notarize, signature)
    vote = Vote(VoteKind.NOTARIZE, view, voter, id, notarize)
    receiving.note_proposed(work, view, id)
    state = work.state
    work.set(
        guard=guard,
        own_votes={VoteKind.NOTARIZE: vote},
        own_propose=proposal,
        proposal=id,
        notarized=state.notarized if id in state.notarized else (*state.notarized, id),
    )
    work.persist_votes()
    work.emit(Broadcast(proposal))
    receiving.count(work, vote)
    return True
