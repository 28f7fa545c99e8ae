"""One node of a ratchet tree with everything below it: the unit of structural sharing.

A change to a leaf makes new subtrees along that leaf's direct path and shares all others with the tree it came from. A
subtree never moves within its tree (extending and truncating happen at the right), so its tree hash, which covers leaf
indices, is computed at most once however many epochs and rival candidates it lives through.
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mls.codec import varint
from mls.crypto import CipherSuite
from mls.errors import MisuseError
from mls.registry import NodeType
from mls.tree.math import LeafIndex, NodeIndex
from mls.tree.nodes import LeafNode, ParentNode

_LEAF_TAG, _PARENT_TAG = bytes((NodeType.LEAF,)), bytes((NodeType.PARENT,))
_ABSENT, _PRESENT = b"\x00", b"\x01"

PIECE_HEIGHT = 6
"""Subtrees of this height remember their encoding once it was asked for: as many bytes again as their nodes keep. A
Commit changes one of them and what is above it; the rest of a large tree is then put together from pieces of 64 leaves.
"""

SHARED_LIST_MAX = 16
"""Credential types of a member whose set is kept for others that list the same."""


class CredentialTypes(NamedTuple):
    """Credential types among some members (RFC 9420 §13.3): every type in use has to be supported by all (V061)."""

    in_use: frozenset[int]
    supported: frozenset[int]  # by each of them; empty where there is nobody


_NO_CREDENTIAL_TYPES = CredentialTypes(frozenset(), frozenset())


class Subtree:
    """A node, blank when `content` is None, and its two halves. Nothing of it changes later but what it caches."""

    __slots__ = (
        "_credential_types",
        "_encoding",
        "_hash",
        "content",
        "height",
        "index",
        "left",
        "member_count",
        "resolution_size",
        "right",
    )

    def __init__(
        self,
        index: NodeIndex,
        content: LeafNode | ParentNode | None,
        left: "Subtree | None" = None,
        right: "Subtree | None" = None,
    ) -> None:
        self.index, self.content = index, content
        self._hash: bytes | None = None
        self._credential_types: CredentialTypes | None = None
        self._encoding: bytes | None = None
        if left is None or right is None:
            self.height = 0
            self.member_count = 0 if content is None else 1  # non-blank leaves
            self.resolution_size = self.member_count
        else:
            self.left, self.right = left, right
            self.height = left.height + 1
            self.member_count = left.member_count + right.member_count
            if isinstance(content, ParentNode):
                self.resolution_size = 1 + len(content.unmerged_leaves)
            else:
                self.resolution_size = left.resolution_size + right.resolution_size

    def __repr__(self) -> str:
        return f"<Subtree at node {self.index}, {self.member_count} members>"

    @property
    def halves(self) -> "tuple[Subtree, Subtree]":
        """Those of a parent; a leaf has no such attributes."""
        return self.left, self.right

    @property
    def leaf(self) -> LeafNode | None:
        assert isinstance(self.content, LeafNode | None), "a parent is no leaf"
        return self.content

    @property
    def parent(self) -> ParentNode | None:
        assert isinstance(self.content, ParentNode | None), "a leaf is no parent"
        return self.content

    @property
    def leaf_index(self) -> LeafIndex:
        assert self.height == 0, "a parent has no leaf index"
        return LeafIndex(self.index >> 1)

    @property
    def leaf_count(self) -> int:
        return 1 << self.height

    @property
    def first_leaf(self) -> int:
        return (self.index + 1 - self.leaf_count) >> 1

    @property
    def split(self) -> int:
        """The first leaf index of the right half."""
        return (self.index + 1) >> 1

    # --- looking ---

    def find(self, leaf_index: int) -> "Subtree":
        """The leaf at an index inside this subtree."""
        here = self
        node_index = 2 * leaf_index
        while here.height:
            here = here.left if node_index < here.index else here.right
        return here

    def leaves(self) -> "list[Subtree]":
        """The non-blank leaves, left to right."""
        found: list[Subtree] = []
        waiting = [self]
        while waiting:
            here = waiting.pop()
            while here.height:
                waiting.append(here.right)
                here = here.left
            if here.content is not None:
                found.append(here)
        return found

    def parents(self) -> "list[tuple[Subtree, ParentNode]]":
        """The non-blank parents with what is in them, in array order."""
        return [(node, node.content) for node in self.nodes() if isinstance(node.content, ParentNode)]

    def nodes(self) -> "list[Subtree]":
        """Every node, blank ones too, in array order."""
        found: list[Subtree] = []
        waiting: list[Subtree] = []
        here = self
        while True:
            while here.height:
                waiting.append(here)
                here = here.left
            found.append(here)
            if not waiting:
                return found
            parent = waiting.pop()
            found.append(parent)
            here = parent.right

    def resolution(self) -> "tuple[Subtree, ...]":
        """The nodes that together reach all members below, left to right (RFC 9420 §4.1.1)."""
        found: list[Subtree] = []
        self._resolve(found)
        return tuple(found)

    def _resolve(self, found: "list[Subtree]") -> None:
        if not self.resolution_size:
            return
        if self.content is not None:
            found.append(self)
            if isinstance(self.content, ParentNode):
                found += [self.find(leaf_index) for leaf_index in self.content.unmerged_leaves]
            return
        for half in self.halves:
            half._resolve(found)

    def leftmost_blank_leaf(self) -> LeafIndex | None:
        """None when every leaf is taken."""
        here = self
        if here.member_count == here.leaf_count:
            return None
        while here.height:
            left, right = here.halves
            here = left if left.member_count < left.leaf_count else right
        return here.leaf_index

    def last_leaf(self) -> int:
        """The index of the rightmost leaf that is not blank; somebody has to be there."""
        here = self
        while here.height:
            here = here.right if here.right.member_count else here.left
        return here.leaf_index

    @property
    def credential_types(self) -> CredentialTypes:
        """What the members below use and what all of them support; computed once (V064, V065 without a scan)."""
        if self._credential_types is None:
            self._credential_types = self._summed_credential_types()
        return self._credential_types

    def _summed_credential_types(self) -> CredentialTypes:
        if self.height == 0:
            if self.leaf is None:
                return _NO_CREDENTIAL_TYPES
            return _credential_types_of_one(
                int(self.leaf.credential.credential_type), self.leaf.capabilities.credentials
            )
        left, right = self.halves
        if not left.member_count or not right.member_count:
            return (left if left.member_count else right).credential_types
        one, other = left.credential_types, right.credential_types
        if one == other:
            return one
        return CredentialTypes(one.in_use | other.in_use, one.supported & other.supported)

    def add_encoding(self, pieces: list[bytes]) -> None:
        """Append the entries of all nodes in array order (RFC 9420 §12.4.3.3), in pieces of some size."""
        if self.height > PIECE_HEIGHT:
            self.left.add_encoding(pieces)
            pieces.append(_entry(self))
            self.right.add_encoding(pieces)
            return
        if self._encoding is None:
            self._encoding = b"".join([_entry(node) for node in self.nodes()])
        pieces.append(self._encoding)

    # --- changing, by making anew ---

    def with_leaf(
        self, leaf_index: int, leaf: LeafNode | None, on_path: "Callable[[Subtree], ParentNode | None]"
    ) -> "Subtree":
        """This subtree with another leaf; `on_path` says what each node above it, given as it is, becomes."""
        if self.height == 0:
            return Subtree(self.index, leaf)
        left, right = self.left, self.right
        if 2 * leaf_index < self.index:
            left = left.with_leaf(leaf_index, leaf, on_path)
        else:
            right = right.with_leaf(leaf_index, leaf, on_path)
        return Subtree(self.index, on_path(self), left, right)

    def extended(self) -> "Subtree":
        """A tree of twice as many leaves, its right half blank (RFC 9420 §7.7)."""
        assert self.first_leaf == 0, "only a whole tree is extended"
        if self.height >= 31:
            raise MisuseError("a tree of 2^31 leaves is full")
        right = blank_subtree(NodeIndex(self.index + 2 * self.leaf_count), self.height)
        return Subtree(NodeIndex(2 * self.leaf_count - 1), None, self, right)

    def truncated(self) -> "Subtree":
        """Without right halves that hold no member (RFC 9420 §7.7, V135)."""
        here = self
        while here.height and here.halves[1].member_count == 0:
            here = here.halves[0]
        return here

    # --- hashing ---

    def tree_hash(self, suite: CipherSuite) -> bytes:
        """RFC 9420 §7.8; computed once."""
        if self._hash is None:
            if self.height == 0:
                self._hash = _leaf_hash(suite, self.leaf_index, self.leaf)  # V181
            else:
                left, right = self.left.tree_hash(suite), self.right.tree_hash(suite)
                self._hash = _branch_hash(suite, self.parent, left, right)
        return self._hash

    def original_tree_hash(self, suite: CipherSuite, unmerged: tuple[int, ...]) -> bytes:
        """The tree hash as it was before these leaves (ascending, all below here) were added (RFC 9420 §7.9, V176).

        Blank nodes on the way do not stop the recomputation; subtrees without such a leaf keep their hash.
        """
        if not unmerged:
            return self.tree_hash(suite)
        if self.height == 0:
            return _leaf_hash(suite, self.leaf_index, None)
        cut = bisect_left(unmerged, self.split)
        left, right = self.halves
        content = self.parent
        if content is not None:
            gone = frozenset(unmerged)
            kept = tuple(each for each in content.unmerged_leaves if each not in gone)
            content = ParentNode(content.encryption_key, content.parent_hash, kept)
        return _branch_hash(
            suite,
            content,
            left.original_tree_hash(suite, unmerged[:cut]),
            right.original_tree_hash(suite, unmerged[cut:]),
        )


def _credential_types_of_one(in_use: int, supported: tuple[int, ...]) -> CredentialTypes:
    """A member's; most of a group say the same, and share one value. Who lists many keeps nothing past its group."""
    make = _shared_credential_types if len(supported) <= SHARED_LIST_MAX else _credential_types
    return make(in_use, supported)


