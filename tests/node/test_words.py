"""What `status` and `group show` say of a committee, for every size in both models."""

import pytest

from node.api.words import deciding, improves, survives
from ordering import COMMITTEE_MAX, Model, survival

SIZES = range(1, COMMITTEE_MAX + 1)


def said(size: int, model: Model) -> str:
    numbers = survival(size, model)
    return survives(size, numbers.quorum, numbers.liars, is_crash=model is Model.CRASH)


def test_the_sentences_of_the_small_committees() -> None:
    assert said(4, Model.BYZANTINE) == "1 of 4 voters may be offline or lying"
    assert said(7, Model.BYZANTINE) == "2 of 7 voters may be offline or lying"
    assert said(6, Model.BYZANTINE) == "2 of 6 voters may be offline, 1 of them lying instead"
    assert said(3, Model.BYZANTINE) == (
        "1 of 3 voters may be offline; one dishonest voter could fork this group; it takes 4 to change that"
    )
    assert said(1, Model.BYZANTINE) == (
        "this device alone decides: it can refuse its own removal, and if it is lost the group can only be refounded"
    )
    assert said(5, Model.CRASH) == (
        "2 of 5 voters may be offline; voters are trusted not to lie: one dishonest voter could fork this group"
    )
    assert said(1, Model.CRASH).endswith("(crash model: voters are trusted not to lie)")
    assert survives(0, 0, 0) == "nobody votes in this epoch: the group cannot change"


@pytest.mark.parametrize("size", SIZES)
def test_byzantine_words_match_the_numbers(size: int) -> None:
    """Whoever reads it must neither trust a committee too far nor too little."""
    text, numbers = said(size, Model.BYZANTINE), survival(size, Model.BYZANTINE)
    assert ("could fork" in text) == (numbers.forks_with <= 2 and numbers.liars == 0 and size > 1)
    assert ("lying" in text) == (numbers.liars > 0)
    if size > 1:
        assert f"of {size} voters may be offline" in text
    assert text.startswith(f"{numbers.offline} of") == (numbers.offline > 0)


@pytest.mark.parametrize("size", SIZES)
def test_crash_words_say_so(size: int) -> None:
    text = said(size, Model.CRASH)
    assert "voters are trusted not to lie" in text
    assert "lying" not in text
    assert ("2 dishonest voters" in text) == (size % 2 == 0)


def better(size: int, model: Model = Model.BYZANTINE, **changed: object) -> str:
    given: dict[str, object] = {"willing": size, "size_max": 7, "policy": "auto", "could": ("bob", "cyn")} | changed
    return improves(
        "lunch",
        voters=size,
        better_at=survival(size, model).better_at,
        is_crash=model is Model.CRASH,
        **given,  # type: ignore[arg-type]
    )


def test_what_to_do_for_more() -> None:
    assert better(3) == (
        "4 voters would survive 1 dishonest one: 1 more must opt in (`conclave group opt-in lunch` at bob, cyn)"
    )
    assert better(1).startswith("3 voters would go on without any one of them: 2 more must opt in (")
    assert better(4) == (
        "7 voters would survive 2 dishonest ones: 3 more must opt in (`conclave group opt-in lunch` at bob, cyn); "
        "add 1 member too"
    )
    assert better(4, could=()).endswith("and every member has; add members that are always on")
    assert better(7).endswith("allow them with `conclave group policy lunch --voters-max 10`")
    assert "pin more members" in better(3, policy="pinned")
    assert better(3, Model.CRASH, could=tuple("abcdefgh")).endswith("at a, b, c, d, e ...)")
    assert better(31, size_max=31) == ""


def test_a_decision_that_does_not_come_is_said() -> None:
    assert deciding(0, 1) == "view 0, 1 candidate"
    assert "have failed 40 times" in deciding(40, 2)


def test_nothing_is_asked_for_that_happens_by_itself() -> None:
    """Four are willing and three seated: the next change seats the fourth."""
    assert better(3, willing=4) == ""
