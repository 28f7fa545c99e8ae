"""Finds published test vectors: the MLS working group's, and those of the post-quantum KEM drafts.

They are not part of this repository. `CONCLAVE_VECTORS` names the folder of the first (default `../shared/vectors`
beside the checkout), `CONCLAVE_PQ_VECTORS` that of the others (default `vectors-pq` next to it). Without them a test
skips and says why; with `CONCLAVE_REQUIRE_VECTORS=1` their absence is a failure.
"""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("CONCLAVE_VECTORS", Path(__file__).resolve().parents[2] / "shared" / "vectors"))
PQ_ROOT = Path(os.environ.get("CONCLAVE_PQ_VECTORS", ROOT.parent / "vectors-pq"))
REQUIRED = os.environ.get("CONCLAVE_REQUIRE_VECTORS") == "1"

cases_run: Counter[str] = Counter()
"""Cases finished in this process, by file; the run's last lines print it."""


def official(name: str) -> list[dict[str, Any]]:
    """All cases of `official/<name>.json`; skips (or fails, when required) where the file is absent."""
    cases: list[dict[str, Any]] = _found(ROOT / "official" / f"{name}.json", "MLS", "CONCLAVE_VECTORS")
    return cases


def post_quantum(name: str) -> list[dict[str, Any]]:
    """All cases of `<name>.json` of the HPKE-PQ and X-Wing drafts; skips (or fails, when required) likewise."""
    cases: list[dict[str, Any]] = _found(PQ_ROOT / f"{name}.json", "post-quantum", "CONCLAVE_PQ_VECTORS")
    return cases


def scripts(name: str) -> dict[str, list[dict[str, Any]]]:
    """The test runner's scripts in `interop-configs/<name>.json`, by name; skips (or fails, when required) likewise."""
    config = _found(ROOT / "interop-configs" / f"{name}.json", "MLS", "CONCLAVE_VECTORS")
    played: dict[str, list[dict[str, Any]]] = config["scripts"]
    return played


def ran(name: str, count: int = 1) -> None:
    """Record that `count` cases of a vector file have passed."""
    cases_run[name] += count


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
