"""`relation.py` and `simplex.pml` are one model: the same transitions, all of them.

SPIN prints every transition between its states, which stand for many worlds each; Python tries everything in every
*world*, with all votes by name, and then asks which of SPIN's states it is. So this also shows, at these sizes, that
what SPIN leaves out of a state (who cast a vote, votes beyond need, votes too few in views that all have left, which of
two like voters is which) makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.model.relation import Action, Committee, Instance, Kind, Relation, Rule, Slot, Voter, World, actions
from tests.model.runs import Run

Edge = tuple[str, str, str]
"""A state, the rule applied in it, the state afterwards; as SPIN prints them."""

COMPARED: Final = (
    Run("n = 4, 1 view", 4, 3, 1, 1, crash=True, verdict=True),
    Run("2 honest voters of 2, 2 views", 2, 2, 0, 2, crash=True, verdict=True),
    Run("1 honest voter of 2, 3 views", 2, 2, 1, 3, crash=True, verdict=True),
    Run("hand-over, 2 voters, 1 view each", 2, 2, 0, 1, crash=True, verdict=True, seats=(1, 1, 1)),
)
"""Small, and with every rule; the promises are not asked for here."""

_KINDS = ((Kind.NOTARIZE, 1), (Kind.NOTARIZE, 2), (Kind.FINALIZE, 1), (Kind.FINALIZE, 2), (Kind.NULLIFY, 0))


@dataclass(frozen=True, slots=True)
class Bounded:
    """The relation within the bounds of a run."""

    run: Run
    relation: Relation
    voters: int
    instances: tuple[Instance, ...]

    @classmethod
    def of(cls, run: Run) -> Bounded:
        """The relation that SPIN is given for this run."""
        stay, leave, come = run.seats or (run.n - run.liars, 0, 0)
        first = Committee(run.quorum, run.liars, frozenset(range(stay + leave)))
        coming = range(stay + leave, stay + leave + come)
        liars = run.liars if run.next_liars is None else run.next_liars
        second = Committee(run.quorum, liars, frozenset((*range(stay), *coming)))
        instances = [Instance(0, 0)] + ([Instance(1, 1), Instance(1, 2)] if run.seats else [])
        relation = Relation(lambda epoch: (first, second)[epoch])
        return cls(run, relation, stay + leave + come, tuple(instances))

    def start(self) -> World:
        """Nobody has cast anything."""
        return World((Voter(),) * self.voters)

    def steps(self, world: World) -> Iterator[tuple[Action, World]]:
        """Every step that anybody may take. The value notarized first is called 1."""
        named = _named(world)
        for number, voter in enumerate(world.voters):
            for action in actions(self.run.views):
                if action.rule is Rule.NOTARIZE and action.value != 1 and not named:
                    continue
                if action.rule is Rule.LEAVE and (voter.at.epoch > 0 or len(self.instances) == 1):
                    continue
                if self.relation.allows(world, number, action):
                    yield action, self.relation.apply(world, number, action)

    def state(self, world: World) -> str:
        """The state that SPIN has for this world, as it prints it."""
        voters = sorted(self._voter(number, voter) for number, voter in enumerate(world.voters))
        counts = "".join(self._counts(world, at) for at in self.instances)
        return f"{' '.join(voters)} {counts} {int(_named(world))}"

    def _voter(self, number: int, voter: Voter) -> str:
        stay, leave, _ = self.run.seats or (self.voters, 0, 0)
        seat = 0 if number < stay else 1 if number < stay + leave else 2
        own = voter.own
        opened = sum(1 << value - 1 for value in voter.opened)
        at = self.instances.index(voter.at)
        fields = (seat, at, voter.view, voter.kept, voter.holds, own.notarized, own.finalized, own.nullified, opened)
        return "".join(str(int(number)) for number in fields)

    def _counts(self, world: World, at: Instance) -> str:
        need = self.relation.committee(at.epoch).need
        counts = []
        for view in range(self.run.views):
            past = not any(
                (voter.at == at and voter.kept <= view) or voter.at.epoch < at.epoch for voter in world.voters
            )
            for kind, value in _KINDS:
                count = min(need, world.votes.get(Slot(at, view, kind, value), 0).bit_count())
                counts.append(0 if past and count < need else count)
        return "".join(map(str, counts))


def python_edges(run: Run) -> set[Edge]:
    """Every transition between the states of all worlds within reach."""
    bounded = Bounded.of(run)
    edges: set[Edge] = set()
    start = bounded.start()
    seen = {_identity(start)}
    left = [start]
    while left:
        world = left.pop()
        state = bounded.state(world)
        for action, after in bounded.steps(world):
            if after == world:  # a crash that loses nothing
                continue
            edges.add((state, action.rule.value, bounded.state(after)))
            if (identity := _identity(after)) not in seen:
                seen.add(identity)
                left.append(after)
    return edges


def _identity(world: World) -> object:
    return world.voters, frozenset(world.votes.items())


def _named(world: World) -> bool:
    return any(slot.kind is Kind.NOTARIZE for slot in world.votes)
