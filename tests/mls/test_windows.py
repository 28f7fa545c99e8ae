"""Windows: what comes late or early finds its key for so many epochs, generations and seconds; then nothing is left.

What each outcome is called, so that the caller can do the right thing: wait, drop, recover, or blame.
"""

from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.early import EarlyMessages
from mls.errors import (
    DuplicateError,
    FutureEpochError,
    FutureHandshakeError,
    InvalidError,
    OwnCommitError,
    StaleEpochError,
    StaleHandshakeError,
    UnknownEpochError,
    UnopenableError,
)
from mls.group import Group
from mls.past_epochs import PastEpoch
from mls.registry import ContentType, WireFormat
from mls.secret_tree import Branch, LeafRatchets, Ratchet, SecretNode, SecretTree
from tests.mls.world import NOW, Members

HOUR = 3600


def said(world: Members, name: str, words: bytes) -> bytes:
    world.groups[name], message = world[name].seal(words, world.random)
    return message


def heard(world: Members, name: str, message: bytes, now: int = NOW) -> bytes:
    world.groups[name], opened = world[name].open(message, now)
    return opened.plaintext


def ratchets(node: SecretNode) -> list[Ratchet]:
    match node:
        case Branch(left, right):
            return ratchets(left) + ratchets(right)
        case LeafRatchets(application=ratchet):
            return [ratchet]
        case _:
            return []


def skipped_keys(tree: SecretTree) -> list[bytes]:
    return [each.key.key for ratchet in ratchets(tree.root) for each in ratchet.skipped.values() if not each.is_old]


# --- out of order -----------------------------------------------------------------------------------------------------


@pytest.fixture
def late() -> tuple[Members, list[bytes]]:
    """Bob has Alice's last message of three, and keeps two keys for an hour."""
    world = Members("alice", "bob", config=GroupConfig(out_of_order_age_s=HOUR))
    messages = [said(world, "alice", b"%d" % number) for number in range(3)]
    heard(world, "bob", messages[2])
    return world, messages


def test_v048_a_skipped_key_is_kept_for_so_long(late: tuple[Members, list[bytes]]) -> None:
    """A message that comes later is no copy, and is not called one."""
    world, messages = late
    assert heard(world, "bob", messages[0], NOW + HOUR) == b"0"
    with pytest.raises(UnopenableError) as too_late:
        world["bob"].open(messages[1], NOW + HOUR + 1)
    assert too_late.value.rule == "V048"
    with pytest.raises(DuplicateError):
        world["bob"].open(messages[0], NOW + HOUR + 1)


def test_v048_a_key_too_old_is_gone_from_memory_and_disk(late: tuple[Members, list[bytes]]) -> None:
    """V050. Nothing has to arrive for it: `pruned` is for a caller with a timer."""
    world, messages = late
    bob = world["bob"]
    keys = skipped_keys(bob.state.secret_tree)
    assert len(keys) == 2
    assert all(key in bob.to_bytes() for key in keys)

    after = bob.pruned(NOW + HOUR + 1)

    assert not any(key in after.to_bytes() for key in keys)
    again = Group.from_bytes(after.to_bytes(), bob.state.config)
    with pytest.raises(UnopenableError) as too_late:
        again.open(messages[0], NOW)  # a clock that was set back finds no key either
    assert too_late.value.rule == "V048"
    assert again.open(said(world, "alice", b"on we go"), NOW)[1].plaintext == b"on we go"


def test_v048_the_next_message_of_its_sender_drops_a_key_too_old(late: tuple[Members, list[bytes]]) -> None:
    world, _ = late
    keys = skipped_keys(world["bob"].state.secret_tree)
    heard(world, "bob", said(world, "alice", b"much later"), NOW + HOUR + 1)
    assert not any(key in world["bob"].to_bytes() for key in keys)


def test_keys_within_the_window_are_left_alone(late: tuple[Members, list[bytes]]) -> None:
    """And then the value is the same one, with nothing to be written."""
    world, _ = late
    assert world["bob"].pruned(NOW + HOUR) is world["bob"]
    after = world["bob"].pruned(NOW + HOUR + 1)
    assert after.pruned(NOW + 2 * HOUR) is after


