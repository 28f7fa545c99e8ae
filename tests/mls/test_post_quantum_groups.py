"""Groups over the post-quantum suites: the engine above `mls.crypto` asks for none of this."""

import pytest

from mls.capabilities import own_capabilities
from mls.config import GroupConfig
from mls.credentials import basic
from mls.crypto import MLSPP, OPENMLS, WIRE, Profile, suite
from mls.entry import join
from mls.group import Group
from mls.key_packages import create_key_package
from mls.proposals import add
from mls.registry import WireFormat
from tests.mls.world import LIFETIME, NOW, Dice, Members

NAMED = [pytest.param(int(id), id=name) for name, id in OPENMLS.post_quantum.items()]


@pytest.mark.parametrize("suite_id", NAMED)
def test_a_group_lives_in_every_post_quantum_suite(suite_id: int) -> None:
    """Create, add two, commit, talk, remove, and on from a snapshot, in both wire formats."""
    world = Members("alice", suite_id=suite_id)
    world.add("alice", "bob", "carol")
    assert world.agree()
    world.commit("bob")
    world.commit("carol", wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    assert world.agree()
    world.groups["carol"], message = world["carol"].seal(b"hello", world.random)
    world.groups["alice"], opened = world["alice"].open(message, NOW)
    assert opened.plaintext == b"hello"
    world.groups["bob"] = Group.from_bytes(world["bob"].to_bytes())
    world.remove("bob", "carol")
    assert world.agree()
    assert [member.identity for member in world["alice"].members()] == [b"alice", b"bob"]
    world.groups["alice"] = Group.from_bytes(world["alice"].to_bytes())
    world.commit("alice")
    assert world.agree()


@pytest.mark.parametrize("profile", [WIRE, MLSPP], ids=lambda each: each.name)
def test_a_group_lives_under_the_numbers_of_another_profile(profile: Profile) -> None:
    """The profile is named where capabilities and suite are chosen, and nowhere after."""
    id = profile.cipher_suite("MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519")
    random, row = Dice(), suite(id)
    signer, newcomer = row.generate_signature_key(random), row.generate_signature_key(random)
    capabilities = own_capabilities(profile=profile)
    group = Group.create(id, b"g", signer, basic(b"alice"), capabilities, (), (), random, LIFETIME, GroupConfig())
    bundle = create_key_package(id, b"bob", newcomer, LIFETIME, capabilities, (), (), random)

    made = group.commit(random, NOW, proposals=[add(bundle.key_package)])
    assert made.welcome is not None
    joined = join(made.welcome, [bundle], tree=made.successor.tree_bytes(), now=NOW)

    assert joined.context.cipher_suite == id
    assert joined.epoch_authenticator == made.successor.epoch_authenticator
    assert Group.from_bytes(joined.to_bytes()).suite.id == id
