"""Messages of epochs still to come (RFC 9420 §15.3): kept, unread and unverified, until their Commit has been applied.

`Group.open` and `Group.stage` raise FutureEpochError for them. Anybody can make such a message up, so little is kept
and not for long: what is nearest comes first, and what has no room is dropped.
"""

from dataclasses import dataclass, field, replace
from typing import Self

DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class EarlyMessage:
    """A message, the epoch it says it is of, and when it came (Unix seconds)."""

    epoch: int
    came_at: int
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EarlyMessages:
    """What waits for one group, the nearest epoch first and in order of arrival within it (V022)."""

    count_max: int = 1000
    size_max: int = 4 << 20  # bytes of all messages together
    epochs_max: int = 20  # how far ahead
    age_max_s: int = DAY_S
    waiting: tuple[EarlyMessage, ...] = ()

    def keep(self, message: bytes, *, epoch: int, present: int, now: int) -> Self:
        """With this message of a later epoch than `present`, if there is room for it and it is not here already."""
        alive = self._alive(now)
        if not 0 < epoch - present <= self.epochs_max or any(each.message == message for each in alive):
            return replace(self, waiting=alive)
        ordered = sorted((*alive, EarlyMessage(epoch, now, message)), key=lambda each: each.epoch)
        return replace(self, waiting=self._fitting(ordered))

    def due(self, present: int, now: int) -> tuple[Self, tuple[bytes, ...]]:
        """(what still waits, the messages of the present epoch and of those before it, in order)."""
        alive = self._alive(now)
        due = tuple(each.message for each in alive if each.epoch <= present)
        return replace(self, waiting=tuple(each for each in alive if each.epoch > present)), due

    def _alive(self, now: int) -> tuple[EarlyMessage, ...]:
        return tuple(each for each in self.waiting if now - each.came_at <= self.age_max_s)

    def _fitting(self, ordered: list[EarlyMessage]) -> tuple[EarlyMessage, ...]:
        size, kept = 0, []
        for each in ordered[: self.count_max]:
            size += len(each.message)
            if size > self.size_max:
                break
            kept.append(each)
        return tuple(kept)
