"""A peer that sends garbage for a day fills neither the log nor the disk it lies on."""

import structlog

from node.log_rate import LINES_MAX, WINDOW_S, RateLimit


def test_lines_of_one_event_are_counted_when_there_are_too_many() -> None:
    now = [0.0]
    limit = RateLimit(lambda: now[0])

    def passes(event: str, method: str = "info") -> dict[str, object] | None:
        try:
            return dict(limit(None, method, {"component": "session", "event": event}))
        except structlog.DropEvent:
            return None

    passed = [passes("dropped") for _ in range(1000)]
    assert sum(line is not None for line in passed) == LINES_MAX
    assert passes("joined") is not None, "other events have windows of their own"
    assert passes("dropped", "debug") is not None
    now[0] = WINDOW_S
    assert passes("dropped") == {"component": "session", "event": "dropped", "suppressed": 1000 - LINES_MAX}
    now[0] += WINDOW_S
    assert passes("dropped") == {"component": "session", "event": "dropped"}
