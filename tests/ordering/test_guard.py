"""The guard: what may still be signed, across crashes and restored backups."""

from __future__ import annotations

import pytest

from ordering import Guard, GuardRefusal, VoteKind
from ordering.guard import Position, propose_position, vote_position
from tests.ordering.keys import Key
from tests.ordering.world import GROUP

SIGN = Key.of("me").sign


def after(*positions: Position, guard: Guard | None = None) -> Guard:
    guard = guard or Guard.fresh(GROUP)
    for position in positions:
        guard, _ = guard.sign(position, repr(position).encode(), SIGN)
    return guard


def test_positions_rise_within_a_view_and_from_view_to_view() -> None:
    order = [
        propose_position(0, 0),
        vote_position(0, 0, VoteKind.NOTARIZE),
        vote_position(0, 0, VoteKind.NULLIFY),
        vote_position(0, 1, VoteKind.NOTARIZE),
        vote_position(0, 1, VoteKind.FINALIZE),
        propose_position(1, 0),
    ]
    assert order == sorted(set(order))
    after(*order)


def test_a_lower_position_is_refused() -> None:
    guard = after(vote_position(0, 2, VoteKind.NOTARIZE))
    for lower in (vote_position(0, 1, VoteKind.FINALIZE), propose_position(0, 2)):
        with pytest.raises(GuardRefusal):
            guard.sign(lower, b"message", SIGN)


def test_the_same_bytes_get_the_stored_signature() -> None:
    """A restarted voter may say again what it said, and nothing else."""
    position = vote_position(0, 0, VoteKind.NOTARIZE)
    guard, signature = Guard.fresh(GROUP).sign(position, b"x", SIGN)

    def unused(message: bytes) -> bytes:
        raise AssertionError("signed again")

    assert guard.sign(position, b"x", unused) == (guard, signature)


def test_other_bytes_at_the_same_position_are_refused() -> None:
    guard, _ = Guard.fresh(GROUP).sign(vote_position(0, 0, VoteKind.NOTARIZE), b"x", SIGN)
    with pytest.raises(GuardRefusal):
        guard.sign(vote_position(0, 0, VoteKind.NOTARIZE), b"y", SIGN)


def test_finalize_and_nullify_share_a_place() -> None:
    """Nobody honest signs both in one view: the second is refused whichever it is."""
    for first, second in ((VoteKind.FINALIZE, VoteKind.NULLIFY), (VoteKind.NULLIFY, VoteKind.FINALIZE)):
        guard, _ = Guard.fresh(GROUP).sign(vote_position(0, 0, first), b"first", SIGN)
        with pytest.raises(GuardRefusal):
            guard.sign(vote_position(0, 0, second), b"second", SIGN)


def test_no_notarize_after_nullify() -> None:
    guard = after(vote_position(0, 0, VoteKind.NULLIFY))
    with pytest.raises(GuardRefusal):
        guard.sign(vote_position(0, 0, VoteKind.NOTARIZE), b"x", SIGN)


def test_a_decision_closes_the_epoch_and_only_that() -> None:
    """Advancing is no vote: the next epoch's first vote is signed (story `guard_after_decision`)."""
    guard = after(vote_position(4, 0, VoteKind.FINALIZE)).advance(5)
    assert not guard.permits(vote_position(4, 9, VoteKind.NULLIFY), b"late")
    assert guard.permits(propose_position(5, 0), b"next")


def test_advancing_never_goes_back() -> None:
    guard = after(vote_position(7, 0, VoteKind.NOTARIZE))
    assert guard.advance(6) is guard
    assert guard.advance(7) is guard


def test_a_lost_guard_abstains_through_every_epoch_it_may_have_voted_in() -> None:
    guard = Guard.lost(GROUP, voted_epoch_max=5)
    assert guard.abstains(5)
    assert not guard.permits(vote_position(5, 0, VoteKind.NOTARIZE), b"x")
    assert guard.permits(vote_position(6, 0, VoteKind.NOTARIZE), b"x")


def test_a_vote_beyond_the_guard_is_foreign() -> None:
    guard, _ = Guard.fresh(GROUP).sign(vote_position(0, 1, VoteKind.NOTARIZE), b"x", SIGN)
    assert guard.foreign(vote_position(0, 1, VoteKind.NULLIFY), b"unknown")
    assert guard.foreign(vote_position(0, 1, VoteKind.NOTARIZE), b"y")
    assert not guard.foreign(vote_position(0, 1, VoteKind.NOTARIZE), b"x")
    assert not guard.foreign(vote_position(0, 0, VoteKind.NULLIFY), b"forgotten")


def test_abstaining_survives_the_disk() -> None:
    guard = Guard.decode(after(vote_position(3, 0, VoteKind.NOTARIZE)).abstaining(3).encode())
    assert guard.abstains(3)
    assert not guard.abstains(4)
    assert guard.position == vote_position(3, 0, VoteKind.NOTARIZE)
