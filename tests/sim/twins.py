"""Twins: voters whose keys run in two processes that do not know of each other, and a partition for every view.

What a liar with a sane machine can do, all of it: each copy follows the rules, so everything it says is well justified,
and the partitions decide which copy is seen by whom in which view (Bano et al., "Twins: BFT Systems Made Robust"). A
message goes where the partition of its sender's view lets it. From the view after the last partition on, and for
everybody after a while, all are together again; the copies go on.

For n = 4 and three views every schedule is played: who has the copy (the leader of view 0, 1, 2, or of none of them)
and a partition of the five processes for each view; and for two views, with a partition for each of their two rounds.
Larger committees are sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Final

from ordering import (
    Certificate,
    Decision,
    Heard,
    Justification,
    Model,
    SignedVote,
    Timing,
    VoteKind,
    fault_count,
)
from tests.sim.node import Node, Post
from tests.sim.plan import Lie, Plan
from tests.sim.simulation import Outcome, Simulation

if TYPE_CHECKING:
    from tests.sim.show import Tape

Partition = tuple[int, ...]
"""By process the number of its block; blocks are numbered in the order of their first member."""

TIMING: Final = Timing(delta_s=0.1, status_period_s=0.8, idle_period_s=1.0)
HEAL_S: Final = 1.8
DELAY_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Schedule:
    """Processes 0..n-1 are the voters, n and up the copies of `twins`, in order."""

    seated: int
    twins: tuple[int, ...]
    partitions: tuple[Partition, ...]  # by slot: one for each view, or one for each round of each view
    rounds: int = 1

    @property
    def name(self) -> str:
        """In one word, for a command."""
        slots = ["".join(f"{block:x}" for block in partition) for partition in self.partitions]
        return f"{self.seated}:{'.'.join(map(str, self.twins))}:{self.rounds}:{'.'.join(slots)}"

    @classmethod
    def of(cls, name: str) -> Schedule:
        """The schedule of a name."""
        seated, twins, rounds, slots = name.split(":")
        partitions = tuple(tuple(int(block, 16) for block in slot) for slot in slots.split("."))
        return cls(int(seated), tuple(map(int, twins.split("."))), partitions, int(rounds))

    def __str__(self) -> str:
        names = [*map(str, range(self.seated)), *(f"{twin}'" for twin in self.twins)]
        views = [_blocks(partition, names) for partition in self.partitions]
        return f"twins of {list(self.twins)} among {self.seated}; {' | '.join(views)}"


class TwinRun(Simulation):
    """One schedule, played with the real core."""

    def __init__(self, schedule: Schedule, tape: Tape | None = None) -> None:
        self.schedule = schedule
        self.partitions = schedule.partitions
        self.slots_used = 0  # how many of the partitions mattered
        liars = tuple((twin, Lie.TWINS) for twin in schedule.twins)
        plan = Plan(seated=schedule.seated, liars=liars, liars_stay=True, timing=TIMING, heal_at_s=HEAL_S)
        super().__init__(plan, tape)
        self.processes: list[list[tuple[int, Node]]] = [
            [(member, self.nodes[member])] if member in self.nodes else [] for member in range(schedule.seated)
        ]
        for place, twin in enumerate(schedule.twins):
            copies = Copies(self, twin, (twin, schedule.seated + place))
            self.liars[twin] = copies
            self.processes[twin] = list(zip(copies.processes, copies.faces, strict=True))

    def post_of(self, member: int) -> Post:
        """An honest member is the process of its number."""
        return lambda target, payload, extra_s: self.carry(member, self.nodes[member], target, payload, extra_s)

    def carry(self, process: int, sender: Node, target: int, payload: object, extra_s: float) -> None:
        """To every process of a member that the partition of the sender's view has with it."""
        instance = sender.instances.get(0)
        slot = 0 if instance is None else instance.view * self.schedule.rounds
        if self.schedule.rounds > 1 and _ends_view(payload):
            slot += 1
        for other, node in self.processes[target]:
            if slot < len(self.partitions):
                self.slots_used = max(self.slots_used, slot + 1)
                partition = self.partitions[slot]
                if partition[process] != partition[other]:
                    continue
            self.world.after(DELAY_S + extra_s, node.deliver, sender.member, payload)

    def start(self) -> None:
        """All boot, hear that everyone is there, and want to commit something of their own."""
        super().start()
        everyone = tuple(range(self.schedule.seated))
        for process in self.processes:
            for _, node in process:
                node.give(Heard(node.clock_s, everyone))
                instance = node.state.config.instance
                node.author(0, self.group.make(instance, 0, node.member, 0, nonce=node.face))

    def heal(self) -> None:
        """All together."""
        self.partitions = ()
        super().heal()


class Copies:
    """A voter with a twin."""

    def __init__(self, sim: TwinRun, member: int, processes: tuple[int, int]) -> None:
        self.processes = processes
        self.faces = tuple(
            Node(sim, member, self._post(sim, place), honest=False, face=name) for place, name in enumerate("ab")
        )

    def _post(self, sim: TwinRun, place: int) -> Post:
        return lambda target, payload, extra_s: sim.carry(
            self.processes[place], self.faces[place], target, payload, extra_s
        )

    def start(self) -> None:
        for face in self.faces:
            face.start()

    def stop(self) -> None:
        for face in self.faces:
            face.crash()


def _ends_view(payload: object) -> bool:
    """The second round of a view: what finalizes or nullifies it, and what says that it was."""
    if isinstance(payload, SignedVote | Certificate):
        return payload.kind is not VoteKind.NOTARIZE
    return isinstance(payload, Justification | Decision)


