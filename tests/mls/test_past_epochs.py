"""Past epochs: which are kept, and who sat where in them."""

from dataclasses import dataclass

import pytest

from mls.config import GroupConfig
from mls.errors import StaleEpochError
from mls.past_epochs import PastEpoch, changes_between, leaf_then, rank_of, retained
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from tests.mls.world import Members


@dataclass
class Ended:
    """Only what retention looks at."""

    ended_at: int


def kept(ages: list[int], config: GroupConfig) -> int:
    past = tuple(Ended(1000 - age) for age in ages)
    return len(retained(past, 1000, config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ages", "count"),
    [
        ([], 0),
        ([999] * 2, 2),  # few: age does not matter
        ([999] * 9, 2),  # many and old: the newest two
        ([1] * 9, 4),  # many and young: as many as are ever kept
        ([1, 1, 1, 999, 999], 3),
        ([1, 1, 999, 1, 1], 2),  # a clock that jumped leaves no gap
    ],
)
def test_epochs_are_kept_by_rank_or_by_age_up_to_a_limit(ages: list[int], count: int) -> None:
    assert kept(ages, GroupConfig(past_epoch_count=2, past_epoch_age_s=10, past_epoch_max=4)) == count


def leaves_of(tree: RatchetTree) -> dict[int, LeafNode]:
    return dict(tree.members())


def test_every_past_leaf_is_found_through_growth_and_shrinking() -> None:
    """Extended, truncated, replaced and re-used leaves: always what stood there then."""
    world = Members("alice", "bob", "carol", "dave")
    trees = [world["alice"].public.tree]

    def happened() -> None:
        trees.append(world["alice"].public.tree)

    world.add("alice", "erin", "frank")  # twice the size
    happened()
    world.remove("alice", "erin", "frank")  # half of it again
    happened()
    world.remove("alice", "bob")
    happened()
    world.add("carol", "gail")  # in Bob's place
    happened()

    past, present = world["alice"].state.past, world["alice"].public.tree
    for rank in range(4):
        tree = trees[-2 - rank]
        for leaf_index in range(10):
            assert leaf_then(past, rank, present, leaf_index) == tree.leaf(leaf_index)


def test_what_a_past_epoch_keeps_is_what_changed() -> None:
    world = Members(*(f"member {number}" for number in range(9)))
    before = world["member 0"].public.tree
    world.commit("member 0")
    assert set(changes_between(before, world["member 0"].public.tree)) == {0}
    assert changes_between(before, before) == {}


def test_an_epoch_that_is_not_kept_is_named() -> None:
    past: tuple[PastEpoch, ...] = Members("alice", "bob")["alice"].state.past
    assert rank_of(past, 0) == 0
    with pytest.raises(StaleEpochError) as stale:
        rank_of(past, 7)
    assert stale.value.epoch == 7
