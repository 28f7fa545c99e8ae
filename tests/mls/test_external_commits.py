"""Joining by one's own commit, and coming back after losing everything (RFC 9420 §12.4.3.2)."""

from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.entry import external_join
from mls.errors import InvalidError, MisuseError, MlsError, OwnCommitError, UnopenableError
from mls.group import Group
from mls.observe import observe
from mls.psks import PskName, external_psk, resumption_psk
from mls.registry import ExtensionType, WireFormat
from mls.results import ExternalJoin
from mls.tree.nodes import Extension
from tests.mls.forge import refused
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, VOTER, Members

PRIVATE = GroupConfig(wire_formats=frozenset((WireFormat.MLS_PRIVATE_MESSAGE,)))


def taken_in(world: Members, name: str, made: ExternalJoin) -> None:
    """Everyone takes the newcomer's commit; whom it removes is gone."""
    for other, group in list(world.groups.items()):
        staged = group.stage(made.message, now=NOW)
        if staged.successor is None:
            del world.groups[other]
        else:
            world.groups[other] = staged.successor
    world.groups[name] = made.group


@pytest.mark.parametrize("suite_id", range(1, 8))
@pytest.mark.parametrize("inline_tree", [True, False])
def test_a_newcomer_lets_itself_in(suite_id: int, inline_tree: bool) -> None:
    """With the tree in the GroupInfo or beside it; members and observers follow, and it is a member like any other."""
    world = Members("alice", "bob", suite_id=suite_id)
    zoe = Stranger.named(world, "zoe")
    info = world["alice"].group_info(inline_tree=inline_tree, external_pub=True)
    made = external_join(
        info,
        zoe.signer,
        zoe.leaf.credential,
        zoe.leaf.capabilities,
        world.random,
        NOW,
        tree=None if inline_tree else world["alice"].tree_bytes(),
        leaf_extensions=(Extension(ExtensionType(VOTER), b"zoe's vote"),),
        authenticated_data=b"let me in",
    )
    observer = observe(world["alice"].group_info()).check_commit(made.message)
    taken_in(world, "zoe", made)
    assert world.agree()
    assert observer.successor == world["bob"].public
    assert (observer.committer, observer.is_external, observer.authenticated_data) == (2, True, b"let me in")
    assert world["bob"].members()[2].leaf.extensions[0].extension_data == b"zoe's vote"
    world.commit("zoe")
    world.remove("bob", "alice")
    world.groups["zoe"], words = world["zoe"].seal(b"hello", world.random)
    assert world["bob"].open(words, NOW)[1].sender_identity == b"zoe"
    assert Group.from_bytes(world["zoe"].to_bytes(), world.config).state == world["zoe"].state


def test_a_group_of_private_handshakes_takes_newcomers_too() -> None:
    """V033, V142: who is not in cannot seal."""
    world = Members("alice", "bob", config=PRIVATE)
    taken_in(world, "zoe", Stranger.named(world, "zoe").joins())
    world.commit("zoe", wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    assert world.agree()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 9])
def test_whatever_the_size_of_the_tree(size: int) -> None:
    world = Members(*(f"member {number}" for number in range(size)))
    made = Stranger.named(world, "zoe", "member 0").joins()
    assert made.group.own_leaf == size
    taken_in(world, "zoe", made)
    assert world.agree()


def test_who_has_lost_everything_comes_back() -> None:
    """Its old leaf goes with the commit that brings the new one; its old state sees itself removed."""
    world = Members("alice", "bob", "carol", "dave")
    old = world["carol"]
    made = Stranger.named(world, "carol").joins(replaces=old.own_leaf)
    assert made.summary.removes == (old.own_leaf,)
    assert made.group.own_leaf == old.own_leaf
    staged = old.stage(made.message, now=NOW)  # though the committer's leaf index is our own
    assert staged.removed
    assert staged.successor is None
    taken_in(world, "carol", made)
    assert world.agree()
    assert len(world["alice"].members()) == 4
    world.commit("carol")
    assert world.agree()


def test_a_sole_member_comes_back() -> None:
    world = Members("alice")
    made = Stranger.named(world, "alice").joins(replaces=0)
    assert (made.group.own_leaf, made.group.epoch, len(made.group.members())) == (0, 1, 1)
    assert world["alice"].stage(made.message, now=NOW).removed


