"""Committees: the arithmetic of the ordering page as a table, and who is seated."""

from __future__ import annotations

import pytest

from ordering import BenchEntry, InvalidError, Model, Policy, PolicyKind, Seat, elect, fault_count, quorum_size, ranked
from tests.ordering.keys import Key

BYZANTINE = {1: (0, 1, 0), 2: (0, 2, 0), 3: (0, 2, 1), 4: (1, 3, 1), 5: (1, 4, 1), 6: (1, 4, 2), 7: (2, 5, 2)}
BYZANTINE |= {10: (3, 7, 3), 31: (10, 21, 10)}
CRASH = {1: (1, 0), 2: (2, 0), 3: (2, 1), 4: (3, 1), 5: (3, 2), 6: (4, 2), 7: (4, 3), 10: (6, 4), 31: (16, 15)}


def seat(leaf: int, *, since: int = 0, identity: str | None = None, eligible: bool = True) -> Seat:
    name = identity or f"identity {leaf}"
    return Seat(leaf, name.encode(), Key.of(str(leaf)).public, since, eligible)


def seated(policy: Policy, *seats: Seat) -> list[int]:
    return [seat.leaf for seat in elect(policy, seats).seats]


@pytest.mark.parametrize(("size", "expected"), BYZANTINE.items())
def test_byzantine_table(size: int, expected: tuple[int, int, int]) -> None:
    q = quorum_size(size, Model.BYZANTINE)
    assert (fault_count(size, Model.BYZANTINE), q, size - q) == expected


@pytest.mark.parametrize(("size", "expected"), CRASH.items())
def test_crash_table(size: int, expected: tuple[int, int]) -> None:
    q = quorum_size(size, Model.CRASH)
    assert fault_count(size, Model.CRASH) == 0
    assert (q, size - q) == expected


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize("size", range(1, 32))
def test_two_quorums_share_an_honest_voter(size: int, model: Model) -> None:
    """The one fact that agreement rests on: 2q - n > f; and a quorum exists without the liars."""
    f, q = fault_count(size, model), quorum_size(size, model)
    assert 2 * q - size > f
    assert q <= size - f


@pytest.mark.parametrize(
    ("willing", "size"), [(1, 1), (2, 1), (3, 3), (4, 4), (5, 4), (6, 4), (7, 7), (8, 7), (20, 7), (40, 7)]
)
def test_auto_sizes(willing: int, size: int) -> None:
    """Seven or four if that many are eligible, else three, else one; never two."""
    assert elect(Policy(), [seat(leaf) for leaf in range(willing)]).size == size


@pytest.mark.parametrize(
    ("size_max", "willing", "size"),
    [(1, 9, 1), (2, 9, 1), (3, 9, 3), (5, 9, 4), (10, 40, 10), (31, 40, 31), (31, 30, 28), (31, 12, 10)],
)
def test_the_policy_bounds_the_size(size_max: int, willing: int, size: int) -> None:
    assert elect(Policy(size_max=size_max), [seat(leaf) for leaf in range(willing)]).size == size


def test_seats_go_by_seniority_then_leaf() -> None:
    assert seated(Policy(), seat(9, since=0), seat(1, since=5), seat(3, since=2), seat(2, since=2)) == [9, 2, 3, 1]


def test_one_seat_per_identity() -> None:
    """A second device of one person adds no second vote."""
    seats = [seat(0, identity="alice"), seat(1, identity="alice"), seat(2), seat(3)]
    assert seated(Policy(), *seats) == [0, 2, 3]


def test_who_has_not_opted_in_by_its_own_act_is_not_seated() -> None:
    assert seated(Policy(), seat(0), seat(1, eligible=False), seat(2, eligible=False)) == [0]


def test_a_benched_seat_is_passed_over_until_it_returns() -> None:
    """The entry names the epoch since when the leaf was willing: opting in again makes another seat of it."""
    policy = Policy().with_bench(BenchEntry(1, 0))
    assert seated(policy, seat(0), seat(1), seat(2), seat(3)) == [0, 2, 3]
    assert seated(policy, seat(0), seat(1, since=8), seat(2), seat(3)) == [0, 2, 3, 1]


def test_pins_name_identities() -> None:
    policy = Policy(pins=(b"identity 2", b"identity 5", b"identity 7", b"identity 9"))
    assert seated(policy, *(seat(leaf) for leaf in range(8))) == [2, 5, 7]


def test_two_pinned_members_seat_one() -> None:
    policy = Policy(pins=(b"identity 2", b"identity 5"))
    assert seated(policy, *(seat(leaf) for leaf in range(8))) == [2]


def test_pinned_sizes_need_not_be_3f_plus_1() -> None:
    policy = Policy(pins=tuple(f"identity {i}".encode() for i in range(6)))
    assert len(seated(policy, *(seat(leaf) for leaf in range(8)))) == 6


@pytest.mark.parametrize(("willing", "size"), [(1, 1), (2, 1), (3, 3), (5, 5), (6, 6), (9, 8)])
def test_all_seats_whoever_is_willing(willing: int, size: int) -> None:
    """Two make one here too, and the largest size holds."""
    assert elect(Policy(everyone=True, size_max=8), [seat(leaf) for leaf in range(willing)]).size == size


def test_a_policy_is_of_one_kind() -> None:
    pinned = Policy(pins=(b"identity 1",))
    assert (Policy().kind, pinned.kind, Policy(everyone=True).kind) == (*PolicyKind,)
    with pytest.raises(ValueError, match="either the pinned or everyone"):
        Policy(pins=(b"identity 1",), everyone=True)


def test_an_empty_committee_is_refused() -> None:
    """A commit that leads there is hard-invalid."""
    with pytest.raises(InvalidError, match="empty"):
        elect(Policy(), [seat(0, eligible=False)])


def test_the_order_of_the_seats_given_does_not_matter() -> None:
    seats = [seat(leaf, since=leaf % 3) for leaf in range(9)]
    assert elect(Policy(), seats) == elect(Policy(), seats[::-1])


def test_ranked_lists_those_without_a_seat_too() -> None:
    """What a joiner re-checks: nobody eligible who ranks before a seated one was left out."""
    seats = [seat(leaf) for leaf in range(9)]
    assert [s.leaf for s in ranked(Policy(), seats)] == list(range(9))
    assert elect(Policy(), seats).seats == tuple(ranked(Policy(), seats)[:7])


def test_leaders_rotate_with_epoch_and_view() -> None:
    """Nothing a committer chooses moves the schedule."""
    committee = elect(Policy(), [seat(leaf) for leaf in range(4)])
    assert [committee.leader(6, view) for view in range(5)] == [2, 3, 0, 1, 2]


def test_the_descriptor_says_what_the_committee_is() -> None:
    committee = elect(Policy(), [seat(leaf) for leaf in range(4)])
    descriptor = committee.descriptor
    assert (descriptor.size, descriptor.faults, descriptor.quorum) == (4, 1, 3)
    assert descriptor.vote_keys == tuple(s.vote_key for s in committee.seats)
    assert committee.voter_of_leaf(2) == 2
    assert committee.voter_of_leaf(77) is None
