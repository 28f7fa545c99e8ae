"""Parent hashes (RFC 9420 §7.9): what ties each key of a path to the member who put it there."""

from collections.abc import Sequence

from mls.codec import varint
from mls.crypto import CipherSuite
from mls.tree.math import NodeIndex
from mls.tree.nodes import ParentNode
from mls.tree.ratchet import PathStep


def parent_hash(suite: CipherSuite, parent: ParentNode, original_sibling_tree_hash: bytes) -> bytes:
    """The hash of ParentHashInput, which the next node down, away from the sibling, carries. KDF.Nh bytes."""
    key, above = parent.encryption_key, parent.parent_hash
    sizes = varint(len(key)), varint(len(above)), varint(len(original_sibling_tree_hash))
    return suite.hash(sizes[0] + key + sizes[1] + above + sizes[2] + original_sibling_tree_hash)


def path_parents(
    suite: CipherSuite, steps: Sequence[PathStep], keys: Sequence[bytes]
) -> tuple[dict[NodeIndex, ParentNode], bytes]:
    """The parents of a new path and the parent hash its leaf has to carry (V156, V223).

    `steps` is the sender's filtered direct path and `keys` its new public keys, lowest first. The root's parent hash is
    empty, and so is the leaf's where the path is. No leaf is unmerged in a new path, so every original sibling tree
    hash is the copath's present one.
    """
    parents: dict[NodeIndex, ParentNode] = {}
    above = b""
    for step, key in zip(reversed(steps), reversed(keys), strict=True):
        parent = ParentNode(key, above, ())
        parents[step.node.index] = parent
        above = parent_hash(suite, parent, step.copath.tree_hash(suite))
    return parents, above