def _credential_types(in_use: int, supported: tuple[int, ...]) -> CredentialTypes:
    return CredentialTypes(frozenset((in_use,)), frozenset(supported))


_shared_credential_types = lru_cache(maxsize=64)(_credential_types)


def blank_subtree(index: NodeIndex, height: int) -> Subtree:
    """Blanks all the way down."""
    if height == 0:
        return Subtree(index, None)
    offset = 1 << (height - 1)
    left = blank_subtree(NodeIndex(index - offset), height - 1)
    right = blank_subtree(NodeIndex(index + offset), height - 1)
    return Subtree(index, None, left, right)


def _entry(node: Subtree) -> bytes:
    """The encoding of an `optional<Node>`, put together from those that leaves and parents remember."""
    if node.content is None:
        return _ABSENT
    return _PRESENT + (_PARENT_TAG if node.height else _LEAF_TAG) + node.content.encode()


def _leaf_hash(suite: CipherSuite, leaf_index: int, leaf: LeafNode | None) -> bytes:
    """The hash of TreeHashInput for a leaf."""
    head = _LEAF_TAG + leaf_index.to_bytes(4, "big")
    return suite.hash(head + (_ABSENT if leaf is None else _PRESENT + leaf.encode()))


def _branch_hash(suite: CipherSuite, content: ParentNode | None, left: bytes, right: bytes) -> bytes:
    """The hash of TreeHashInput for a parent."""
    size = varint(suite.hash_size)
    head = _PARENT_TAG + (_ABSENT if content is None else _PRESENT + content.encode())
    return suite.hash(head + size + left + size + right)
