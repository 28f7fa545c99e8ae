"""Numbers as ranges."""

from hypothesis import given
from hypothesis import strategies as st

from node.receipts.ranges import RANGES_MAX, Ranges, contains, of, tidied, union, within

NUMBERS = st.frozensets(st.integers(0, 60), max_size=30)


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(NUMBERS, NUMBERS)
def test_ranges_are_sets(one: frozenset[int], other: frozenset[int]) -> None:
    """As long as there are not too many of them."""
    assert numbers(of(one)) == one
    assert numbers(union(of(one), of(other))) == one | other
    assert numbers(within(of(one), of(other))) == one & other
    assert all(contains(of(one), number) == (number in one) for number in range(61))
    assert union(of(one), of(other)) == of(one | other), "one form only"


def test_they_are_bounded() -> None:
    """The newest are kept: what was said lately is what is asked about."""
    many = of(range(0, 4 * RANGES_MAX, 2))
    assert len(many) == RANGES_MAX
    assert contains(many, 4 * RANGES_MAX - 2)
    assert not contains(many, 0)


def test_what_a_peer_makes_up_is_put_in_order() -> None:
    assert tidied(((5, 3), (8, 9), (0, 1), (2, 2), (9, 12))) == ((0, 2), (8, 12))
