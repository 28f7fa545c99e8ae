"""Saying where we stand, repeating what may be lost (R10), and answering those who lag behind."""

from __future__ import annotations

from msgspec.structs import replace

from ordering import proposing, timing
from ordering.events import Broadcast, Send
from ordering.limits import OFFER_LISTS_MAX, OFFERING_MEMBERS_MAX, STATUS_CANDIDATES_MAX
from ordering.messages import InstanceMessage, Status
from ordering.state import InstanceState, Offer, Work
from ordering.votes import VoteKind
from ordering.wire import BundleId, digest

_BOOT_SHIFT = 32  # no start of the process sends more Statuses in one epoch than there is room for


def due(state: InstanceState) -> bool:
    """Whether the Status period is over."""
    return state.next_status_at_s is not None and state.now_s >= state.next_status_at_s


def speak(work: Work) -> None:
    """When the Status period is over: a Status, and everything of this view that a peer might have missed."""
    state = work.state
    if not due(state):
        return
    if state.handed:  # the log answers for this epoch from now on
        work.set(next_status_at_s=None)
        return
    _send_status(work)
    _retransmit(work)
    work.set(next_status_at_s=state.now_s + slowed_s(work, period_s(state)))


def take_status(work: Work, source: str, status: Status) -> None:
    """A member's Status: a sign of life, offers, and perhaps a laggard in need of an answer."""
    if not _authentic(work, status):
        return
    state = work.state
    sender = _sender(status)
    work.set(serials={**state.serials, sender: status.serial})
    if status.voter is not None:
        timing.hear(work, status.voter)
    _note_offers(work, source, sender, status)
    _answer(work, source, sender, status.view)


def _note_offers(work: Work, source: str, sender: tuple[bool, int], status: Status) -> None:
    """R15: voters hold candidates, but their authors may have no seat; of those the latest are remembered.

    Every list may make us ask for what it names, so of one sender only some are taken in a Status period.
    """
    if status.candidates and not _may_list(work, sender):
        return
    offers = {known: offer for known, offer in work.state.offers.items() if known != sender}
    if status.candidates:
        offers[sender] = Offer(source, tuple(BundleId(id) for id in status.candidates))
    unseated = [known for known in offers if not known[0]]
    for forgotten in unseated[: max(0, len(unseated) - OFFERING_MEMBERS_MAX)]:
        del offers[forgotten]
    work.set(offers=offers)


def _may_list(work: Work, sender: tuple[bool, int]) -> bool:
    """Count a list of this sender; False when it has had its share of this Status period. It will list again."""
    state = work.state
    since_s, count = state.listed.get(sender, (state.now_s, 0))
    if state.now_s - since_s >= state.config.timing.status_period_s:
        since_s, count = state.now_s, 0
    if count >= OFFER_LISTS_MAX:
        return False
    work.set(listed={**state.listed, sender: (since_s, count + 1)})
    return True


def _authentic(work: Work, status: Status) -> bool:
    """R13: structure, index, freshness, and only then the signature."""
    state, config = work.state, work.config
    if status.instance != config.instance or status.epoch != config.epoch:
        return False
    if status.serial <= state.serials.get(_sender(status), -1):
        return False  # repeated or replayed
    if status.voter is None:
        verify = config.verify_member
        return verify is not None and verify(status.leaf, status.signed_bytes, status.signature)
    if status.voter == config.own_voter or status.voter >= config.committee.size:
        return False
    if status.leaf != config.committee.seats[status.voter].leaf:
        return False
    return config.verify(config.descriptor.vote_keys[status.voter], status.signed_bytes, status.signature)


def _sender(status: Status) -> tuple[bool, int]:
    return (False, status.leaf) if status.voter is None else (True, status.voter)


def _answer(work: Work, source: str, sender: tuple[bool, int], view: int) -> None:
    """R10: the Decision or the proof a laggard lacks; rate-limited per sender, never never."""
    state = work.state
    lacking = state.decision if state.decision is not None else state.proof if view < state.view else None
    if lacking is None:
        return
    last = state.answered.get(sender)
    if last is not None and state.now_s - last < state.config.timing.status_period_s / 2:
        return
    work.set(answered={**state.answered, sender: state.now_s})
    work.emit(Send(source, lacking))


def _send_status(work: Work) -> None:
    """Sign and send a Status; what it offers counts as sent to every voter (R15)."""
    state, config = work.state, work.config
    offered = tuple(f.id for f in proposing.in_order(state, 0) if f.usable)[:STATUS_CANDIDATES_MAX]
    unsigned = Status(
        config.instance,
        config.epoch,
        state.view,
        config.own_voter,
        config.own_leaf,
        (config.boot << _BOOT_SHIFT) + state.status_count,
        offered if state.decision is None else (),
        config.fingerprint,
        b"",
    )
    signature = config.sign(unsigned.signed_bytes)
    first = {id: state.offered_at_s.get(id, state.now_s) for id in offered}
    work.set(status_count=state.status_count + 1, offered_at_s={**state.offered_at_s, **first})
    work.emit(Broadcast(replace(unsigned, signature=signature)))


def _retransmit(work: Work) -> None:
    """R10: own Propose and votes of this view, its proof, and its notarization if known."""
    state, config = work.state, work.config
    if config.own_voter is None or state.awake_at_s is None or state.decision is not None:
        return
    work.set(repeated=True)
    messages: list[InstanceMessage] = []
    if state.view > 0 and state.proof is not None:
        messages.append(state.proof)
    if state.own_propose is not None:
        messages.append(state.own_propose)
    carried = None if state.own_propose is None else VoteKind.NOTARIZE  # by the Propose
    messages += [vote.signed(config.instance) for vote in state.own_votes.values() if vote.kind is not carried]
    if state.view in state.notarizations:
        messages.append(state.notarizations[state.view])
    for message in messages:
        if Broadcast(message) not in work.effects:  # said in this very step
            work.emit(Broadcast(message))


def slowed_s(work: Work, period: float) -> float:
    """R16: twice as long once something was repeated: so many voters may be slow because they repeat so much."""
    return 2 * period if work.state.repeated and work.config.gathers else period


def period_s(state: InstanceState) -> float:
    """Until the next Status: the period, give or take a quarter; the jitter is a function of who and how many."""
    config = state.config
    own = any(facts.committer == config.own_leaf and facts.usable for facts in state.candidates.values())
    hurried = state.awake_at_s is not None and state.freeze is None and (config.own_voter is not None or own)
    period = config.timing.status_period_s if hurried else config.timing.idle_period_s
    spread = digest("conclave/jitter/v1", config.instance, config.own_leaf, state.status_count)[0] / 255
    return period * (0.75 + spread / 2)
