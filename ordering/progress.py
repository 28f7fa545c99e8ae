"""Moving through views: R2 (enter) and the second half of R8 (give up waiting)."""

from __future__ import annotations

from ordering import timing
from ordering.events import Broadcast
from ordering.justification import justify
from ordering.state import InstanceState, Work
from ordering.votes import VoteKind


def enter(work: Work, view: int) -> None:
    """R2: enter a later view whose proof is complete; keep the proof, and relay the whole of it."""
    state, config = work.state, work.config
    proof = justify(config.instance, view, state.notarizations, state.nullifications)
    assert proof is not None, "a view is entered only on a proof of it"
    work.set(
        view=view,
        proof=proof,
        own_votes={},
        own_propose=None,
        proposal=None,
        spoiled=tuple(spoiled for spoiled in state.spoiled if spoiled >= view),
        clock_s=0.0,
        notarized_clock_s=None,
        repeated=False,
        fetched=(),  # R15: a new view has a timer of its own for what is missing
    )
    if config.own_voter is None:
        return
    if config.gathers:  # R16: many voters, and the votes that made it went to all of them
        timing.speak_soon(work)
    else:
        work.emit(Broadcast(proof))


def follow(work: Work) -> bool:
    """R2: enter the furthest view that our own certificates prove. One that completes no proof moves nobody."""
    view = furthest(work.state)
    if view == work.state.view:
        return False
    enter(work, view)
    return True


def furthest(state: InstanceState) -> int:
    """The last view reached by stepping from certificate to certificate.

    A nullification of v leads to v+1. A notarization of v leads to v, and with a nullification of v+1 to v+2, because
    both together are a J for it; the step from v to v+1 on a notarization alone is R8's.
    """
    view = state.view
    while True:
        if view in state.nullifications:
            view += 1
        elif view in state.notarizations and view + 1 in state.nullifications:
            view += 2
        elif any(later > view for later in state.notarizations):
            view = max(state.notarizations)
        else:
            return view


def notice_notarization(work: Work) -> bool:
    """Start the finalize timer when this view's notarization is known."""
    state = work.state
    if state.notarized_clock_s is not None or state.view not in state.notarizations:
        return False
    work.set(notarized_clock_s=state.clock_s)
    return True


def give_up_waiting(work: Work) -> bool:
    """R8: with a notarization of the view, move on when it can finalize no more, or after the finalize timer."""
    state = work.state
    if state.decision is not None or state.view not in state.notarizations:
        return False
    nullified = state.tally.count(state.view, VoteKind.NULLIFY)
    hopeless = nullified > work.config.committee.offline_max  # > n - q: no q Finalize are left
    if hopeless or timing.passed(state, timing.finalize_deadline_s(state)):
        enter(work, state.view + 1)
        return True
    return False
