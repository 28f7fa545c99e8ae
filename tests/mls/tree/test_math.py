"""Tree arithmetic against the published vectors and against itself."""

from hypothesis import given
from hypothesis import strategies as st

from mls.tree import math
from tests.vectors import EVERY_SOURCE, Source


@EVERY_SOURCE
def test_arithmetic_matches_the_published_vectors(source: Source) -> None:
    for case in source.cases("tree-math"):
        leaf_count, nodes = case["n_leaves"], range(case["n_nodes"])
        assert math.node_count(leaf_count) == case["n_nodes"]
        assert math.root(leaf_count) == case["root"]
        assert [math.left(node) for node in nodes] == case["left"]
        assert [math.right(node) for node in nodes] == case["right"]
        assert [math.parent(node, leaf_count) for node in nodes] == case["parent"]
        assert [math.sibling(node, leaf_count) for node in nodes] == case["sibling"]
        source.ran("tree-math")


@given(st.integers(0, 10), st.data())
def test_the_common_ancestor_is_the_first_node_two_paths_share(depth: int, data: st.DataObject) -> None:
    leaf_count = 1 << depth
    one, other = (data.draw(st.integers(0, 2 * leaf_count - 2)) for _ in range(2))
    paths = [(node, *math.direct_path(node, leaf_count)) for node in (one, other)]

    expected = next(node for node in paths[0] if node in paths[1])

    assert math.common_ancestor(one, other) == expected


@given(st.integers(0, 2000))
def test_a_leaf_and_its_node_name_each_other(leaf_index: int) -> None:
    node = math.node_of_leaf(leaf_index)

    assert math.is_leaf(node)
    assert math.leaf_of_node(node) == leaf_index
    assert math.level(node) == 0


def test_powers_of_two_are_found_from_below() -> None:
    assert [math.least_power_of_two(n) for n in range(10)] == [1, 1, 2, 4, 4, 8, 8, 8, 8, 16]
