"""`python -m tests.sim.campaign`: a million schedules and more, in pieces; `docs/campaign.md` says what came of them.

Each piece is a range of numbers, so the same schedules are played by every run. What is done is kept in a folder, with
the commit it was done at, and a campaign that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
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
PLAYED: Final = ("ordering", "tests/sim", "mls", "node")  # what a run is made of
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
    covers: int | None = None  # how many schedules all its numbers stand for; None: one each

    def chunks(self, scale: float) -> Iterator[tuple[int, int]]:
        """(first number, how many)"""
        end = self.start + max(1, round(self.count * (scale if self.covers is None else 1.0)))  # all, or it proves less
        for at in range(self.start, end, self.chunk):
            yield at, min(self.chunk, end - at)


PARTS: Final = (
    Part("drawn: every fault", partial(play_seed, Drawing()), FIRST_SEED, 520_000, 500),
    Part("drawn: network, crashes and liars", partial(play_seed, NETWORK), 2 * FIRST_SEED, 320_000, 500),
    Part("drawn: much bent, replayed, flooded", partial(play_seed, BENT), 3 * FIRST_SEED, 80_000, 500),
    Part("drawn: hard and long", partial(play_seed, HARD), 4 * FIRST_SEED, 3_000, 20),
    Part("drawn: real MLS groups", partial(play_mls, Drawing()), FIRST_SEED, 1_500, 10),
    Part("twins: all of four voters", play_twins, 0, EXHAUSTIVE, 1, THREE_VIEWS.size + TWO_ROUNDS.size),
    Part("twins: samples of five, seven, ten", play_twins, EXHAUSTIVE, 50_000, 200),
)


WHAT: Final = """A violation is a broken promise of [the ordering](ordering.md) (agreement, validity, no double vote,
nothing sent that is not durable, nothing undone, certificates that verify), a stall after healing, or more views after
healing than allowed. What is drawn at random, and samples, are one run each. "Twins: all of four voters" is every
schedule of two spaces, {covered} in all (three views with any partition each, two views with one for each of their
rounds): those that differ in nothing that a voter sees, or only in which copy is which, share a run."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of one range of numbers."""

    score: Score
    commit: str  # at which it was played
    seconds: float  # of processor
    wall_s: float  # since the chunk before it, or the start: all of them together are how long it took


@dataclass(slots=True)
class Ledger:
    """What was played: one line for each chunk, in a file. A line that was cut off is played again."""

    path: Path

    def read(self) -> dict[tuple[str, int, int], Chunk]:
        """By (part, first number, how many)."""
        done: dict[tuple[str, int, int], Chunk] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            chunk = Chunk(Score.from_json(entry["score"]), entry["commit"], entry["seconds"], entry["wall_s"])
            done[entry["part"], entry["start"], entry["count"]] = chunk
        return done

    def add(self, name: str, start: int, count: int, chunk: Chunk) -> None:
        """One chunk more."""
        entry = {"part": name, "start": start, "count": count, "commit": chunk.commit, "score": chunk.score.to_json()}
        entry |= {"seconds": chunk.seconds, "wall_s": chunk.wall_s}
        with self.path.open("a+b") as file:
            if file.tell() and not self.path.read_bytes().endswith(b"\n"):
                file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")


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
    options.state.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(options.state / "chunks.jsonl")
    if not options.report_only:
        play(ledger, options.scale, options.jobs)
    chunks = counted(ledger, options.scale)
    options.report.write_text(report(chunks, caught()))
    total = Score()
    for chunk in chunks.values():
        total.merge(chunk.score)
    for failure in total.failures:
        print(failure)
    print(f"{total.schedules} schedules in {total.runs} runs, {len(total.failures)} failed; {options.report}")
    return 1 if total.failures else 0


def play(ledger: Ledger, scale: float, jobs: int) -> None:
    """Whatever is not done yet."""
    done, commit = ledger.read(), commit_here()
    left: list[Job] = [
        (place, start, count)
        for place, part in enumerate(PARTS)
        for start, count in part.chunks(scale)
        if (part.name, start, count) not in done
    ]
    left.sort(key=_turn)
    began_s, noted_s, runs = monotonic(), monotonic(), 0
    with Pool(jobs, maxtasksperchild=100) as pool:
        for number, ((part, start, count), score, seconds) in enumerate(pool.imap_unordered(play_job, left), 1):
            now_s = monotonic()
            ledger.add(PARTS[part].name, start, count, Chunk(score, commit, seconds, now_s - noted_s))
            noted_s = now_s
            runs += score.runs
            if number % 20 == 0 or score.failures or number == len(left):
                rate = runs / (now_s - began_s)
                failed = "".join(f"\n{failure}" for failure in score.failures)
                print(f"{number}/{len(left)} chunks, {runs} runs, {rate:.0f}/s{failed}", flush=True)


