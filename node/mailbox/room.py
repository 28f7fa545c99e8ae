"""Whose room a mailbox's items take, and what goes when there is no more.

Owners are chains and lone topics. An owner that is full loses its own items; when the whole is full the largest owner
does, those without a chain first. Within an owner goes first what is released, then what is oldest; decided bundles go
when there is nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

ITEM_COST: Final = 160  # what keeping an item costs besides its bytes
TOPIC_COST: Final = 1024  # what a topic costs besides its items
EVICTED_AT_ONCE_MAX: Final = 512  # items that one search for room takes away
LONE_SHARE: Final = 2  # topics without a chain fill one part in so many at most


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and how long."""

    quota: int  # bytes in all
    owner_quota: int  # bytes of one chain, or of one topic without
    retention_days: int


class Room:
    """Of one mailbox; every change of it is part of a transaction of the store's."""

    def __init__(self, rows: Callable[..., list[tuple[Any, ...]]], limits: Limits) -> None:
        self._rows = rows
        self.limits = limits
        self.busy = 0  # the topic that is being deposited in, which is not taken away for its own sake
        self.measure()

    @property
    def size(self) -> int:
        """Bytes kept in all, costs included."""
        return int(self._chained + self._lone)

    def make(self, cost: int, owner: int | None) -> bool:
        """Whether there is room now for so much more of an owner (None: of one that is not there yet)."""
        limits = self.limits
        if cost > min(limits.owner_quota, limits.quota // LONE_SHARE):
            return False
        if owner is not None:
            while self._bytes(owner) + cost > limits.owner_quota:
                if not self._evict(owner, limits.owner_quota // 64):
                    return False
        is_chained = owner is not None and self.is_chain(owner)
        while not is_chained and self._lone + cost > limits.quota // LONE_SHARE:
            if not self._evict_largest("group_id IS NULL"):
                return False
        while self.size + cost > limits.quota:
            if not self._evict_largest("group_id IS NULL") and not (
                is_chained and self._evict_largest("group_id IS NOT NULL")
            ):
                return False
        return True

    def _evict_largest(self, which: str) -> bool:
        rows = self._rows(f"SELECT number FROM owners WHERE {which} ORDER BY bytes DESC LIMIT 4")  # noqa: S608 - ours
        return any(self._evict(number, self.limits.quota // 64) for (number,) in rows)

    def _evict(self, owner: int, size: int) -> bool:
        """Take away what an owner can do without best, at least so much of it; False when there was nothing."""
        victims = self._rows(
            "SELECT items.arrival, length(items.body) FROM items JOIN topics ON topics.number = items.topic"
            " WHERE topics.owner = ? ORDER BY topics.released DESC, items.rank, items.arrival LIMIT ?",
            owner,
            EVICTED_AT_ONCE_MAX,
        )
        freed = 0
        for arrival, length in victims:
            self.delete_item(arrival)
            freed += length + ITEM_COST
            if freed >= size:
                break
        if victims:
            return True
        bare = self._rows(
            "SELECT number FROM topics WHERE owner = ? AND number <> ? ORDER BY at_s, number LIMIT 1", owner, self.busy
        )
        for (number,) in bare:  # nothing in them but how their epochs ended
            self.delete_topic(number)
        return bool(bare)

    def delete_topic(self, number: int) -> None:
        self._rows("DELETE FROM entries WHERE topic = ?", number)
        owner, bytes = self._rows("DELETE FROM topics WHERE number = ? RETURNING owner, bytes", number)[0]
        self.charge(owner, -(bytes + TOPIC_COST))
        if not self.is_chain(owner):
            self._rows("DELETE FROM owners WHERE number = ?", owner)

    def delete_item(self, arrival: int) -> None:
        topic, length = self._rows("DELETE FROM items WHERE arrival = ? RETURNING topic, length(body)", arrival)[0]
        cost = length + ITEM_COST
        owner = self._rows(
            "UPDATE topics SET count = count - 1, bytes = bytes - ? WHERE number = ? RETURNING owner", cost, topic
        )[0][0]
        self.charge(owner, -cost)

    def _bytes(self, owner: int) -> int:
        return int(self._rows("SELECT bytes FROM owners WHERE number = ?", owner)[0][0])

    def is_chain(self, owner: int) -> bool:
        return bool(self._rows("SELECT 1 FROM owners WHERE number = ? AND group_id IS NOT NULL", owner))

    def charge(self, owner: int, cost: int) -> None:
        rows = self._rows(
            "UPDATE owners SET bytes = bytes + ? WHERE number = ? RETURNING group_id IS NULL", cost, owner
        )
        if rows[0][0]:
            self._lone += cost
        else:
            self._chained += cost

    def measure(self) -> None:
        """How much is kept, from the rows themselves."""
        ((self._lone, self._chained),) = self._rows(
            "SELECT coalesce(sum(bytes) FILTER (WHERE group_id IS NULL), 0),"
            " coalesce(sum(bytes) FILTER (WHERE group_id IS NOT NULL), 0) FROM owners"
        )
