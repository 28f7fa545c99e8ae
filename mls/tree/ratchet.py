"""The ratchet tree of one epoch as a frozen value (RFC 9420 §4.1, §7): every change returns the next tree."""

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from mls.codec import Struct, Vector, struct, varint
from mls.crypto import CipherSuite
from mls.errors import InvalidError, MisuseError
from mls.tree.key_index import KeyIndex
from mls.tree.math import LeafIndex, NodeIndex, least_power_of_two, node_count
from mls.tree.nodes import LeafNode, Node, ParentNode
from mls.tree.subtree import CredentialTypes, Subtree


@struct
class RatchetTreeNodes(Struct):
    """The `ratchet_tree` extension: the array of nodes without the blanks at its end (RFC 9420 §12.4.3.3)."""

    nodes: Vector[Node | None]


class PathStep(NamedTuple):
    """A node of a leaf's direct path, and its child on the copath."""

    node: Subtree
    copath: Subtree


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RatchetTree:
    """The public state of a group's tree. Equal trees have equal tree hashes.

    `encryption_keys` counts the HPKE keys of all nodes, leaves and parents; `signature_keys` those of all leaves.
    """

    suite: CipherSuite
    root: Subtree
    encryption_keys: KeyIndex
    signature_keys: KeyIndex
    _direct_paths: dict[int, tuple[PathStep, ...]] = field(default_factory=dict, init=False)  # those asked for

    # --- making ---

    @classmethod
    def of_one(cls, suite: CipherSuite, leaf: LeafNode) -> "RatchetTree":
        """The tree of a new group: its creator's leaf alone (RFC 9420 §11)."""
        return cls.of_root(suite, Subtree(NodeIndex(0), leaf))

    @classmethod
    def of_root(cls, suite: CipherSuite, root: Subtree) -> "RatchetTree":
        return cls._holding(suite, root, [node.content for node in root.nodes()])

    @classmethod
    def _holding(
        cls, suite: CipherSuite, root: Subtree, contents: Iterable[LeafNode | ParentNode | None]
    ) -> "RatchetTree":
        present = [content for content in contents if content is not None]
        encryption_keys = KeyIndex([content.encryption_key for content in present])
        return cls(suite, root, encryption_keys, KeyIndex(_signature_keys(present)))

    @classmethod
    def decode(cls, suite: CipherSuite, data: bytes) -> "RatchetTree":
        """The tree a `ratchet_tree` vector describes.

        Raises MalformedError for bytes that are none, InvalidError for V011, V012, V013 and V226's last entry. What a
        joiner checks beyond that is `mls.tree.verify.check_tree`.
        """
        return cls.of_nodes(suite, RatchetTreeNodes.decode(data).nodes)

    @classmethod
    def of_nodes(cls, suite: CipherSuite, nodes: Sequence[LeafNode | ParentNode | None]) -> "RatchetTree":
        if not nodes or nodes[-1] is None:
            raise InvalidError("V012", "a ratchet tree whose last entry is blank")
        for index, node in enumerate(nodes):
            if node is None:
                continue
            is_parent = isinstance(node, ParentNode)
            if is_parent != (index % 2 == 1):
                raise InvalidError("V013", f"node {index} is of the wrong type for its place")
            if isinstance(node, ParentNode) and node.unmerged_leaves:
                _check_unmerged_order(index, node)
        if len(nodes) % 2 == 0:
            raise InvalidError("V226", "a ratchet tree that ends with a parent")
        return cls._holding(suite, _grown(nodes), nodes)

    def encode(self) -> bytes:
        """The `ratchet_tree` vector, without the blanks at the end (V012)."""
        pieces: list[bytes] = []
        self.root.add_encoding(pieces)
        left_out = node_count(self.leaf_count) - node_count(self.root.last_leaf() + 1)  # blanks, of one byte each
        while left_out >= len(pieces[-1]):
            left_out -= len(pieces.pop())
        pieces[-1] = pieces[-1][: len(pieces[-1]) - left_out]
        return b"".join((varint(sum(map(len, pieces))), *pieces))

    # --- looking ---

    @property
    def leaf_count(self) -> int:
        """Leaves, blank ones included: a power of two."""
        return self.root.leaf_count

    @property
    def member_count(self) -> int:
        return self.root.member_count

    def leaf(self, leaf_index: int) -> LeafNode | None:
        """None for a blank leaf, and for an index outside the tree."""
        if not 0 <= leaf_index < self.leaf_count:
            return None
        return self.root.find(leaf_index).leaf

    def node(self, node_index: int) -> Subtree:
        """The subtree at an index of the array. Raises MisuseError outside it."""
        if not 0 <= node_index < 2 * self.leaf_count - 1:
            raise MisuseError(f"no node {node_index} in a tree of {self.leaf_count} leaves")
        here = self.root
        while here.index != node_index:
            here = here.halves[node_index > here.index]
        return here

    def members(self) -> Iterator[tuple[LeafIndex, LeafNode]]:
        """The non-blank leaves with their indices, left to right."""
        for each in self.root.leaves():
            assert isinstance(each.content, LeafNode)
            yield LeafIndex(each.index >> 1), each.content

    @property
    def credential_types(self) -> CredentialTypes:
        """The credential types in use among the members, and those that every member supports."""
        return self.root.credential_types

    def find(self, leaf: LeafNode) -> LeafIndex | None:
        """Where an identical leaf stands (V193)."""
        if leaf.encryption_key not in self.encryption_keys:
            return None
        key = leaf.encryption_key
        return next((index for index, each in self.members() if each.encryption_key == key and each == leaf), None)

    def tree_hash(self) -> bytes:
        """RFC 9420 §7.8; KDF.Nh bytes."""
        return self.root.tree_hash(self.suite)

    def resolution(self, node_index: int) -> tuple[NodeIndex, ...]:
        """RFC 9420 §4.1.1."""
        return tuple(node.index for node in self.node(node_index).resolution())

    def direct_path(self, leaf_index: int) -> tuple[PathStep, ...]:
        """From the leaf's parent to the root. The steps of one Commit ask for the same few again and again."""
        if leaf_index in self._direct_paths:
            return self._direct_paths[leaf_index]
        steps: list[PathStep] = []
        node_index, here = 2 * leaf_index, self.root
        while here.height:
            left, right = here.left, here.right
            below, beside = (left, right) if node_index < here.index else (right, left)
            steps.append(PathStep(here, beside))
            here = below
        steps.reverse()
        path = self._direct_paths[leaf_index] = tuple(steps)
        return path

    def filtered_direct_path(self, leaf_index: int) -> tuple[PathStep, ...]:
        """The direct path without nodes whose copath child reaches nobody, lowest first (RFC 9420 §4.1.2)."""
        return tuple(step for step in self.direct_path(leaf_index) if step.copath.resolution_size)

    # --- changing ---

    def add(self, leaf: LeafNode) -> tuple["RatchetTree", LeafIndex]:
        """A new member at the leftmost blank leaf, the tree extended when full (RFC 9420 §7.7, §12.1.1; V134)."""
        roomy, leaf_index = self.with_room()
        root = roomy.root.with_leaf(leaf_index, leaf, lambda node: _with_unmerged(node.parent, leaf_index))
        return self._successor(root, come=(leaf,)), leaf_index

    def with_room(self) -> tuple["RatchetTree", LeafIndex]:
        """The leftmost blank leaf, and the tree extended by blanks when there was none (RFC 9420 §7.7).

        An external joiner puts its path there with `with_path` (V144); nothing else leaves such a tree as it is.
        """
        leaf_index = self.root.leftmost_blank_leaf()
        if leaf_index is not None:
            return self, leaf_index
        return self._successor(self.root.extended()), LeafIndex(self.leaf_count)

    def update(self, leaf_index: int, leaf: LeafNode) -> "RatchetTree":
        """Another leaf for a member, and its direct path blank (RFC 9420 §12.1.2, V221)."""
        return self._with_leaf_over_blanks(leaf_index, leaf)

    def remove(self, leaf_index: int) -> "RatchetTree":
        """A member gone, its direct path blank, the tree truncated (RFC 9420 §12.1.3; V135, V221)."""
        return self._with_leaf_over_blanks(leaf_index, None)

    def with_path(self, leaf_index: int, leaf: LeafNode, parents: dict[NodeIndex, ParentNode]) -> "RatchetTree":
        """A committer's new leaf and parents; the rest of its direct path blank (RFC 9420 §7.5, V223)."""
        gone = [self.leaf(leaf_index), *(step.node.parent for step in self.direct_path(leaf_index))]
        root = self.root.with_leaf(leaf_index, leaf, lambda node: parents.get(node.index))
        return self._successor(root, gone=gone, come=(leaf, *parents.values()))

    def _with_leaf_over_blanks(self, leaf_index: int, leaf: LeafNode | None) -> "RatchetTree":
        gone = [self._occupied(leaf_index), *(step.node.parent for step in self.direct_path(leaf_index))]
        root = self.root.with_leaf(leaf_index, leaf, lambda _: None)
        if leaf is None:
            return self._successor(root.truncated(), gone=gone)
        return self._successor(root, gone=gone, come=(leaf,))

    def _occupied(self, leaf_index: int) -> LeafNode:
        leaf = self.leaf(leaf_index)
        if leaf is None:
            raise MisuseError(f"leaf {leaf_index} is blank")
        return leaf

    def _successor(
        self,
        root: Subtree,
        *,
        gone: Iterable[LeafNode | ParentNode | None] = (),
        come: Iterable[LeafNode | ParentNode] = (),
    ) -> "RatchetTree":
        left = [content for content in gone if content is not None]
        return RatchetTree(
            self.suite,
            root,
            self.encryption_keys.changed(
                gone=[content.encryption_key for content in left], come=[content.encryption_key for content in come]
            ),
            self.signature_keys.changed(gone=_signature_keys(left), come=_signature_keys(come)),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RatchetTree):
            return NotImplemented
        return (self.suite.id, self.tree_hash()) == (other.suite.id, other.tree_hash())

    def __hash__(self) -> int:
        return hash(self.tree_hash())

    def __repr__(self) -> str:
        return f"<RatchetTree of {self.member_count} members in {self.leaf_count} leaves>"


