"""The verdict: what must be true after a run, each line computed from the nodes' own stores.

A line that does not hold says which node, which epoch and which id. Nothing here asks a running node, and nothing is
taken from the story that a store can tell; the story only says what was asked for.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from node.testnet.case import Case, case_of
from node.testnet.checks_chain import (
    chains_verify,
    committee_grew,
    ended_well,
    equal_epochs,
    one_decision,
    others_went_on,
    rivals_met,
)
from node.testnet.checks_work import intents_once, messages_once, removed_read_nothing
from node.testnet.evidence import Evidence
from node.testnet.figures import Figures, figures_of
from node.testnet.story import Story

EVIDENCE_MAX: Final = 20  # pieces of evidence that a line carries; one is enough to fail it


class Line(Struct, frozen=True):
    """One thing that was checked."""

    name: str
    ok: bool
    text: str  # the numbers
    evidence: tuple[str, ...] = ()  # what contradicts it


class Verdict(Struct, frozen=True):
    """All lines and the figures."""

    ok: bool
    lines: tuple[Line, ...]
    figures: Figures


Check = Callable[[Case], tuple[str, list[str]]]
"""Its numbers in words, and what contradicts it."""


def judge(story: Story, nodes: Sequence[Evidence], checks: Sequence[tuple[str, Check]] | None = None) -> Verdict:
    """Check every line, those of the demo where no others are given."""
    case = case_of(story, nodes)
    lines = tuple(_line(name, check, case) for name, check in checks or CHECKS)
    return Verdict(all(line.ok for line in lines), lines, figures_of(case))


def in_lines(lines: Sequence[Line]) -> list[str]:
    """The lines for people, what contradicts each below it."""
    width = max(len(line.name) for line in lines)
    said = []
    for line in lines:
        said.append(f"{'ok  ' if line.ok else 'FAIL'}  {line.name.ljust(width)}  {line.text}")
        said += [f"        {each}" for each in line.evidence]
    return said


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("the script came to its end", ended_well),
    ("equal epoch authenticators", equal_epochs),
    ("every certificate chain verifies offline", chains_verify),
    ("no two certificates for one epoch", one_decision),
    ("the committee grew with its members", committee_grew),
    ("commits competed", rivals_met),
    ("every intent done exactly once", intents_once),
    ("every message delivered exactly once", messages_once),
    ("nothing readable by the removed member", removed_read_nothing),
    ("the others went on without a voter", others_went_on),
)
"""The lines, in the order they are printed."""


def _line(name: str, check: Check, case: Case) -> Line:
    text, problems = check(case)
    return Line(name, not problems, text, _first(problems))


def _first(problems: Sequence[str]) -> tuple[str, ...]:
    more = len(problems) - EVIDENCE_MAX
    return (*problems[:EVIDENCE_MAX], *((f"and {more} more",) if more > 0 else ()))
