"""How long decisions take here, and what follows from it: repeats and timers that fit a busy node."""

from dataclasses import replace

import pytest

from node.pace import REPEAT_FACTOR, SAMPLES_MAX, SAMPLES_MIN, Pace
from node.round_trips import RATIO_MAX, RoundTrips
from node.round_trips import SAMPLES_MIN as TRIPS_MIN
from ordering import Timing
from ordering.state import InstanceConfig
from ordering.timing import SOON_MAX_S, soon_s
from tests.ordering.world import config

POLICY_S = 0.5


def paced(*seconds: float) -> Pace:
    pace = Pace()
    for each in seconds:
        pace.note(each)
    return pace


def test_few_decisions_say_nothing() -> None:
    assert paced(*[3.0] * (SAMPLES_MIN - 1)).repeat_s == 0.0
    assert paced(*[3.0] * SAMPLES_MIN).repeat_s == 3.0 * REPEAT_FACTOR


def test_most_decisions_may_be_slow_and_change_nothing() -> None:
    """Liars lead a third of the epochs at most, and lost messages are no reason to repeat later."""
    assert paced(*([0.05] * 11 + [9.0] * 21)).usual_s == 0.05


def test_what_was_slow_long_ago_is_forgotten() -> None:
    assert paced(*([9.0] * SAMPLES_MAX + [0.05] * SAMPLES_MAX)).usual_s == 0.05


def test_the_unit_of_the_timers_grows_with_the_work_within_its_bounds() -> None:
    trips = RoundTrips()
    for peer in ("a", "b", "c"):
        for _ in range(TRIPS_MIN):
            trips.note(peer, 0.001)

    def delta_s(repeat_s: float) -> float:
        return trips.delta_s(POLICY_S, ("a", "b", "c"), 3, repeat_s)

    assert delta_s(0.0) == POLICY_S / RATIO_MAX
    assert delta_s(0.8) == 0.8
    assert delta_s(100.0) == POLICY_S * RATIO_MAX


@pytest.mark.parametrize(("repeat_s", "soon"), [(0.0, 0.2), (0.1, 0.2), (0.3, 0.3), (9.0, 0.4)])
def test_nothing_is_repeated_before_decisions_usually_end_nor_after_a_leader_is_late(
    repeat_s: float, soon: float
) -> None:
    timed = _config(Timing(delta_s=0.4, repeat_min_s=repeat_s))
    assert soon_s(timed) == soon
    assert soon_s(timed) < 2 * timed.timing.delta_s


def test_a_far_network_repeats_as_before() -> None:
    assert soon_s(_config(Timing(delta_s=5.0, repeat_min_s=0.1))) == SOON_MAX_S


def _config(timing: Timing) -> InstanceConfig:
    return replace(config(4, 0), timing=timing)
