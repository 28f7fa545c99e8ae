"""The application's own rules: asked of every commit, the same for observers, members and committers (§12.2)."""

from collections.abc import Hashable

import pytest

from mls.checked_commit import PublicStaged
from mls.config import GroupConfig
from mls.entry import join
from mls.errors import InvalidError
from mls.leaf_change import LeafChange
from mls.policy import Policy
from mls.proposals import Remove, reinit, remove
from mls.public_group import PublicGroup
from mls.tree.nodes import LeafNode
from tests.mls.forge import Forger
from tests.mls.stranger import Stranger
from tests.mls.world import LIFETIME, NOW, Members


class OnlyAliceRemoves(Policy):
    """And nobody ends the group."""

    def allows_commit(self, group: PublicGroup, commit: PublicStaged) -> bool:
        committer = group.leaf(commit.committer)
        by_alice = committer is not None and committer.credential.identity == b"alice"
        return commit.reinit is None and (by_alice or not commit.removes)


@pytest.fixture
def world() -> Members:
    return Members("alice", "bob", "carol", config=GroupConfig(policy=OnlyAliceRemoves()))


def refused(world: Members, message: bytes) -> None:
    group = world["carol"]
    before = group.to_bytes()
    with pytest.raises(InvalidError) as by_anyone:
        group.public.check_commit(message, policy=OnlyAliceRemoves())
    with pytest.raises(InvalidError) as by_member:
        group.stage(message, now=NOW)
    assert (by_anyone.value.rule, by_member.value.rule) == ("V130", "V130")
    assert group.to_bytes() == before


def test_v130_a_commit_that_the_application_does_not_allow(world: Members) -> None:
    refused(world, Forger(world["bob"], world.random).commit(Remove(0)))
    made = world.commit("alice", proposals=[remove(1)])
    assert made.summary.removes == (1,)


def test_v130_we_do_not_make_one_either(world: Members) -> None:
    for proposal in (remove(0), reinit(b"next", 1)):
        with pytest.raises(InvalidError) as wrong:
            world["bob"].commit(world.random, NOW, proposals=[proposal])
        assert wrong.value.rule == "V130"


class Devices(Policy):
    """A client is a person, whatever device: what comes after the slash is the device."""

    def client_of(self, leaf: LeafNode) -> Hashable:
        return leaf.credential.identity.partition(b"/")[0]


@pytest.mark.parametrize(("name", "rule"), [("bob/tablet", None), ("mallory/phone", "V137")])
def test_v137_who_comes_back_is_the_applications_to_say(name: str, rule: str | None) -> None:
    world = Members("alice/laptop", "bob/phone", config=GroupConfig(policy=Devices()))
    message = Stranger.named(world, name, "alice/laptop").commit(Remove(1))
    if rule is None:
        assert world["alice/laptop"].stage(message, now=NOW).summary.removes == (1,)
        return
    with pytest.raises(InvalidError) as wrong:
        world["alice/laptop"].stage(message, now=NOW)
    assert wrong.value.rule == rule


def test_v225_v198_who_goes_along_into_a_successor_too() -> None:
    """A person may enter it with another device."""
    world = Members("alice/laptop", "bob/phone", config=GroupConfig(policy=Devices()))
    world.commit("alice/laptop", proposals=[reinit(b"next", 1)])
    bundle = world.client("bob/tablet").package()
    made = world["alice/laptop"].reinitialize(
        [bundle.key_package], world.random, NOW, lifetime=LIFETIME, leaf=LeafChange()
    )
    joined = join(
        made.welcome or b"", [bundle], tree=None, now=NOW, predecessor=world["bob/phone"], config=world.config
    )
    assert joined.epoch == 1
    with pytest.raises(InvalidError) as wrong:
        join(made.welcome or b"", [bundle], tree=None, now=NOW, predecessor=world["bob/phone"])
    assert wrong.value.rule == "V198"
