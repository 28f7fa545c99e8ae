"""The ratchet tree as a value: its shape after changes, and that caches and shared parts never lie."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mls.crypto import suite
from mls.errors import InvalidError, MalformedError, MisuseError
from mls.registry import CredentialType
from mls.tree import math
from mls.tree.math import NodeIndex
from mls.tree.nodes import Credential, LeafNode, ParentNode
from mls.tree.ratchet import RatchetTree, RatchetTreeNodes
from mls.tree.verify import check_tree
from tests.mls.tree.world import World, entries, make_leaf, rebuilt, seeded

SUITE = suite(1)


def leaves(count: int) -> list[LeafNode]:
    random = seeded(5)
    return [make_leaf(SUITE, f"member {n}", random)[0] for n in range(count)]


def a_tree(count: int) -> RatchetTree:
    first, *rest = leaves(count)
    tree = RatchetTree.of_one(SUITE, first)
    for leaf in rest:
        tree, _ = tree.add(leaf)
    return tree


def vector(tree: RatchetTree) -> bytes:
    """The `ratchet_tree` vector, node by node."""
    contents = [node.content for node in tree.root.nodes()]
    while contents[-1] is None:
        contents.pop()
    return RatchetTreeNodes(tuple(contents)).encode()


def places(tree: RatchetTree) -> list[int]:
    return [index for index, _ in tree.members()]


class TestAdding:
    def test_newcomers_fill_the_leftmost_blank(self) -> None:
        """V134."""
        tree = a_tree(6).remove(1).remove(4)
        one, other = leaves(8)[6:]

        tree, first = tree.add(one)
        tree, second = tree.add(other)

        assert (first, second) == (1, 4)
        assert places(tree) == [0, 1, 2, 3, 4, 5]

    def test_a_full_tree_doubles(self) -> None:
        """V134."""
        tree, index = a_tree(4).add(leaves(5)[4])

        assert (index, tree.leaf_count, tree.member_count) == (4, 8, 5)

    def test_a_newcomer_is_unmerged_at_each_non_blank_ancestor(self) -> None:
        """V134: and at no blank one."""
        world = World(8)
        for leaf_index in (1, 6):
            world.remove(leaf_index)
        world.commit(0)
        tree, first = world.tree.add(leaves(1)[0])
        tree, second = tree.add(leaves(2)[1])
        parents = {node.index: node.parent for node in tree.root.nodes() if node.height}

        assert (first, second) == (1, 6)
        assert parents[NodeIndex(1)] is None
        assert parents[NodeIndex(13)] is None
        assert {index: parent.unmerged_leaves for index, parent in parents.items() if parent} == {3: (1,), 7: (1, 6)}


class TestUpdatingAndRemoving:
    def test_an_update_blanks_its_direct_path_and_nothing_else(self) -> None:
        """V221."""
        world = World(8)
        world.commit(0)
        world.commit(7)
        before = {node.index: node.content for node in world.tree.root.nodes()}
        path = {step.node.index for step in world.tree.direct_path(2)}

        world.update(2)

        after = {node.index: node.content for node in world.tree.root.nodes()}
        assert all(after[index] is None for index in path)
        assert all(after[index] == before[index] for index in before.keys() - path - {4})

    def test_a_removal_blanks_the_leaf_and_its_direct_path(self) -> None:
        """V221."""
        world = World(8)
        world.commit(0)
        path = {step.node.index for step in world.tree.direct_path(2)}

        world.remove(2)

        assert world.tree.leaf(2) is None
        assert all(world.tree.node(index).content is None for index in path)

    def test_an_empty_right_half_is_cut_off(self) -> None:
        """V135: as often as it takes."""
        tree = a_tree(9)

        assert tree.leaf_count == 16
        assert tree.remove(8).leaf_count == 8
        assert a_tree(5).remove(3).remove(2).remove(1).remove(4).leaf_count == 1
        assert a_tree(5).remove(4).remove(1).remove(3).leaf_count == 4
        assert a_tree(4).remove(3).leaf_count == 4

    def test_blank_leaves_and_leaves_outside_are_a_misuse(self) -> None:
        tree = a_tree(4).remove(1)

        for leaf_index in (1, 4, -1):
            assert tree.leaf(leaf_index) is None
            with pytest.raises(MisuseError):
                tree.remove(leaf_index)
            with pytest.raises(MisuseError):
                tree.update(leaf_index, leaves(1)[0])
        with pytest.raises(MisuseError):
            tree.node(7)

    def test_the_tree_before_is_untouched(self) -> None:
        tree = a_tree(5)
        encoded, tree_hash = tree.encode(), tree.tree_hash()

        tree.remove(4)
        tree.add(leaves(6)[5])
        tree.update(0, leaves(7)[6])

        assert (tree.encode(), tree.tree_hash()) == (encoded, tree_hash)
        assert tree.leaf_count == 8


class TestDecoding:
    def test_a_blank_at_the_end_is_refused(self) -> None:
        """V012: an empty vector has no last entry either."""
        for nodes in ([*entries(a_tree(3)), None], []):
            with pytest.raises(InvalidError) as refused:
                rebuilt(a_tree(3), nodes)
            assert refused.value.rule == "V012"

    def test_a_node_out_of_place_is_refused(self) -> None:
        """V013."""
        nodes = entries(a_tree(3))
        parent = ParentNode(b"key", b"", ())
        for index, node in ((1, nodes[0]), (2, parent)):
            wrong = [*nodes[:index], node, *nodes[index + 1 :]]
            with pytest.raises(InvalidError) as refused:
                rebuilt(a_tree(3), wrong)
            assert refused.value.rule == "V013"

    def test_missing_nodes_are_blank(self) -> None:
        """V013: extended to the least full tree."""
        tree = rebuilt(a_tree(5), entries(a_tree(5)))

        assert tree.leaf_count == 8
        assert [tree.leaf(index) is None for index in range(8)] == [False] * 5 + [True] * 3

    @pytest.mark.parametrize("count", [1, 2, 64, 65, 66, 127, 130, 200])
    def test_a_tree_in_pieces_is_encoded_as_the_whole_vector(self, count: int) -> None:
        """V012: a large tree's encoding is put together from pieces, blanks left out at its end."""
        tree = a_tree(count)
        while tree.member_count > max(0, count - 70):
            assert tree.encode() == vector(tree)
            assert RatchetTree.decode(SUITE, tree.encode()) == tree
            if tree.member_count == 1:
                break
            renewed = tree.update(0, make_leaf(SUITE, "renewed", seeded(9))[0])
            assert renewed.encode() == vector(renewed) != tree.encode()
            tree = tree.remove(max(places(tree)))

    def test_a_parent_at_the_end_is_refused(self) -> None:
        """V226."""
        nodes = [*entries(a_tree(3)), ParentNode(b"key", b"", ())]

        with pytest.raises(InvalidError) as refused:
            rebuilt(a_tree(3), nodes)
        assert refused.value.rule == "V226"

    @pytest.mark.parametrize("unmerged", [(2, 1), (1, 1)])
    def test_unmerged_leaves_out_of_order_are_refused(self, unmerged: tuple[int, ...]) -> None:
        """V011."""
        nodes = entries(a_tree(3))
        nodes[1] = ParentNode(b"key", b"", unmerged)

        with pytest.raises(InvalidError) as refused:
            rebuilt(a_tree(3), nodes)
        assert refused.value.rule == "V011"

    def test_bytes_that_are_no_tree_are_malformed(self) -> None:
        encoded = a_tree(3).encode()

        for wrong in (b"", encoded[:-1], encoded + b"\0"):
            with pytest.raises(MalformedError):
                RatchetTree.decode(SUITE, wrong)


