"""From a seed to its plan. Short runs with many faults in each: what breaks agreement needs few views."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any, Final

from ordering import Model, Timing, fault_count, quorum_size
from tests.sim.network import FAIR, Weather
from tests.sim.plan import Cut, Fault, Lie, Moment, Plan

SIZES: Final = {1: 3, 3: 40, 4: 48, 5: 4, 7: 4, 10: 1}
"""Seats, and how many runs of a hundred have them."""

LIES: Final = (Lie.SILENT, Lie.PICKY, Lie.TWINS, Lie.MISCHIEF)

TRUE_SIGNATURES_EVERY: Final = 200


def draw(seed: int, *, hard: bool = False, without: Collection[Fault] = (), **fixed: Any) -> Plan:
    """The plan of a seed; keyword arguments override single fields of it (`seated` and `model` are drawn around).

    The hard ones have as many liars as there may be, and long, bad weather: slower, for runs over night.
    """
    chance = Random(f"plan {seed}")
    seated = int(fixed.pop("seated", None) or chance.choices(list(SIZES), list(SIZES.values()))[0])
    model = Model(fixed.pop("model", None) or chance.choices((Model.BYZANTINE, Model.CRASH), (5, 1))[0])
    followers = chance.choices((0, 1), (4, 1))[0]
    members = seated + followers
    # Rotation hands seats to those who would not be counted as liars of one committee; keep them to honest groups.
    faults = fault_count(seated, model)
    liar_count = faults if hard or chance.random() < 0.6 else chance.randint(0, faults)
    rotate = followers > 0 and liar_count == 0 and chance.random() < 0.5
    through = _Through(seed, members)
    liars = tuple(
        (member, through.lie(chance.choice(LIES))) for member in sorted(chance.sample(range(seated), liar_count))
    )
    away_max = seated - quorum_size(seated, model) - liar_count
    honest = [member for member in range(seated) if member not in [liar for liar, _ in liars]]
    dead_count = chance.randint(0, away_max) if away_max > 0 and not rotate and chance.random() < 0.4 else 0
    calm = chance.random() < 0.08 and not hard
    heal_at_s = 0.0 if calm else chance.uniform(10.0, 60.0) if hard else chance.uniform(0.2, 3.0)
    gone = sorted(chance.sample(honest, dead_count))
    storm = _Storm(chance, members, heal_at_s)
    plan = Plan(
        seed=seed,
        model=model,
        seated=seated,
        followers=followers,
        rotate=rotate,
        epochs=chance.choices((1, 2, 3), (16, 4, 1))[0],
        timing=Timing(delta_s=chance.choice((0.2, 0.2, 0.5))),
        weather=storm.weather((0.3, 0.6, 0.8) if hard else (0.0, 0.1, 0.3, 0.45)),
        heal_at_s=heal_at_s,
        cuts=storm.cuts(12 if hard else 3),
        liars=liars,
        liars_stay=chance.random() < 0.5,
        withhold=chance.random() < 0.5,
        through_leader=through.members,
        dead=tuple((member, chance.uniform(0.0, heal_at_s)) for member in gone),
        crash_chance=chance.choice((0.0, 0.05, 0.2)),
        crashes_max=chance.randint(1, 20 if hard else 4),
        lost_writes=chance.random() < 0.7,
        slow=storm.slow(),
        hangs=storm.moments(0.15, 8.0 if hard else 2.0),
        jumps=storm.moments(0.1, chance.choice((1.0, 30.0, 4000.0))),
        clock_drift=chance.choice((0.0, 0.02)),
        commit_chance=chance.choice((0.0, 0.3, 1.0)),
        commit_spread_s=chance.choice((0.01, 0.5, 2.0)),
        steady=chance.choice([member for member in honest if member not in gone]),
        partial_chance=chance.choice((0.0, 0.0, 0.5)),
        urgent_chance=chance.choice((0.0, 0.2)),
        bytes_s=chance.choice((0.0, 0.0, 0.3, 1.5)),
        judge_s=chance.choice((0.0, 0.01, 0.2)),
        replay_chance=chance.choice((0.0, 0.0, 0.0, 0.05)),
        flood_chance=chance.choice((0.0, 0.0, 0.0, 0.0, 0.01)),
        mutation_chance=chance.choice((0.0, 0.0, 0.0, 0.1)),
        through_codecs=chance.random() < 0.1,
        true_signatures=seed % TRUE_SIGNATURES_EVERY == 0,
    )
    if calm:  # only who lies, and who dies
        plan = replace(plan, crash_chance=0.0, replay_chance=0.0, flood_chance=0.0, mutation_chance=0.0)
        plan = replace(plan, weather=FAIR, cuts=(), slow=(), hangs=(), jumps=())
    return replace(plan, **fixed).without(without)


class _Through:
    """Who tells its votes to the leader first: nobody in half of the runs, else all or some. Drawn by itself."""

    def __init__(self, seed: int, members: int) -> None:
        self._chance = Random(f"through the leader {seed}")
        share = self._chance.choices((0.0, 0.6, 1.0), (3, 1, 2))[0]
        self.members = tuple(member for member in range(members) if self._chance.random() < share)

    def lie(self, drawn: Lie) -> Lie:
        """What a liar does, if it were not for the votes that come to it."""
        return Lie.GRUDGING if self.members and self._chance.random() < 0.3 else drawn


class _Storm:
    """What the network and the machines do until healing."""

    def __init__(self, chance: Random, members: int, heal_at_s: float) -> None:
        self._chance = chance
        self._members = members
        self._heal_at_s = heal_at_s

    def weather(self, losses: tuple[float, ...]) -> Weather:
        """How links behave."""
        chance = self._chance
        return Weather(
            delay_max_s=chance.choice((0.03, 0.15, 0.6)),
            loss=chance.choice(losses),
            duplication=chance.choice((0.0, 0.1)),
            late=chance.choice((0.0, 0.03)),
        )

    def cuts(self, count_max: int) -> tuple[Cut, ...]:
        """Partitions into two or three, and single one-way links, one after the other."""
        chance, everyone = self._chance, range(self._members)
        cuts = []
        for _ in range(max(0, chance.randint(-1, count_max))):
            one_way = chance.random() < 0.4
            if one_way:
                pairs = [(a, b) for a in everyone for b in everyone if a != b and chance.random() < 0.3]
            else:
                side = [chance.randrange(chance.choice((2, 3))) for _ in everyone]
                pairs = [(a, b) for a in everyone for b in everyone if side[a] != side[b]]
            cuts.append(Cut(chance.uniform(0.0, self._heal_at_s), tuple(pairs), one_way))
        return tuple(sorted(cuts, key=lambda cut: cut.at_s))

    def slow(self) -> tuple[tuple[int, float], ...]:
        """One member in ten takes up to a leader timer over each message."""
        chance = self._chance
        return tuple(
            (member, chance.choice((0.05, 0.3, 1.0))) for member in range(self._members) if chance.random() < 0.1
        )

    def moments(self, share: float, seconds_max: float) -> tuple[Moment, ...]:
        """For a share of the members, one moment each."""
        chance = self._chance
        return tuple(
            Moment(member, chance.uniform(0.0, self._heal_at_s), chance.uniform(0.1, 1.0) * seconds_max)
            for member in range(self._members)
            if chance.random() < share
        )
