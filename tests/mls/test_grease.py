"""What peers do not know: we send it where it may stand, and take it in good part wherever it comes."""

from dataclasses import replace
from typing import Any

import pytest

from mls.capabilities import own_capabilities
from mls.errors import MisuseError
from mls.extensions import application_id, application_id_extension, find
from mls.framing import MLSMessage
from mls.grease import DATA_SIZE_MAX, grease_extension
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackageBundle, create_key_package
from mls.leaf_change import LeafChange
from mls.observe import observe
from mls.proposals import add
from mls.registry import DEFAULT_EXTENSION_TYPES, GREASE_VALUES, ExtensionType
from mls.results import OwnCommit
from mls.tree.nodes import Extension
from tests.mls.world import LIFETIME, NOW, POLICY, VOTER, Client, Dice, Members

PRIVATE = Extension(ExtensionType(0xF123), b"something of the application's")


class Greased(Members):
    """Members who put reserved values and unknown extensions wherever they may."""

    def package_of(self, name: str) -> KeyPackageBundle:
        return greased_package(self.client(name))

    def add(self, adder: str, *names: str, **request: Any) -> OwnCommit:
        bundles = {name: self.package_of(name) for name in names}
        sent = (grease_extension(self.random), PRIVATE)
        proposals = [add(bundle.key_package) for bundle in bundles.values()]
        made = self.commit(adder, proposals=proposals, group_info_extensions=sent, **request)
        for name, bundle in bundles.items():
            self.join(name, made, bundle)
        return made


def greased_package(client: Client) -> KeyPackageBundle:
    in_leaf, in_package = grease_extension(client.random), grease_extension(client.random)
    types = (POLICY, VOTER, PRIVATE.extension_type, in_leaf.extension_type, in_package.extension_type)
    return create_key_package(
        client.suite_id,
        client.credential,
        client.signer,
        LIFETIME,
        own_capabilities(types, client.random),
        (in_leaf, PRIVATE),
        (in_package, replace(PRIVATE, extension_type=ExtensionType(POLICY))),
        client.random,
    )


def test_v215_reserved_values_go_wherever_they_may_and_disturb_nobody() -> None:
    """V017, V018, V019: all four lists of capabilities, a leaf, a KeyPackage, a Welcome's GroupInfo."""
    world = Greased("alice", "bob", "carol")
    world.commit("bob")
    world.add("carol", "dave")
    update = world["bob"].propose_update(world.random, leaf=LeafChange(extensions=()))
    world.groups["bob"] = update[0]
    world.commit("alice", references=[update[1]])
    assert world.agree()
    for member in world["alice"].members()[2:]:
        carried = {int(each.extension_type) for each in member.leaf.extensions}
        assert carried & GREASE_VALUES
        assert PRIVATE.extension_type in carried


def test_v215_a_group_info_carries_what_the_application_gives_it() -> None:
    world = Members("alice", "bob")
    sent = (grease_extension(world.random), PRIVATE)
    message = world["alice"].group_info(extensions=sent)
    info = MLSMessage.decode(message).body
    assert isinstance(info, GroupInfo)
    assert find(info.extensions, PRIVATE.extension_type) == PRIVATE.extension_data
    assert observe(message) == world["bob"].public


@pytest.mark.parametrize("extension_type", sorted(DEFAULT_EXTENSION_TYPES))
def test_the_application_puts_none_of_the_standards_extensions_into_a_group_info(extension_type: int) -> None:
    world = Members("alice")
    with pytest.raises(MisuseError):
        world["alice"].group_info(extensions=(Extension(ExtensionType(extension_type), b""),))
    with pytest.raises(MisuseError):
        world["alice"].group_info(extensions=(PRIVATE, PRIVATE))


def test_v113_no_reserved_version_and_no_unlisted_reserved_extension() -> None:
    client = Client("alice", 1, Dice())
    client.capabilities = replace(client.capabilities, versions=(1, 0x0A0A))
    with pytest.raises(MisuseError, match="V113"):
        client.package()
    plain = Client("alice", 1, Dice())
    plain.capabilities = own_capabilities()
    with pytest.raises(MisuseError, match="V067"):
        plain.package(leaf_extensions=(grease_extension(plain.random),))


def test_reserved_extensions_vary() -> None:
    """All fifteen types and every size, so that no peer learns one by heart; and each listed once."""
    dice = Dice()
    made = [grease_extension(dice) for _ in range(300)]
    assert {int(each.extension_type) for each in made} == GREASE_VALUES
    assert {len(each.extension_data) for each in made} == set(range(DATA_SIZE_MAX + 1))
    for each in made[:50]:
        listed = own_capabilities((each.extension_type,), dice).extensions
        assert len(set(listed)) == len(listed)


# --- marks and names --------------------------------------------------------------------------------------------------


def test_a_last_resort_says_so_and_joins_more_than_once() -> None:
    """Its mark is listed in the leaf's capabilities, as every extension of a package is (V089)."""
    client = Client("bob", 1, Dice())
    bundle = create_key_package(
        1, client.credential, client.signer, LIFETIME, client.capabilities, (), (), client.random, last_resort=True
    )
    assert bundle.key_package.is_last_resort
    assert not client.package().key_package.is_last_resort
    assert ExtensionType.LAST_RESORT in bundle.key_package.leaf_node.capabilities.extensions
    kept = KeyPackageBundle.from_bytes(bundle.to_bytes())
    assert kept.key_package.is_last_resort
    for seed in ("one group", "another"):
        world = Members("alice", seed=seed)
        made = world.commit("alice", proposals=[add(bundle.key_package)])
        world.join("bob", made, kept)
        assert world.agree()


def test_v060_an_application_id_is_a_claim_and_may_be_made_twice() -> None:
    """Nobody is refused or taken for somebody else by it: the credential tells members apart."""
    world = Members("alice", "bob", "carol")
    claim = application_id_extension(b"device 7")
    for name in ("bob", "carol"):
        world.commit(name, leaf=LeafChange(extensions=(claim,)))
    members = world["alice"].members()
    assert [application_id(each.leaf.extensions) for each in members] == [None, b"device 7", b"device 7"]
    assert [each.identity for each in members] == [b"alice", b"bob", b"carol"]
    world.groups["carol"], message = world["carol"].seal(b"it is me", world.random)
    assert world["alice"].open(message, NOW)[1].sender_identity == b"carol"
