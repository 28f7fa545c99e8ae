"""A bounded queue that one loud peer cannot fill for the others."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class FairQueue(trio.abc.ReceiveChannel[T], Generic[T]):
    """Items by source: in order within a source, sources served in turn, oldest dropped when one is full.

    `put` never waits. Both bounds are per source, so a peer that floods us loses its own items only.
    After `close` the items still here are delivered, then `EndOfChannel`.
    """

    def __init__(self, items_max: int, bytes_max: int) -> None:
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._waiting: dict[str, deque[tuple[T, int]]] = {}
        self._bytes: dict[str, int] = {}
        self._turns: deque[str] = deque()
        self._readers = trio.lowlevel.ParkingLot()
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, source: str, item: T, size: int = 0) -> int:
        """Append an item and return how many older ones of this source had to go for it."""
        if self._closed:
            return 1
        if source not in self._waiting:
            self._waiting[source] = deque()
            self._bytes[source] = 0
            self._turns.append(source)
        items = self._waiting[source]
        items.append((item, size))
        self._bytes[source] += size
        dropped = 0
        while len(items) > 1 and (len(items) > self._items_max or self._bytes[source] > self._bytes_max):
            self._bytes[source] -= items.popleft()[1]
            dropped += 1
        self._readers.unpark()
        return dropped

    def receive_nowait(self) -> T:
        if not self._turns:
            raise trio.EndOfChannel if self._closed else trio.WouldBlock
        source = self._turns.popleft()
        items = self._waiting[source]
        item, size = items.popleft()
        if items:
            self._bytes[source] -= size
            self._turns.append(source)
        else:
            del self._waiting[source], self._bytes[source]
        return item

    async def receive(self) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        parked = False
        while not self._turns:
            if self._closed:
                raise trio.EndOfChannel
            await self._readers.park()
            parked = True
        if not parked:
            await trio.lowlevel.cancel_shielded_checkpoint()
            if not self._turns:  # another reader was quicker
                return await self.receive()
        return self.receive_nowait()

    def close(self) -> None:
        self._closed = True
        self._readers.unpark_all()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()
