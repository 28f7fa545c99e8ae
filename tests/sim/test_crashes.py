"""A crash at every point of a run: before each transaction, after it, and between any two effects."""

from __future__ import annotations

from functools import partial

import pytest

from ordering import Effect, Input
from tests.sim.node import Node
from tests.sim.plan import Plan
from tests.sim.simulation import Simulation

Point = tuple[int, int, int]
"""(member, which of its steps, which point in it)"""


def plan(seated: int) -> Plan:
    """Commits at once whose bytes take a while, in one or two epochs; a crashed member is down for up to a second."""
    return Plan(
        seed=5,
        seated=seated,
        epochs=2 if seated < 4 else 1,
        steady=0,
        commit_chance=0.5,
        bytes_s=0.1,
        judge_s=0.01,
        heal_at_s=3.0,
        down_s=1.0,
    )


def points(seated: int) -> list[Point]:
    """Every point of the undisturbed run."""
    found: list[Point] = []

    def note(node: Node, event: Input, effects: tuple[Effect, ...], count: int) -> None:
        found.extend((node.member, node.step_count, point) for point in range(count + 2))

    assert Simulation(plan(seated), crash_rule=note).run().passed
    return found


def crash_there(where: Point, node: Node, event: Input, effects: tuple[Effect, ...], count: int) -> int | None:
    """A rule for one crash of one member."""
    return where[2] if (node.member, node.step_count) == where[:2] else None


def power_cut(
    sim: Simulation, where: Point, node: Node, event: Input, effects: tuple[Effect, ...], count: int
) -> int | None:
    """A rule that ends everybody else as well."""
    point = crash_there(where, node, event, effects, count)
    if point is not None:
        for other in sim.nodes.values():
            if other is not node:
                sim.crash(other, "in the power cut")
    return point


@pytest.mark.parametrize("seated", [1, 3, 4])
def test_a_crash_anywhere_forks_nothing_and_stops_nothing(seated: int) -> None:
    """Nothing that left a member is forgotten, and what was forgotten never left it."""
    everywhere = points(seated)
    assert len(everywhere) > 20
    for where in everywhere:
        outcome = Simulation(plan(seated), crash_rule=partial(crash_there, where)).run()
        assert outcome.passed, f"crash at (member, step, point) {where}: {outcome.reason}"


def test_a_power_cut_at_any_step_forks_nothing_and_stops_nothing() -> None:
    """All members end together, one of them in the middle of a step."""
    for where in points(3)[::2]:
        sim = Simulation(plan(3))
        sim.crash_rule = partial(power_cut, sim, where)
        outcome = sim.run()
        assert outcome.passed, f"power cut at (member, step, point) {where}: {outcome.reason}"
