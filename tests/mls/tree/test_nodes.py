"""Leaves and what their signatures cover."""

from dataclasses import replace

import pytest

from mls.crypto import suite
from mls.errors import MalformedError
from mls.registry import CredentialType, LeafNodeSource
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime
from tests.mls.tree.world import make_leaf, seeded

SUITE = suite(1)


def test_a_key_package_leaf_is_signed_for_no_group_in_particular() -> None:
    """V062."""
    leaf, _, _ = make_leaf(SUITE, "alice", seeded(1))

    assert leaf.verify(SUITE, b"", 0)
    assert leaf.verify(SUITE, b"any group", 7)


@pytest.mark.parametrize("source", [LeafNodeSource.UPDATE, LeafNodeSource.COMMIT])
def test_a_later_leaf_is_signed_for_its_group_and_place(source: LeafNodeSource) -> None:
    """V062."""
    made, _, signer = make_leaf(SUITE, "alice", seeded(1))
    parent_hash = b"p" if source is LeafNodeSource.COMMIT else None
    leaf = replace(made, leaf_node_source=source, lifetime=None, parent_hash=parent_hash)
    leaf = leaf.signed(SUITE, signer, b"group", 3)

    assert leaf.verify(SUITE, b"group", 3)
    assert not leaf.verify(SUITE, b"group", 0)  # leaf 0 is a place like any other
    assert not leaf.verify(SUITE, b"other", 3)


@pytest.mark.parametrize(
    "change",
    [
        {"encryption_key": b"another"},
        {"credential": Credential(CredentialType.BASIC, b"mallory")},
        {"capabilities": Capabilities((), (), (), (), ())},
        {"lifetime": Lifetime(0, 1)},
        {"signature": b""},
    ],
)
def test_a_changed_leaf_under_an_old_signature_does_not_verify(change: dict[str, object]) -> None:
    """V081."""
    leaf, _, _ = make_leaf(SUITE, "alice", seeded(1))

    assert not replace(leaf, **change).verify(SUITE, b"", 0)  # type: ignore[arg-type]


def test_leaves_round_trip() -> None:
    leaf, _, _ = make_leaf(SUITE, "alice", seeded(1))
    chain = replace(leaf, credential=Credential(CredentialType.X509, (b"end entity", b"issuer")))

    for each in (leaf, chain):
        assert LeafNode.decode(each.encode()) == each
    assert (leaf.credential.identity, leaf.credential.certificates) == (b"alice", ())
    assert (chain.credential.identity, chain.credential.certificates) == (b"", (b"end entity", b"issuer"))


@pytest.mark.parametrize("type", [0, 3, 0x0A0A, 0xF000])
def test_a_credential_of_an_unknown_type_is_malformed(type: int) -> None:
    """V210: nobody knows where it ends."""
    with pytest.raises(MalformedError, match="V210"):
        Credential.decode(type.to_bytes(2, "big") + b"\x01a")


def test_unknown_capabilities_are_kept() -> None:
    """V016: GREASE and private values alike."""
    capabilities = Capabilities((1, 0x0A0A), (0x1A1A,), (0xF123,), (0x2A2A,), (1, 0x3A3A))

    assert Capabilities.decode(capabilities.encode()) == capabilities