def _turn(job: Job) -> tuple[bool, float]:
    """First what counts as a whole only, then of each part alike at any time."""
    place, start, _ = job
    part = PARTS[place]
    return part.covers is None, (start - part.start) / part.count


Chunks = dict[tuple[str, int, int], Chunk]


def counted(ledger: Ledger, scale: float) -> Chunks:
    """Those that are done, of those that belong to the campaign."""
    done = ledger.read()
    keys = [(part.name, start, count) for part in PARTS for start, count in part.chunks(scale)]
    return {key: done[key] for key in keys if key in done}


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


def report(chunks: Chunks, mutants: int) -> str:
    """The page."""
    total = Score()
    for chunk in chunks.values():
        total.merge(chunk.score)
    seconds, wall_s = (sum(getattr(chunk, name) for chunk in chunks.values()) for name in ("seconds", "wall_s"))
    exhaustive = {part.name for part in PARTS if part.covers is not None}
    found = sum(chunk.score.schedules for (name, _, _), chunk in chunks.items() if name in exhaustive)
    shared = sum(chunk.score.runs for (name, _, _), chunk in chunks.items() if name in exhaustive)
    covered = sum(part.covers or part.count for part in PARTS)
    paragraphs = [
        "# The campaign",
        f"`{COMMAND}`, {datetime.now(UTC):%Y-%m-%d}, at {_commits(chunks)}. Every schedule is named by its number:\n"
        "the same command plays the same ones.",
        f"{_spaced(total.schedules)} of {_spaced(covered)} schedules so far, in {_spaced(total.runs)} runs:\n"
        f"{_spaced(total.schedules - found)} drawn at random, a run each, and {_spaced(found)} by exhaustive\n"
        f"enumeration, for which {_spaced(shared)} runs stand.",
        _table(chunks, total),
        WHAT.format(covered=_spaced(THREE_VIEWS.size + TWO_ROUNDS.size)),
        "\n".join(f"- {line}" for line in total.lines()[:-2]),
        f"Mutants of the rules, each with its story (`tests/sim/mutants.py`): {mutants} of {len(MUTANTS)} caught.",
        f"{seconds / 3600:.2f} hours of processor, {wall_s / 3600:.2f} hours by the clock.",
        *total.failures,
    ]
    return "\n\n".join(paragraphs) + "\n"


def _table(chunks: Chunks, total: Score) -> str:
    rows = [
        "| schedules | numbers | runs | schedules covered | steps of the core | violations |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for part in PARTS:
        score = Score()
        of_this = [(start, count, chunk) for (name, start, count), chunk in chunks.items() if name == part.name]
        for _, _, chunk in of_this:
            score.merge(chunk.score)
        numbers = _numbers([(start, count) for start, count, _ in of_this])
        rows.append(f"| {part.name} | {numbers} | {_counts(score)} |")
    rows.append(f"| **all** | | {_counts(total)} |")
    return "\n".join(rows)


def _counts(score: Score) -> str:
    return " | ".join(map(_spaced, (score.runs, score.schedules, score.steps, len(score.failures))))


def _numbers(ranges: list[tuple[int, int]]) -> str:
    """The numbers played: from the first to the last, and how many if some between them are not."""
    if not ranges:
        return "none"
    count = sum(count for _, count in ranges)
    first, last = min(start for start, _ in ranges), max(start + count - 1 for start, count in ranges)
    return f"{first}–{last}" if last - first + 1 == count else f"{_spaced(count)} of {first}–{last}"


def _commits(chunks: Chunks) -> str:
    """The commits at which it was played, the schedules at each if there are several."""
    counts: Counter[str] = Counter()
    for chunk in chunks.values():
        counts[chunk.commit] += chunk.score.schedules
    if len(counts) < 2:
        return f"commit {next(iter(counts), commit_here())}"
    return "commits " + ", ".join(f"{commit} ({_spaced(count)})" for commit, count in counts.items())


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def commit_here() -> str:
    """The commit of the checkout, and whether the core or the simulator differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", *PLAYED)
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
