"""What a committee survives: for every size, against the definition by sets."""

from __future__ import annotations

import pytest

from ordering import COMMITTEE_MAX, Model, survival

SIZES = range(1, COMMITTEE_MAX + 1)


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize("voters", SIZES)
def test_the_numbers_are_those_of_quorums(voters: int, model: Model) -> None:
    """Enough are left when `offline` are away, and not one more; liars within the bound neither fork nor stop it."""
    found = survival(voters, model)
    assert voters - found.offline == found.quorum
    assert found.liars <= found.offline
    assert found.liars < found.forks_with, "liars within the bound would fork the group"
    shared = 2 * found.quorum - voters  # the fewest voters that two quorums have in common
    assert found.forks_with == shared


@pytest.mark.parametrize(
    ("voters", "model", "better"),
    [
        (1, Model.BYZANTINE, 3),
        (3, Model.BYZANTINE, 4),
        (4, Model.BYZANTINE, 7),
        (7, Model.BYZANTINE, 10),
        (28, Model.BYZANTINE, 31),
        (31, Model.BYZANTINE, None),
        (1, Model.CRASH, 3),
        (3, Model.CRASH, 5),
        (31, Model.CRASH, None),
    ],
)
def test_the_next_size_that_survives_more(voters: int, model: Model, better: int | None) -> None:
    assert survival(voters, model).better_at == better


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize("voters", SIZES)
def test_no_smaller_growth_would_do(voters: int, model: Model) -> None:
    found = survival(voters, model)
    better = found.better_at
    for size in range(voters + 1, COMMITTEE_MAX + 1 if better is None else better):
        other = survival(size, model)
        assert size == 2 or other.liars == found.liars
