"""A group's health: the worst that is known comes first, and whoever reads it learns what to do."""

from dataclasses import replace
from typing import Any

import pytest

from node.health import Condition, diagnose
from node.holding import ABSTAINING, CUT_OFF, FROZEN, OK

WELL = Condition(OK, 7, False, False, False, committee_size=4, quorum=3, own="12D3me", welcomed_by="Alice")


@pytest.mark.parametrize(
    ("changes", "state", "text", "next_step"),
    [
        ({}, "ok", "all 4 voters answer", ""),
        ({"committee_size": 1, "quorum": 1}, "ok", "the only voter answers", ""),
        ({"silent": ("Bob",)}, "ok", "3 of 4 voters heard, 3 needed; silent: Bob", ""),
        ({"silent": ("Bob", "Carol")}, "no_quorum", "2 of 4 voters heard, 3 must agree", "any one of Bob, Carol"),
        ({"committee_size": 3, "quorum": 3, "silent": ("A", "B")}, "no_quorum", "1 of 3 voters", "bring back A and B"),
        ({"committee_size": 1, "quorum": 1, "silent": ("Bob",)}, "no_quorum", "0 of 1 voter heard", "bring back Bob"),
        ({"is_unconfirmed": True}, "unconfirmed", "Alice says this is the group", "stay online"),
        ({"stored": ABSTAINING}, "abstaining", "in epoch 7 before", "never run two copies"),
        ({"stored": ABSTAINING, "committee_size": 1, "quorum": 1}, "abstaining", "change no more", "successor"),
        ({"is_behind": True}, "catching_up", "gone on from epoch 7", "stay online"),
        ({"stored": CUT_OFF}, "cut_off", "comes back by itself", "stay online"),
        ({"stored": FROZEN}, "frozen", "contradicting certificates", "group rescue"),
        ({"is_removed": True}, "removed", "can still be read", "add 12D3me"),
    ],
)
def test_each_health_has_its_words(changes: dict[str, Any], state: str, text: str, next_step: str) -> None:
    found = diagnose(replace(WELL, **changes))

    assert found.state == state
    assert text in found.text
    assert next_step in found.next_step
    assert bool(next_step) is bool(found.next_step)


def test_the_worst_comes_first() -> None:
    """Whoever is cut off is not helped by hearing that a voter is silent."""
    everything = replace(WELL, is_removed=True, is_unconfirmed=True, is_behind=True, silent=("A", "B"), stored=FROZEN)
    order = []
    for cure in (
        {"is_removed": False},
        {"stored": CUT_OFF},
        {"stored": ABSTAINING},
        {"is_behind": False},
        {"silent": ()},
        {"is_unconfirmed": False},
        {"stored": OK},
    ):
        order.append(diagnose(everything).state)
        everything = replace(everything, **cure)
    assert [*order, diagnose(everything).state] == [
        "removed",
        "frozen",
        "cut_off",
        "catching_up",
        "no_quorum",
        "unconfirmed",
        "abstaining",
        "ok",
    ]


def test_a_proven_liar_is_named() -> None:
    found = diagnose(replace(WELL, proven=("Bob", "Carol")))

    assert found.state == "ok"
    assert "Bob and Carol signed votes that contradict each other" in found.text
    assert found.next_step.startswith("remove Bob and Carol")
