"""Asking several peers one thing without waiting long for any of them.

The first is asked; if it lets us wait longer than its usual round trips explain, the next is asked beside it, and so
on, few at once and each after twice as long, since what is asked for may be large and the line slow. The first answer
that will do wins, and the other questions are dropped. A peer that says nothing so costs a moment instead of a whole
timeout, and one that is merely slow still has its time.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio

from node.peer_id import PeerId

ASKED_AT_ONCE_MAX: Final = 4
PATIENCE_S: Final = 0.25  # with a peer of whom no round trips are known
PATIENCE_MIN_S: Final = 0.02
PATIENCE_MAX_S: Final = 1.0
PATIENCE_ROUND_TRIPS: Final = 4.0


def patience_s(usual_s: float | None) -> float:
    """How long a peer with such a usual round trip is waited for alone."""
    if usual_s is None:
        return PATIENCE_S
    return min(PATIENCE_MAX_S, max(PATIENCE_MIN_S, PATIENCE_ROUND_TRIPS * usual_s))


async def first_good(
    peers: Iterable[PeerId],
    ask: Callable[[PeerId], Awaitable[bytes | None]],
    usual_s: Callable[[PeerId], float | None],
) -> tuple[PeerId, bytes] | None:
    """The first answer that will do, and whose it is; None when nobody gave one.

    `ask` returns None for every other end of a question, after a time that it bounds; the next peer is then asked at
    once.
    """
    hedge = _Hedge(ask)
    waiting = deque(peers)
    async with trio.open_nursery() as nursery:
        while waiting and hedge.found is None:
            peer = waiting.popleft()
            hedge.under_way += 1
            nursery.start_soon(hedge.one, peer, nursery.cancel_scope)
            alone_s = patience_s(usual_s(peer)) * 2 ** (hedge.under_way - 1)
            with trio.move_on_after(float("inf") if hedge.under_way >= ASKED_AT_ONCE_MAX else alone_s):
                await hedge.end_of_one()
    return hedge.found


class _Hedge:
    """The questions of one call."""

    def __init__(self, ask: Callable[[PeerId], Awaitable[bytes | None]]) -> None:
        self._ask = ask
        self._ended = trio.Event()
        self.under_way = 0
        self.found: tuple[PeerId, bytes] | None = None

    async def one(self, peer: PeerId, all_of_them: trio.CancelScope) -> None:
        reply = await self._ask(peer)
        self.under_way -= 1
        if reply is not None and self.found is None:
            self.found = (peer, reply)
            all_of_them.cancel()
        self._ended.set()

    async def end_of_one(self) -> None:
        """Wait until a question has ended that had not when this was last called."""
        await self._ended.wait()
        self._ended = trio.Event()
