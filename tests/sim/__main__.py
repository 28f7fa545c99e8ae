"""`python -m tests.sim`: play a range of schedules, or show one step by step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ordering import COMMITTEE_MAX, Model
from tests.sim.draw import draw
from tests.sim.plan import Fault
from tests.sim.ranges import play_range
from tests.sim.real import MlsRun, draw_mls
from tests.sim.scenario import Broken, Scenario, names
from tests.sim.score import Score
from tests.sim.show import Tape
from tests.sim.simulation import Simulation
from tests.sim.twins import EXHAUSTIVE, Schedule, TwinRun, play_number

COMMAND = "python -m tests.sim"
MODELS = {"byzantine": Model.BYZANTINE, "crash": Model.CRASH}
BENT = {"mutation_chance": 0.3, "replay_chance": 0.1, "flood_chance": 0.01, "epochs": 2}


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is fixed for all seeds of a range, and the options that say so."""

    hard: bool = False
    without: tuple[Fault, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    words: str = ""

    @classmethod
    def of(cls, options: argparse.Namespace) -> Drawing:
        """As the command line has it."""
        fixed: dict[str, Any] = dict(BENT) if options.bent else {}
        words = [f"--{name}" for name in ("hard", "bent") if getattr(options, name)]
        if options.n is not None:
            fixed["seated"] = options.n
            words.append(f"--n {options.n}")
        if options.model is not None:
            fixed["model"] = MODELS[options.model]
            words.append(f"--model {options.model}")
        if options.through_leader:
            fixed["through_leader"] = tuple(range(COMMITTEE_MAX + 1))
            words.append("--through-leader")
        without = tuple(Fault(name) for name in options.without)
        if options.only:
            without = tuple(fault for fault in Fault if fault.value not in options.only)
        words += [f"--without {fault.value}" for fault in without]
        return cls(options.hard, without, fixed, " ".join(words))

    def simulation(self, seed: int, tape: Tape | None = None) -> Simulation:
        """The run of a seed."""
        return Simulation(draw(seed, hard=self.hard, without=self.without, **self.fixed), tape)


def drawing(*words: str) -> Drawing:
    """What these options fix."""
    return Drawing.of(_parser().parse_args(words))


def play_seed(drawing: Drawing, seed: int, score: Score) -> None:
    """One drawn run."""
    score.add(drawing.simulation(seed).run(), f"{COMMAND} --replay {seed} {drawing.words}".rstrip())


def play_mls(drawing: Drawing, seed: int, score: Score) -> None:
    """One drawn run with real groups."""
    outcome = MlsRun(draw_mls(seed, without=drawing.without, **drawing.fixed)).run()
    score.add(outcome, f"{COMMAND} --mls --replay {seed} {drawing.words}".rstrip())


def play_twins(number: int, score: Score) -> None:
    """One sample, or all schedules of a root."""
    for played, stands_for in play_number(number):
        score.add(played.outcome, f"{COMMAND} --schedule {played.run.schedule.name}", stands_for)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    options = _parser().parse_args(arguments)
    drawing = Drawing.of(options)
    if options.mls and options.replay is not None:
        plan = draw_mls(options.replay, without=drawing.without, **drawing.fixed)
        return show(MlsRun(plan, Tape(print, only=options.member)))
    if options.replay is not None:
        return replay(drawing, options.replay, options.member)
    if options.scenario is not None:
        return tell(options.scenario, options.member)
    if options.schedule is not None:
        return show(TwinRun(Schedule.of(options.schedule), Tape(print, only=options.member)))
    if options.twins:
        return report(play_range(play_twins, options.start, options.count, options.jobs, chunk=1))
    if options.trace:
        return trace(drawing, range(options.start, options.start + options.count))
    play = play_mls if options.mls else play_seed
    score = play_range(partial(play, drawing), options.start, options.count, options.jobs)
    return report(score)


def _parser() -> argparse.ArgumentParser:
    faults = [fault.value for fault in Fault]
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=100, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--n", type=int, help="this many seats instead of a drawn number")
    parser.add_argument("--model", choices=sorted(MODELS), help="this fault model instead of a drawn one")
    parser.add_argument("--through-leader", action="store_true", help="votes go through the leader (R16)")
    parser.add_argument("--hard", action="store_true", help="long runs, bad weather, as many liars as there may be")
    parser.add_argument("--bent", action="store_true", help="much is bent, replayed and flooded")
    parser.add_argument("--without", action="append", default=[], choices=faults, metavar="FAULT", help="switch it off")
    parser.add_argument(
        "--only", action="append", default=[], choices=faults, metavar="FAULT", help=f"switch all others off: {faults}"
    )
    parser.add_argument("--replay", type=int, metavar="SEED", help="show one run step by step")
    parser.add_argument("--member", type=int, help="with --replay: only this member's steps")
    parser.add_argument(
        "--twins",
        action="store_true",
        help=f"voters with a copy: numbers below {EXHAUSTIVE} are all schedules of four, the others samples of more",
    )
    parser.add_argument("--mls", action="store_true", help="with real MLS groups and the node's own judgement")
    parser.add_argument("--schedule", help="show one schedule of --twins, as a failure names it")
    parser.add_argument("--scenario", choices=names(), metavar="NAME", help=f"show a story: {', '.join(names())}")
    parser.add_argument("--trace", action="store_true", help="print the hash of every run's trace")
    return parser


def replay(drawing: Drawing, seed: int, only: int | None) -> int:
    """Show one run."""
    return show(drawing.simulation(seed, Tape(print, only=only)))


def show(simulation: Simulation) -> int:
    """Play a run whose tape prints."""
    print(simulation.schedule if isinstance(simulation, TwinRun) else f"seed {simulation.plan.seed}: {simulation.plan}")
    outcome = simulation.run()
    for line in simulation.recovery.lines():
        print(line)
    print(outcome.reason or "passed")
    return 0 if outcome.passed else 1


def tell(name: str, only: int | None) -> int:
    """Show one story."""
    scenario = Scenario(name, Tape(print, only=only))
    print(f"{name}: {scenario.story}")
    try:
        scenario.play()
    except Broken as error:
        print(error)
        return 1
    print("as told")
    return 0


def trace(drawing: Drawing, seeds: range) -> int:
    """The names of runs: two that do the same have the same."""
    for seed in seeds:
        tape = Tape()
        drawing.simulation(seed, tape).run()
        print(seed, tape.line_count, tape.digest)
    return 0


def report(score: Score) -> int:
    """Failures first, the score last."""
    for failure in score.failures:
        print(failure)
    for line in score.lines():
        print(line)
    return 1 if score.failures else 0


if __name__ == "__main__":
    sys.exit(main())
