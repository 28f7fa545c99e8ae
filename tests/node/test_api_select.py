"""What a person types and what it means; and the committee's situation in words."""

import pytest

from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, pick

BOOKS = Named("0d0dffee00112233", "book club")
CHESS = Named("0d0dabcd00112233", "Chess")
OTHER_CHESS = Named("77aa00112233beef", "chess")
ALICE = Named("12D3KooWAlice", "alice", 0)
BOB = Named("12D3KooWBob", "alice", 3)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("book club", BOOKS),
        ("BOOK CLUB", BOOKS),
        ("0d0df", BOOKS),
        ("0D0DF", BOOKS),
        ("0d0dffee00112233", BOOKS),
        ("Chess", CHESS),
        ("chess", OTHER_CHESS),
        ("beef", OTHER_CHESS),
        ("0d0dff…112233", BOOKS),
    ],
)
def test_a_group_is_meant_by_name_or_part_of_its_id(reference: str, meant: Named) -> None:
    """An exact name wins over a near one."""
    assert pick("group", reference, (BOOKS, CHESS, OTHER_CHESS)) is meant


def test_several_meanings_are_listed_never_chosen_from() -> None:
    """A guess could add somebody to the wrong group."""
    with pytest.raises(ApiError, match=r"book club \(0d0dffee00112233\), Chess") as caught:
        pick("group", "0d0d", (BOOKS, CHESS, OTHER_CHESS))
    assert caught.value.code is ErrorCode.GROUP_AMBIGUOUS

    with pytest.raises(ApiError, match="means 2 groups"):
        pick("group", "CHESS", (CHESS, OTHER_CHESS))


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    """Most wrong names are typing errors."""
    with pytest.raises(ApiError) as caught:
        pick("group", "boook club", (BOOKS, CHESS))
    assert caught.value.code is ErrorCode.GROUP_NOT_FOUND
    assert caught.value.hint == "did you mean 'book club'?"

    with pytest.raises(ApiError) as caught:
        pick("group", "zzz", (BOOKS, CHESS))
    assert caught.value.hint == "there is 'book club', 'Chess'"

    with pytest.raises(ApiError) as caught:
        pick("group", "zzz", ())
    assert caught.value.hint == ""


def test_a_prefix_has_a_least_length() -> None:
    """One character of hex means a sixteenth of all groups."""
    with pytest.raises(ApiError, match="no group '0d0'"):
        pick("group", "0d0", (BOOKS,))


def test_members_are_meant_by_leaf_too() -> None:
    """Leaf 0 is a leaf; two members may have one petname."""
    assert pick("member", "#0", (ALICE, BOB)) is ALICE
    assert pick("member", "#3", (ALICE, BOB)) is BOB
    assert pick("member", "12D3KooWB", (ALICE, BOB)) is BOB
    with pytest.raises(ApiError, match="means 2 members") as caught:
        pick("member", "alice", (ALICE, BOB))
    assert caught.value.code is ErrorCode.MEMBER_AMBIGUOUS
    with pytest.raises(ApiError, match="no member '#1'"):
        pick("member", "#1", (ALICE, BOB))
