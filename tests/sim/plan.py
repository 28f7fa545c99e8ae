"""What one run stands for: the committee, the faults and when they end, the liars, the commits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from ordering import Model, Timing, quorum_size
from tests.sim.network import FAIR, Weather

TIMING: Final = Timing()
BUILD_S: Final = 0.01  # what a plain commit takes


class Lie(Enum):
    """How a liar lies."""

    SILENT = "silent"
    PICKY = "picky"  # a real machine that tells each of the others only half of what it says
    TWINS = "twins"  # two real machines with one key, each shown to half of the others: leaders and voters equivocate
    MISCHIEF = "mischief"  # signs anything, equivocates, forges, replays
    GRUDGING = "grudging"  # a real machine that takes the others' votes and keeps to itself what comes of them


class Fault(Enum):
    """What may go wrong in a run. Each is a switch: `draw` with some of them left out."""

    DELAY = "delay"
    LOSS = "loss"
    DUPLICATION = "duplication"
    REORDERING = "reordering"  # some messages take seconds; a little of it is in every delay
    PARTITION = "partition"
    ONE_WAY = "one-way"  # links cut in one direction
    CRASH = "crash"  # at any effect of any step
    LOST_WRITES = "lost-writes"  # a crash takes with it what was written and not synced, and a torn transaction
    DEAD = "dead"  # members that never come back
    SLOW = "slow"  # voters that take their time over every message
    HANG = "hang"  # processes that are stopped for a while, and go on
    CLOCK_DRIFT = "clock-drift"
    CLOCK_JUMP = "clock-jump"  # forward: a machine that was suspended
    SILENT = "silent"
    PICKY = "picky"
    TWINS = "twins"
    MISCHIEF = "mischief"
    GRUDGING = "grudging"
    WITHHELD = "withheld"  # liars keep the bytes of their own commits from half of the others
    PARTIAL = "partial"  # commits that open for some members only
    REPLAY = "replay"  # across epochs and groups, as they were and with another instance written over theirs
    FLOOD = "flood"
    MUTATION = "mutation"  # bytes and fields of messages, of every kind


@dataclass(frozen=True, slots=True)
class Cut:
    """From `at_s` on, exactly these directions between members are cut."""

    at_s: float
    pairs: tuple[tuple[int, int], ...]
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens to one member: it hangs for so long, or its clock jumps so far."""

    member: int
    at_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The defaults are a quiet afternoon: no faults, no liars, and nobody commits by itself."""

    seed: int = 0
    model: Model = Model.BYZANTINE
    seated: int = 4
    followers: int = 0
    rotate: bool = False  # the seats move on by one member each epoch
    epochs: int = 1
    timing: Timing = TIMING
    weather: Weather = FAIR  # until healing
    heal_at_s: float = 0.0
    cuts: tuple[Cut, ...] = ()  # until healing
    liars: tuple[tuple[int, Lie], ...] = ()
    liars_stay: bool = False  # they go on after healing
    withhold: bool = False
    through_leader: tuple[int, ...] = ()  # members that tell their votes to the leader first (R16)
    dead: tuple[tuple[int, float], ...] = ()  # (member, when it goes for ever)
    crash_chance: float = 0.0  # per step that writes; a tenth of it for others
    crashes_max: int = 0  # per member
    down_s: float = 3.0  # at most
    lost_writes: bool = False
    slow: tuple[tuple[int, float], ...] = ()  # (member, what each message takes), until healing
    hangs: tuple[Moment, ...] = ()  # until healing at the latest
    jumps: tuple[Moment, ...] = ()
    clock_drift: float = 0.0  # clocks run up to so much faster or slower
    commit_chance: float = 0.0  # per member and epoch; the steady member commits always
    commit_spread_s: float = 0.5
    steady: int | None = None  # honest, never gone; its commits open for everyone
    partial_chance: float = 0.0  # others' commits open for some members only
    intents: bool = False  # every member wants one thing, and commits in each epoch until it is decided
    urgent_chance: float = 0.0
    bytes_s: float = 0.0  # transfers take up to this on top of the delay
    judge_s: float = 0.0  # the soft verdict comes so much after the bytes
    replay_chance: float = 0.0  # per message, until healing, or for ever where the liars stay; so are the next two
    flood_chance: float = 0.0
    mutation_chance: float = 0.0
    through_codecs: bool = False  # every message is encoded and decoded
    true_signatures: bool = False  # Ed25519 instead of the toy

    @property
    def members(self) -> int:
        """All of the group, seated or not."""
        return self.seated + self.followers

    @property
    def quorum(self) -> int:
        """q of every epoch's committee."""
        return quorum_size(self.seated, self.model)

    @property
    def lying(self) -> tuple[int, ...]:
        """The members that lie."""
        return tuple(member for member, _ in self.liars)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong in this run."""
        lies = {lie.value for _, lie in self.liars}
        present = {
            Fault.DELAY: self.weather.delay_max_s > FAIR.delay_max_s or self.bytes_s > 0,
            Fault.LOSS: self.weather.loss > 0,
            Fault.DUPLICATION: self.weather.duplication > 0,
            Fault.REORDERING: self.weather.late > 0,
            Fault.PARTITION: any(not cut.one_way for cut in self.cuts),
            Fault.ONE_WAY: any(cut.one_way for cut in self.cuts),
            Fault.CRASH: self.crash_chance > 0,
            Fault.LOST_WRITES: self.lost_writes and self.crash_chance > 0,
            Fault.DEAD: bool(self.dead),
            Fault.SLOW: bool(self.slow),
            Fault.HANG: bool(self.hangs),
            Fault.CLOCK_DRIFT: self.clock_drift > 0,
            Fault.CLOCK_JUMP: bool(self.jumps),
            Fault.SILENT: Lie.SILENT.value in lies,
            Fault.PICKY: Lie.PICKY.value in lies,
            Fault.TWINS: Lie.TWINS.value in lies,
            Fault.MISCHIEF: Lie.MISCHIEF.value in lies,
            Fault.GRUDGING: Lie.GRUDGING.value in lies,
            Fault.WITHHELD: self.withhold and bool(self.liars),
            Fault.PARTIAL: self.partial_chance > 0,
            Fault.REPLAY: self.replay_chance > 0,
            Fault.FLOOD: self.flood_chance > 0,
            Fault.MUTATION: self.mutation_chance > 0,
        }
        return tuple(fault for fault in Fault if present[fault])

    def without(self, faults: Collection[Fault]) -> Plan:
        """The same run with these switched off."""
        plan = self
        for fault in faults:
            plan = replace(plan, **_OFF[fault](plan))
        return plan

    def __str__(self) -> str:
        liars = ",".join(f"{member}:{lie.value}" for member, lie in self.liars) or "none"
        marks = f"{' staying' if self.liars_stay and self.liars else ''}{' rotating' if self.rotate else ''}"
        return (
            f"n={self.seated}+{self.followers} {self.model.name.lower()} epochs={self.epochs} "
            f"heal={self.heal_at_s:.1f}s liars={liars}{marks}; {' '.join(fault.value for fault in self.faults)}"
        )


def _calmer(plan: Plan, **weather: Any) -> dict[str, Any]:
    return {"weather": replace(plan.weather, **weather)}


def _truer(plan: Plan, lie: Lie) -> dict[str, Any]:
    return {"liars": tuple(liar for liar in plan.liars if liar[1] is not lie)}


_OFF: Final[dict[Fault, Callable[[Plan], dict[str, Any]]]] = {
    Fault.DELAY: lambda plan: {"bytes_s": 0.0, **_calmer(plan, delay_max_s=FAIR.delay_max_s)},
    Fault.LOSS: lambda plan: _calmer(plan, loss=0.0),
    Fault.DUPLICATION: lambda plan: _calmer(plan, duplication=0.0),
    Fault.REORDERING: lambda plan: _calmer(plan, late=0.0),
    Fault.PARTITION: lambda plan: {"cuts": tuple(cut for cut in plan.cuts if cut.one_way)},
    Fault.ONE_WAY: lambda plan: {"cuts": tuple(cut for cut in plan.cuts if not cut.one_way)},
    Fault.CRASH: lambda plan: {"crash_chance": 0.0},
    Fault.LOST_WRITES: lambda plan: {"lost_writes": False},
    Fault.DEAD: lambda plan: {"dead": ()},
    Fault.SLOW: lambda plan: {"slow": ()},
    Fault.HANG: lambda plan: {"hangs": ()},
    Fault.CLOCK_DRIFT: lambda plan: {"clock_drift": 0.0},
    Fault.CLOCK_JUMP: lambda plan: {"jumps": ()},
    Fault.SILENT: lambda plan: _truer(plan, Lie.SILENT),
    Fault.PICKY: lambda plan: _truer(plan, Lie.PICKY),
    Fault.TWINS: lambda plan: _truer(plan, Lie.TWINS),
    Fault.MISCHIEF: lambda plan: _truer(plan, Lie.MISCHIEF),
    Fault.GRUDGING: lambda plan: _truer(plan, Lie.GRUDGING),
    Fault.WITHHELD: lambda plan: {"withhold": False},
    Fault.PARTIAL: lambda plan: {"partial_chance": 0.0},
    Fault.REPLAY: lambda plan: {"replay_chance": 0.0},
    Fault.FLOOD: lambda plan: {"flood_chance": 0.0},
    Fault.MUTATION: lambda plan: {"mutation_chance": 0.0},
}
