"""The fuzz targets on their seeds and on changes of them: they work without atheris, and nothing gets past them."""

import random

import pytest

from tests.fuzz.targets import TARGETS, seeds
from tests.mls.test_hostile_bytes import edited

CHANGES = 1000


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_takes_its_seeds_and_changes_of_them(name: str) -> None:
    dice, target, known = random.Random(name), TARGETS[name], seeds(name)
    assert len({seed[0] for seed in known}) > 4
    for seed in known:
        target(seed)
    for _ in range(CHANGES):
        seed = dice.choice(known)
        target(seed[:1] + edited(seed[1:], dice))