def _blocks(partition: Partition, names: list[str]) -> str:
    blocks = [[name for name, at in zip(names, partition, strict=True) if at == block] for block in range(len(names))]
    return " ".join("{" + ",".join(block) + "}" for block in blocks if block)


@cache
def partitions(count: int) -> tuple[Partition, ...]:
    """All partitions of so many processes; the first has them together."""
    if count == 0:
        return ((),)
    return tuple(
        (*partition, block) for partition in partitions(count - 1) for block in range(max(partition, default=-1) + 2)
    )


def exchanged(partition: Partition, one: int, other: int) -> Partition:
    """The same with two processes exchanged."""
    moved = list(partition)
    moved[one], moved[other] = moved[other], moved[one]
    names: dict[int, int] = {}
    return tuple(names.setdefault(block, len(names)) for block in moved)


# Exhaustive: n = 4


@dataclass(frozen=True, slots=True)
class Space:
    """Every schedule of four voters, one of them with a copy: who it is, and a partition of the five for each slot.

    Played up to exchanging the copies, and a slot in which nobody says anything is played once.
    """

    views: int
    rounds: int  # slots of a view
    choices: tuple[Partition, ...]  # the first has all together

    @property
    def slots(self) -> int:
        """How many partitions a schedule has."""
        return self.views * self.rounds

    @property
    def size(self) -> int:
        """How many schedules there are."""
        size: int = SEATED * len(self.choices) ** self.slots
        return size

    @property
    def roots(self) -> int:
        """Who has the copy, and the first partition: the units of work."""
        return SEATED * len(self.choices)

    def all_from(self, root: int) -> Iterator[Played]:
        """Every schedule of a root."""
        twin, first = divmod(root, len(self.choices))
        known = (self.choices[first],)
        if not _comes_later(twin, known):
            yield from self._extend(twin, known, self._play(twin, known))

    def _extend(self, twin: int, known: tuple[Partition, ...], together: Played) -> Iterator[Played]:
        """Every way to go on from these slots; `together` is the first, and where nobody speaks later it is all."""
        if together.run.slots_used <= len(known):
            yield together
            return
        for partition in self.choices:
            longer = (*known, partition)
            if _comes_later(twin, longer):
                continue
            played = self._play(twin, longer) if partition != self.choices[0] else together
            yield from self._extend(twin, longer, played)

    def _play(self, twin: int, known: tuple[Partition, ...]) -> Played:
        """All together in the slots that are not known."""
        left = self.slots - len(known)
        run = TwinRun(Schedule(SEATED, (twin,), known + (self.choices[0],) * left, self.rounds))
        return Played(run, run.run())

    def stands_for(self, played: Played) -> int:
        """How many schedules a run is: any partition where it did not matter, and the copies exchanged."""
        schedule = played.run.schedule
        used = max(1, played.run.slots_used)
        known = schedule.partitions[:used]
        free: int = len(self.choices) ** (self.slots - used)
        return free if _exchanged(schedule.twins[0], known) == known else 2 * free


@dataclass(frozen=True, slots=True)
class Played:
    """One run."""

    run: TwinRun
    outcome: Outcome


SEATED: Final = 4
THREE_VIEWS: Final = Space(3, 1, partitions(SEATED + 1))
"""Any partition, one for each of three views."""
TWO_ROUNDS: Final = Space(2, 2, tuple(p for p in partitions(SEATED + 1) if max(p) <= 1))
"""Two blocks at most, but in each of two views one partition for proposing and notarizing, another for ending the view:
so that a value is notarized and some see it, some finalize, and some nullify."""


def play_number(number: int) -> Iterator[tuple[Played, int]]:
    """What `--twins` counts: the roots of both spaces, then samples of larger committees. With how many schedules each
    run stands for."""
    for space in (THREE_VIEWS, TWO_ROUNDS):
        if number < space.roots:
            for played in space.all_from(number):
                yield played, space.stands_for(played)
            return
        number -= space.roots
    run = TwinRun(sample(number))
    yield Played(run, run.run()), 1


EXHAUSTIVE: Final = THREE_VIEWS.roots + TWO_ROUNDS.roots
"""From this number on they are samples."""


def _exchanged(twin: int, known: tuple[Partition, ...]) -> tuple[Partition, ...]:
    return tuple(exchanged(partition, twin, SEATED) for partition in known)


def _comes_later(twin: int, known: tuple[Partition, ...]) -> bool:
    """Whether the same with the copies exchanged comes first."""
    return _exchanged(twin, known) < known


# Sampled


def sample(seed: int) -> Schedule:
    """n = 5, 7 or 10, and as many twins as may lie."""
    chance = Random(f"twins {seed}")
    seated = chance.choices((5, 7, 10), (6, 5, 1))[0]
    twins = tuple(sorted(chance.sample(range(seated), fault_count(seated, Model.BYZANTINE))))
    return scatter(chance, seated, twins)


def scatter(chance: Random, seated: int, twins: tuple[int, ...]) -> Schedule:
    """Random partitions of both rounds of three to five views, in which a quorum can often meet."""
    views = []
    for _ in range(2 * chance.randint(3, 5)):
        count = chance.choice((1, 2, 2, 2, 3))
        weights = [chance.random() ** 2 for _ in range(count)]
        names: dict[int, int] = {}
        drawn = chance.choices(range(count), weights, k=seated + len(twins))
        views.append(tuple(names.setdefault(block, len(names)) for block in drawn))
    return Schedule(seated, twins, tuple(views), rounds=2)