def test_coming_back_as_somebody_else_is_refused_by_ourselves() -> None:
    world = Members("alice", "bob", "carol")
    with pytest.raises(InvalidError) as wrong:
        Stranger.named(world, "mallory").joins(replaces=world.leaf("carol"))
    assert wrong.value.rule == "V137"


def test_v143_the_next_epoch_starts_from_what_the_newcomer_encapsulated() -> None:
    """Not from the old init secret: a member that has lost that one follows all the same."""
    world = Members("alice", "bob")
    made = Stranger.named(world, "zoe").joins()
    state = world["bob"].state
    forgetful = Group(replace(state, secrets=replace(state.secrets, init_secret=bytes(32))))
    staged = forgetful.stage(made.message, now=NOW)
    assert staged.successor is not None
    assert staged.successor.epoch_authenticator == made.group.epoch_authenticator
    deaf = Group(replace(state, secrets=replace(state.secrets, external_secret=bytes(32))))
    with pytest.raises(UnopenableError):
        deaf.stage(made.message, now=NOW)


def test_two_newcomers_at_once() -> None:
    """One wins; the other tries again from the new epoch (V163: its join changed nothing)."""
    world = Members("alice", "bob")
    zoe, yan = Stranger.named(world, "zoe"), Stranger.named(world, "yan")
    first, second = zoe.joins(), yan.joins()
    before = world["bob"].to_bytes()
    assert world["bob"].stage(second.message, now=NOW).successor is not None
    assert world["bob"].to_bytes() == before
    taken_in(world, "zoe", first)
    refused(world["bob"], "V021", second.message)
    taken_in(world, "yan", replace(yan, inside=world["alice"]).joins())
    assert world.agree()
    assert len(world.groups) == 4


def test_a_newcomers_own_commit_is_not_staged() -> None:
    world = Members("alice", "bob")
    made = Stranger.named(world, "zoe").joins()
    with pytest.raises((InvalidError, OwnCommitError)):
        made.group.stage(made.message, now=NOW)


def test_a_newcomer_shows_that_it_knows_a_key() -> None:
    """§12.4.3.2: also that it was a member before, by a resumption PSK of the group."""
    world = Members("alice", "bob")
    world.commit("alice")
    told = external_psk(b"told over the phone")
    was = resumption_psk(world["alice"].group_id, 1)
    keys: dict[PskName, bytes] = {told: bytes(32), was: world["bob"].resumption_psks[was]}
    made = Stranger.named(world, "bob").joins(inject=(told, was), psks=keys, replaces=world.leaf("bob"))
    with pytest.raises(UnopenableError) as wrong:
        world["alice"].stage(made.message, now=NOW)
    assert wrong.value.rule == "V149"
    staged = world["alice"].stage(made.message, now=NOW, psks={told: bytes(32)})
    assert staged.successor is not None
    assert staged.successor.epoch_authenticator == made.group.epoch_authenticator
    with pytest.raises(UnopenableError):
        Stranger.named(world, "zoe").joins(inject=(told,))


def test_any_single_flipped_byte_of_an_external_commit_is_refused() -> None:
    world = Members("alice", "bob")
    message = Stranger.named(world, "zoe").joins().message
    before = world["bob"].to_bytes()
    for position in range(len(message)):
        broken = bytearray(message)
        broken[position] ^= 0x01
        with pytest.raises(MlsError):
            world["bob"].stage(bytes(broken), now=NOW)
    assert world["bob"].to_bytes() == before


def test_a_group_info_opens_the_group_only_when_asked() -> None:
    world = Members("alice")
    zoe = Stranger.named(world, "zoe")
    with pytest.raises(InvalidError) as wrong:
        external_join(
            world["alice"].group_info(), zoe.signer, zoe.leaf.credential, zoe.leaf.capabilities, world.random, NOW
        )
    assert wrong.value.rule == "V146"


def test_our_leaf_says_all_that_it_uses() -> None:
    world = Members("alice")
    zoe = Stranger.named(world, "zoe")
    with pytest.raises(MisuseError, match="V067"):
        zoe.joins(leaf_extensions=(Extension(ExtensionType(0xF00F), b""),))