def test_a_large_tree_is_decoded_without_quadratic_work() -> None:
    """Doubling the members may not quadruple the work; counted in calls, not in seconds."""
    import sys

    def calls(count: int) -> int:
        encoded, seen = a_tree_of_copies(count).encode(), 0

        def count_call(*_: object) -> None:
            nonlocal seen
            seen += 1

        sys.setprofile(count_call)
        try:
            tree = RatchetTree.decode(SUITE, encoded)
            tree.tree_hash()
            check_tree(tree)
        finally:
            sys.setprofile(None)
        return seen

    assert calls(256) < 2.5 * calls(128)


def a_tree_of_copies(count: int) -> RatchetTree:
    """Cheap leaves: one signature, distinct keys."""
    (leaf,) = leaves(1)
    tree = RatchetTree.of_one(SUITE, leaf)
    for number in range(1, count):
        copy = LeafNode.decode(leaf.encode().replace(leaf.encryption_key, number.to_bytes(32, "big")))
        tree, _ = tree.add(copy)
    return tree


def test_members_are_found_by_their_leaf() -> None:
    """V193."""
    tree, known = a_tree(5).remove(2), leaves(7)

    assert [tree.find(leaf) for leaf in known[:5]] == [0, 1, None, 3, 4]
    assert tree.find(known[6]) is None


