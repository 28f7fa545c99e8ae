"""Asking under a throw-away identity: connections of their own, which nothing ties to this node or to one another.

A *persona* is the seed of an Ed25519 key that was drawn for one purpose and is used for nothing else. What is asked
under one persona shares a connection, which is closed when it has been idle for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

import trio

from node.transport import DialError, RequestError, RequestFailure, Transport, TransportError, peer_of

PERSONAS_MAX: Final = 16  # throw-away identities in use at once; the one idle for longest gives way
IDLE_S: Final = 10.0

Open = Callable[[bytes], AbstractAsyncContextManager[Transport]]


@dataclass(slots=True)
class _Persona:
    """One throw-away identity and its connections."""

    used_s: float
    uses: int = 0
    ready: trio.Event = field(default_factory=trio.Event)
    transport: Transport | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Personas:
    """Of one node. `open` makes a transport that only dials, from a seed; `spawn` runs a task until the node ends."""

    def __init__(self, open: Open, spawn: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        self._open = open
        self._spawn = spawn
        self._live: dict[bytes, _Persona] = {}

    async def request(self, address: str, protocol: str, payload: bytes, persona: bytes, timeout_s: float) -> bytes:
        """See `Transport.request_unnamed`."""
        live = self._live.get(persona) or self._start(persona)
        live.uses += 1
        try:
            with trio.move_on_after(timeout_s):
                await live.ready.wait()
                if live.transport is None:
                    raise DialError("no throw-away identity could be opened")
                peer = peer_of(address)
                if peer not in live.transport.peers():
                    await live.transport.connect(address)
                return await live.transport.request(peer, protocol, payload, timeout_s=timeout_s)
            raise RequestError(RequestFailure.TIMEOUT, f"{protocol}, {timeout_s} s")
        finally:
            live.uses -= 1
            live.used_s = trio.current_time()

    def _start(self, persona: bytes) -> _Persona:
        idle = [seed for seed, each in self._live.items() if not each.uses]
        if len(self._live) >= PERSONAS_MAX:
            if not idle:
                raise DialError(f"{PERSONAS_MAX} throw-away identities are in use")
            self._live.pop(min(idle, key=lambda seed: self._live[seed].used_s)).scope.cancel()
        live = self._live[persona] = _Persona(trio.current_time())

        async def run() -> None:
            with live.scope:
                try:
                    async with self._open(persona) as live.transport:
                        live.ready.set()
                        await _idle(live)
                except TransportError:
                    live.transport = None
                finally:
                    live.ready.set()
                    if self._live.get(persona) is live:
                        del self._live[persona]

        self._spawn(run)
        return live


async def _idle(live: _Persona) -> None:
    """Until nobody has used it for a while."""
    while live.uses or trio.current_time() < live.used_s + IDLE_S:  # noqa: ASYNC110 - what is awaited is a time
        await trio.sleep(IDLE_S)
