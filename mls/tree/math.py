"""Arithmetic of the array in which a ratchet tree is written (RFC 9420 §4.1, appendix C).

Leaf number i is node 2i; a parent stands between its children. A tree of 2^d leaves has 2^(d+1) - 1 nodes, and the
number of leaves of a ratchet tree is always a power of two.
"""

from typing import NewType

LeafIndex = NewType("LeafIndex", int)
NodeIndex = NewType("NodeIndex", int)


def node_of_leaf(leaf_index: int) -> NodeIndex:
    return NodeIndex(2 * leaf_index)


def leaf_of_node(node_index: int) -> LeafIndex:
    assert node_index % 2 == 0, "a parent has no leaf index"
    return LeafIndex(node_index // 2)


def is_leaf(node_index: int) -> bool:
    return node_index % 2 == 0


def level(node_index: int) -> int:
    """0 for a leaf, one more for each generation above."""
    return (~node_index & (node_index + 1)).bit_length() - 1


def node_count(leaf_count: int) -> int:
    return 2 * leaf_count - 1 if leaf_count else 0


def root(leaf_count: int) -> NodeIndex:
    """The root of a tree of `leaf_count` leaves, a power of two."""
    return NodeIndex(leaf_count - 1)


def left(node_index: int) -> NodeIndex | None:
    """None for a leaf."""
    height = level(node_index)
    return None if height == 0 else NodeIndex(node_index ^ (1 << (height - 1)))


def right(node_index: int) -> NodeIndex | None:
    """None for a leaf."""
    height = level(node_index)
    return None if height == 0 else NodeIndex(node_index ^ (3 << (height - 1)))


def parent(node_index: int, leaf_count: int) -> NodeIndex | None:
    """None for the root."""
    if node_index == root(leaf_count):
        return None
    height = level(node_index)
    side = (node_index >> (height + 1)) & 1
    return NodeIndex((node_index | (1 << height)) ^ (side << (height + 1)))


def sibling(node_index: int, leaf_count: int) -> NodeIndex | None:
    """None for the root."""
    above = parent(node_index, leaf_count)
    if above is None:
        return None
    return right(above) if node_index < above else left(above)


def direct_path(node_index: int, leaf_count: int) -> tuple[NodeIndex, ...]:
    """The ancestors, lowest first, the root last; empty for the root itself."""
    path = []
    above = parent(node_index, leaf_count)
    while above is not None:
        path.append(above)
        above = parent(above, leaf_count)
    return tuple(path)


def common_ancestor(one: int, other: int) -> NodeIndex:
    """The lowest node whose subtree holds both nodes; one of them where it is above the other."""
    height = max(level(one), level(other))
    while one >> (height + 1) != other >> (height + 1):
        height += 1
    return NodeIndex((one >> (height + 1)) << (height + 1) | ((1 << height) - 1))


def least_power_of_two(count: int) -> int:
    """The least power of two that is not below `count`; 1 for 0."""
    return 1 << max(0, count - 1).bit_length()
