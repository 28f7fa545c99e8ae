"""What goes wrong inside libp2p: counted, logged, put in words."""

from __future__ import annotations

import logging
from collections import Counter

import structlog

_log = structlog.get_logger()


class Faults:
    """Where exceptions that a peer provoked inside libp2p end: counted, logged by type, not raised."""

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters

    def caught(self, where: str, error: Exception, peer: str = "") -> None:
        self.counters["faults_caught"] += 1
        _log.warning("transport.fault", where=where, error=type(error).__name__, peer=peer)


def root_of(error: BaseException) -> str:
    """The innermost reason, for people: libp2p wraps errors in groups and causes several deep."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return str(error) or type(error).__name__


def quiet_libp2p() -> None:
    """libp2p's loggers speak to ours, from errors up: below that they tell each peer's mishap at length."""
    logger = logging.getLogger("libp2p")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.CRITICAL)
