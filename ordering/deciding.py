"""The end of an instance: R9 (decide), the freeze, and handing the Decision on."""

from __future__ import annotations

from ordering.certificate import Certificate, Decision
from ordering.events import Broadcast, Decided, Frozen
from ordering.records import Freeze, FreezeReason
from ordering.state import Work
from ordering.wire import BundleId


def decide(work: Work, certificate: Certificate, *, gathered: bool) -> None:
    """R9: q Finalize of one view and bundle decide it, whatever view this is.

    The Decision and the guard beyond this epoch become durable together, before anything says so; from here R14 holds.
    A second Decision for another bundle is a fork. `gathered`: from votes, not as a whole from somebody who knew it.
    """
    state, config = work.state, work.config
    decision = Decision(config.group_id, config.epoch, config.prev, config.descriptor, certificate)
    if state.decision is None:
        work.set(decision=decision, guard=state.guard.advance(config.epoch + 1))
        work.persist_decision()
        leads = config.committee.leader(config.epoch, certificate.view) == config.own_voter
        if config.own_voter is not None and (gathered or not config.gathers):
            work.emit(Broadcast(decision, news=config.gathers and leads))  # R16
    elif state.decision.id != decision.id and state.freeze is None:
        if config.own_voter is not None:
            work.emit(Broadcast(decision))  # those who know only one of the two must learn
        _freeze(work, Freeze(FreezeReason.TWO_DECISIONS, (state.decision, decision), None))


def freeze_on_invalid(work: Work) -> bool:
    """R9: a quorum stands behind a bundle that is hard-invalid for us: more than f liars. Never a reason to pick."""
    state = work.state
    if state.freeze is not None:
        return False
    if state.decision is not None and _hard_invalid(work, state.decision.id):
        _freeze(work, Freeze(FreezeReason.HARD_INVALID, (state.decision,), None))
        return True
    for notarization in state.notarizations.values():
        if _hard_invalid(work, notarization.id):
            _freeze(work, Freeze(FreezeReason.HARD_INVALID, (), notarization))
            return True
    return False


def hand_over(work: Work) -> bool:
    """R9: give the decided bundle to MLS as soon as its bytes are here."""
    state = work.state
    if state.decision is None or state.handed or state.freeze is not None:
        return False
    facts = state.candidates.get(state.decision.id)
    if facts is None or not facts.usable:
        return False
    work.set(handed=True)
    work.emit(Decided(state.decision))
    return True


def report_freeze(work: Work) -> None:
    """After a restart: a freeze is durable, and said again."""
    if work.state.freeze is not None:
        work.emit(Frozen(work.state.freeze))


def _hard_invalid(work: Work, id: bytes) -> bool:
    facts = work.state.candidates.get(BundleId(id))
    return facts is not None and not facts.hard


def _freeze(work: Work, freeze: Freeze) -> None:
    work.set(freeze=freeze)
    work.persist_freeze()
    work.emit(Frozen(freeze))
