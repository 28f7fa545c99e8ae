"""Pre-shared keys in a group's life (RFC 9420 §8.4, §8.6): taken in by a commit, asked for by a Welcome, remembered."""

import pytest

from mls.config import GroupConfig
from mls.entry import join
from mls.errors import MisuseError, UnopenableError
from mls.group import Group
from mls.proposals import PreSharedKey, Proposal, add, pre_shared_key
from mls.psks import PskName, ResumptionPsk, external_psk, psk_id, resumption_psk
from mls.registry import ResumptionPSKUsage, WireFormat
from tests.mls.world import NOW, Dice, Members

NAME = external_psk(b"told over the phone")
KEY: dict[PskName, bytes] = {NAME: bytes(range(32))}


@pytest.fixture
def world() -> Members:
    return Members("alice", "bob", "carol")


def not_opened(rule: str, group: Group, message: bytes, **options: object) -> None:
    """Nobody is to blame, and nothing changes."""
    before = group.to_bytes()
    with pytest.raises(UnopenableError) as wrong:
        group.stage(message, now=NOW, **options)  # type: ignore[arg-type]
    assert wrong.value.rule == rule
    assert group.to_bytes() == before


@pytest.mark.parametrize("by_reference", [False, True])
@pytest.mark.parametrize("path", [False, True])
def test_who_has_the_key_follows(world: Members, by_reference: bool, path: bool) -> None:
    proposal = world["alice"].pre_shared_key(NAME, world.random)
    references: list[bytes] = []
    if by_reference:
        world.groups["bob"], message = world["bob"].propose(proposal, world.random, NOW)
        references, proposals = [message], []
    else:
        proposals = [proposal]
    made = world["alice"].commit(
        world.random, NOW, proposals=proposals, references=references, psks=KEY, force_path=path
    )
    assert made.summary.has_path is path
    for name in ("bob", "carol"):
        staged = world[name].stage(made.message, proposals=references, now=NOW, psks=KEY)
        assert staged.successor is not None
        assert staged.successor.epoch_authenticator == made.successor.epoch_authenticator


def test_v149_a_psk_that_is_not_at_hand(world: Members) -> None:
    """Everything public about the commit is right: an observer takes it, and so do those who have the key."""
    proposal = world["alice"].pre_shared_key(NAME, world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[proposal], psks=KEY)
    not_opened("V149", world["bob"], made.message)
    not_opened("V149", world["bob"], made.message, psks={external_psk(b"another"): bytes(32)})
    assert world["bob"].public.check_commit(made.message).successor == made.successor.public
    with pytest.raises(UnopenableError) as wrong:
        world["alice"].commit(world.random, NOW, proposals=[proposal])
    assert wrong.value.rule == "V149"


def test_v031_a_psk_that_is_another_than_the_committers(world: Members) -> None:
    proposal = world["alice"].pre_shared_key(NAME, world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[proposal], psks=KEY)
    not_opened("V031", world["bob"], made.message, psks={NAME: bytes(32)})


def test_v160_keys_are_chained_in_the_commits_order(world: Members) -> None:
    """V116 too: by value and by reference alike. With two keys exchanged the tag is another."""
    keys: dict[PskName, bytes] = {external_psk(b"%d" % number): bytes([number]) * 32 for number in range(3)}
    proposals = [world["alice"].pre_shared_key(name, world.random) for name in keys]
    made = world["alice"].commit(world.random, NOW, proposals=proposals, psks=keys, force_path=False)
    staged = world["bob"].stage(made.message, now=NOW, psks=keys)
    assert staged.successor is not None
    exchanged = dict(zip(keys, reversed(keys.values()), strict=True))
    not_opened("V031", world["bob"], made.message, psks=exchanged)


def test_v102_every_proposal_has_a_nonce_of_its_own() -> None:
    random = Dice("nonces")
    made = [pre_shared_key(suite_id, NAME, random) for suite_id in (1, 1, 4, 7)]
    nonces = [each.body.psk.psk_nonce for each in made if isinstance(each.body, PreSharedKey)]
    assert [len(each) for each in nonces] == [32, 32, 64, 48]
    assert len(set(nonces)) == 4


