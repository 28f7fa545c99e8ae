"""`python -m tests.sim.campaign`: a million schedules and more, in pieces; `docs/campaign.md` says what came of them.

Each piece is a range of numbers, so the same schedules are played by every run. What is done is kept in a folder,
and a campaign that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from time import monotonic, process_time
from typing import Final

import pytest

from tests.sim.__main__ import Drawing, drawing, play_mls, play_seed, play_twins
from tests.sim.mutants import MUTANTS
from tests.sim.ranges import Play
from tests.sim.score import Score
from tests.sim.twins import EXHAUSTIVE, THREE_VIEWS, TWO_ROUNDS
from tests.sim.watch import Violation

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = "make campaign"
FIRST_SEED: Final = 1_000_000  # those of the tests are below

HARD: Final = drawing("--hard")
NETWORK: Final = drawing("--without", "mutation", "--without", "replay", "--without", "flood")
BENT: Final = drawing("--bent")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of schedule, and how many numbers of it are played."""

    name: str
    play: Play
    start: int
    count: int
    chunk: int

    def chunks(self, scale: float) -> Iterator[tuple[int, int]]:
        """(first number, how many)"""
        end = self.start + max(1, round(self.count * scale))
        for at in range(self.start, end, self.chunk):
            yield at, min(self.chunk, end - at)


PARTS: Final = (
    Part("drawn: every fault", partial(play_seed, Drawing()), FIRST_SEED, 520_000, 500),
    Part("drawn: network, crashes and liars", partial(play_seed, NETWORK), 2 * FIRST_SEED, 320_000, 500),
    Part("drawn: much bent, replayed, flooded", partial(play_seed, BENT), 3 * FIRST_SEED, 80_000, 500),
    Part("drawn: hard and long", partial(play_seed, HARD), 4 * FIRST_SEED, 3_000, 20),
    Part("drawn: real MLS groups", partial(play_mls, Drawing()), FIRST_SEED, 1_500, 10),
    Part("twins: all of four voters", play_twins, 0, EXHAUSTIVE, 1),
    Part("twins: samples of five, seven, ten", play_twins, EXHAUSTIVE, 50_000, 200),
)


WHAT: Final = """A violation is a broken promise of [the ordering](ordering.md) (agreement, validity, no double vote,
nothing sent that is not durable, nothing undone, certificates that verify), a stall after healing, or more views after
healing than allowed. "Twins: all of four voters" is every schedule of two
spaces, {covered} in all (three views with any partition
each, two views with one for each of their rounds), played as often as they differ in anything that a voter sees."""


@dataclass(slots=True)
class Ledger:
    """What was played: one line for each chunk, in a file."""

    path: Path

    @property
    def wall_s(self) -> float:
        """How long it was played, all interruptions left out."""
        file = self.path.with_name("wall_s")
        return float(file.read_text()) if file.exists() else 0.0

    @wall_s.setter
    def wall_s(self, seconds: float) -> None:
        self.path.with_name("wall_s").write_text(str(seconds))

    def read(self) -> dict[tuple[str, int, int], tuple[Score, float]]:
        """By (part, first number, how many): the score, and the seconds it took."""
        done: dict[tuple[str, int, int], tuple[Score, float]] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                entry = json.loads(line)
                key = (entry["part"], entry["start"], entry["count"])
                done[key] = (Score.from_json(entry["score"]), entry["seconds"])
        return done

    def add(self, name: str, start: int, count: int, score: Score, seconds: float) -> None:
        """One chunk more."""
        entry = {"part": name, "start": start, "count": count, "seconds": seconds, "score": score.to_json()}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


Job = tuple[int, int, int]
"""(part, first number, how many)"""


