"""Numbers of one sender's messages in one epoch, as ranges: what is held mostly has no gaps."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

Ranges = tuple[tuple[int, int], ...]
"""Ascending, apart from one another; both ends included."""

RANGES_MAX: Final = 64  # of one sender in one epoch; of more the lowest are let go of


def union(one: Ranges, other: Ranges) -> Ranges:
    """What is in either."""
    return tidied((*one, *other))


def tidied(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same numbers in order; ranges that touch are one, those that end before they begin are none."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if last < first:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found[-RANGES_MAX:])


def of(numbers: Iterable[int]) -> Ranges:
    """These numbers."""
    return tidied((number, number) for number in numbers)


def contains(ranges: Ranges, number: int) -> bool:
    """Whether a number is in one of them."""
    index = bisect_right(ranges, number, key=lambda each: each[0]) - 1
    return index >= 0 and number <= ranges[index][1]


def within(ranges: Ranges, bounds: Ranges) -> Ranges:
    """What is in both."""
    return tidied((max(a, c), min(b, d)) for a, b in ranges for c, d in bounds)
