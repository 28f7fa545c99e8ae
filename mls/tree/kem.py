"""TreeKEM (RFC 9420 §7.4-7.6)."""

from mls.codec import Opaque, Struct, Vector, struct
from mls.crypto import HPKECiphertext
from mls.tree.nodes import LeafNode


@struct
class UpdatePathNode(Struct):
    """A new key for one node of the filtered direct path, and its secret for each node of the copath's resolution."""

    encryption_key: Opaque
    encrypted_path_secret: Vector[HPKECiphertext]


@struct
class UpdatePath(Struct):
    """A committer's new leaf and the new keys above it, lowest first (RFC 9420 §7.6)."""

    leaf_node: LeafNode
    nodes: Vector[UpdatePathNode]
