"""Parent hashes (RFC 9420 §7.9): what ties each key of a path to the member who put it there."""

from collections.abc import Sequence

from mls.codec import Opaque, Struct, struct
from mls.crypto import CipherSuite
from mls.tree.math import NodeIndex
from mls.tree.nodes import ParentNode
from mls.tree.ratchet import PathStep


@struct
class ParentHashInput(Struct):
    encryption_key: Opaque
    parent_hash: Opaque
    original_sibling_tree_hash: Opaque


def parent_hash(suite: CipherSuite, parent: ParentNode, original_sibling_tree_hash: bytes) -> bytes:
    """The hash that the next node down, on the side away from the sibling, carries. KDF.Nh bytes."""
    return suite.hash(ParentHashInput(parent.encryption_key, parent.parent_hash, original_sibling_tree_hash).encode())


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
