"""The committee of one epoch: who is seated, in which order, and who leads which view.

The committee is a pure function of the epoch's public group state. This package sees no tree: the caller
turns willing leaves into neutral `Seat` values and `elect` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ordering.errors import InvalidError
from ordering.limits import COMMITTEE_MAX
from ordering.policy import BenchEntry, Descriptor, Model, Policy, PolicyKind, fault_count, quorum_size


@dataclass(frozen=True, slots=True)
class Seat:
    """A leaf that could vote.

    `eligible` is what only the tree can tell: the leaf carries `voter` and got into this state by its own update or
    commit (or created the group). Benching is judged here, from the policy.
    """

    leaf: int
    identity: bytes
    vote_key: bytes
    since: int
    eligible: bool = True


@dataclass(frozen=True, slots=True)
class Committee:
    """The seated voters in order (their position is the voter index), and the arithmetic that follows."""

    seats: tuple[Seat, ...]
    model: Model
    rules: int

    @property
    def size(self) -> int:
        """n."""
        return len(self.seats)

    @property
    def faults(self) -> int:
        """f: how many may lie."""
        return fault_count(self.size, self.model)

    @property
    def quorum(self) -> int:
        """q: how many must sign."""
        return quorum_size(self.size, self.model)

    @property
    def offline_max(self) -> int:
        """How many may be away before the group can change no more."""
        return self.size - self.quorum

    @property
    def descriptor(self) -> Descriptor:
        """This committee for those who do not hold the tree."""
        return Descriptor(self.rules, self.model, self.quorum, tuple(seat.vote_key for seat in self.seats))

    def leader(self, epoch: int, view: int) -> int:
        """The voter index that proposes in this view (R3); nothing a committer chooses moves it."""
        return (epoch + view) % len(self.seats)

    def voter_of_leaf(self, leaf: int) -> int | None:
        """The voter index of a leaf, or None when it is not seated."""
        for index, seat in enumerate(self.seats):
            if seat.leaf == leaf:
                return index
        return None


def elect(policy: Policy, seats: Sequence[Seat]) -> Committee:
    """Seat the committee of an epoch: its policy over its tree.

    By (since, leaf), one seat per identity. `pinned`: all pinned identities that are eligible, up to the largest size.
    `all`: whoever is eligible, up to the largest size.
    `auto`: the largest of 31, 28, … 10, 7, 4, 3, 1 that the policy allows and the eligible identities fill. Never two:
    the one to be removed would hold a veto. Raises `InvalidError` when nobody can be seated; a commit that leads there
    is hard-invalid.
    """
    chosen = ranked(policy, seats)
    size = _auto_size(policy, len(chosen)) if policy.kind is PolicyKind.AUTO else _full_size(policy, len(chosen))
    if size == 0:
        raise InvalidError("Election", "no leaf can be seated: the committee would be empty")
    return Committee(tuple(chosen[:size]), policy.model, policy.rules)


def ranked(policy: Policy, seats: Sequence[Seat]) -> list[Seat]:
    """Every seat that may be filled, best first, one per identity: the order a joiner re-checks."""
    benched = set(policy.bench)
    eligible = [
        seat
        for seat in seats
        if seat.eligible
        and BenchEntry(seat.leaf, seat.since) not in benched
        and (not policy.pins or seat.identity in policy.pins)
    ]
    first: dict[bytes, Seat] = {}
    for seat in sorted(eligible, key=lambda seat: (seat.since, seat.leaf)):
        first.setdefault(seat.identity, seat)
    return list(first.values())


def _full_size(policy: Policy, available: int) -> int:
    size = min(policy.size_max, available)
    return 1 if size == 2 else size


def _auto_size(policy: Policy, available: int) -> int:
    limit = min(policy.size_max, available, COMMITTEE_MAX)
    if limit < 3:
        return min(limit, 1)
    return 3 if limit == 3 else limit - (limit - 1) % 3  # 3f + 1
