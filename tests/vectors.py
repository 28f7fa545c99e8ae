"""Finds the MLS working group's published test vectors.

They are not part of this repository. `CONCLAVE_VECTORS` names their folder (default `../shared/vectors` beside the
checkout). Without them a test skips and says why; with `CONCLAVE_REQUIRE_VECTORS=1` their absence is a failure.
"""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("CONCLAVE_VECTORS", Path(__file__).resolve().parents[2] / "shared" / "vectors"))
REQUIRED = os.environ.get("CONCLAVE_REQUIRE_VECTORS") == "1"

cases_run: Counter[str] = Counter()
"""Cases finished in this process, by file; the run's last lines print it."""


def official(name: str) -> list[dict[str, Any]]:
    """All cases of `official/<name>.json`; skips (or fails, when required) where the file is absent."""
    path = ROOT / "official" / f"{name}.json"
    if not path.is_file():
        reason = f"the published MLS vectors are not here: no official/{name}.json (set CONCLAVE_VECTORS)"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return _load(path)


def ran(name: str, count: int = 1) -> None:
    """Record that `count` cases of a vector file have passed."""
    cases_run[name] += count


@cache
def _load(path: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(path.read_text())
    return cases
