"""What a joiner checks about a received tree before it believes it (RFC 9420 §7.9.2, §12.4.3.1).

Leaves are judged elsewhere, one by one; here it is the shape, the unmerged leaves, the uniqueness of keys, and the
chain of parent hashes that shows every parent to have been put in place by a member below it.
"""

from bisect import bisect_left

from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.tree.nodes import ParentNode
from mls.tree.parent_hash import parent_hash
from mls.tree.ratchet import RatchetTree
from mls.tree.subtree import Subtree


def check_tree(tree: RatchetTree) -> None:
    """Raises InvalidError for V226, V178, V179, V180, V174, V175 or V176."""
    if tree.root.height and tree.root.halves[1].member_count == 0:
        raise InvalidError("V226", "a tree that should have been truncated")
    repeated = tree.encryption_keys.repeated()
    parents = tree.root.parents()
    for node, parent in parents:
        if not node.left.member_count or not node.right.member_count:
            raise InvalidError("V226", f"parent {node.index} has no member on one side")
        if parent.encryption_key in repeated:
            raise InvalidError("V180", f"the key of parent {node.index} is in another node too")
        if parent.unmerged_leaves:
            check_unmerged_leaves(node, parent)
    for node, parent in parents:
        _check_parent_hash(tree.suite, node, parent)


def check_unmerged_leaves(node: Subtree, parent: ParentNode) -> None:
    """V178 and V179 for one parent.

    Only the nearest non-blank node on the way down to each leaf is asked: it answers for those below it itself.
    """
    unmerged = parent.unmerged_leaves
    if unmerged and not node.first_leaf <= unmerged[0] <= unmerged[-1] < node.first_leaf + node.leaf_count:
        raise InvalidError("V178", f"parent {node.index} has an unmerged leaf that is not below it")
    cut = bisect_left(unmerged, node.split)
    for half, below in zip(node.halves, (unmerged[:cut], unmerged[cut:]), strict=True):
        _expect_unmerged(half, below, node)


def _expect_unmerged(node: Subtree, unmerged: tuple[int, ...], lister: Subtree) -> None:
    if not unmerged:
        return
    if node.height == 0:
        if node.content is None:
            raise InvalidError("V178", f"parent {lister.index} has the blank leaf {unmerged[0]} as unmerged")
        return
    if node.parent is not None:
        if not set(unmerged) <= set(node.parent.unmerged_leaves):
            raise InvalidError("V179", f"node {node.index} lacks an unmerged leaf that node {lister.index} lists")
        return
    cut = bisect_left(unmerged, node.split)
    for half, below in zip(node.halves, (unmerged[:cut], unmerged[cut:]), strict=True):
        _expect_unmerged(half, below, lister)


def _check_parent_hash(suite: CipherSuite, node: Subtree, parent: ParentNode) -> None:
    """A non-blank parent is linked to exactly one node below it (V174). Assumes V178."""
    left, right = node.halves
    links = _is_linked(suite, parent, left, right) + _is_linked(suite, parent, right, left)
    if links != 1:
        raise InvalidError("V174", f"parent {node.index} has {links} valid parent hashes below it, not 1")


def _is_linked(suite: CipherSuite, parent: ParentNode, child: Subtree, sibling: Subtree) -> bool:
    """Whether a node D below `child` carries the hash of `parent`, `sibling` being the other side (§7.9.2)."""
    unmerged = _below(parent.unmerged_leaves, child)
    if child.resolution_size - 1 != len(unmerged):  # V175: the resolution of C without D is P's unmerged leaves under C
        return False
    late = frozenset(unmerged)
    others = [node for node in child.resolution() if node.height or node.leaf_index not in late]
    if len(others) != 1 or others[0].content is None:
        return False
    claimed = others[0].content.parent_hash
    if not claimed:
        return False
    original_sibling = sibling.original_tree_hash(suite, _below(parent.unmerged_leaves, sibling))  # V176
    return claimed == parent_hash(suite, parent, original_sibling)


def _below(leaves: tuple[int, ...], node: Subtree) -> tuple[int, ...]:
    """Those of the ascending leaf indices that are under `node`."""
    if not leaves:
        return ()
    first = bisect_left(leaves, node.first_leaf)
    return leaves[first : bisect_left(leaves, node.first_leaf + node.leaf_count)]
