"""Measuring one figure: the operation and the primitives in turns, so that both meet the same weather.

Time is this process's own (`process_time`): what other programs take from a busy machine is in neither. Where work is
spread over threads, that is what is measured, so there it is the wall clock's, and the machine had better be quiet.
"""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.primitives import Counts, Prices


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a figure is measured, and whether its memory is too."""

    seconds: float = 1.5
    rounds_min: int = 3
    rounds_max: int = 60
    memory: bool = True


ROUND_S = 0.02
QUICK = Pace(seconds=0.3, rounds_min=3, rounds_max=20, memory=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `size` is that of what the operation makes or takes in, in bytes."""

    operation: str
    suite: int
    n: int
    median_s: float
    floor_s: float
    size: int
    memory: int | None = None  # peak of what Python had allocated meanwhile, in bytes

    @property
    def ratio(self) -> float | None:
        return self.median_s / self.floor_s if self.floor_s else None

    def as_json(self) -> dict[str, object]:
        return {
            "operation": self.operation,
            "suite": self.suite,
            "n": self.n,
            "median_s": self.median_s,
            "floor_s": self.floor_s,
            "ratio": self.ratio,
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True)
class Operation:
    """What is measured: `run` does it `times` times, in several threads if `threaded`."""

    name: str
    run: Callable[[], object]
    floor: Counts
    size: int
    times: int = 1
    threaded: bool = False


def measured(operation: Operation, suite_id: int, n: int, prices: Prices, pace: Pace) -> Figure:
    """The medians of operation and primitives over the same stretch of time."""
    clock = time.perf_counter if operation.threaded else time.process_time
    prices.forget()
    gc.collect()
    repeats = _repeats(operation)
    spans: list[float] = []
    end = time.perf_counter() + pace.seconds
    while len(spans) < pace.rounds_min or (time.perf_counter() < end and len(spans) < pace.rounds_max):
        _sample(prices, repeats)
        begin = clock()
        for _ in range(repeats):
            operation.run()
        spans.append((clock() - begin) / operation.times / repeats)
        _sample(prices, repeats)
    return Figure(
        operation.name,
        suite_id,
        n,
        statistics.median(spans),
        prices.cost(operation.floor),
        operation.size,
        _peak(operation) if pace.memory else None,
    )


def _sample(prices: Prices, repeats: int) -> None:
    """More than once around what is long: there are few rounds of it, and a median wants samples."""
    for _ in range(1 if repeats > 1 else 8):
        prices.sample()


def _repeats(operation: Operation) -> int:
    """How often in a row an operation is done, like the primitives: the caches are then its own."""
    spent = 0.0
    for _ in range(2):  # the first of them fills caches
        begin = time.process_time()
        operation.run()
        spent = time.process_time() - begin
        if spent > ROUND_S:
            return 1
    return max(1, min(40, round(ROUND_S / spent) if spent else 40))


def _peak(operation: Operation) -> int:
    tracemalloc.start()
    try:
        operation.run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
