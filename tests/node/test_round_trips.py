"""Δ₀ from round trips: what it follows, what a liar can make of it, and that nodes use it."""

from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from node.round_trips import FACTOR, MARGIN_S, NEAR_S, PEERS_MAX, RATIO_MAX, SAMPLES_MAX, SAMPLES_MIN, RoundTrips
from ordering import VOTES_TO_ALL_MAX, Model, fault_count, quorum_size
from tests.node.world import open_world

POLICY_S = 0.5


def measured(*seconds: float) -> RoundTrips:
    """Peers "0", "1", … that always take so long."""
    trips = RoundTrips()
    for peer, taken in enumerate(seconds):
        for _ in range(SAMPLES_MIN):
            trips.note(str(peer), taken)
    return trips


def delta(*seconds: float) -> float:
    """Δ₀ of a committee of ourselves and peers that take so long."""
    size = len(seconds) + 1
    peers = [str(peer) for peer in range(len(seconds))]
    return measured(*seconds).delta_s(POLICY_S, peers, quorum_size(size, Model.BYZANTINE))


def test_it_follows_who_completes_a_quorum() -> None:
    """Of four voters three decide: ourselves and the two fastest; the third may be on the moon."""
    assert delta(0.1, 0.2, 30.0) == FACTOR * 0.2 + MARGIN_S
    assert delta(0.2, 30.0, 0.1) == FACTOR * 0.2 + MARGIN_S


def test_it_stays_within_a_ratio_of_the_policy() -> None:
    assert delta(0.0001, 0.0001, 0.0001) == POLICY_S / RATIO_MAX
    assert delta(4.0, 4.0, 4.0) == POLICY_S * RATIO_MAX


def test_what_many_votes_cost_no_question_shows() -> None:
    """In a large committee Δ₀ is never less than the policy's."""
    assert delta(*[0.001] * VOTES_TO_ALL_MAX) == POLICY_S
    assert delta(*[0.001] * (VOTES_TO_ALL_MAX - 1)) == POLICY_S / RATIO_MAX


def test_near_is_a_quorum_that_is_near() -> None:
    """Ourselves and two others; how far the last one is does not matter, nor how busy they are now and then."""
    trips, peers = measured(0.001, NEAR_S / 2, 0.3), ["0", "1", "2"]
    trips.note("0", 0.5)
    assert trips.is_near(peers, 3, lambda peer: None)
    assert not trips.is_near(peers, 4, lambda peer: None)
    assert not trips.is_near(["0", "never", "2"], 3, lambda peer: None)
    assert not trips.is_near([], 1, lambda peer: None)


def test_the_network_knows_better_than_answers_do() -> None:
    """A busy peer answers late however near it is; one that is far cannot be nearer than its network."""
    trips, peers = measured(0.2, 0.2, 0.001), ["0", "1", "2"]
    assert not trips.is_near(peers, 3, lambda peer: None)
    assert trips.is_near(peers, 3, lambda peer: 0.0001)
    assert not trips.is_near(peers, 3, lambda peer: 0.1)


def test_what_is_not_known_is_not_guessed() -> None:
    trips = measured(0.1, 0.1, 0.1)
    trips.note("new", 0.1)
    assert trips.p99_s("new") is None
    assert trips.delta_s(POLICY_S, ["0", "new", "never"], 3) == POLICY_S
    assert trips.delta_s(POLICY_S, [], 1) == POLICY_S


def test_one_slow_answer_in_a_hundred_counts_and_is_forgotten() -> None:
    trips = measured(0.1)
    trips.note("0", 2.0)
    assert trips.p99_s("0") == 2.0
    for _ in range(SAMPLES_MAX):
        trips.note("0", 0.1)
    assert trips.p99_s("0") == 0.1


def test_strangers_do_not_fill_the_memory() -> None:
    trips = RoundTrips()
    for peer in range(PEERS_MAX + 10):
        for _ in range(2 * SAMPLES_MAX if peer < 3 else 1):
            trips.note(str(peer), 0.1)
    assert len(trips.samples) == PEERS_MAX
    assert max(map(len, trips.samples.values())) <= SAMPLES_MAX


@given(
    honest=st.lists(st.floats(0.001, 3.0), min_size=2, max_size=20),
    lies=st.lists(st.floats(0.0, 1000.0), max_size=10),
)
def test_liars_move_it_between_honest_voters_only(honest: list[float], lies: list[float]) -> None:
    """Slow ones are passed over; fast ones lead to a faster honest voter, or to the least that the ratio allows."""
    size = len(honest) + len(lies) + 1
    if len(lies) > fault_count(size, Model.BYZANTINE):
        return
    found = delta(*honest, *lies)
    slowest = FACTOR * max(honest) + MARGIN_S
    least = POLICY_S if len(honest) + len(lies) >= VOTES_TO_ALL_MAX else POLICY_S / RATIO_MAX
    assert least <= found <= max(least, min(POLICY_S * RATIO_MAX, slowest))


async def test_nodes_learn_it_from_their_voters(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The policy says 200 ms; the way takes one or two."""
    async with open_world(tmp_path) as world:
        a, b, *_ = await world.group_of(*"abcd", committee=4)
        await trio.sleep(60)
        assert (await a.update()).state == "done"
        await world.settled(a, b)
        assert a.session.agreement.instance.config.timing.delta_s == 0.2 / RATIO_MAX
        assert (await b.update()).state == "done"
