"""A node's log as evidence: its end when the node died, and the first error when there is one."""

import re
from pathlib import Path
from typing import Final

LOG_TAIL_LINES: Final = 12
ERROR_MARK: Final = re.compile(r"\[(error|critical) *\]|^Traceback ")
ENTRY_MARK: Final = re.compile(r"\d{4}-\d\d-\d\dT")  # how an entry begins, in contrast to the lines of a traceback
TRACE_LINES_MAX: Final = 200


def log_tail(path: Path) -> str:
    """The last lines of a node's log."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:]) or "  (its log is empty)"


def first_error(path: Path) -> str:
    """The first line of its log that tells of an error, with the reason of its traceback; empty when there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = next((index for index, line in enumerate(lines) if ERROR_MARK.search(line)), None)
    if found is None:
        return ""
    traced = [line for line in lines[found + 1 : found + 1 + TRACE_LINES_MAX] if line[:1] not in " \t" and line]
    reason = next((line for line in traced if not ENTRY_MARK.match(line) and ": " in line), "")
    return " / ".join(filter(None, (lines[found].strip(), reason)))
