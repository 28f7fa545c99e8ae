"""What one seed stands for: the committee, the faults and when they end, the liars, the commits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Any, Final

from ordering import Model, Timing, fault_count, quorum_size
from tests.sim.network import FAIR, Weather

TIMING: Final = Timing()


class Lie(Enum):
    """How a liar lies."""

    SILENT = "silent"
    PICKY = "picky"  # a real machine that tells each of the others only half of what it says
    TWINS = "twins"  # two real machines with one key, each shown to half of the others
    MISCHIEF = "mischief"  # signs anything, equivocates, forges, replays, withholds


@dataclass(frozen=True, slots=True)
class Cut:
    """From `at_s` on, exactly these directions between members are cut."""

    at_s: float
    pairs: tuple[tuple[int, int], ...]


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
    dead: tuple[tuple[int, float], ...] = ()  # (member, when it goes for ever)
    crash_chance: float = 0.0  # per step that writes; a tenth of it for others
    crashes_max: int = 0  # per member
    down_s: float = 3.0  # at most
    commit_chance: float = 0.0  # per member and epoch; the steady member commits always
    commit_spread_s: float = 0.5
    steady: int | None = None  # honest, never gone; its commits open for everyone
    partial_chance: float = 0.0  # others' commits open for some members only
    urgent_chance: float = 0.0
    bytes_s: float = 0.0  # transfers take up to this on top of the delay
    judge_s: float = 0.0  # the soft verdict comes so much after the bytes
    clock_drift: float = 0.0  # clocks run up to so much faster or slower
    through_codecs: bool = False  # every message is encoded and decoded

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
    def views_max(self) -> int:
        """After healing, decided within this many views: see `ordering-scenarios`, widened where liars go on."""
        faults = fault_count(self.seated, self.model)
        return 2 * faults + 6 if self.liars_stay else faults + 5

    def __str__(self) -> str:
        liars = ",".join(f"{member}:{lie.value}" for member, lie in self.liars) or "none"
        faults = f"cuts={len(self.cuts)} crashes<={self.crashes_max if self.crash_chance else 0} dead={len(self.dead)}"
        marks = f"{' staying' if self.liars_stay and self.liars else ''}{' rotating' if self.rotate else ''}"
        return (
            f"n={self.seated}+{self.followers} {self.model.name.lower()} epochs={self.epochs} "
            f"heal={self.heal_at_s:.1f}s loss={self.weather.loss:.2f} {faults} liars={liars}{marks}"
        )


def draw(seed: int, *, hard: bool = False, **fixed: Any) -> Plan:
    """The plan of a seed; keyword arguments override single fields of it (`seated` is drawn around).

    The hard ones have as many liars as there may be, and long, bad weather: slower, for runs over night.
    """
    chance = Random(f"plan {seed}")
    seated = int(fixed.pop("seated", None) or chance.choices((1, 3, 4, 5, 7), (1, 3, 5, 2, 2))[0])
    model = Model(fixed.pop("model", None) or chance.choices((Model.BYZANTINE, Model.CRASH), (3, 1))[0])
    followers = chance.choices((0, 1), (3, 1))[0]
    members = seated + followers
    # Rotation hands seats to those who would not be counted as liars of one committee; keep them to honest groups.
    faults = fault_count(seated, model)
    liar_count = faults if hard else chance.randint(0, faults)
    rotate = followers > 0 and liar_count == 0 and chance.random() < 0.5
    liars = tuple((member, chance.choice(list(Lie))) for member in sorted(chance.sample(range(seated), liar_count)))
    away_max = seated - quorum_size(seated, model) - liar_count
    honest = [member for member in range(seated) if member not in [liar for liar, _ in liars]]
    dead_count = chance.randint(0, away_max) if away_max > 0 and not rotate and chance.random() < 0.4 else 0
    calm = chance.random() < 0.15 and not hard
    heal_at_s = 0.0 if calm else chance.uniform(10.0, 60.0) if hard else chance.uniform(0.5, 7.0)
    gone = sorted(chance.sample(honest, dead_count))
    dead = tuple((member, chance.uniform(0.0, heal_at_s)) for member in gone)
    weather = Weather(
        delay_max_s=chance.choice((0.03, 0.15, 0.6)),
        loss=chance.choice((0.3, 0.6, 0.8) if hard else (0.0, 0.1, 0.3, 0.45)),
        duplication=chance.choice((0.0, 0.1)),
        late=chance.choice((0.0, 0.03)),
    )
    plan = Plan(
        seed=seed,
        model=model,
        seated=seated,
        followers=followers,
        rotate=rotate,
        epochs=chance.choices((1, 2, 3), (5, 3, 1))[0],
        weather=FAIR if calm else weather,
        heal_at_s=heal_at_s,
        cuts=() if calm else _draw_cuts(chance, members, heal_at_s, 12 if hard else 3),
        liars=liars,
        liars_stay=chance.random() < 0.5,
        dead=dead,
        crash_chance=0.0 if calm else chance.choice((0.0, 0.05, 0.2)),
        crashes_max=chance.randint(1, 20 if hard else 4),
        commit_chance=chance.choice((0.0, 0.3, 1.0)),
        commit_spread_s=chance.choice((0.01, 0.5, 3.0)),
        steady=chance.choice([member for member in honest if member not in gone]),
        partial_chance=chance.choice((0.0, 0.0, 0.5)),
        urgent_chance=chance.choice((0.0, 0.2)),
        bytes_s=chance.choice((0.0, 0.0, 0.3, 1.5)),
        judge_s=chance.choice((0.0, 0.01, 0.2)),
        clock_drift=chance.choice((0.0, 0.02)),
        through_codecs=chance.random() < 0.1,
    )
    return replace(plan, **fixed)


def _draw_cuts(chance: Random, members: int, heal_at_s: float, count_max: int) -> tuple[Cut, ...]:
    """Partitions into two or three, and single one-way links, one after the other."""
    cuts = []
    for _ in range(max(0, chance.randint(-1, count_max))):
        everyone = range(members)
        if chance.random() < 0.6:
            side = [chance.randrange(chance.choice((2, 3))) for _ in everyone]
            pairs = [(a, b) for a in everyone for b in everyone if side[a] != side[b]]
        else:
            pairs = [(a, b) for a in everyone for b in everyone if a != b and chance.random() < 0.3]
        cuts.append(Cut(chance.uniform(0.0, heal_at_s), tuple(pairs)))
    return tuple(sorted(cuts, key=lambda cut: cut.at_s))