def test_v048_keys_beyond_the_count_are_gone_from_memory_and_disk() -> None:
    world = Members("alice", "bob", config=GroupConfig(out_of_order_max=3))
    messages = [said(world, "alice", b"%d" % number) for number in range(6)]
    heard(world, "bob", messages[2])
    keys = skipped_keys(world["bob"].state.secret_tree)
    heard(world, "bob", messages[5])
    assert len(keys) == 2
    assert len(skipped_keys(world["bob"].state.secret_tree)) <= 2
    assert not any(key in world["bob"].to_bytes() for key in keys)


# --- past epochs ------------------------------------------------------------------------------------------------------


def secrets_of(epoch: PastEpoch) -> list[bytes]:
    """Every secret of a past epoch that could still open something."""
    found = [epoch.sender_data_secret]

    def walk(node: SecretNode) -> None:
        match node:
            case bytes():
                found.append(node)
            case Branch(left, right):
                walk(left)
                walk(right)
            case LeafRatchets(handshake, application):
                found.extend((handshake.secret, application.secret))

    walk(epoch.secret_tree.root)
    return found


def test_v022_v050_an_epoch_beyond_the_count_is_gone_from_memory_and_disk() -> None:
    world = Members("alice", "bob", config=GroupConfig(past_epoch_count=2, past_epoch_age_s=0, past_epoch_max=2))
    world.commit("alice")
    secrets = secrets_of(world["bob"].state.past[0])
    assert all(secret in world["bob"].to_bytes() for secret in secrets)
    for _ in range(2):
        world.groups["alice"] = world["alice"].pruned(NOW + 1)
        for group in world.groups.values():
            assert group.pruned(NOW + 1).epoch == group.epoch
        world.commit("alice")
    assert not any(secret in world["bob"].to_bytes() for secret in secrets)
    assert len(world["bob"].state.past) == 2


def test_v022_v050_an_epoch_too_old_is_gone_though_nothing_happens() -> None:
    config = GroupConfig(past_epoch_count=0, past_epoch_age_s=HOUR)
    world = Members("alice", "bob", config=config)
    message = said(world, "alice", b"words")
    world.commit("alice")
    bob = world["bob"]
    secrets = secrets_of(bob.state.past[0])
    assert bob.pruned(NOW + HOUR) is bob

    after = bob.pruned(NOW + HOUR + 1)

    assert after.state.past == ()
    assert not any(secret in after.to_bytes() for secret in secrets)
    with pytest.raises(StaleEpochError):
        after.open(message, NOW)


def test_v048_a_skipped_key_of_a_past_epoch_leaves_likewise() -> None:
    world = Members("alice", "bob", config=GroupConfig(out_of_order_age_s=HOUR))
    messages = [said(world, "alice", b"%d" % number) for number in range(2)]
    heard(world, "bob", messages[1])
    world.commit("alice")
    bob = world["bob"]
    keys = skipped_keys(bob.state.past[0].secret_tree)
    assert len(keys) == 1
    assert keys[0] in bob.to_bytes()
    assert keys[0] not in bob.pruned(NOW + HOUR + 1).to_bytes()


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_v022_an_epoch_before_we_came_is_unknown_and_not_merely_past() -> None:
    """It is not worth asking for again, nor waiting for."""
    world = Members("alice", "bob", config=GroupConfig(past_epoch_count=1, past_epoch_age_s=0, past_epoch_max=1))
    before = said(world, "alice", b"before Carol")
    world.add("alice", "carol")
    first = said(world, "alice", b"to Carol")
    for _ in range(2):
        world.commit("alice")
    for group in (world["carol"], Group.from_bytes(world["carol"].to_bytes())):
        with pytest.raises(UnknownEpochError) as unknown:
            group.open(before, NOW)
        assert unknown.value.epoch == 1
        with pytest.raises(StaleEpochError) as stale:
            group.open(first, NOW)
        assert not isinstance(stale.value, UnknownEpochError)
    with pytest.raises(StaleEpochError) as forgotten:
        world["bob"].open(before, NOW)
    assert not isinstance(forgotten.value, UnknownEpochError)