def test_a_newcomer_needs_the_key_too(world: Members) -> None:
    proposal = world["alice"].pre_shared_key(NAME, world.random)
    bundle = world.client("dave").package()
    made = world["alice"].commit(world.random, NOW, proposals=[add(bundle.key_package), proposal], psks=KEY)
    assert made.welcome is not None
    with pytest.raises(UnopenableError) as wrong:
        join(made.welcome, [bundle], tree=None, now=NOW)
    assert wrong.value.rule == "V185"
    joined = join(made.welcome, [bundle], tree=None, now=NOW, psks=KEY)
    assert joined.epoch_authenticator == made.successor.epoch_authenticator


# --- resumption ---


def test_v207_a_resumption_psk_is_that_of_the_epoch_it_names(world: Members) -> None:
    """Its own, by the members who were there; an unknown epoch is an error."""
    world.commit("alice")
    world.commit("bob")
    world.add("alice", "dave")
    then = world["alice"].epoch - 2
    kept = world["alice"].resumption_psks
    assert kept[resumption_psk(b"a group", then)] != kept[resumption_psk(b"a group", then + 1)]
    proposal = world["alice"].pre_shared_key(resumption_psk(b"a group", then), world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[proposal])
    staged = world["bob"].stage(made.message, now=NOW)
    assert staged.successor is not None
    not_opened("V207", world["dave"], made.message)
    future = world["alice"].pre_shared_key(resumption_psk(b"a group", 99), world.random)
    with pytest.raises(UnopenableError) as wrong:
        world["alice"].commit(world.random, NOW, proposals=[future])
    assert wrong.value.rule == "V207"


def test_v207_the_present_epochs_key_may_be_named(world: Members) -> None:
    name = resumption_psk(b"a group", world["alice"].epoch)
    world.commit("alice", proposals=[world["alice"].pre_shared_key(name, world.random)])
    assert world.agree()


def test_another_groups_key_shows_who_was_in_it(world: Members) -> None:
    """§8.6: whoever was in that epoch has the key, and hands it in as one at hand."""
    other = Members("alice", "bob", seed="other")
    name = resumption_psk(b"another group", other["alice"].epoch)
    key: dict[PskName, bytes] = {name: other["alice"].state.secrets.resumption_psk}
    made = world["alice"].commit(
        world.random, NOW, proposals=[world["alice"].pre_shared_key(name, world.random)], psks=key
    )
    not_opened("V207", world["carol"], made.message)
    assert world["bob"].stage(made.message, now=NOW, psks=key).successor is not None


def test_v206_past_resumption_psks_are_kept_for_so_many_epochs() -> None:
    """Across restarts too."""
    world = Members("alice", "bob", config=GroupConfig(resumption_psk_count=3))
    for _ in range(5):
        world.commit("alice")
    group = Group.from_bytes(world["bob"].to_bytes(), world.config)
    assert group.state == world["bob"].state
    epochs = [name.psk_epoch for name in group.resumption_psks if isinstance(name, ResumptionPsk)]
    assert epochs == [6, 5, 4, 3]


@pytest.mark.parametrize("usage", [ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH])
def test_v100_v101_we_do_not_put_such_a_psk_into_an_ordinary_commit(usage: ResumptionPSKUsage) -> None:
    """At epoch 0 nobody else could tell; later it is refused by everyone."""
    world = Members("alice")
    name = ResumptionPsk(usage, b"a group", 0)
    proposal = Proposal.of(PreSharedKey(psk_id(name, bytes(32))))
    with pytest.raises(MisuseError, match="V100, V101"):
        world["alice"].commit(world.random, NOW, proposals=[proposal])


def test_a_key_is_in_no_repr(world: Members) -> None:
    """V216."""
    world.commit("alice")
    shown = repr(world["alice"])
    for key in world["alice"].resumption_psks.values():
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown


def test_private_messages_carry_psks_alike(world: Members) -> None:
    proposal = world["alice"].pre_shared_key(NAME, world.random)
    made = world["alice"].commit(
        world.random, NOW, proposals=[proposal], psks=KEY, wire_format=WireFormat.MLS_PRIVATE_MESSAGE
    )
    assert world["bob"].stage(made.message, now=NOW, psks=KEY).successor is not None
