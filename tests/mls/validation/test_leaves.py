"""Rules for leaves, one at a time and against the group (RFC 9420 §7.3)."""

from dataclasses import replace

import pytest

from mls.crypto import suite
from mls.errors import InvalidError
from mls.extensions import RequiredCapabilities, required_capabilities_extension
from mls.registry import CredentialType
from mls.tree.nodes import Credential, LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.leaves import check_credential_types, check_leaf_content, check_leaf_in_group
from tests.mls.world import Client, Dice


def leaf_of(name: str, credential_type: int = 1, supported: tuple[int, ...] = (1,)) -> LeafNode:
    leaf = Client(name, 1, Dice(name)).package().key_package.leaf_node
    credential = leaf.credential
    if credential_type != CredentialType.BASIC:
        credential = Credential(CredentialType.X509, (b"a certificate",))
    return replace(leaf, credential=credential, capabilities=replace(leaf.capabilities, credentials=supported))


def tree_of(member: LeafNode, newcomer: LeafNode) -> RatchetTree:
    return RatchetTree.of_one(suite(1), member).add(newcomer)[0]


def test_v061_a_credential_of_a_type_we_cannot_read() -> None:
    """It does not come out of any decoder (V210); a leaf made by hand is refused all the same."""
    unknown = Credential(CredentialType(0xF00D), b"a credential")
    with pytest.raises(InvalidError) as wrong:
        check_leaf_content(suite(1), replace(leaf_of("alice", supported=(0xF00D,)), credential=unknown))
    assert wrong.value.rule == "V061"


def test_v051_a_leaf_whose_certificate_is_none() -> None:
    with pytest.raises(InvalidError) as wrong:
        check_leaf_content(suite(1), leaf_of("alice", CredentialType.X509, (1, 2)))
    assert wrong.value.rule == "V051"


def test_v064_a_member_that_does_not_support_a_new_leafs_credential() -> None:
    member, newcomer = leaf_of("alice"), leaf_of("bob", CredentialType.X509, (1, 2))
    with pytest.raises(InvalidError) as wrong:
        check_credential_types(tree_of(member, newcomer), [newcomer])
    assert wrong.value.rule == "V064"


def test_v065_a_new_leaf_that_does_not_support_a_members_credential() -> None:
    member, newcomer = leaf_of("alice", CredentialType.X509, (1, 2)), leaf_of("bob", 1, (1,))
    with pytest.raises(InvalidError) as wrong:
        check_credential_types(tree_of(member, newcomer), [newcomer])
    assert wrong.value.rule == "V065"


def test_members_who_support_each_others_credentials_get_along() -> None:
    both = (1, 2)
    member, newcomer = leaf_of("alice", CredentialType.X509, both), leaf_of("bob", 1, both)
    check_credential_types(tree_of(member, newcomer), [newcomer])


@pytest.mark.parametrize("lists", [((7,), (), ()), ((), (9,), ()), ((), (), (2,))])
def test_v063_a_leaf_that_lacks_what_is_required(lists: tuple[tuple[int, ...], ...]) -> None:
    """An extension, a proposal or a credential type; default ones, but for credentials, need no listing."""
    with pytest.raises(InvalidError) as wrong:
        check_leaf_in_group(leaf_of("alice"), (required_capabilities_extension(RequiredCapabilities(*lists)),))
    assert wrong.value.rule == "V063"
    check_leaf_in_group(leaf_of("alice"), (required_capabilities_extension(RequiredCapabilities((5,), (7,), (1,))),))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_v014_a_signature_key_that_is_none(key: bytes) -> None:
    with pytest.raises(InvalidError) as wrong:
        check_leaf_content(suite(1), replace(leaf_of("alice"), signature_key=key))
    assert wrong.value.rule == "V014"


def test_v016_unknown_capabilities_are_ignored() -> None:
    leaf = leaf_of("alice")
    strange = replace(
        leaf.capabilities, versions=(1, 9), extensions=(0xFEED,), proposals=(0xFACE,), credentials=(1, 77)
    )
    check_leaf_content(suite(1), replace(leaf, capabilities=strange))