@pytest.mark.parametrize("wire_format", [WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE])
def test_v021_a_late_commit_and_an_early_one_are_told_apart(wire_format: WireFormat) -> None:
    """By what an application message of that epoch would be; and each is the breach of a rule still."""
    world = Members("alice", "bob")
    bob = world["bob"]
    first = world.commit("alice", wire_format=wire_format)
    second = world.commit("alice", wire_format=wire_format)
    with pytest.raises(FutureHandshakeError) as early:
        bob.stage(second.message, now=NOW)
    with pytest.raises(StaleHandshakeError) as late:
        world["bob"].stage(first.message, now=NOW)
    assert (early.value.epoch, late.value.epoch) == (2, 1)
    assert isinstance(early.value, FutureEpochError)
    assert isinstance(late.value, StaleEpochError)
    for error in (early.value, late.value):
        assert isinstance(error, InvalidError)
        assert error.rule == "V021"
        assert "V021" in str(error)


def test_every_outcome_has_its_type() -> None:
    world = Members("alice", "bob", "carol")
    message = said(world, "alice", b"words")
    own = world.commit("bob", adopt=False)
    with pytest.raises(OwnCommitError):
        world["bob"].stage(own.message, now=NOW)
    with pytest.raises(FutureEpochError):
        world["carol"].open(own.successor.seal(b"early", world.random)[1], NOW)
    heard(world, "bob", message)
    with pytest.raises(DuplicateError):
        world["bob"].open(message, NOW)
    state = world["carol"].state
    lost = replace(state, secrets=replace(state.secrets, init_secret=bytes(32)))  # right for others, and not for us
    with pytest.raises(UnopenableError):
        Group(lost).stage(own.message, now=NOW)


# --- future epochs ----------------------------------------------------------------------------------------------------


def test_v022_early_messages_wait_for_their_commit() -> None:
    """In their epochs' order, whatever the order in which they came."""
    world = Members("alice", "bob")
    bob, early = world["bob"], EarlyMessages()
    came: list[tuple[int, bytes]] = []
    commits = []
    for number in range(3):
        commits.append(world.commit("alice").message)
        came.append((world["alice"].epoch, said(world, "alice", b"%d" % number)))
    for _, message in reversed(came):
        with pytest.raises(FutureEpochError) as future:
            bob.open(message, NOW)
        early = early.keep(message, epoch=future.value.epoch, present=bob.epoch, now=NOW)
    read = []
    for commit in commits:
        staged = bob.stage(commit, now=NOW).successor
        assert staged is not None
        bob = staged
        early, due = early.due(bob.epoch, NOW)
        for message in due:
            bob, opened = bob.open(message, NOW)
            read.append(opened.plaintext)
    assert read == [b"0", b"1", b"2"]
    assert early.waiting == ()


def kept(early: EarlyMessages) -> list[bytes]:
    return [each.message for each in early.waiting]


def test_early_messages_are_few_near_and_young() -> None:
    """Anybody can send them: what is near displaces what is far, and never the other way round."""
    early = EarlyMessages(count_max=3, epochs_max=5, age_max_s=HOUR)
    for epoch in (2, 9, 0, 6, 3, 3):
        early = early.keep(b"of %d" % epoch, epoch=epoch, present=1, now=NOW)
    assert kept(early) == [b"of 2", b"of 3", b"of 6"]
    assert kept(early.keep(b"near", epoch=2, present=1, now=NOW)) == [b"of 2", b"near", b"of 3"]
    assert kept(early.keep(b"far", epoch=6, present=1, now=NOW)) == [b"of 2", b"of 3", b"of 6"]
    assert early.due(1, NOW + HOUR)[0] == early
    assert kept(early.due(1, NOW + HOUR + 1)[0]) == []
    assert kept(early.keep(b"later", epoch=4, present=1, now=NOW + HOUR + 1)) == [b"later"]


def test_early_messages_have_so_many_bytes_together() -> None:
    early = EarlyMessages(size_max=100)
    for number in range(5):
        early = early.keep(b"%d" % number * 40, epoch=2 + number, present=1, now=NOW)
    assert [len(each) for each in kept(early)] == [40, 40]
    assert kept(early.keep(bytes(101), epoch=2, present=1, now=NOW)) == [b"0" * 40]


def test_content_types_have_ratchets_of_their_own() -> None:
    """Pruning what was said leaves the handshake's keys for the present epoch alone."""
    world = Members("alice", "bob")
    tree = world["bob"].state.secret_tree
    _, tree = tree.take_key(0, ContentType.PROPOSAL, 2)
    assert tree.without_old_keys(NOW) is tree
