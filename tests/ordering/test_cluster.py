"""Whole committees on a perfect network: the good path, a crashed leader, late joiners."""

from __future__ import annotations

import pytest

from ordering import CandidateFacts, Certificate, Fetch, InstanceMessage, Persist, Propose, SignedVote, Status, Tick
from tests.ordering.world import Cluster, broadcasts, facts, of_type, value

X, Y = value("x"), value("y")
SIZES = pytest.mark.parametrize("size", [1, 3, 4, 5, 7, 10, 31])


@SIZES
def test_the_good_path_needs_no_time(size: int) -> None:
    """Nobody's clock moves between the candidate's arrival and the Decision: no timer is on the way."""
    cluster = Cluster(size, followers=2)
    cluster.open()
    cluster.learn(facts("x"))
    assert cluster.handed() == dict.fromkeys(cluster.nodes, X)
    assert {node.state.view for node in cluster.nodes.values()} == {0}


@SIZES
def test_the_good_path_costs_two_votes_and_three_transactions_a_voter(size: int) -> None:
    cluster = Cluster(size)
    cluster.open()
    cluster.learn(facts("x"))
    for voter in cluster.nodes:
        effects = [effect for i, effect in cluster.log if i == voter]
        said = broadcasts(effects)
        assert len(of_type(said, SignedVote)) + len(of_type(said, Propose)) <= 2
        assert len(of_type(effects, Persist)) <= 2 * 3


def test_it_is_enough_that_the_leader_and_the_author_have_it() -> None:
    """Everyone else fetches what is proposed."""
    cluster = Cluster(4)
    cluster.open()
    cluster.learn(facts("x"), 0)
    assert set(cluster.handed().values()) == {X}
    assert len(cluster.handed()) == 4
    assert {i for i, effect in cluster.log if isinstance(effect, Fetch)} == {1, 2, 3}


@pytest.mark.parametrize(("size", "dead"), [(4, [0]), (7, [0, 1]), (10, [0, 1, 2])])
def test_crashed_leaders_cost_a_timeout_each(size: int, dead: list[int]) -> None:
    cluster = Cluster(size, up=[i for i in range(size) if i not in dead])
    cluster.open()
    cluster.learn(facts("x"))
    assert cluster.decisions() == {}
    cluster.pass_time(sum(2 * 1.5**view for view in range(len(dead))) + 0.1)
    assert cluster.handed() == dict.fromkeys(cluster.nodes, X)


def test_with_f_of_zero_the_second_leader_proposes_its_own() -> None:
    """View 1 is f + 1 already: the epoch ends with the leader's plain commit, and x is wanted again in the next."""
    cluster = Cluster(3, up=[1, 2])
    cluster.open()
    cluster.learn(facts("x"))
    cluster.pass_time(2.1)
    assert cluster.handed() == {1: value("plain 1"), 2: value("plain 1")}


@pytest.mark.parametrize(("size", "up"), [(3, 1), (4, 2), (7, 4)])
def test_without_a_quorum_nothing_happens_and_no_view_is_burnt(size: int, up: int) -> None:
    """Over budget: `n - q + 1 silent`. The group stalls; it does not fork and does not spin."""
    cluster = Cluster(size, up=range(up))
    cluster.open()
    cluster.learn(facts("x"))
    cluster.pass_time(100)
    assert cluster.decisions() == {}
    assert max(node.state.view for node in cluster.nodes.values()) <= 1


def test_a_commit_that_most_cannot_open_gives_way() -> None:
    """Story `soft_livelock`, in small: it opens for two of four; the next commit is decided within f + 2 views."""
    cluster = Cluster(4)
    cluster.open()

    def verdict(node: int, id: bytes) -> CandidateFacts:
        return facts("x", soft=node in (0, 3), committer=50)

    for node in range(4):
        cluster.learn(verdict(node, X), node)
    cluster.knows = lambda node, id: verdict(node, id) if id == X else None
    cluster.pass_time(60)
    assert len(set(cluster.decisions().values())) == 1
    assert len(cluster.decisions()) == 4
    assert max(node.state.view for node in cluster.nodes.values()) <= 3


def test_a_value_that_was_finalized_somewhere_is_the_one() -> None:
    """Story `finalize_then_crash`: only A holds the notarization and finalized; it restarts, the liar is silent."""
    cluster = Cluster(4)
    cluster.open()

    def only_a_learns(sender: int, receiver: int, message: InstanceMessage) -> bool:
        if isinstance(message, Certificate):
            return False
        if isinstance(message, SignedVote) and message.kind.name != "NULLIFY":
            return receiver == 0
        return sender != 3

    cluster.link = only_a_learns
    cluster.learn(facts("x"), 0, 1, 2, 3)
    assert 0 in cluster.nodes[0].state.notarizations
    del cluster.nodes[3]
    cluster.pass_time(4)
    cluster.restart(0)
    cluster.link = lambda sender, receiver, message: True
    cluster.run()
    cluster.pass_time(10)
    assert cluster.handed() == dict.fromkeys(range(3), X)


def test_all_restart_in_three_different_views() -> None:
    """Story `restart_three_views`, without a liar: what each had voted is not in the way of a Decision."""
    cluster = Cluster(3)
    cluster.open()
    cluster.link = lambda sender, receiver, message: isinstance(message, Status)
    cluster.learn(facts("x"))
    cluster.pass_time(4)
    cluster.link = lambda sender, receiver, message: isinstance(message, Status) or 2 not in (sender, receiver)
    cluster.pass_time(4)
    before = max(node.state.view for node in cluster.nodes.values())
    cluster.link = lambda sender, receiver, message: True
    cluster.restart(0, 1, 2)
    cluster.run()
    cluster.pass_time(15)
    assert len(cluster.decisions()) == 3
    assert len(set(cluster.decisions().values())) == 1
    assert max(node.state.view for node in cluster.nodes.values()) <= before + 3


def test_who_was_away_gets_the_decision_for_its_status() -> None:
    cluster = Cluster(4)
    cluster.open()
    cluster.link = lambda sender, receiver, message: receiver != 3
    cluster.learn(facts("x"), 0, 1, 2)
    assert 3 not in cluster.decisions()
    cluster.link = lambda sender, receiver, message: True
    cluster.pass_time(7)
    assert cluster.handed()[3] == X


def test_an_idle_committee_only_says_it_is_there() -> None:
    cluster = Cluster(4)
    cluster.open()
    cluster.pass_time(120)
    assert {type(message) for message in broadcasts(effect for _, effect in cluster.log)} == {Status}
    for node in cluster.nodes.values():
        assert node.give(Tick(cluster.now_s)) == [] or node.state.view == 0
