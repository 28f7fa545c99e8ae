"""What is known of candidates: taking in facts (R15), waking (R1), and asking for bytes that are missing."""

from __future__ import annotations

import math
from typing import Final

from ordering import timing
from ordering.candidates import CandidateFacts
from ordering.events import Fetch
from ordering.limits import CANDIDATE_RIVALS_MAX, CANDIDATES_MAX
from ordering.state import InstanceState, Work
from ordering.votes import VoteKind
from ordering.wire import BundleId

IGNORED_MAX: Final = 128  # ids offered or reported that were not worth keeping


def learn(work: Work, facts: CandidateFacts) -> None:
    """Take in a candidate's facts, new or changed, and offer what is worth it soon (R15)."""
    state = work.state
    if facts.id not in state.candidates and facts.id not in needed(state) and not _worth_keeping(state, facts):
        work.set(ignored=(*state.ignored, facts.id)[-IGNORED_MAX:])
        return
    work.set(candidates={**state.candidates, facts.id: facts})
    known = state.candidates.get(facts.id)
    if facts.usable and (known is None or not known.usable):
        timing.speak_soon(work)


def wake(work: Work) -> bool:
    """R1: asleep until a hard-valid candidate, or a vote or certificate, is known; waking brings a Status forward.

    A follower, of which there may be many, says nothing then unless it has a candidate to offer (R15).
    """
    state = work.state
    if state.awake_at_s is not None:
        return False
    known = state.tally.ballots or state.notarizations or state.nullifications or state.decision or state.view
    if not known and not any(facts.hard for facts in state.candidates.values()):
        return False
    work.set(awake_at_s=state.now_s)
    if state.config.own_voter is not None:
        timing.speak_soon(work)
    return True


def fetch_missing(work: Work) -> bool:
    """Ask for every bundle that is named and not here, until it comes: once each per Status period and view, and once
    more when it is proposed (R15)."""
    state = work.state
    if state.handed:
        return False
    named = needed(state)
    if state.offers:
        named = (*named, *_offered(state))
    missing = [id for id in dict.fromkeys(named) if id not in state.fetched and _missing(state, id)]
    if not missing:
        return False
    for id in missing:
        work.emit(_fetch(state, id))
    work.set(fetched=(*state.fetched, *missing))
    return True


def needed(state: InstanceState) -> tuple[BundleId, ...]:
    """The bundles that the protocol itself names: decided, notarized, proposed in this view."""
    ids = [] if state.decision is None else [state.decision.id]
    ids += [notarization.bundle for notarization in state.notarizations.values()]
    ids += [] if state.proposal is None else [state.proposal]
    return tuple(dict.fromkeys(ids))


def _worth_keeping(state: InstanceState, facts: CandidateFacts) -> bool:
    """Bounds on what members can make us keep: few rivals of one leaf and ordinal, and a total for who has no seat.

    Voters, few as they are, always find room, and so do we: or many members together could crowd out the plain commits
    and resyncs that end such an epoch.
    """
    is_full = len(state.candidates) >= CANDIDATES_MAX
    is_seated = state.config.committee.voter_of_leaf(facts.committer) is not None
    if not facts.hard or (is_full and not is_seated and facts.committer != state.config.own_leaf):
        return False
    place = (facts.committer, facts.ordinal)
    rivals = sum(1 for known in state.candidates.values() if (known.committer, known.ordinal) == place)
    return rivals < CANDIDATE_RIVALS_MAX


def _offered(state: InstanceState) -> list[BundleId]:
    """What others' last Status offered, voters' first. Followers need no candidates, nobody after the Decision.

    Only so many are asked for at once: who has no seat, and offers what nobody has, shall not be in the way.
    """
    if state.decision is not None or state.config.own_voter is None:
        return []
    senders = sorted(state.offers, key=lambda sender: (not sender[0], sender[1]))
    return [id for sender in senders for id in state.offers[sender].candidates if id not in state.ignored]


def _missing(state: InstanceState, id: BundleId) -> bool:
    facts = state.candidates.get(id)
    return facts is None or (facts.hard and not facts.available)


def _fetch(state: InstanceState, id: BundleId) -> Fetch:
    """Whom to ask: voters that offered it, or cast a vote that wants it in hand; then members that offered it.

    The certificates that name it are looked at too, not the tally alone, which a restart empties: among those who
    signed one is an honest holder, while what we happen to have heard since may all be by liars that withhold it. Who
    was heard last comes first: who has gone, or is cut off, lets us wait, and views pass meanwhile.
    """
    offering = [sender for sender in sorted(state.offers) if id in state.offers[sender].candidates]
    voters = [index for seated, index in offering if seated]
    for (_, kind), votes in state.tally.ballots.items():
        if kind is not VoteKind.NULLIFY:
            voters += [voter for voter in sorted(votes) if votes[voter].id == id]
    certificates = [*state.notarizations.values(), *([] if state.decision is None else [state.decision.certificate])]
    for certificate in certificates:
        voters += [voter for voter, _ in certificate.signatures if certificate.id == id]
    others = [voter for voter in dict.fromkeys(voters) if voter != state.config.own_voter]
    holders = tuple(sorted(others, key=lambda voter: -state.heard.get(voter, -math.inf)))
    return Fetch(id, holders, tuple(state.offers[sender].source for sender in offering if not sender[0]))
