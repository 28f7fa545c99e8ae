"""Whose turn it is to commit, among the groups of one node.

A decision is work for every voter. A node that wants something in fifty groups at once, and asked for all of it at
once, would keep all of them waiting for longer than their timers allow: views fail, what was said is repeated, and
nothing comes of the work. So only a few of its groups have a commit of its own under way, the others wait in line. A
group that cannot decide keeps nobody waiting for long: for a turn, which is longer where decisions are known to take
long, or all groups of a busy node would have theirs at once after all.

How few was measured, with fifty groups on four nodes of two cores: one at a time leaves the cores idle while votes
travel, four fill them, and from six on everybody waits for longer and nothing is gained.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.pace import Pace

AT_ONCE_MAX: Final = 4  # groups in which a commit of ours is under way
TURN_S: Final = 1.0  # after which another group has its turn, decided or not,
TURN_MAX_S: Final = 5.0  # or after this where decisions usually take half as long

Wake = Callable[[], None]


@dataclass(slots=True)
class Turns:
    """Of all groups of a node; `pace` is the node's."""

    pace: Pace
    _ends_s: dict[bytes, float] = field(default_factory=dict)  # of the turns that were given
    _line: dict[bytes, Wake] = field(default_factory=dict)  # who waits, and is told when its turn has come

    def take(self, group_id: bytes, now_s: float, wake: Wake) -> bool:
        """Whether this group has its turn; else it is in line, and will be told. `due_s` is when to ask in any case."""
        self._go_on(now_s)
        if group_id not in self._ends_s and len(self._ends_s) < AT_ONCE_MAX:
            self._ends_s[group_id] = now_s + self._turn_s
        if group_id in self._ends_s:
            self._line.pop(group_id, None)
            return True
        self._line.setdefault(group_id, wake)
        return False

    def end(self, group_id: bytes, now_s: float) -> None:
        """What the group wanted is decided, or wanted no more."""
        self._line.pop(group_id, None)
        if self._ends_s.pop(group_id, None) is not None:
            self._go_on(now_s)

    @property
    def due_s(self) -> float:
        """When the next turn ends at the latest."""
        return min(self._ends_s.values(), default=float("-inf"))

    @property
    def _turn_s(self) -> float:
        return min(TURN_MAX_S, max(TURN_S, self.pace.repeat_s))

    def _go_on(self, now_s: float) -> None:
        """Give the turns that are free to who is first in line."""
        self._ends_s = {group_id: end_s for group_id, end_s in self._ends_s.items() if end_s > now_s}
        while self._line and len(self._ends_s) < AT_ONCE_MAX:
            group_id = next(iter(self._line))
            wake = self._line.pop(group_id)
            self._ends_s[group_id] = now_s + self._turn_s
            wake()
