"""The relay: carries bytes between a node that reserved a place here and whoever wants to reach it.

libp2p 0.8.1 has one, which is not used: anybody can fill its table with reservations in others' names, two circuits of
one source close each other, a circuit that falls silent is kept for ever, and what a circuit carries is bounded as a
sum, after which words of the relay's own go into the middle of it. So the protocol is spoken here, in libp2p's words.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import Status

from node.transport import PeerId
from node.transport_frames import BrokenStreamError, ByteStream, FrameError
from node.transport_libp2p.circuit_words import (
    CONNECT,
    OK,
    RESERVE,
    STOP,
    Talk,
    hop_reserved,
    hop_status,
    limit_of,
    peer_in,
    stop_connect,
)
from node.transport_relay import BURST_S, IDLE_S, RESERVED_S, Admits, RelayLimits
from node.transport_scope import shielded_for

CLOSE_TIMEOUT_S = 1.0  # for a stream to be given up: its connection may take no more
WORD_TIMEOUT_S = 5.0  # for the other end to say what it has to


class Relay:
    """Of a node that serves as one. `open_stream` opens a stream to a connected peer."""

    def __init__(
        self,
        limits: RelayLimits,
        admits: Admits,
        open_stream: Callable[[PeerId, str], Awaitable[ByteStream]],
        counters: Counter[str],
    ) -> None:
        self._limits = limits
        self._admits = admits
        self._open_stream = open_stream
        self._counters = counters
        self._reserved: dict[PeerId, float] = {}  # until when
        self._circuits: Counter[PeerId] = Counter()  # by each of their two ends

    @property
    def lent(self) -> tuple[int, int]:
        """Places and circuits."""
        now_s = trio.current_time()
        return sum(until_s > now_s for until_s in self._reserved.values()), self._circuits.total() // 2

    def gone(self, peer: PeerId) -> None:
        """Its last connection is: so is its reservation."""
        self._reserved.pop(peer, None)

    async def serve(self, peer: PeerId, stream: ByteStream) -> None:
        """One wish of a peer, on a stream that it opened; a circuit for as long as that lasts."""
        talk = Talk(stream)
        try:
            with trio.fail_after(WORD_TIMEOUT_S):
                wish = await talk.hear_hop()
            if wish.type == RESERVE:
                await self._reserve(peer, talk)
            elif wish.type == CONNECT:
                await self._connect(peer, peer_in(wish), talk)
            else:
                await talk.say(hop_status(Status.UNEXPECTED_MESSAGE))
        except (FrameError, BrokenStreamError, trio.TooSlowError):
            self._counters["relay_failed"] += 1
        finally:
            with shielded_for(CLOSE_TIMEOUT_S):
                await stream.close()

    async def _reserve(self, peer: PeerId, talk: Talk) -> None:
        now_s = trio.current_time()
        self._reserved = {each: until_s for each, until_s in self._reserved.items() if until_s > now_s}
        if not self._admits(peer):
            await self._refuse(talk, Status.PERMISSION_DENIED)
        elif peer not in self._reserved and len(self._reserved) >= self._limits.reservations:
            await self._refuse(talk, Status.RESERVATION_REFUSED)
        else:
            self._reserved[peer] = now_s + RESERVED_S
            await talk.say(hop_reserved(int(time.time() + RESERVED_S), limit_of(self._limits.duration_s)))

    async def _connect(self, source: PeerId, target: PeerId, talk: Talk) -> None:
        ends, limits = (source, target), self._limits
        if self._reserved.get(target, 0.0) <= trio.current_time():
            await self._refuse(talk, Status.NO_RESERVATION)
            return
        is_full = self._circuits.total() >= 2 * limits.circuits
        if is_full or max(self._circuits[end] for end in ends) >= limits.circuits_per_peer:
            await self._refuse(talk, Status.RESOURCE_LIMIT_EXCEEDED)
            return
        self._circuits.update(ends)
        try:
            onward = await self._call(source, target)
            if onward is None:
                await self._refuse(talk, Status.CONNECTION_FAILED)
                return
            try:
                await talk.say(hop_status(OK, limit_of(limits.duration_s)))
                with trio.move_on_after(limits.duration_s):
                    await self._carry(talk, onward)
            finally:
                with shielded_for(CLOSE_TIMEOUT_S):
                    await onward.stream.reset()
                    await talk.stream.reset()
        finally:
            self._circuits.subtract(ends)
            self._circuits += Counter()  # forget who has none

    async def _call(self, source: PeerId, target: PeerId) -> Talk | None:
        """Tell the target who wants it; None unless it wants that too."""
        stream: ByteStream | None = None
        agreed = False
        try:
            with trio.fail_after(WORD_TIMEOUT_S):
                stream = await self._open_stream(target, STOP)
                talk = Talk(stream)
                await talk.say(stop_connect(source, limit_of(self._limits.duration_s)))
                agreed = (await talk.hear_stop()).status == OK
                return talk if agreed else None
        except (FrameError, BrokenStreamError, trio.TooSlowError):
            return None
        finally:
            if stream is not None and not agreed:
                with shielded_for(CLOSE_TIMEOUT_S):
                    await stream.reset()

    async def _carry(self, one: Talk, other: Talk) -> None:
        """Both directions, until one ends, falls silent, or the caller has had enough."""
        self._counters["relay_circuits"] += 1
        async with trio.open_nursery() as nursery:

            async def carry(source: Talk, sink: Talk) -> None:
                pace = Pace(self._limits.bytes_per_s)
                try:
                    data = source.rest()
                    while True:
                        if data:
                            self._counters["relay_bytes"] += len(data)
                            await pace.spend(len(data))
                            await sink.stream.write(data)
                        with trio.fail_after(IDLE_S):
                            data = await source.stream.read()
                        if not data:
                            break
                except (BrokenStreamError, trio.TooSlowError):
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(carry, one, other)
            await carry(other, one)

    async def _refuse(self, talk: Talk, status: Any) -> None:
        self._counters["relay_refused"] += 1
        await talk.say(hop_status(status))


class Pace:
    """So many bytes a second, and `BURST_S` of that at once."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._spent_s = float("-inf")

    async def spend(self, size: int) -> None:
        """Wait until these may go on."""
        now_s = trio.current_time()
        self._spent_s = max(self._spent_s, now_s - BURST_S) + size / self._bytes_per_s
        if self._spent_s > now_s:
            await trio.sleep_until(self._spent_s)
