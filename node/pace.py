"""How long decisions take here just now, over all groups of the node. No clock: times come in as numbers.

A round trip tells how far away the others are, not how busy a node is that has fifty groups to decide. A timer that
fits an idle node then fires in every decision of a busy one: everybody repeats what nobody has lost, and that is more
work for all. So nothing is repeated before as much time has passed as decisions usually take, twice over.

Only decisions of view 0 count, in seconds during which the timers ran, and of the latest the lower quartile: absent
leaders, lost messages and liars that play for time make some of them long, and have no say in what is usual.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

SAMPLES_MAX: Final = 32  # the latest
SAMPLES_MIN: Final = 8  # fewer say nothing
REPEAT_FACTOR: Final = 2.0


@dataclass(slots=True)
class Pace:
    """Of one node."""

    _taken_s: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def note(self, seconds: float) -> None:
        """One decision, from when there was something to decide."""
        self._taken_s.append(max(0.0, seconds))

    @property
    def usual_s(self) -> float:
        """What three of four decisions exceed; 0 while too little is known."""
        if len(self._taken_s) < SAMPLES_MIN:
            return 0.0
        return sorted(self._taken_s)[len(self._taken_s) // 4]

    @property
    def repeat_s(self) -> float:
        """Before what was said is said again, so much time passes at least."""
        return REPEAT_FACTOR * self.usual_s
