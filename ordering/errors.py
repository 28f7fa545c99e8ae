"""What this package refuses, told apart by whose fault it is."""

from __future__ import annotations


class OrderingError(Exception):
    """Anything the ordering layer refuses to do; the state it was asked about is unchanged."""


class MalformedError(OrderingError):
    """Peer bytes that are not an encoding of anything. Drop them."""


class InvalidError(OrderingError):
    """A well-formed object that breaks a rule. Drop it, and remember who signed it."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{detail} (ordering {rule})")
        self.rule = rule  # e.g. "R9" or "Log", so that a log line and a test name the same clause


class MisuseError(OrderingError):
    """Our own caller asked for what this state cannot do. A bug here, not an attack."""


class GuardRefusal(OrderingError):
    """The guard will not sign this: it may already have signed something else at or after this position."""
