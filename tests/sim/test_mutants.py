"""Every rule guards something: without it a story fails. With it, the same story holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sim.mutants import (
    MUTANTS,
    Mutant,
    any_justification,
    finalize_after_nullify,
    no_guard,
    nullify_after_finalize,
)
from tests.sim.scenario import Scenario
from tests.sim.test_stories import decided_values, notarization_after_nullify, propose_against_a_finalized_value
from tests.sim.watch import Violation

ROOT = Path(__file__).resolve().parents[2]
RULES = tuple(f"R{number}" for number in range(1, 16))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an expectation of its story, or by a promise that the watch sees broken."""
    mutant.apply(monkeypatch)

    with pytest.raises((AssertionError, Violation)):
        mutant.story()


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_covered(rule: str) -> None:
    """A rule that no mutant is without, and no test cites, could be missing."""
    assert any(rule in mutant.rules for mutant in MUTANTS)
    cited = re.compile(rf"\b{rule}\b")
    pages = [*(ROOT / "tests/ordering").glob("test_*.py"), *(ROOT / "tests/sim/scenarios").glob("*.txt")]
    assert any(cited.search(page.read_text()) for page in pages)
    assert any(cited.search(page.read_text()) for page in (ROOT / "ordering").glob("*.py"))


def test_without_justification_a_leader_overturns_a_decided_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """What R4 is for: two values are decided."""
    any_justification(monkeypatch)

    sim = propose_against_a_finalized_value()

    assert len(decided_values(sim)) == 2
    assert any(violation.startswith("fork:") for violation in sim.watch.violations)


def test_finalize_after_nullify_is_stopped_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard refuses what the broken rule asks for: two nets, one hole."""
    finalize_after_nullify(monkeypatch)

    sim = notarization_after_nullify()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1


def test_finalize_after_nullify_forks_without_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both nets gone two values are decided."""
    finalize_after_nullify(monkeypatch)
    no_guard(monkeypatch)

    sim = notarization_after_nullify()

    assert any(violation.startswith("double vote:") for violation in sim.watch.violations)
    assert len(decided_values(sim)) == 2
    assert any(violation.startswith("fork:") for violation in sim.watch.violations)


def test_nullify_after_finalize_is_stopped_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same the other way round."""
    nullify_after_finalize(monkeypatch)

    Scenario("certified_twice").play()
