"""The private keys one member holds of a ratchet tree: its leaf's, and those of parents that it is merged into."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mls.codec import Opaque, Struct, Uint32, Vector, struct
from mls.crypto import CipherSuite, HpkePrivateKey
from mls.errors import MisuseError
from mls.tree.math import LeafIndex, NodeIndex, node_of_leaf
from mls.tree.ratchet import RatchetTree
from mls.tree.subtree import Subtree


@struct
class StoredKey(Struct):
    node_index: Uint32
    private_key: Opaque = field(repr=False)


@struct
class StoredKeys(Struct):
    """How private keys lie in a snapshot."""

    leaf_index: Uint32
    keys: Vector[StoredKey]


@dataclass(frozen=True, slots=True)
class TreeKeys:
    """Our place in the tree and the private keys of nodes above it, by node index, the leaf's own among them."""

    leaf_index: LeafIndex
    keys: Mapping[NodeIndex, HpkePrivateKey] = field(repr=False)

    @classmethod
    def of_leaf(cls, leaf_index: int, key: HpkePrivateKey) -> "TreeKeys":
        """A member that knows no key but its leaf's."""
        return cls(LeafIndex(leaf_index), MappingProxyType({node_of_leaf(leaf_index): key}))

    @property
    def leaf_key(self) -> HpkePrivateKey:
        return self.keys[node_of_leaf(self.leaf_index)]

    def key_of(self, node: Subtree) -> HpkePrivateKey | None:
        """Our key of a node as it is now; None where we have none, or that of an earlier occupant."""
        key = self.keys.get(node.index)
        if key is None or node.content is None or key.public != node.content.encryption_key:
            return None
        return key

    def with_leaf_key(self, key: HpkePrivateKey) -> "TreeKeys":
        """After an own Update; the keys above went blank with it, see `matching`."""
        return TreeKeys(self.leaf_index, MappingProxyType({**self.keys, node_of_leaf(self.leaf_index): key}))

    def replaced(self, gone: Iterable[NodeIndex], come: Mapping[NodeIndex, HpkePrivateKey]) -> "TreeKeys":
        """Without the keys of some nodes and with those of others."""
        dropped = frozenset(gone)
        kept = {index: key for index, key in self.keys.items() if index not in dropped}
        return TreeKeys(self.leaf_index, MappingProxyType(kept | dict(come)))

    def matching(self, tree: RatchetTree) -> "TreeKeys":
        """Only what fits the tree: keys of blanked and replaced nodes are forgotten (RFC 9420 §9.2, V170)."""
        nodes = [tree.root.find(self.leaf_index), *(step.node for step in tree.direct_path(self.leaf_index))]
        fitting = ((node.index, self.key_of(node)) for node in nodes)
        return TreeKeys(self.leaf_index, MappingProxyType({index: key for index, key in fitting if key is not None}))

    def to_bytes(self) -> bytes:
        """Secret. For snapshots."""
        stored = [StoredKey(index, key.to_bytes()) for index, key in sorted(self.keys.items())]
        return StoredKeys(self.leaf_index, tuple(stored)).encode()

    @classmethod
    def from_bytes(cls, suite: CipherSuite, data: bytes) -> "TreeKeys":
        stored = StoredKeys.decode(data)
        keys = {NodeIndex(each.node_index): suite.load_hpke_key(each.private_key) for each in stored.keys}
        if node_of_leaf(stored.leaf_index) not in keys:
            raise MisuseError("a snapshot without the key of our own leaf")
        return cls(LeafIndex(stored.leaf_index), MappingProxyType(keys))
