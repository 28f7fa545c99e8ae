"""One run from end to end: nodes, a group, faults, rest, and the verdict."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tests.faults.cluster import cluster
from tests.faults.play import KINDS, Play, Record
from tests.faults.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class Run:
    """What happened, and what came of it."""

    record: Record
    verdict: Verdict
    recovery_s: float  # from the last fault until everybody had caught up


def run(count: int, seconds: float, seed: int, kinds: Iterable[str] = KINDS, *, may_mount: bool = True) -> Run:
    """Play it; raises what keeps it from coming to its end."""
    with cluster(count, may_mount=may_mount) as (running, folder):
        play = Play(running, seed, kinds)
        play.found()
        play.suffer(seconds)
        mended_s = time.monotonic()
        play.rest()
        recovery_s = time.monotonic() - mended_s
        running.processes.stop(running.nodes, 20.0)
        return Run(play.record, judge(running.nodes, folder, play.group, play.record), recovery_s)
