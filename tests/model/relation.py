"""The transition relation of the ordering rules: what an honest voter may do, and what is so afterwards.

A `World` is what honest voters remember and every vote they have ever cast. Liars sign everything, so a certificate
can exist as soon as q votes less the liars' do, and whatever can exist may have reached anyone. Time, leaders and
candidates are left open: whatever some of them allow is allowed. A voter leaves one instance for the next with the
Decision; instances are named by what was decided before, so a `World` holds any number of them.

`simplex.pml` states the same rules under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

Value = int
"""A bundle; 0 is none."""

NONE: Final = 0


class Instance(NamedTuple):
    """An epoch, and the value decided in the one before (0 in the first)."""

    epoch: int
    prev: Value


class Kind(StrEnum):
    """The three votes."""

    NOTARIZE = "notarize"
    FINALIZE = "finalize"
    NULLIFY = "nullify"


class Ballot(NamedTuple):
    """The votes of one voter in one view."""

    notarized: Value = NONE
    finalized: Value = NONE
    nullified: bool = False


GENESIS: Final = Instance(0, NONE)
NOTHING_CAST: Final = Ballot()


class Rule(StrEnum):
    """What an honest voter does."""

    NOTARIZE = "notarize"  # R4, R3
    FINALIZE = "finalize"  # R6
    NULLIFY = "nullify"  # R7
    HEAR = "hear"  # a notarization of its view is known to it
    ENTER = "enter"  # R2, R8: a view, on a J for it
    JOIN = "join"  # R2: a view, on a notarization of it
    STORE = "store"  # R12: the record of the view it is in, without a vote
    CRASH = "crash"  # back to the record
    LEAVE = "leave"  # R9: the epoch, with the Decision


class Action(NamedTuple):
    """One step. `opens`: its verdict on the value, should it be asked."""

    rule: Rule
    value: Value = NONE
    view: int = 0
    opens: bool = True


@dataclass(frozen=True, slots=True)
class Voter:
    """What an honest voter remembers."""

    at: Instance = GENESIS
    view: int = 0
    kept: int = 0  # the view that its stored record is of (R12); it has cast nothing above, and casts nothing below
    holds: Value = NONE  # the notarization of `view` that it has in hand
    own: Ballot = NOTHING_CAST  # its votes in `kept`
    opened: frozenset[Value] = frozenset()  # values that it was asked about and can open

    @property
    def mine(self) -> Ballot:
        """Its votes in the view it is in."""
        return self.own if self.kept == self.view else NOTHING_CAST


class Slot(NamedTuple):
    """What votes say; equal ones make a certificate."""

    at: Instance
    view: int
    kind: Kind
    value: Value


@dataclass(frozen=True, slots=True)
class World:
    """All honest voters, by number, and who of them has ever cast what, as bits."""

    voters: tuple[Voter, ...]
    votes: Mapping[Slot, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committee:
    """The voters of an epoch: q, how many lie, and which of the honest ones are seated."""

    quorum: int
    liars: int
    seats: frozenset[int]

    @property
    def need(self) -> int:
        """How many honest votes it takes for a certificate to be possible."""
        return self.quorum - self.liars


@dataclass(frozen=True, slots=True)
class Relation:
    """The rules for committees, by epoch."""

    committee: Callable[[int], Committee]

    # What can exist

    def certified(self, world: World, at: Instance, view: int, kind: Kind, value: Value = NONE) -> bool:
        """Whether a certificate of this can exist."""
        return world.votes.get(Slot(at, view, kind, value), 0).bit_count() >= self.committee(at.epoch).need

    def permits(self, world: World, at: Instance, view: int, value: Value) -> bool:
        """Whether a J for this view can exist that permits the value."""
        for below in range(view - 1, -1, -1):
            if self.certified(world, at, below, Kind.NOTARIZE, value):
                return True
            if not self.certified(world, at, below, Kind.NULLIFY):
                return False
        return True

    def reached(self, world: World, at: Instance, view: int) -> bool:
        """Whether any J for this view can exist."""
        return any(self.permits(world, at, view, value) for value in {NONE, *_named(world, at)})

    def settled(self, world: World, voter: Voter, value: Value) -> bool:
        """Whether the verdict on a value is not asked: it was notarized by this voter, or by a quorum."""
        return value in voter.opened or any(
            self.certified(world, slot.at, slot.view, slot.kind, value)
            for slot in world.votes
            if slot.at == voter.at and slot.kind is Kind.NOTARIZE and slot.value == value
        )

    def decided(self, world: World, at: Instance, value: Value) -> bool:
        """Whether this instance can be decided so, in any view."""
        return any(
            self.certified(world, at, slot.view, Kind.FINALIZE, value)
            for slot in world.votes
            if slot.at == at and slot.kind is Kind.FINALIZE and slot.value == value
        )

    # The rules

    def allows(self, world: World, number: int, action: Action) -> bool:
        """Whether this voter may do so now."""
        voter = world.voters[number]
        at, mine, value = voter.at, voter.mine, action.value
        seated = number in self.committee(at.epoch).seats
        match action.rule:
            case Rule.NOTARIZE:
                asked = action.opens or self.settled(world, voter, value)
                return seated and mine == NOTHING_CAST and asked and self.permits(world, at, voter.view, value)
            case Rule.FINALIZE:
                cast = mine.finalized or mine.nullified
                return seated and voter.holds == value != NONE and not cast
            case Rule.NULLIFY:
                return seated and not voter.holds and not mine.finalized and not mine.nullified
            case Rule.HEAR:
                return not voter.holds and self.certified(world, at, voter.view, Kind.NOTARIZE, value)
            case Rule.ENTER:
                return action.view > voter.view and self.reached(world, at, action.view)
            case Rule.JOIN:
                return action.view > voter.view and self.certified(world, at, action.view, Kind.NOTARIZE, value)
            case Rule.STORE:
                return voter.kept < voter.view
            case Rule.CRASH:
                return True
            case Rule.LEAVE:
                return self.decided(world, at, value)

    def apply(self, world: World, number: int, action: Action) -> World:
        """The world after a step that is allowed."""
        voter = world.voters[number]
        votes = world.votes
        match action.rule:
            case Rule.NOTARIZE:
                asked = not self.settled(world, voter, action.value)
                opened = voter.opened | {action.value} if asked else voter.opened
                votes = _cast(world, number, Kind.NOTARIZE, action.value)
                voter = replace(voter, kept=voter.view, own=Ballot(action.value), opened=opened)
            case Rule.FINALIZE:
                votes = _cast(world, number, Kind.FINALIZE, action.value)
                voter = replace(voter, kept=voter.view, own=voter.mine._replace(finalized=action.value))
            case Rule.NULLIFY:
                votes = _cast(world, number, Kind.NULLIFY, NONE)
                voter = replace(voter, kept=voter.view, own=voter.mine._replace(nullified=True))
            case Rule.HEAR:
                voter = replace(voter, holds=action.value)
            case Rule.ENTER | Rule.JOIN:
                voter = replace(voter, view=action.view, holds=action.value)
            case Rule.STORE:
                voter = replace(voter, kept=voter.view, own=NOTHING_CAST)
            case Rule.CRASH:
                voter = replace(voter, view=voter.kept, holds=voter.own.finalized)
            case Rule.LEAVE:
                voter = Voter(Instance(voter.at.epoch + 1, action.value))
        return World((*world.voters[:number], voter, *world.voters[number + 1 :]), votes)


def actions(views: int, values: int = 2) -> Iterator[Action]:
    """Everything a voter could try, within bounds."""
    for value in range(1, values + 1):
        yield from (Action(rule, value) for rule in (Rule.NOTARIZE, Rule.FINALIZE, Rule.HEAR, Rule.LEAVE))
        yield from (Action(Rule.JOIN, value, view) for view in range(1, views))
    yield from (Action(rule) for rule in (Rule.NULLIFY, Rule.STORE, Rule.CRASH))
    yield from (Action(Rule.ENTER, NONE, view) for view in range(1, views))


def _cast(world: World, number: int, kind: Kind, value: Value) -> dict[Slot, int]:
    voter = world.voters[number]
    slot = Slot(voter.at, voter.view, kind, value)
    return {**world.votes, slot: world.votes.get(slot, 0) | 1 << number}


def _named(world: World, at: Instance) -> set[Value]:
    return {slot.value for slot in world.votes if slot.at == at}