def _signature_keys(contents: Iterable[LeafNode | ParentNode]) -> list[bytes]:
    return [content.signature_key for content in contents if isinstance(content, LeafNode)]


def _check_unmerged_order(index: int, parent: ParentNode) -> None:
    leaves = parent.unmerged_leaves
    if any(one >= other for one, other in pairwise(leaves)):
        raise InvalidError("V011", f"the unmerged leaves of node {index} are not strictly increasing")


def _grown(nodes: Sequence[LeafNode | ParentNode | None]) -> Subtree:
    """The tree of an array, level by level from its leaves; entries past the end are blank (V013)."""
    width = node_count(least_power_of_two((len(nodes) + 1) // 2))
    contents = [*nodes, *[None] * (width - len(nodes))]
    level = [Subtree(NodeIndex(index), contents[index]) for index in range(0, width, 2)]
    while len(level) > 1:
        first, apart = width // len(level), 2 * (width + 1) // len(level)
        places = zip(range(first, width, apart), level[::2], level[1::2], strict=True)
        level = [Subtree(NodeIndex(index), contents[index], left, right) for index, left, right in places]
    return level[0]


def _with_unmerged(parent: ParentNode | None, leaf_index: int) -> ParentNode | None:
    if parent is None:
        return None
    unmerged = list(parent.unmerged_leaves)
    insort(unmerged, leaf_index)  # §7.1: sorted (V011, V134)
    return ParentNode(parent.encryption_key, parent.parent_hash, tuple(unmerged))
