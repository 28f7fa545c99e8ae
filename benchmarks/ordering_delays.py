"""Latency in message delays: what a decision takes when nothing but the links takes time."""

from collections.abc import Iterator
from typing import Final

from benchmarks.ordering_figures import Figure, Target
from benchmarks.ordering_virtual import Group, Links
from ordering import Timing

DELAY_S: Final = 0.05  # δ
OVERHEAD_MAX: Final = Target(10.0)
SETTLE_S: Final = 20.0
SIZES: Final = (4, 7, 13, 31)
TIMING: Final = Timing(delta_s=0.5, status_period_s=2.0, idle_period_s=15.0)


def figures(*, quick: bool) -> Iterator[Figure]:
    """From the moment a commit is made until the last voter has its certificate, in δ, and above the bound, in %."""
    for n in SIZES[:2] if quick else SIZES:
        yield from _compared("delays/leader commits", n, _uncontended(n, from_leader=True), 3.0)
        yield from _compared("delays/another commits", n, _uncontended(n, from_leader=False), 4.0)
        timeout = 2 * TIMING.delta_s / DELAY_S
        yield from _compared("delays/leader crashed", n, _crashed(n), timeout + 4.0)


def _compared(bench: str, n: int, delays: float, bound: float) -> Iterator[Figure]:
    yield Figure(bench, n, delays, "δ")
    yield Figure(f"{bench}, above the bound", n, 100 * (delays / bound - 1), "%", OVERHEAD_MAX)


def _uncontended(n: int, *, from_leader: bool) -> float:
    """The slowest of several epochs; no committer has won one of the last two, so no leader waits for rivals."""
    group = Group(n, n, Links((DELAY_S, DELAY_S)), timing=TIMING)
    slowest = 0.0
    for epoch in range(2 * n if n < 10 else n):
        group.run(SETTLE_S, lambda: False)
        leader = group.committee.leader(epoch, 0)
        slowest = max(slowest, _decided(group, epoch, leader if from_leader else (leader + 2) % n))
    return slowest


def _crashed(n: int) -> float:
    """The leader dies just before the commit: heard lately, so it is given its whole time."""
    group = Group(n, n, Links((DELAY_S, DELAY_S)), timing=TIMING)
    group.run(SETTLE_S, lambda: False)
    group.dead.add(group.committee.leader(0, 0))
    return _decided(group, 0, group.committee.leader(0, 2))


def _decided(group: Group, epoch: int, committer: int) -> float:
    group.commit(committer)
    if not group.run(60.0, lambda: group.in_epoch(epoch + 1)):
        raise RuntimeError(f"epoch {epoch} was not decided")
    ended = group.ended[epoch]
    return (max(ended.entered_s.values()) - ended.began_s) / DELAY_S
