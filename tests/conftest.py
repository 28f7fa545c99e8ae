"""What every test shares: the count of test vectors that ran, printed at the end of the run."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests import vectors

_totals: Counter[str] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker process hands its counts to the controller; a single process keeps them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["vector_cases"] = dict(vectors.cases_run)
    else:
        _totals.update(vectors.cases_run)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect the counts of a worker process that has ended."""
    _totals.update(getattr(node, "workeroutput", {}).get("vector_cases", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each file ran, published and recorded, and which scripts in which suites."""
    cases = {name: count for name, count in _totals.items() if not name.startswith(vectors.SCRIPTS)}
    if cases:
        terminalreporter.section("MLS vectors: cases run per file")
        for name in sorted(cases):
            terminalreporter.write_line(f"{cases[name]:6}  {name}")
    if len(cases) < len(_totals):
        terminalreporter.section("interop-configs: scripts played per file, mode and cipher suite")
        for line in _played():
            terminalreporter.write_line(line)


def _played() -> Iterator[str]:
    """A table; a dot where a file was not played in a suite."""
    counts: dict[str, Counter[str]] = {}
    for name, count in _totals.items():
        if name.startswith(vectors.SCRIPTS):
            row, _, suite_id = name.removeprefix(vectors.SCRIPTS).rpartition("/")
            counts.setdefault(row, Counter())[suite_id] += count
    suites = sorted({suite_id for row in counts.values() for suite_id in row})
    yield f"{'':32}" + "".join(f"{suite_id:>5}" for suite_id in suites)
    for name in sorted(counts):
        yield f"{name:32}" + "".join(f"{counts[name][suite_id] or '.':>5}" for suite_id in suites)
