"""What every test shares: the count of test vectors that ran, printed at the end of the run."""

from collections import Counter
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
    """Print how many cases of each file ran, published and recorded."""
    if _totals:
        terminalreporter.section("MLS vectors: cases run per file")
        for name in sorted(_totals):
            terminalreporter.write_line(f"{_totals[name]:6}  {name}")