def test_credential_types_are_those_of_the_members_there_are() -> None:
    """V061, V064, V065: kept per subtree, so a change asks only the nodes above it."""
    tree, (certified, *_) = a_tree(5), leaves(1)
    both, basic_only = frozenset((1, 2)), frozenset((1,))
    assert tree.credential_types == (basic_only, both)

    narrow = replace(certified, capabilities=replace(certified.capabilities, credentials=(1,)))
    chain = replace(certified, credential=Credential(CredentialType.X509, (b"certificate",)))
    changed = tree.update(4, narrow).update(1, chain)

    assert changed.credential_types == (both, basic_only)
    assert changed.remove(4).credential_types == (both, both)
    assert changed.remove(1).credential_types == (basic_only, basic_only)
    assert tree.credential_types == (basic_only, both)


def test_a_long_list_of_credential_types_is_kept_for_nobody_else() -> None:
    """What a stranger's leaf holds is gone when the leaf is."""
    (leaf,) = leaves(1)
    many = replace(leaf, capabilities=replace(leaf.capabilities, credentials=tuple(range(1, 40_000))))

    for shown, is_shared in ((leaf, True), (many, False)):
        first, second = (RatchetTree.of_one(suite(1), shown).credential_types for _ in range(2))
        assert first == second
        assert (first is second) == is_shared


def test_the_filtered_direct_path_leaves_out_nodes_beside_nobody() -> None:
    """RFC 9420 §4.1.2."""
    tree = a_tree(6).remove(1).remove(4)

    assert [step.node.index for step in tree.filtered_direct_path(0)] == [3, 7]
    assert [step.copath.index for step in tree.filtered_direct_path(0)] == [5, 11]
    assert [step.node.index for step in tree.filtered_direct_path(5)] == [7]
    assert [step.node.index for step in tree.direct_path(5)] == list(math.direct_path(10, 8))
    assert a_tree(1).filtered_direct_path(0) == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_history_leaves_a_tree_that_a_joiner_accepts(data: st.DataObject) -> None:
    """Cached hashes, shared subtrees and key counts agree with a tree decoded from scratch, after every change.

    And every member that should know a key does: each commit is opened by all others.
    """
    world = World(data.draw(st.integers(1, 6)))
    for _ in range(data.draw(st.integers(1, 8))):
        members = st.sampled_from(places(world.tree))
        match data.draw(st.sampled_from(("add", "update", "remove", "commit", "commit with adds"))):
            case "add":
                world.add()
            case "update":
                world.update(data.draw(members))
            case "remove" if world.tree.member_count > 1:
                world.remove(data.draw(members))
            case "commit":
                world.commit(data.draw(members))
            case "commit with adds":
                world.commit(data.draw(members), adding=data.draw(st.integers(1, 3)))
        again = RatchetTree.decode(SUITE, world.tree.encode())
        assert again.tree_hash() == world.tree.tree_hash()
        assert again.encryption_keys._folded() == world.tree.encryption_keys._folded()
        assert again.signature_keys._folded() == world.tree.signature_keys._folded()
        assert places(again) == places(world.tree)
        check_tree(again)
        for index, keys in world.keys.items():
            assert keys.matching(again).keys == keys.keys, f"member {index} kept a key of a node that has gone"
