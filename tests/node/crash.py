"""A process that dies at a chosen point: before or after a transaction, before or after something is sent.

Every such moment of a node is a *point*, counted from its start. At the chosen one `Crash` is raised, and from then on
nothing of the node reaches its disk or the wire any more, as if the process were gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from node.store import Store
from node.store_writes import Transaction
from node.transport import Transport


class Crash(BaseException):
    """The process is gone. Not an `Exception`: no supervisor may survive it."""


class Points:
    """Counts the points of one node, and crashes it at one of them."""

    def __init__(self, crash_at: int | None) -> None:
        self.crash_at = crash_at
        self.passed: list[str] = []
        self.crashed = False
        self.sent: list[bytes] = []

    def reach(self, what: str) -> None:
        if self.crashed:
            raise Crash
        if len(self.passed) == self.crash_at:
            self.crashed = True
            raise Crash
        self.passed.append(what)


class CrashingStore:
    """A store whose transactions are points."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._store.together():
            try:
                yield
                self._points.reach("before commit")
            except Crash:  # what ended in the block is lost with it
                if self._store._connection.in_transaction:
                    self._store._connection.execute("ROLLBACK")
                raise
        self._points.reach("after commit")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._store.transaction() as transaction:
            yield transaction
            self._points.reach("before commit")
        self._points.reach("after commit")


class CrashingTransport:
    """A transport whose sends are points; what left is kept for the test to look at."""

    def __init__(self, transport: Transport, points: Points) -> None:
        self._transport = transport
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def send(self, peer: str, payload: bytes) -> bool:
        self._points.reach("before send")
        sent = await self._transport.send(peer, payload)
        self._points.sent.append(payload)
        self._points.reach("after send")
        return sent

    async def publish(self, topic: str, payload: bytes) -> None:
        self._points.reach("before publish")
        await self._transport.publish(topic, payload)
        self._points.reach("after publish")
