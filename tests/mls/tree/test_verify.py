"""What a joiner checks about a tree: the published trees pass, each broken rule is named."""

from dataclasses import replace

import pytest

from mls.crypto import suite
from mls.errors import InvalidError
from mls.registry import LeafNodeSource
from mls.tree.nodes import LeafNode, ParentNode
from mls.tree.parent_hash import parent_hash
from mls.tree.ratchet import RatchetTree
from mls.tree.verify import check_tree
from tests.mls.tree.world import World, entries, rebuilt, with_parent
from tests.vectors import EVERY_SOURCE, Source


@EVERY_SOURCE
def test_published_trees_are_valid(source: Source) -> None:
    """`tree-validation`: hashes, resolutions, parent hashes and leaf signatures of every tree."""
    for case in source.cases("tree-validation"):
        row, group_id = suite(case["cipher_suite"]), bytes.fromhex(case["group_id"])
        tree = RatchetTree.decode(row, bytes.fromhex(case["tree"]))
        assert tree.encode() == bytes.fromhex(case["tree"])
        for index, published in enumerate(case["tree_hashes"]):
            assert tree.node(index).tree_hash(row) == bytes.fromhex(published)
        for index, published in enumerate(case["resolutions"]):
            assert list(tree.resolution(index)) == published
        check_tree(tree)
        for leaf_index, leaf in tree.members():
            assert leaf.verify(row, group_id, leaf_index)
        source.ran("tree-validation")


def refusal(tree: RatchetTree) -> str:
    with pytest.raises(InvalidError) as refused:
        check_tree(tree)
    return refused.value.rule


def grown() -> World:
    """Eight members after commits from both ends, and a ninth leaf that is unmerged at the root."""
    world = World(9)
    for committer in (0, 7, 3, 8):
        world.commit(committer)
    world.remove(2)
    world.commit(0)
    world.add()
    return world


def test_a_grown_tree_is_valid() -> None:
    tree = grown().tree
    check_tree(tree)
    assert any(node.parent.unmerged_leaves for node in tree.root.nodes() if node.height and node.parent)


def test_a_tree_that_should_have_been_truncated_is_refused() -> None:
    """V226."""
    world = World(4)
    world.commit(0)

    untruncated = RatchetTree.of_root(world.suite, world.tree.root.extended())

    assert refusal(untruncated) == "V226"


def test_a_parent_without_members_on_both_sides_is_refused() -> None:
    """V226."""
    world = World(8)
    world.commit(0)
    nodes = entries(world.tree)
    nodes[0] = None

    assert refusal(rebuilt(world.tree, nodes)) == "V226"


@pytest.mark.parametrize("unmerged", [(1, 15), (15,), (99,)])
def test_an_unmerged_leaf_elsewhere_is_refused(unmerged: tuple[int, ...]) -> None:
    """V178."""
    assert refusal(with_parent(grown().tree, 3, unmerged_leaves=unmerged)) == "V178"


def test_a_blank_unmerged_leaf_is_refused() -> None:
    """V178."""
    world = World(4)
    world.remove(1)
    world.commit(0)

    assert refusal(with_parent(world.tree, 3, unmerged_leaves=(1,))) == "V178"


def test_an_unmerged_leaf_left_out_below_is_refused() -> None:
    """V179."""
    world = grown()
    root = world.tree.root.index
    below = next(step.node.index for step in world.tree.direct_path(2) if step.node.content and step.node.index != root)

    assert refusal(with_parent(world.tree, below, unmerged_leaves=())) == "V179"


def test_a_parent_key_found_twice_is_refused() -> None:
    """V180: in another parent, or in a leaf."""
    tree = grown().tree
    leaf, parent = tree.leaf(5), tree.node(7).parent
    assert leaf is not None
    assert parent is not None

    assert refusal(with_parent(tree, 3, encryption_key=parent.encryption_key)) == "V180"
    assert refusal(with_parent(tree, 3, encryption_key=leaf.encryption_key)) == "V180"


@pytest.mark.parametrize("field", ["encryption_key", "parent_hash"])
def test_a_changed_parent_breaks_the_chain(field: str) -> None:
    """V174: for each parent of the tree."""
    tree = grown().tree
    parents = [node.index for node in tree.root.nodes() if node.height and node.content]

    for index in parents:
        assert refusal(with_parent(tree, index, **{field: b"\x55" * 32})) == "V174"


def test_an_unmerged_leaf_that_is_merged_breaks_the_chain() -> None:
    """V175, V176: claiming that a member came later changes whom the key is shared with."""
    world = World(4)
    world.commit(0)
    world.commit(3)

    assert refusal(with_parent(world.tree, 3, unmerged_leaves=(1,))) in ("V174", "V179")
    assert refusal(with_parent(with_parent(world.tree, 3, unmerged_leaves=(1,)), 1, unmerged_leaves=(1,))) == "V174"


@pytest.mark.parametrize("linked", [0, 1])
def test_a_leaf_that_leaves_others_of_its_side_out_is_no_link(linked: int) -> None:
    """V175: its side resolves to two leaves, of which one has the right hash; the other never had the key."""
    world = World(4)
    world.commit(0)
    tree = rebuilt(world.tree, [None if index == 1 else node for index, node in enumerate(entries(world.tree))])
    root = tree.root.parent
    assert root is not None
    right = parent_hash(tree.suite, root, tree.root.right.tree_hash(tree.suite))
    nodes = entries(tree)
    for leaf_index in (0, 1):
        leaf = nodes[2 * leaf_index]
        assert isinstance(leaf, LeafNode)
        source = replace(leaf, leaf_node_source=LeafNodeSource.COMMIT, lifetime=None, parent_hash=bytes(32))
        nodes[2 * leaf_index] = replace(source, parent_hash=right) if leaf_index == linked else source

    assert refusal(rebuilt(tree, nodes)) == "V174"
    nodes[2 - 2 * linked] = None
    check_tree(rebuilt(tree, nodes))  # alone on its side it would be


def test_a_sibling_swapped_after_the_fact_breaks_the_chain() -> None:
    """V174: the parent hash covers the other side as it was."""
    world, other = World(8), World(8, seed=2)
    world.commit(0)
    other.commit(0)
    stranger = other.tree.leaf(7)
    assert stranger is not None
    nodes = entries(world.tree)
    nodes[14] = stranger

    assert refusal(rebuilt(world.tree, nodes)) == "V174"


def test_a_parent_nobody_put_there_is_refused() -> None:
    """V174: a key that no member below vouches for."""
    world = World(4)
    world.update(0)
    nodes = entries(world.tree)
    nodes[1] = ParentNode(bytes(32), b"", ())

    assert refusal(rebuilt(world.tree, nodes)) == "V174"


def test_later_changes_across_a_blank_node_keep_old_links_valid() -> None:
    """V176: leaves added since are taken out below blank nodes too (lesson 26)."""
    world = World(8)
    world.commit(0)
    world.remove(5)
    world.remove(6)
    world.commit(1)
    for _ in range(2):
        world.add()
    blank = [node for node in world.tree.root.nodes() if node.height and node.content is None]

    assert blank
    assert world.tree.root.parent is not None
    assert world.tree.root.parent.unmerged_leaves == (5, 6)
    check_tree(world.tree)


def test_a_leaf_with_another_parent_hash_breaks_the_chain() -> None:
    """V174, at the bottom."""
    world = World(4)
    world.commit(0)
    nodes = entries(world.tree)
    node = nodes[0]
    assert isinstance(node, LeafNode)
    nodes[0] = replace(node, parent_hash=b"\x55" * 32)

    assert refusal(rebuilt(world.tree, nodes)) == "V174"
