"""The campaign: goes on where it was, and counts runs and the schedules they stand for apart."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.sim import campaign
from tests.sim.__main__ import Drawing, play_seed, play_twins
from tests.sim.campaign import Chunk, Ledger, Part, counted, main, report
from tests.sim.score import Score
from tests.sim.twins import EXHAUSTIVE, THREE_VIEWS, TWO_ROUNDS, play_number

SMALL = (
    Part("drawn", partial(play_seed, Drawing()), 1_000_000, 6, 2),
    Part("all", play_twins, 60, 1, 1, THREE_VIEWS.size),
    Part("samples", play_twins, EXHAUSTIVE, 2, 2),
)


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the middle of a line: what is in the file is not played again, the rest is."""
    monkeypatch.setattr(campaign, "PARTS", SMALL)
    monkeypatch.setattr(campaign, "MUTANTS", ())
    monkeypatch.setattr("os.nice", lambda increment: 0)
    arguments = ["--jobs", "1", "--state", str(tmp_path), "--report", str(tmp_path / "report.md")]
    assert main(arguments) == 0
    file, whole = tmp_path / "chunks.jsonl", (tmp_path / "report.md").read_text()
    lines = file.read_text().splitlines(keepends=True)
    kept = lines[:2]
    file.write_text("".join(kept) + lines[2][:-5])

    assert main(arguments) == 0

    again = file.read_text().splitlines(keepends=True)
    assert again[:2] == kept
    assert len(again) == len(lines) + 1  # the line that was cut off
    assert _without_times((tmp_path / "report.md").read_text()) == _without_times(whole)


def test_the_report_tells_runs_from_schedules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million schedules are no million runs: what is drawn and what is enumerated stand apart, with the commits."""
    monkeypatch.setattr(campaign, "PARTS", SMALL)
    ledger = Ledger(tmp_path / "chunks.jsonl")
    ledger.add("drawn", 1_000_000, 2, Chunk(_score(2, 2, 50), "aaaaaaa", 3600.0, 1800.0))
    ledger.add("drawn", 1_000_004, 2, Chunk(_score(2, 2, 50), "aaaaaaa", 3600.0, 1800.0))
    ledger.add("all", 60, 1, Chunk(_score(7, 4000, 9), "bbbbbbb", 1800.0, 900.0))
    ledger.add("of another campaign", 0, 1, Chunk(_score(99, 99, 9), "ccccccc", 9.0, 9.0))

    page = report(counted(ledger, 1.0), 3)

    assert "at commits aaaaaaa (4), bbbbbbb (4 000)" in page
    assert "4 004 of 562 440 schedules so far, in 11 runs:\n4 drawn at random, a run each, and 4 000 by" in page
    assert "| drawn | 4 of 1000000–1000005 | 4 | 4 | 100 | 0 |" in page
    assert "| all | 60–60 | 7 | 4 000 | 9 | 0 |" in page
    assert "| samples | none | 0 | 0 | 0 | 0 |" in page
    assert "2.50 hours of processor, 1.25 hours by the clock." in page


def test_the_whole_campaign_is_more_than_a_million_runs() -> None:
    """By the numbers drawn alone nearly so; and its exhaustive part is both spaces, whole."""
    drawn = sum(part.count for part in campaign.PARTS if part.covers is None)
    (every,) = (part for part in campaign.PARTS if part.covers is not None)

    assert drawn > 970_000
    assert (every.start, every.count) == (0, THREE_VIEWS.roots + TWO_ROUNDS.roots)
    assert list(every.chunks(0.01)) == list(every.chunks(1.0))
    assert every.covers == 824_576


def test_a_run_says_how_many_schedules_it_stands_for() -> None:
    """Roots of both spaces; a sample stands for itself."""
    three = [stands_for for _, stands_for in play_number(THREE_VIEWS.roots - 1)]
    assert sum(three) % len(THREE_VIEWS.choices) == 0
    assert [stands_for for _, stands_for in play_number(EXHAUSTIVE)] == [1]


def _score(runs: int, schedules: int, steps: int) -> Score:
    return Score(runs, schedules, steps, dense=Counter({3: runs}))


def _without_times(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if "hours of processor" not in line)