def play_job(job: Job) -> tuple[Job, Score, float]:
    """One chunk, in a process of the pool."""
    part, start, count = job
    began_s = process_time()
    score = Score()
    for number in range(start, start + count):
        PARTS[part].play(number, score)
    return job, score, process_time() - began_s


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.campaign", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--scale", type=float, default=1.0, help="this part of each range only")
    parser.add_argument("--state", type=Path, default=ROOT / ".campaign", help="where to keep what is done")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "campaign.md", help="where to write the report")
    parser.add_argument("--report-only", action="store_true", help="play nothing, write down what is done")
    options = parser.parse_args(arguments)
    os.nice(19)
    options.state.mkdir(exist_ok=True)
    ledger = Ledger(options.state / "chunks.jsonl")
    if not options.report_only:
        play(ledger, options.scale, options.jobs)
    scores, seconds = totals(ledger, options.scale)
    options.report.write_text(report(scores, seconds, ledger.wall_s, caught()))
    failures = [failure for score in scores.values() for failure in score.failures]
    for failure in failures:
        print(failure)
    print(f"{sum(score.runs for score in scores.values())} schedules, {len(failures)} failed; {options.report}")
    return 1 if failures else 0


def play(ledger: Ledger, scale: float, jobs: int) -> None:
    """Whatever is not done yet."""
    done = ledger.read()
    left: list[Job] = [
        (place, start, count)
        for place, part in enumerate(PARTS)
        for start, count in part.chunks(scale if part.chunk > 1 else 1.0)
        if (part.name, start, count) not in done
    ]
    left.sort(key=lambda job: (job[1] - PARTS[job[0]].start) / PARTS[job[0]].count)  # of each part alike, at any time
    began_s, noted_s, runs = monotonic(), monotonic(), 0
    with Pool(jobs, maxtasksperchild=100) as pool:
        for number, (job, score, seconds) in enumerate(pool.imap_unordered(play_job, left), 1):
            ledger.add(PARTS[job[0]].name, job[1], job[2], score, seconds)
            runs += score.runs
            ledger.wall_s += monotonic() - noted_s
            noted_s = monotonic()
            if number % 20 == 0 or score.failures or number == len(left):
                rate = runs / (monotonic() - began_s)
                failed = "".join(f"\n{failure}" for failure in score.failures)
                print(f"{number}/{len(left)} chunks, {runs} schedules, {rate:.0f}/s{failed}", flush=True)


def totals(ledger: Ledger, scale: float) -> tuple[dict[str, Score], float]:
    """By part, and the seconds of all processes."""
    done = ledger.read()
    scores: dict[str, Score] = {}
    seconds = 0.0
    for part in PARTS:
        score = scores[part.name] = Score()
        for start, count in part.chunks(scale if part.chunk > 1 else 1.0):
            if (part.name, start, count) in done:
                one, took_s = done[part.name, start, count]
                score.merge(one)
                seconds += took_s
    return scores, seconds


def caught() -> int:
    """How many mutants are caught, each by its story."""
    count = 0
    for mutant in MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            mutant.apply(patch)
            try:
                mutant.story()
            except (AssertionError, Violation):
                count += 1
    return count


def report(scores: dict[str, Score], seconds: float, wall_s: float, mutants: int) -> str:
    """The page."""
    total = Score()
    rows = []
    for name, score in scores.items():
        total.merge(score)
        rows.append(f"| {name} | {_spaced(score.runs)} | {_spaced(score.steps)} | {len(score.failures)} |")
    total_row = f"| **all** | **{_spaced(total.runs)}** | **{_spaced(total.steps)}** | **{len(total.failures)}** |"
    paragraphs = [
        "# The campaign",
        f"`{COMMAND}`, {datetime.now(UTC):%Y-%m-%d}, at {_commit()}. Every schedule is named by its number: the same\n"
        "command plays the same ones.",
        f"{_spaced(total.runs)} of {_spaced(sum(part.count for part in PARTS))} are played so far.",
        "\n".join(
            ("| schedules | played | steps of the core | violations |", "|---|---:|---:|---:|", *rows, total_row)
        ),
        WHAT.format(covered=_spaced(THREE_VIEWS.size + TWO_ROUNDS.size)),
        "\n".join(f"- {line}" for line in total.lines()[:-2]),
        f"Mutants of the rules, each with its story (`tests/sim/mutants.py`): {mutants} of {len(MUTANTS)} caught.",
        f"{seconds / 3600:.1f} hours of processor, {wall_s / 3600:.1f} hours by the clock.",
        *total.failures,
    ]
    return "\n\n".join(paragraphs) + "\n"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _commit() -> str:
    try:
        arguments = ["git", "rev-parse", "--short", "HEAD"]
        return (
            "commit " + subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        )
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"


if __name__ == "__main__":
    sys.exit(main())
