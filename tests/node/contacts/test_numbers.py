"""Safety numbers: equal at both ends, different for everybody else, forgiving about how they are typed."""

import os

import pytest

from node.contacts.numbers import DIGITS, WORDS, CodeError, matches, safety_digits, safety_words
from node.identity import Identity

ADA, BOB, EVE = (Identity.generate(os.urandom).public_key for _ in range(3))


def test_both_ends_see_the_same_and_nobody_else_does() -> None:
    assert safety_digits(ADA, BOB) == safety_digits(BOB, ADA)
    assert safety_words(ADA, BOB) == safety_words(BOB, ADA)
    assert len({safety_digits(*pair) for pair in ((ADA, BOB), (ADA, EVE), (EVE, BOB))}) == 3
    assert len({safety_words(*pair) for pair in ((ADA, BOB), (ADA, EVE), (EVE, BOB))}) == 3


def test_a_number_is_twelve_groups_of_five_or_eighteen_words() -> None:
    groups = safety_digits(ADA, BOB).split()
    assert [len(group) for group in groups] == [5] * (DIGITS // 5)
    assert all(group.isdecimal() for group in groups)
    assert len(safety_words(ADA, BOB).split()) == WORDS


def test_the_numbers_never_change() -> None:
    """Two versions of this program have to agree, or people would take an upgrade for an attack."""
    key, other = bytes(range(32)), bytes(range(32, 64))
    assert safety_digits(key, other) == PINNED_DIGITS
    assert safety_words(key, other) == PINNED_WORDS


def test_it_may_be_typed_as_it_comes() -> None:
    digits, words = safety_digits(ADA, BOB), safety_words(ADA, BOB)
    for typed in (digits, digits.replace(" ", ""), digits.replace(" ", " - "), f"\n{digits}\n", words, words.upper()):
        assert matches(typed, BOB, ADA)
        assert not matches(typed, EVE, ADA)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("12345 67890", "has 60 digits, this has 10"),
        ("1" * 61, "has 60 digits, this has 61"),
        ("abandon ability", "has 18 words or 60 digits, this has 2 words"),
        ("abandon abilty", "'abilty' is no word of a safety number"),
        ("", "this has 0 words"),
        ("\u0661" * 60, "is no word"),
        ("x" * 10_000_000, "is no word"),
    ],
)
def test_what_is_no_safety_number_is_not_called_a_wrong_one(typed: str, says: str) -> None:
    """Who mistypes should type again, and not suspect somebody in between."""
    with pytest.raises(CodeError, match=says):
        matches(typed, ADA, BOB)


PINNED_DIGITS = "46859 16383 23410 88104 54899 83964 28182 59161 50835 85026 15259 74191"
PINNED_WORDS = (
    "path dance deer task tuna fabric bundle despair dignity usual raccoon cube session course idle celery sunset track"
)
