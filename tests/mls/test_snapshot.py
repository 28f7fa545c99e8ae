"""Snapshots: what a restart continues from, exactly."""

import pytest

from mls.config import GroupConfig
from mls.errors import DuplicateError, MalformedError, MlsError, SnapshotError
from mls.group import Group
from mls.key_packages import KeyPackageBundle
from mls.public_group import PublicGroup
from mls.registry import WireFormat
from mls.snapshot import Parts
from tests.mls.world import NOW, Members


def restarted(group: Group) -> Group:
    return Group.from_bytes(group.to_bytes(), group.state.config)


@pytest.fixture
def world() -> Members:
    """A group with skipped keys, past epochs with other members, and proposals of its own."""
    world = Members("alice", "bob", "carol")
    world.remove("alice", "carol")
    world.add("bob", "dave", "erin", "frank")
    messages = []
    for _ in range(4):
        world.groups["bob"], message = world["bob"].seal(b"words", world.random)
        messages.append(message)
    world.groups["alice"], _ = world["alice"].open(messages[2], NOW)
    world.commit("dave")
    world.groups["alice"], _ = world["alice"].propose_update(world.random, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    return world


@pytest.mark.parametrize("suite_id", range(1, 8))
def test_a_snapshot_and_back_is_the_same_group(suite_id: int) -> None:
    world = Members("alice", "bob", suite_id=suite_id)
    world.commit("bob")
    for name, group in world.groups.items():
        again = restarted(group)
        assert again.to_bytes() == group.to_bytes()
        assert again.state == group.state
        world.groups[name] = again
    world.commit("alice")
    assert world.agree()


def test_everything_a_group_holds_is_in_its_snapshot(world: Members) -> None:
    group, again = world["alice"], restarted(world["alice"])
    assert again.state == group.state
    assert len(again.state.past) == 4
    assert again.state.own_proposals[0].encryption_key == group.state.own_proposals[0].encryption_key


def test_a_used_key_stays_used_across_a_restart() -> None:
    """V044 and lesson 12: crashes included."""
    world = Members("alice", "bob")
    world.groups["alice"], first = world["alice"].seal(b"one", world.random)
    _, second = restarted(world["alice"]).seal(b"two", world.random)
    bob, _ = world["bob"].open(first, NOW)
    with pytest.raises(DuplicateError):
        restarted(bob).open(first, NOW)
    _, opened = restarted(bob).open(second, NOW)
    assert opened.generation == 1


def test_late_messages_of_past_epochs_open_after_a_restart() -> None:
    world = Members("alice", "bob", "carol")
    world.groups["carol"], late = world["carol"].seal(b"words", world.random)
    world.remove("alice", "carol")
    world.add("alice", "dave")
    again, opened = restarted(world["bob"]).open(late, NOW)
    assert (opened.sender_identity, opened.plaintext) == (b"carol", b"words")
    with pytest.raises(DuplicateError):
        restarted(again).open(late, NOW)


def test_an_own_update_is_carried_out_after_a_restart() -> None:
    world = Members("alice", "bob", "carol")
    group, update = world["bob"].propose_update(world.random, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    world.groups["bob"] = restarted(group)
    world.commit("alice", references=[update])
    assert world.agree()


def test_an_own_commit_survives_as_its_successor() -> None:
    """Lesson 12: it cannot be processed from the wire, so its successor is what is kept."""
    world = Members("alice", "bob")
    made = world.commit("alice", adopt=False)
    kept = restarted(made.successor)
    world.adopt("alice", made)
    world.groups["alice"] = kept
    world.commit("bob")
    assert world.agree()


def test_an_unknown_version_is_refused_by_both_numbers(world: Members) -> None:
    bundle = world.client("gail").package()
    group = world["alice"]
    for kept, read in (
        (group.to_bytes(), Group.from_bytes),
        (group.public.to_bytes(), PublicGroup.from_bytes),
        (bundle.to_bytes(), KeyPackageBundle.from_bytes),
    ):
        with pytest.raises(SnapshotError, match=r"format 9.*format [1234]"):
            read(b"\x00\x09" + kept[2:])


def test_a_damaged_snapshot_is_refused_or_differs(world: Members) -> None:
    """It never comes back as another group unnoticed, and never as anything but an error of ours."""
    kept = world["alice"].to_bytes()
    for size in range(0, len(kept), 97):
        with pytest.raises(MlsError):
            Group.from_bytes(kept[:size])


def test_the_settings_are_not_in_a_snapshot(world: Members) -> None:
    config = GroupConfig(forward_distance_max=128)
    assert Group.from_bytes(world["alice"].to_bytes(), config).state.config is config


# --- in parts ---


def test_parts_and_back_is_the_same_group(world: Members) -> None:
    for group in world.groups.values():
        again = Group.from_parts(group.to_parts(), group.state.config)
        assert again.state == group.state
        assert again.to_parts() == group.to_parts()


def test_a_message_changes_nothing_but_the_present_part(world: Members) -> None:
    """What makes a snapshot for each message cheap in a large group: the same objects need not be written again."""
    before = world["bob"].to_parts()
    for group in (
        world["bob"].seal(b"words", world.random)[0],
        world["bob"].open(world["dave"].seal(b"words", world.random)[1], NOW)[0],
        world["bob"].propose_update(world.random)[0],
    ):
        after = group.to_parts()
        assert after.present != before.present
        assert after.public is before.public
        assert len(after.past) == len(before.past)
        assert all(one is other for one, other in zip(before.past, after.past, strict=True))


def test_a_late_message_changes_its_own_epoch_too() -> None:
    world = Members("alice", "bob", "carol")
    world.groups["carol"], late = world["carol"].seal(b"words", world.random)
    for _ in range(3):
        world.commit("alice")
    before = world["bob"].to_parts()
    after = world["bob"].open(late, NOW)[0].to_parts()
    assert [one is other for one, other in zip(before.past, after.past, strict=True)] == [True, True, False]
    assert after.public is before.public


def test_parts_of_two_moments_are_refused() -> None:
    """An old part beside new ones could bring back a key that has been used (V044)."""
    world = Members("alice", "bob", "carol")
    world.groups["carol"], late = world["carol"].seal(b"words", world.random)
    world.commit("alice")
    early = world["bob"].to_parts()
    world.groups["bob"], _ = world["bob"].open(late, NOW)
    opened = world["bob"].to_parts()
    world.commit("alice")
    ended = world["bob"].to_parts()
    for mixed in (
        Parts(early.public, early.past, opened.present),
        Parts(ended.public, opened.past, opened.present),
        Parts(opened.public, opened.past, ended.present),
        Parts(opened.public, (), opened.present),
    ):
        with pytest.raises(MalformedError, match="two different snapshots"):
            Group.from_parts(mixed)
    with pytest.raises(DuplicateError):
        Group.from_parts(opened).open(late, NOW)


def test_parts_of_another_version_are_refused(world: Members) -> None:
    parts = world["alice"].to_parts()
    with pytest.raises(SnapshotError, match=r"format 9.*format 3"):
        Group.from_parts(Parts(parts.public, parts.past, b"\x00\x09" + parts.present[2:]))
