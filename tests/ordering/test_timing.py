"""When the timers run, pause and are skipped."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.transport import FRAME_SIZE_MAX
from ordering import Heard, Open, Tick, VoteKind, timing
from ordering.limits import JUSTIFICATION_SIZE_MAX, JUSTIFICATION_VIEWS_MAX, PROPOSE_SIZE_MAX
from tests.ordering.world import TIMING, Liar, Node, config, facts, value, votes

LIAR = Liar(4)
X = value("x")
NULLIFY = VoteKind.NULLIFY


def test_delta_grows_by_half_up_to_a_minute() -> None:
    assert [TIMING.delta(view) for view in range(3)] == [1.0, 1.5, 2.25]
    assert TIMING.delta(1000) == 60.0


def test_no_timers_without_a_quorum_in_hearing() -> None:
    """Silence of too many is a partition: burning views helps nobody (over budget: stall, not a fork)."""
    node = Node(config(4, 2))
    node.open(heard=[0])
    node.learn(facts("x"))
    assert votes(node.pass_time(600)) == []
    assert node.state.view == 0


def test_no_timers_with_nothing_to_decide() -> None:
    """Story `garbage_alone`: a bundle that opens for nobody burns no views."""
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.learn(facts("x", soft=False))
    for _ in range(100):
        node.give(Heard(node.now_s, (0, 1, 3)))
        assert votes(node.pass_time(1.0)) == []


def test_others_votes_arm_us() -> None:
    """Story `one_voter_has_nothing`: f + 1 others voted in this view, so there is something."""
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.receive(LIAR.vote(NULLIFY, 0, 1))
    assert votes(node.pass_time(2.5)) == []
    node.receive(LIAR.vote(NULLIFY, 0, 3))
    assert LIAR.vote(NULLIFY, 0, 2) in votes(node.pass_time(0.1)) + votes(node.effects)


def test_timers_pause_and_are_not_reset() -> None:
    """Story `flapping_heard`: in hearing every now and then is enough in the end."""
    node = Node(config(4, 2))
    node.open()
    node.learn(facts("x"))
    armed = 0.0
    cast: list[object] = []
    window = 4 * TIMING.status_period_s
    node.pass_time(10 * window)
    while not cast and armed < 100:
        node.give(Heard(node.now_s, (0, 1)))
        cast += votes(node.pass_time(0.3))
        armed += 0.3
        silence = window + 5  # longer than the window: the rest of it runs, then the clock stands still
        cast += votes(node.pass_time(silence))
        armed += window - 0.3
    assert cast != []
    assert armed <= 3 * window


def test_the_clock_stands_still_when_out_of_hearing() -> None:
    node = Node(config(4, 2))
    node.open()
    node.learn(facts("x"))
    node.pass_time(100)
    assert node.state.clock_s == 0.0


def test_a_leader_long_unheard_gets_no_time() -> None:
    """Story `dead_leader_after_sleep`: an hour of Statuses from all but the leader, then a candidate."""
    node = Node(config(4, 2))
    node.open(heard=[1, 3])
    for _ in range(720):
        node.give(Heard(node.now_s, (1, 3)))
        node.pass_time(5)
    node.give(Heard(node.now_s, (1, 3)))
    assert votes(node.learn(facts("x"))) == [LIAR.vote(NULLIFY, 0, 2)]


def test_silence_counts_only_while_we_listened() -> None:
    """We slept, or have just started: the leader's silence says nothing."""
    node = Node(config(4, 2))
    node.open(heard=[1, 3])
    node.give(Tick(3600.0))  # one tick after an hour: the process was stopped
    node.give(Heard(node.now_s, (1, 3)))
    assert votes(node.learn(facts("x"))) == []
    fresh = Node(config(4, 2))
    fresh.now_s = 3600.0
    fresh.open(heard=[1, 3])
    assert votes(fresh.learn(facts("x"))) == []


def test_a_nap_counts_as_one_as_soon_as_it_is_over() -> None:
    """Stopped just after we woke, for longer than four fast Status periods and shorter than four idle ones: the leader
    is as good as it was, though silence is measured in fast periods from now on."""
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.learn(facts("x"))
    node.receive(*(LIAR.certificate(NULLIFY, view, (0, 1, 3)) for view in range(4)))
    node.pass_time(0.1)
    node.give(Tick(node.now_s + 6.0))
    assert votes(node.give(Heard(node.now_s, (1, 3)))) == []
    assert not timing.leader_unheard(node.state)


def test_listening_carries_over_between_instances() -> None:
    node = Node(config(4, 2))
    node.now_s = 3600.0
    node.give(Open(3600.0, listening_since_s=0.0, heard=((1, 3600.0), (3, 3600.0), (0, 3000.0))))
    assert votes(node.learn(facts("x"))) == [LIAR.vote(NULLIFY, 0, 2)]


def test_an_instance_opened_in_mid_life_sends_its_first_status_in_its_own_time() -> None:
    node = Node(config(4, 2))
    assert node.give(Open(100.0, listening_since_s=0.0)) == []
    assert node.state.wake_at_s is not None
    assert 100.0 < node.state.wake_at_s <= 100.0 + 1.25 * TIMING.idle_period_s


@pytest.mark.parametrize("early", [0.5, 1.0])
def test_early_ticks_do_no_harm(early: float) -> None:
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.learn(facts("x"))
    assert votes(node.give(Tick(early))) == []
    assert votes(node.give(Tick(early))) == []
    assert votes(node.give(Tick(2.0))) != []


def test_the_last_view_that_a_proof_can_reach_has_no_end() -> None:
    """After so many nullified views, hours of failure at least, a further one could not be proved to anybody: nobody
    would follow, and no restart would read the record. So its leader gets all the time there is."""
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.learn(facts("x"))
    last = JUSTIFICATION_VIEWS_MAX
    nullified = [LIAR.certificate(NULLIFY, view, (0, 1, 3)) for view in range(last)]
    node.receive(LIAR.justification(last, None, nullified))
    assert node.state.view == last
    for _ in range(200):
        node.give(Heard(node.now_s, (0, 1, 3)))
        assert votes(node.pass_time(3.0)) == []
    record = node.state.instance_record()
    assert type(record).decode(record.encode()) == record

    proof = LIAR.justification(last, None, nullified)
    node.receive(LIAR.propose(last, value("x"), proof))
    assert LIAR.vote(VoteKind.NOTARIZE, last, 2, value("x")) in votes(node.effects)


@pytest.mark.parametrize("size", [4, 31])
def test_the_longest_proof_fits_where_it_has_to(size: int) -> None:
    """In a Propose, in a frame of the node, in the record that a restart reads."""
    liar = Liar(size)
    quorum = range(liar.config.quorum)
    one = liar.certificate(NULLIFY, 0, [size - 1 - voter for voter in quorum])
    nullified = [replace(one, view=view) for view in range(JUSTIFICATION_VIEWS_MAX)]
    proof = liar.justification(JUSTIFICATION_VIEWS_MAX, None, nullified)
    assert len(proof.encode()) <= JUSTIFICATION_SIZE_MAX
    assert PROPOSE_SIZE_MAX + 1024 <= FRAME_SIZE_MAX
    assert len(liar.propose(JUSTIFICATION_VIEWS_MAX, X, proof).encode()) <= PROPOSE_SIZE_MAX


def test_time_never_runs_backwards() -> None:
    node = Node(config(4, 2))
    node.open(heard=[0, 1, 3])
    node.learn(facts("x"))
    node.give(Tick(1.5))
    node.give(Tick(0.0))
    assert node.state.now_s == 1.5
    assert node.state.clock_s == 1.5
