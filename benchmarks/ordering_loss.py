"""The loss grid: forks, stalls and latency when every message may be lost, beside a tie-break that needs no votes.

Every message of every link is lost with the same chance, and nothing below repeats it: harsher than the node's own
streams. In each epoch three members commit at once; after a minute without a decision at every member the links heal.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from random import Random
from typing import Final

from benchmarks.ordering_figures import Figure, Target, percentile
from benchmarks.ordering_virtual import Group, Links
from ordering import Timing

LOSSES: Final = (5, 10, 20, 30, 50, 70)  # per cent
COMMITTEES: Final = (4, 7)
DELAY_S: Final = (0.005, 0.05)
RIVALS: Final = 3
SPREAD_S: Final = 0.05
HEAL_S: Final = 60.0
STALL_S: Final = 600.0  # after healing
TIMING: Final = Timing(delta_s=0.5, status_period_s=2.0, idle_period_s=15.0)
WORKERS: Final = 2
NONE: Final = Target(0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of some epochs."""

    forked: bool
    stalled: bool
    healed: int  # epochs that needed it
    half_s: tuple[float, ...]  # until half of the members had each decision
    all_s: tuple[float, ...]


def figures(*, quick: bool) -> Iterator[Figure]:
    """A row of figures for each cell of the grid."""
    grid = ((12, 10, 3), (120, 1, 1)) if quick else ((12, 60, 3), (120, 3, 1))
    with ProcessPoolExecutor(WORKERS) as workers:
        for members, runs, epochs in grid:
            for seated in COMMITTEES:
                for loss in LOSSES if members == 12 or not quick else (20,):
                    cell = f"loss/{members} members, {seated} voters"
                    tasks = (repeat(members), repeat(seated), repeat(loss), range(runs), repeat(epochs))
                    yield from _cell(cell, loss, list(workers.map(play, *tasks)))
        for loss in LOSSES:
            runs = 100 if quick else 400
            forks = sum(workers.map(tie_break_forks, repeat(loss), range(runs), chunksize=runs // WORKERS))
            yield Figure("loss/tie-break instead of votes, 12 members, forks", loss, forks, f"of {runs} runs")


def play(members: int, seated: int, loss: int, seed: int, epochs: int) -> Outcome:
    """One run."""
    group = Group(members, seated, Links(DELAY_S, loss / 100), seed, TIMING)
    healed, stalled = 0, False
    for epoch in range(epochs):
        group.links = Links(DELAY_S, loss / 100)
        for member in group.random.sample(range(members), RIVALS):
            group.at(group.now_s + group.random.uniform(0, SPREAD_S), _commit, group, member, epoch)
        if not _all_in(group, epoch + 1, HEAL_S):
            healed += 1
            group.links = Links(DELAY_S)
            if not _all_in(group, epoch + 1, STALL_S):
                stalled = True
                break
    forked = group.frozen or any(each.is_fork for each in group.ended)
    spans = [[at_s - each.began_s for at_s in each.entered_s.values()] for each in group.ended if each.entered_s]
    half = tuple(percentile(span, 50) for span in spans)
    return Outcome(forked, stalled, healed, half, tuple(max(span) for span in spans))


def tie_break_forks(loss: int, seed: int) -> bool:
    """Whether members fork that apply, a second after the first commit they hear of, the least of those they heard."""
    chance = Random(seed)
    authors = chance.sample(range(12), RIVALS)
    chosen = set()
    for member in range(12):
        heard = [each for each in authors if each == member or chance.random() >= loss / 100]
        if heard:
            chosen.add(min(heard))
    return len(chosen) > 1


def _commit(group: Group, member: int, epoch: int) -> None:
    if group.members[member].epoch == epoch:  # who is already further has seen it decided
        group.commit(member)


def _all_in(group: Group, epoch: int, limit_s: float) -> bool:
    return group.run(limit_s, lambda: group.in_epoch(epoch))


def _cell(cell: str, loss: int, outcomes: list[Outcome]) -> Iterator[Figure]:
    of = f"of {len(outcomes)} runs"
    epochs = sum(len(each.all_s) for each in outcomes)
    yield Figure(f"{cell}, forks", loss, sum(each.forked for each in outcomes), of, NONE)
    yield Figure(f"{cell}, stalls after healing", loss, sum(each.stalled for each in outcomes), of, NONE)
    yield Figure(f"{cell}, needed healing", loss, sum(each.healed for each in outcomes), f"of {epochs} epochs")
    half = [each for outcome in outcomes for each in outcome.half_s]
    everyone = [each for outcome in outcomes for each in outcome.all_s]
    yield Figure(f"{cell}, half have it, p50", loss, percentile(half, 50), "s")
    yield Figure(f"{cell}, all have it, p50", loss, percentile(everyone, 50), "s")
