"""Time: who was heard, when timers run, and when to wake up.

A view's timers are deadlines on a clock that counts only *armed* seconds. When the arming conditions fail the clock
stands still; it is never set back. So flapping links slow the timers down but cannot stop them.
"""

from __future__ import annotations

import math
from typing import Final

from ordering.state import InstanceConfig, InstanceState, Work
from ordering.votes import VoteKind

HEARD_PERIODS: Final = 4
SOON_MAX_S: Final = 0.25
_ROUNDING_S: Final = 1e-6


def advance(work: Work, now_s: float) -> None:
    """Move to the time of an input: the view's clock gains the seconds it was armed for."""
    state = work.state
    now_s = max(now_s, state.now_s)
    clock_s, listening_since_s = state.clock_s, state.listening_since_s
    if state.armed_until_s is not None:
        clock_s += max(0.0, min(now_s, state.armed_until_s) - state.now_s)
    if now_s - state.now_s > _window_s(state, now_s):  # as it is now: the gap may have made it shorter
        listening_since_s = now_s  # the process was stopped or asleep: silence says nothing about others
    work.set(now_s=now_s, clock_s=clock_s, listening_since_s=listening_since_s)


def hear(work: Work, voter: int) -> None:
    """Fresh, authenticated traffic of a voter."""
    if voter != work.config.own_voter and 0 <= voter < work.config.committee.size:
        work.set(heard={**work.state.heard, voter: work.state.now_s})


def heard_window_s(state: InstanceState) -> float:
    """Four Status periods: of the idle period until we have been awake long enough to expect the faster one."""
    return _window_s(state, state.now_s)


def _window_s(state: InstanceState, now_s: float) -> float:
    timing = state.config.timing
    awake_window = HEARD_PERIODS * timing.status_period_s
    if state.awake_at_s is not None and now_s - state.awake_at_s >= awake_window:
        return awake_window
    return HEARD_PERIODS * max(timing.idle_period_s, timing.status_period_s)


def leader_unheard(state: InstanceState) -> bool:
    """Whether the view's leader was silent for the whole window while we were listening: it gets no time."""
    if state.leads:
        return False
    last = max(state.heard.get(state.leader, -math.inf), state.listening_since_s)
    return state.now_s - last > heard_window_s(state)


def armed_until(state: InstanceState) -> float | None:
    """Until when the timers run if nothing more arrives; None when they stand still now."""
    if not state.can_vote or not _worth_timing(state):
        return None
    others = state.config.quorum - 1  # oneself included
    if len(state.heard) < others:
        return None
    if others == 0:
        return math.inf
    lapse = sorted(state.heard.values(), reverse=True)[others - 1] + heard_window_s(state)
    return lapse if lapse > state.now_s else None


def armed(state: InstanceState) -> bool:
    """Whether the timers run now."""
    return armed_until(state) is not None


def _worth_timing(state: InstanceState) -> bool:
    """Condition (ii): something could be decided, or others are already at it in this view."""
    if state.notarizations or any(state.votable(facts) for facts in state.candidates.values()):
        return True
    others = state.tally.voters(state.view) - {state.config.own_voter}
    return len(others) >= state.config.faults + 1


def leader_deadline_s(state: InstanceState) -> float:
    """On the view's clock."""
    return 0.0 if leader_unheard(state) else 2 * state.config.timing.delta(state.view)


def view_deadline_s(state: InstanceState) -> float:
    """On the view's clock."""
    return 3 * state.config.timing.delta(state.view)


def finalize_deadline_s(state: InstanceState) -> float | None:
    """On the view's clock; None while no notarization of the view is known."""
    if state.notarized_clock_s is None:
        return None
    return state.notarized_clock_s + 2 * state.config.timing.delta(state.view)


def passed(state: InstanceState, deadline_s: float | None) -> bool:
    """Whether a timer has fired; a paused one does not."""
    return deadline_s is not None and state.clock_s + _ROUNDING_S >= deadline_s and armed(state)


def collect_window_s(state: InstanceState) -> float:
    """How long a leader waits for rivals when it does wait."""
    timing = state.config.timing
    return min(timing.delta_s / 4, timing.collect_max_s)


def speak_soon(work: Work) -> None:
    """Bring the next Status forward: needless when all goes well, early when it does not."""
    at = work.state.next_status_at_s
    if at is not None:
        work.set(next_status_at_s=min(at, work.state.now_s + soon_s(work.config)))


def soon_s(config: InstanceConfig) -> float:
    """min(Δ₀/2, 250 ms); three times that where votes go through the leader, which takes two messages more (R16), and
    where what many repeat too early holds up what they wait for. Longer, up to Δ₀, where decisions take longer than
    that with nothing lost. It is still before the leader timer."""
    timing = config.timing
    soon = min(timing.delta_s / 2, SOON_MAX_S)
    return max(3 * soon if config.gathers else soon, min(timing.repeat_min_s, timing.delta_s))


def rearm(work: Work) -> None:
    """At the end of a step: until when the clock runs, and when to be called again."""
    state = work.state
    now_s, clock_s = state.now_s, state.clock_s
    until = armed_until(state)
    wake = [] if state.next_status_at_s is None else [state.next_status_at_s]
    if until is not None:
        ahead = [deadline_s - clock_s for deadline_s in _deadlines(state) if deadline_s - clock_s > _ROUNDING_S]
        wake += [now_s + left for left in ahead if now_s + left <= until]
    if state.own_propose is None and state.collect_since_s is not None and state.can_vote and state.leads:
        wake.append(state.collect_since_s + collect_window_s(state))
    later = [at for at in wake if at > now_s]
    work.set(armed_until_s=until, wake_at_s=min(later, default=None))


def _deadlines(state: InstanceState) -> list[float]:
    """Those that could still do something in this view."""
    finalize = finalize_deadline_s(state)
    if finalize is not None:
        return [finalize]
    if VoteKind.NULLIFY in state.own_votes:
        return []
    if VoteKind.NOTARIZE in state.own_votes:
        return [view_deadline_s(state)]
    return [leader_deadline_s(state), view_deadline_s(state)]
