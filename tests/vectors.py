"""Finds test vectors: those the MLS working group and the post-quantum KEM drafts publish, and our own recorded ones.

The published ones are not part of this repository. `CONCLAVE_VECTORS` names the folder of the working group's (default
`../shared/vectors` beside the checkout), `CONCLAVE_PQ_VECTORS` that of the others (default `vectors-pq` next to it).
Without them a test skips and says why; with `CONCLAVE_REQUIRE_VECTORS=1` their absence is a failure. The recorded ones
have the same formats and are always here (`tests.mls.record` makes them): a test that takes a `source` runs over both.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("CONCLAVE_VECTORS", Path(__file__).resolve().parents[2] / "shared" / "vectors"))
PQ_ROOT = Path(os.environ.get("CONCLAVE_PQ_VECTORS", ROOT.parent / "vectors-pq"))
RECORDED_ROOT = Path(__file__).parent / "mls" / "known_answers"
REQUIRED = os.environ.get("CONCLAVE_REQUIRE_VECTORS") == "1"

cases_run: Counter[str] = Counter()
"""Cases finished in this process, by file; the run's last lines print it."""

SCRIPTS = "interop-configs/"
"""What the counts of played scripts begin with; after it file, mode and suite."""


def official(name: str) -> list[dict[str, Any]]:
    """All cases of `official/<name>.json`; skips (or fails, when required) where the file is absent."""
    cases: list[dict[str, Any]] = _found(ROOT / "official" / f"{name}.json", "MLS", "CONCLAVE_VECTORS")
    return cases


def post_quantum(name: str) -> list[dict[str, Any]]:
    """All cases of `<name>.json` of the HPKE-PQ and X-Wing drafts; skips (or fails, when required) likewise."""
    cases: list[dict[str, Any]] = _found(PQ_ROOT / f"{name}.json", "post-quantum", "CONCLAVE_PQ_VECTORS")
    return cases


def recorded(name: str) -> list[dict[str, Any]]:
    """All cases of our own `known_answers/<name>.json`."""
    cases: list[dict[str, Any]] = _load(RECORDED_ROOT / f"{name}.json")
    return cases


@dataclass(frozen=True)
class Source:
    """Whose cases a test runs over; `prefix` keeps their counts apart."""

    prefix: str
    cases: Callable[[str], list[dict[str, Any]]]

    def ran(self, name: str) -> None:
        """Record that one more case of a file has passed."""
        ran(self.prefix + name)


OFFICIAL = Source("", official)
POST_QUANTUM = Source("", post_quantum)
RECORDED = Source("known_answers/", recorded)

EVERY_SOURCE = pytest.mark.parametrize("source", [OFFICIAL, RECORDED], ids=["official", "recorded"])
EVERY_POST_QUANTUM_SOURCE = pytest.mark.parametrize("source", [POST_QUANTUM, RECORDED], ids=["official", "recorded"])


def scripts(name: str) -> dict[str, list[dict[str, Any]]]:
    """The test runner's scripts in `interop-configs/<name>.json`, by name; skips (or fails, when required) likewise."""
    config = _found(ROOT / "interop-configs" / f"{name}.json", "MLS", "CONCLAVE_VECTORS")
    played: dict[str, list[dict[str, Any]]] = config["scripts"]
    return played


def ran(name: str, count: int = 1) -> None:
    """Record that `count` cases of a vector file have passed."""
    cases_run[name] += count


def played(name: str, suite_id: int, mode: str) -> None:
    """Record that one more script of a file has been played to its end, in that suite and way of sending."""
    ran(f"{SCRIPTS}{name}/{mode}/{suite_id:04x}")


def _found(path: Path, whose: str, variable: str) -> Any:
    if not path.is_file():
        reason = f"the published {whose} vectors are not here: no {path.parent.name}/{path.name} (set {variable})"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return _load(path)


@cache
def _load(path: Path) -> Any:
    return json.loads(path.read_text())
