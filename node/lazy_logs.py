"""Loggers for what is imported before the API answers: structlog takes a fifth of a second, and may never be needed."""

from collections.abc import Callable
from typing import Any

_waiting: list[Callable[[], None]] = []


def set_up_later(setup: Callable[[], None]) -> None:
    """Do this before anything is logged: by `set_up_now`, or with the first line."""
    _waiting[:] = [setup]


def set_up_now() -> None:
    """Do what waits, once."""
    while _waiting:
        _waiting.pop()()


class LazyLogger:
    """A logger of a component, made when something is to be logged."""

    def __init__(self, component: str) -> None:
        self._component = component

    def __getattr__(self, name: str) -> Any:
        set_up_now()
        from node.logs import logger

        return getattr(logger(self._component), name)
