"""Playing a range of schedules, in several processes, with a bar for whoever watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Pool
from time import monotonic

from tests.sim.score import Score

Play = Callable[[int, Score], None]
"""`play(index, score)`: play the schedule of this number and add it to the score. A module's function, or a partial."""

CHUNK = 50
BAR = 30


def play_range(play: Play, start: int, count: int, jobs: int = 1, *, chunk: int = CHUNK) -> Score:
    """The score of `count` schedules from `start` on. The order of the failures is that of the numbers."""
    score = Score()
    chunks = [range(at, min(at + chunk, start + count)) for at in range(start, start + count, chunk)]
    with _workers(jobs) as each, _bar(count) as show:
        for part in each(partial(_play_chunk, play), chunks):
            score.merge(part)
            show(score)
    return score


def _play_chunk(play: Play, numbers: range) -> Score:
    score = Score()
    for number in numbers:
        play(number, score)
    return score


Each = Callable[[Callable[[range], Score], list[range]], Iterator[Score]]


@contextmanager
def _workers(jobs: int) -> Iterator[Each]:
    if jobs == 1:
        yield map
        return
    with Pool(jobs) as pool:
        yield pool.imap


@contextmanager
def _bar(count: int) -> Iterator[Callable[[Score], None]]:
    """On a terminal only."""
    if not sys.stderr.isatty():
        yield lambda score: None
        return
    began_s = monotonic()

    def show(score: Score) -> None:
        done = score.runs / max(1, count)
        rate = score.runs / max(1e-9, monotonic() - began_s)
        bar = "█" * int(BAR * done)
        left_s = (count - score.runs) / rate
        text = f"{bar:<{BAR}} {score.runs}/{count}  {rate:.0f}/s  {left_s:.0f} s left"
        sys.stderr.write(f"\r{text}{f'  {len(score.failures)} FAILED' if score.failures else ''}\x1b[K")
        sys.stderr.flush()

    yield show
    sys.stderr.write("\r\x1b[K")
