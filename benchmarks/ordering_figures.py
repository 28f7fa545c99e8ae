"""One figure of the ordering benchmarks, and what it was to be."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The bound a figure was to keep."""

    value: float
    is_least: bool = False  # otherwise the most

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.is_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """`n` is what the figure is drawn against: voters, groups, per cent of loss, concurrent changes."""

    bench: str
    n: int
    value: float
    unit: str
    target: Target | None = None

    def as_json(self) -> dict[str, object]:
        return {"bench": self.bench, "n": self.n, "value": round(self.value, 4), "unit": self.unit}


def percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank."""
    ascending = sorted(values)
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]
