"""Rules for one LeafNode (RFC 9420 §7.3): on its own, and against the group it is to stand in."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from mls.credentials import check_credential
from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.extensions import LEAF_PLACE, Extensions, check_extensions, non_default, required_capabilities, types_of
from mls.registry import DEFAULT_PROPOSAL_TYPES, LeafNodeSource
from mls.tree.nodes import LEAF_NODE_LABEL, LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.keys import check_hpke_key, check_signature_key
from mls.validation.signatures import Signed

_SOURCE_RULES = {
    LeafNodeSource.KEY_PACKAGE: "V073",
    LeafNodeSource.UPDATE: "V074",
    LeafNodeSource.COMMIT: "V075",
}


def check_leaf(
    suite: CipherSuite,
    leaf: LeafNode,
    source: LeafNodeSource,
    group_id: bytes = b"",
    leaf_index: int = 0,
) -> None:
    """What a leaf has to be wherever it comes from; `group_id` and `leaf_index` count for update and commit only."""
    check_leaf_source(leaf, source)
    check_leaf_content(suite, leaf)
    if not leaf.verify(suite, group_id, leaf_index):  # §7.3, first bullets; V081 follows
        raise InvalidError("V062", "a leaf whose signature does not verify")


def check_leaf_source(leaf: LeafNode, source: LeafNodeSource) -> None:
    if leaf.leaf_node_source is not source:
        raise InvalidError(_SOURCE_RULES[source], f"a leaf made for {leaf.leaf_node_source.name.lower()}")


def leaf_signed(suite: CipherSuite, leaf: LeafNode, group_id: bytes = b"", leaf_index: int = 0) -> Signed:
    """A leaf's signature, to be verified among others."""
    return Signed(suite, leaf.signature_key, LEAF_NODE_LABEL, leaf.to_be_signed(group_id, leaf_index), leaf.signature)


def check_leaf_content(suite: CipherSuite, leaf: LeafNode) -> None:
    """The checks that look at nothing but the leaf, its signature left to the caller."""
    check_signature_key(suite, leaf.signature_key)  # V052: the suite's scheme, by its keys
    check_hpke_key(suite, leaf.encryption_key)
    check_credential(suite, leaf.credential, leaf.signature_key)
    capabilities = leaf.capabilities
    if leaf.credential.credential_type not in capabilities.credentials:
        raise InvalidError("V066", "a leaf whose capabilities leave out its own credential type")
    if not leaf.extensions:
        return
    check_extensions(leaf.extensions, LEAF_PLACE, "a leaf")
    if unlisted := non_default(types_of(leaf.extensions)) - set(capabilities.extensions):
        raise InvalidError("V067", f"a leaf with extensions it does not list: {sorted(unlisted)}")


def check_leaf_in_group(leaf: LeafNode, extensions: Extensions, who: str = "a leaf") -> None:
    """The leaf supports what the group context holds (V080) and requires (V063)."""
    demands, capabilities = _demands(extensions), leaf.capabilities
    if demands is _NO_DEMANDS:
        return
    if missing := demands.extensions.difference(capabilities.extensions):
        raise InvalidError("V063", f"{who} lacks required extensions {sorted(missing)}")
    if missing := demands.proposals.difference(capabilities.proposals):
        raise InvalidError("V063", f"{who} lacks required proposals {sorted(missing)}")
    if missing := demands.credentials.difference(capabilities.credentials):
        raise InvalidError("V063", f"{who} lacks required credentials {sorted(missing)}")
    if missing := demands.present.difference(capabilities.extensions):
        raise InvalidError("V080", f"{who} lacks group context extensions {sorted(missing)}")


class _Demands(NamedTuple):
    """What a group context's extensions ask of every leaf."""

    extensions: frozenset[int]
    proposals: frozenset[int]
    credentials: frozenset[int]
    present: frozenset[int]


_NO_DEMANDS = _Demands(frozenset(), frozenset(), frozenset(), frozenset())


@lru_cache(maxsize=16)
def _demands(extensions: Extensions) -> _Demands:
    """The same for each leaf of a tree, so worked out once."""
    required = required_capabilities(extensions)
    demands = _Demands(
        non_default(required.extension_types),
        frozenset(required.proposal_types) - DEFAULT_PROPOSAL_TYPES,
        frozenset(required.credential_types),
        non_default(types_of(extensions)),
    )
    return demands if any(demands) else _NO_DEMANDS


def check_credential_types(tree: RatchetTree, changed: Iterable[LeafNode]) -> None:
    """Every member understands every other's credential (V061, V064, V065).

    `changed` are the leaves of the tree that were not in a valid tree before. The tree keeps count of credential types,
    so nobody else has to be asked.
    """
    in_use, supported = tree.credential_types
    if in_use <= supported:  # by everybody, the changed leaves too
        return
    changed = tuple(changed)
    for leaf in changed:
        if missing := in_use.difference(leaf.capabilities.credentials):
            raise InvalidError("V065", f"a leaf does not support credential types in use: {sorted(missing)}")
    for leaf in changed:
        if leaf.credential.credential_type not in supported:
            raise InvalidError("V064", "a member does not support a new leaf's credential type")


def check_lifetime(leaf: LeafNode, now: int, lifetime_max_s: int | None, *, rule: str = "V071") -> None:
    """A key-package leaf is used within its time, and claims no more of it than allowed. Needs a clock."""
    lifetime = leaf.lifetime
    if lifetime is None:
        return
    if not lifetime.not_before <= now <= lifetime.not_after:
        raise InvalidError(rule, f"a leaf valid from {lifetime.not_before} to {lifetime.not_after}, and it is {now}")
    if lifetime_max_s is not None and lifetime.not_after - lifetime.not_before > lifetime_max_s:
        raise InvalidError("V072", f"a leaf with a lifetime longer than {lifetime_max_s} s")
