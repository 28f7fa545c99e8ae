"""R16: in a large committee votes go through the leader, which tells everyone what came together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from ordering import (
    VOTES_TO_ALL_MAX,
    Broadcast,
    Certificate,
    Decided,
    Decision,
    Effect,
    Entrust,
    InstanceConfig,
    Justification,
    Propose,
    SignedVote,
    Status,
    VoteKind,
)
from ordering.timing import soon_s
from tests.ordering.world import TIMING, Cluster, Liar, Node, broadcasts, config, facts, of_type, value, votes

NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
X = value("x")
LARGE = VOTES_TO_ALL_MAX + 1


def near(size: int, voter: int | None, *, epoch: int = 0) -> InstanceConfig:
    """A voter that tells its votes to the leader first."""
    return replace(config(size, voter, epoch=epoch), through_leader=True)


def awake(size: int, voter: int, *, epoch: int = 0) -> Node:
    """A near voter that has heard everybody and knows x."""
    node = Node(near(size, voter, epoch=epoch))
    node.open(heard=[other for other in range(size) if other != voter])
    node.learn(facts("x"))
    return node


def entrusted(effects: Iterable[Effect]) -> list[tuple[int, VoteKind]]:
    return [(effect.voter, effect.message.kind) for effect in of_type(effects, Entrust)]


class NearCluster(Cluster):
    """Votes that are entrusted reach the leader alone."""

    def __init__(self, size: int, *, near_voters: Iterable[int] | None = None) -> None:
        super().__init__(size)
        chosen = set(range(size) if near_voters is None else near_voters)
        self.nodes = {i: Node(replace(node.config, through_leader=i in chosen)) for i, node in self.nodes.items()}

    def perform(self, sender: int, effects: Iterable[Effect]) -> None:
        effects = tuple(effects)
        super().perform(sender, effects)
        for effect in of_type(effects, Entrust):
            self.post(sender, effect.voter, effect.message)

    def decided(self) -> dict[int, bytes]:
        return {node: effect.decision.id for node, effect in self.log if isinstance(effect, Decided)}

    def frames(self) -> int:
        """What went over the links, counted once for each receiver."""
        others = len(self.nodes) - 1
        return sum(others for _, effect in self.log if isinstance(effect, Broadcast)) + sum(
            1 for _, effect in self.log if isinstance(effect, Entrust)
        )


def test_a_vote_goes_to_the_leader_alone() -> None:
    liar, node = Liar(LARGE), awake(LARGE, 2)
    effects = node.receive(liar.propose(0, X))
    assert entrusted(effects) == [(0, NOTARIZE)]
    assert votes(effects) == []
    effects = node.receive(liar.certificate(NOTARIZE, 0, range(LARGE), X))
    assert entrusted(effects) == [(0, FINALIZE)]
    assert broadcasts(effects) == []


def test_with_the_next_status_it_goes_to_everyone() -> None:
    """A leader that keeps to itself what comes together costs so much, and no view."""
    liar, node = Liar(LARGE), awake(LARGE, 2)
    node.receive(liar.propose(0, X))
    before = node.pass_time(soon_s(node.config) - 0.01)
    assert votes(before) == []
    after = node.pass_time(0.02)
    assert [vote.kind for vote in votes(after)] == [NOTARIZE]
    assert of_type(broadcasts(after), Status)


def test_who_had_to_repeat_relies_on_the_leader_no_more_in_this_view() -> None:
    liar, node = Liar(LARGE), awake(LARGE, 2)
    node.receive(liar.propose(0, X))
    node.pass_time(soon_s(node.config) + 0.01)
    effects = node.receive(liar.certificate(NOTARIZE, 0, range(LARGE), X))
    assert [vote.kind for vote in votes(effects)] == [FINALIZE]
    assert entrusted(effects) == []
    node.receive(liar.certificate(NULLIFY, 0, range(LARGE)))
    assert not node.state.repeated  # in the next one it does


def test_a_nullify_goes_to_everyone() -> None:
    node = awake(LARGE, 2)
    effects = node.pass_time(2 * TIMING.delta_s + 0.1)
    assert [vote.kind for vote in votes(effects)].count(NULLIFY) >= 1
    assert entrusted(effects) == []


def test_a_leader_that_is_not_heard_gets_nothing_alone() -> None:
    """Its Propose came by somebody else, or long ago."""
    liar, node = Liar(LARGE), Node(near(LARGE, 2))
    node.open(heard=[other for other in range(LARGE) if other not in (0, 2)])
    node.receive(liar.propose(0, X))
    node.state = msgspec.structs.replace(node.state, heard={}, listening_since_s=-60.0)
    effects = node.learn(facts("x"))
    assert [vote.kind for vote in votes(effects)] == [NOTARIZE]
    assert entrusted(effects) == []


@pytest.mark.parametrize("size", [VOTES_TO_ALL_MAX, LARGE])
def test_only_a_leader_of_many_tells_what_came_together(size: int) -> None:
    """In a small committee everybody has the votes."""
    liar, leader = Liar(size), Node(config(size, 0))
    leader.open(heard=range(1, size))
    leader.learn(facts("x"))
    effects: list[Effect] = []
    for voter in range(1, size):
        effects += leader.receive(liar.vote(NOTARIZE, 0, voter, X))
    for voter in range(1, size):
        effects += leader.receive(liar.vote(FINALIZE, 0, voter, X))
    told = [effect for effect in of_type(effects, Broadcast) if isinstance(effect.message, Certificate | Decision)]
    if size == LARGE:
        assert [(type(each.message), each.news) for each in told] == [(Certificate, False), (Decision, True)]
    else:
        assert [(type(each.message), each.news) for each in told] == [(Decision, False)]


def test_who_is_told_does_not_tell_again() -> None:
    liar, node = Liar(LARGE), awake(LARGE, 2)
    node.receive(liar.propose(0, X))
    effects = node.receive(liar.certificate(NOTARIZE, 0, range(LARGE), X), liar.decision(0, range(LARGE), X))
    assert of_type(effects, Decided)
    assert broadcasts(effects) == []


def test_a_view_of_many_is_entered_without_a_word() -> None:
    """The Nullify votes went to all; whoever missed some hears of it with the next Status."""
    liar, node = Liar(LARGE), awake(LARGE, 2)
    effects = node.receive(liar.certificate(NULLIFY, 0, range(LARGE)))
    assert node.state.view == 1
    assert of_type(broadcasts(effects), Justification) == []
    later = node.pass_time(soon_s(node.config) + 0.01)
    assert of_type(broadcasts(later), Justification)


@pytest.mark.parametrize("size", [4, LARGE])
def test_a_good_epoch_costs_frames_for_each_voter_not_for_each_pair(size: int) -> None:
    """Propose, notarization and Decision to all; two votes of each to the leader."""
    cluster = NearCluster(size)
    cluster.open()
    cluster.log.clear()
    cluster.learn(facts("x"))
    assert cluster.decided() == dict.fromkeys(range(size), X)
    assert cluster.frames() == 5 * (size - 1)


@pytest.mark.parametrize("near_voters", [(0, 1), (2, 3), (1, 2, 3)])
def test_near_and_far_voters_decide_together(near_voters: tuple[int, ...]) -> None:
    cluster = NearCluster(4, near_voters=near_voters)
    cluster.open()
    cluster.learn(facts("x"))
    cluster.pass_time(soon_s(cluster.nodes[near_voters[0]].config) + 0.1)
    assert cluster.decided() == dict.fromkeys(range(4), X)


@pytest.mark.parametrize("kept", [Certificate, Decision])
def test_a_leader_that_keeps_it_to_itself_costs_no_view(kept: type) -> None:
    """Everybody else decides view 0, a moment later."""
    cluster = NearCluster(7)
    cluster.link = lambda sender, receiver, message: sender != 0 or not isinstance(message, kept)
    cluster.open()
    cluster.learn(facts("x"))
    assert len(cluster.decided()) == 1 if kept is Decision else not cluster.decided()
    cluster.pass_time(3 * soon_s(cluster.nodes[1].config))
    assert cluster.decided() == dict.fromkeys(range(7), X)
    assert {node.state.view for node in cluster.nodes.values()} == {0}


def test_a_leader_that_dies_on_the_votes_costs_no_view() -> None:
    """Its Propose is out; the votes went nowhere."""
    cluster = NearCluster(7)
    cluster.link = lambda sender, receiver, message: sender != 0 or isinstance(message, Propose)
    cluster.open()
    cluster.learn(facts("x"))
    cluster.pass_time(3 * soon_s(cluster.nodes[1].config))
    assert set(cluster.decided()) >= set(range(1, 7))
    assert {cluster.nodes[voter].state.view for voter in range(1, 7)} == {0}


def test_repetition_of_many_slows_down() -> None:
    """Many voters may be late because they repeat so much."""
    liar, node = Liar(LARGE), awake(LARGE, 2)
    node.receive(liar.propose(0, X))
    statuses = [0.1 * each for each in range(40) if of_type(broadcasts(node.pass_time(0.1)), Status)]
    gaps = [later - earlier for earlier, later in pairwise(statuses)]
    assert min(gaps) > 1.25 * TIMING.status_period_s


def test_a_vote_is_durable_before_it_is_entrusted() -> None:
    liar, node = Liar(LARGE), awake(LARGE, 2)
    effects = node.receive(liar.propose(0, X))
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds.index("Persist") < kinds.index("Entrust")
    assert all(isinstance(each.message, SignedVote) for each in of_type(effects, Entrust))
