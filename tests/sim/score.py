"""What a range of schedules came to: how many of which kind, with which faults, and what failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.sim.simulation import Outcome

FAILURES_SHOWN = 50


@dataclass(slots=True)
class Score:
    """Counts that can be added up."""

    runs: int = 0
    schedules: int = (
        0  # that these runs stand for: one each, more where an exhaustive search leaves out what is the same
    )
    steps: int = 0
    failures: list[str] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)  # runs that had it
    dense: Counter[int] = field(default_factory=Counter)  # runs by how many kinds of fault they had
    views: Counter[int] = field(default_factory=Counter)  # runs by the most views that an epoch took after healing
    spare: Counter[int] = field(default_factory=Counter)  # runs by how many views less than allowed they took, at least

    def add(self, outcome: Outcome, replay: str, stands_for: int = 1) -> None:
        """One run; `replay` is the command that shows it."""
        plan = outcome.plan
        self.runs += 1
        self.schedules += stands_for
        self.steps += outcome.steps
        self.sizes[plan.seated] += 1
        self.faults.update(fault.value for fault in plan.faults)
        self.dense[len(plan.faults)] += 1
        self.views[outcome.views_after_healing] += 1
        if outcome.views_spare is not None:
            self.spare[outcome.views_spare] += 1
        if outcome.reason is not None:
            self.failures.append(f"{outcome.reason} [{plan}]\n    {replay}")

    def merge(self, other: Score) -> None:
        """Those of another range."""
        self.runs += other.runs
        self.schedules += other.schedules
        self.steps += other.steps
        self.failures += other.failures
        for name in ("sizes", "faults", "dense", "views", "spare"):
            getattr(self, name).update(getattr(other, name))

    def lines(self) -> list[str]:
        """In words."""
        if not self.runs:
            return ["nothing was run"]
        median = next(count for count in sorted(self.dense) if _up_to(self.dense, count) * 2 >= self.runs)
        return [
            f"seats: {_spread(self.sizes)}",
            f"runs that had a fault: {_shares(self.faults, self.runs)}",
            f"kinds of fault in one run: {_spread(self.dense)}; median {median}",
            f"views after healing: {_spread(self.views)}; that many less than allowed: {_spread(self.spare)}",
            f"{self.runs} runs, {self.steps} steps of the core",
            f"{self.runs - len(self.failures)} passed, {len(self.failures)} failed",
        ]

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Score:
        """Out of a file, where numbers have become names."""
        score = cls(data["runs"], data["schedules"], data["steps"], list(data["failures"]))
        score.faults.update(data["faults"])
        for name in ("sizes", "dense", "views", "spare"):
            getattr(score, name).update({int(key): count for key, count in data[name].items()})
        return score


def _up_to(counts: Counter[int], most: int) -> int:
    return sum(count for key, count in counts.items() if key <= most)


def _spread(counts: Counter[int]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in sorted(counts.items()))


def _shares(counts: Counter[str], runs: int) -> str:
    return ", ".join(f"{key} {count} ({100 * count / runs:.0f} %)" for key, count in counts.most_common())
