"""Virtual time: a heap of events and one source of chance. No wall clock anywhere."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any


class World:
    """Runs events in the order of their times; those of one time, in the order they were asked for."""

    def __init__(self, seed: int) -> None:
        self.now_s = 0.0
        self.random = Random(seed)  # the only one of a run
        self.event_count = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, when_s: float, action: Callable[..., None], *args: Any) -> None:
        """Have `action(*args)` called at that time, or now if it has passed."""
        self._serial += 1
        heappush(self._heap, (max(when_s, self.now_s), self._serial, action, args))

    def after(self, delay_s: float, action: Callable[..., None], *args: Any) -> None:
        """Have `action(*args)` called so much later."""
        self._serial += 1
        heappush(self._heap, (self.now_s + delay_s, self._serial, action, args))

    def run(self, until_s: float, done: Callable[[], bool]) -> bool:
        """Go on until `done()`; False when that time comes, or nothing is left to happen, before it is so."""
        heap = self._heap
        while not done():
            if not heap or heap[0][0] > until_s:
                self.now_s = max(self.now_s, until_s)
                return False
            self.now_s, _, action, args = heappop(heap)
            self.event_count += 1
            action(*args)
        return True
