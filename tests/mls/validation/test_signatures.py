"""Signatures verified in batches: the verdict, and which one it is about, do not depend on who maps them."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.crypto import suite
from mls.entry import join
from mls.errors import InvalidError
from mls.proposals import add
from mls.validation.key_packages import check_key_package_signatures
from mls.validation.signatures import BATCH_SIZE, THREADED_BATCHES_MIN, Batch, Map, Signed, first_forged, over_cores
from tests.mls.world import NOW, Dice, Members

ROW = suite(1)
COUNT = THREADED_BATCHES_MIN * BATCH_SIZE + 5


def signed(forged: Iterable[int] = ()) -> list[Signed]:
    key = ROW.generate_signature_key(Dice())
    right = [
        Signed(ROW, key.public, "test", bytes((index,)), ROW.sign_with_label(key, "test", bytes((index,))))
        for index in range(COUNT)
    ]
    wrong = set(forged)
    return [each._replace(content=b"else") if index in wrong else each for index, each in enumerate(right)]


@pytest.fixture(params=["here", "cores", "pool"])
def map_signatures(request: pytest.FixtureRequest) -> Iterator[Map]:
    if request.param == "here":
        yield map
        return
    if request.param == "cores":
        yield over_cores
        return
    with ThreadPoolExecutor(2) as pool:
        yield pool.map


@pytest.mark.parametrize(
    ("forged", "first"),
    [((), None), ((0,), 0), ((BATCH_SIZE,), BATCH_SIZE), ((COUNT - 1,), COUNT - 1), ((COUNT - 1, 20, 33), 20)],
)
def test_the_first_forged_signature_is_named(map_signatures: Map, forged: tuple[int, ...], first: int | None) -> None:
    assert first_forged(signed(forged), map_signatures) == first


def test_no_signatures_are_all_right(map_signatures: Map) -> None:
    assert first_forged([], map_signatures) is None


def test_few_signatures_are_not_handed_to_anybody() -> None:
    def never(function: Callable[[Batch], int | None], batches: Iterable[Batch]) -> Iterable[int | None]:
        raise AssertionError

    assert first_forged(signed()[:BATCH_SIZE], never) is None


def test_a_forged_package_among_many_is_refused_by_its_rule(map_signatures: Map) -> None:
    world = Members("alice")
    packages = [world.client(f"member {index}").package().key_package for index in range(BATCH_SIZE)]
    check_key_package_signatures(ROW, packages, map_signatures)
    own = [*packages[:-1], replace(packages[-1], signature=bytes(64))]
    with pytest.raises(InvalidError, match="V085"):
        check_key_package_signatures(ROW, own, map_signatures)
    of_leaf = [*packages[:-1], replace(packages[-1], leaf_node=replace(packages[-1].leaf_node, signature=bytes(64)))]
    with pytest.raises(InvalidError, match="V062"):
        check_key_package_signatures(ROW, of_leaf, map_signatures)


def test_a_large_group_is_made_joined_and_followed_alike_with_threads() -> None:
    world = Members("alice", "bob")
    bundles = [world.client(f"member {index}").package() for index in range(20)]
    made = world.commit("alice", proposals=[add(each.key_package) for each in bundles], adopt=False)
    assert made.welcome is not None
    with ThreadPoolExecutor(2) as pool:
        config = GroupConfig(map_signatures=pool.map)
        joined = join(made.welcome, [bundles[7]], tree=None, now=NOW, config=config)
        followed = replace(world["bob"], state=replace(world["bob"].state, config=config)).stage(made.message, now=NOW)
        observed = world["bob"].public.check_commit(made.message, map_signatures=pool.map)
    assert followed.successor is not None
    assert observed.successor == made.successor.public
    assert joined.epoch_authenticator == followed.successor.epoch_authenticator == made.successor.epoch_authenticator
