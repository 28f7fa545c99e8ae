"""Every story that broke a draft of the protocol, or would break it, has a test of its name.

A story is a file in `scenarios/`, a mutant, or a test that bears its name: in the function, in an id of a parameter, or
between backquotes in the docstring.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.scenario import names

TESTS = Path(__file__).resolve().parents[1]

ROWS = (
    "restart_three_views",
    "finalize_then_crash",
    "j_gap",
    "notarization_is_proof",
    "certified_split",
    "one_holder_author_gone",
    "soft_livelock",
    "garbage_alone",
    "one_voter_has_nothing",
    "class0_opens_for_some",
    "class0_flood",
    "dead_leader_after_sleep",
    "flapping_heard",
    "slow_bytes",
    "late_votes_count",
    "bad_j_by_relay",
    "forged_duplicate",
    "two_certificates_one_decision",
    "cut_off_then_silent",
    "notarized_hard_invalid",
    "variant_bundle",
    "framed_by_descriptor",
    "guard_after_decision",
    "restored_backup",
    "add_three_absent",
    "shrink_onto_sleepers",
    "voter_never_returns",
    "last_willing_removed",
    "sole_voter_leaves",
    "grind_schedule",
    "losing_welcome",
    "fake_committee_welcome",
    "real_voters_removed_welcome",
    "same_seed_two_hashseeds",
    # more liars, or fewer voters, than the committee survives
    "two_liars_of_four",
    "one_liar_of_three",
    "too_many_silent",
    # rules taken out
    "no J",
    "finalize after nullify, no guard",
    "nullify after finalize, no guard",
    "certificates not durable",
    "single-certificate jump",
    "no offer",
    "order key without tried-last",
    "certificate hash in the instance",
)


def told() -> dict[str, list[str]]:
    """By story: where it is told."""
    places: dict[str, list[str]] = {name: ["scenario"] for name in names()}
    for mutant in MUTANTS:
        places.setdefault(mutant.name, []).append("mutant")
    for page in sorted(TESTS.rglob("test_*.py")):
        if page == Path(__file__).resolve():
            continue
        for node in ast.walk(ast.parse(page.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in ROWS:
                    if _tells(node, row):
                        places.setdefault(row, []).append(f"{page.relative_to(TESTS)}::{node.name}")
    return places


def _tells(test: ast.FunctionDef | ast.AsyncFunctionDef, row: str) -> bool:
    ids = {
        constant.value
        for decorator in test.decorator_list
        for constant in ast.walk(decorator)
        if isinstance(constant, ast.Constant)
    }
    in_words = f"`{row}`" in (ast.get_docstring(test) or "")
    return row in ids or in_words or re.search(rf"_{re.escape(row)}(_|$)", test.name) is not None


@pytest.fixture(scope="module")
def places() -> dict[str, list[str]]:
    """Read once."""
    return told()


@pytest.mark.parametrize("row", ROWS)
def test_story_is_told(row: str, places: dict[str, list[str]]) -> None:
    """A row without a test is a hope."""
    assert places.get(row)


def test_a_story_nobody_tells_is_noticed(places: dict[str, list[str]]) -> None:
    """The search finds names, not anything."""
    assert not places.get("never_told")
    assert "scenario" in places["j_gap"]
    assert any("test_joining" in place for place in places["losing_welcome"])
