"""A link: what we have to say to one connected peer, and when we last heard from it.

The outgoing half is one kept stream, written by one task that puts everything queued into one write.
When the stream breaks while the peer stays connected it is opened again; what was in that write may
be lost and is not repeated, so a frame arrives at most once. The incoming half is the peer's own kept
stream; the two come and go independently.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from node.transport import KIB, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, REQUESTS_PER_PEER_MAX, PeerId, TransportConfig
from node.transport_frames import BrokenStreamError, ByteStream, Kind, encode_frame

WRITE_SIZE_MAX = 60 * KIB  # of several frames together: one muxer frame, one encrypted packet
REOPEN_MIN_S = 0.05
REOPEN_MAX_S = 2.0
_BEAT = encode_frame(Kind.BEAT)


class Link:
    """One peer's outgoing queue, heartbeat and limits. `run` lives as long as the peer is connected."""

    def __init__(self, peer: PeerId, config: TransportConfig, on_ready: Callable[[], None]) -> None:
        self.peer = peer
        self.settled = trio.Event()  # ready, or given up before
        self.scope = trio.CancelScope()  # of `run`
        self.reading: trio.CancelScope | None = None  # of the task that reads the peer's kept stream
        self.asking = trio.CapacityLimiter(REQUESTS_PER_PEER_MAX)  # our requests to the peer
        self.serving = 0  # the peer's requests to us
        self.announcement_due = True
        self._config = config
        self._on_ready = on_ready
        self._said = False  # our announcement, on our stream
        self._told = False  # the peer's, on its own
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = trio.Event()
        self._heard_s = self._spoke_s = trio.current_time()

    def put(self, frame: bytes) -> bool:
        """Queue a frame; False when the queue is full."""
        if len(self._queue) >= QUEUE_FRAMES_MAX or self._queued_bytes + len(frame) > QUEUE_BYTES_MAX:
            return False
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()
        return True

    def announce(self) -> None:
        """Have the newest announcement written now; many calls in a row cost one frame."""
        self.announcement_due = True
        self._wake.set()

    def heard(self) -> None:
        self._heard_s = trio.current_time()

    def said(self) -> None:
        """Our kept stream is open."""
        self._said = True
        self._settle()

    def told(self) -> None:
        """The peer's kept stream is open and has said what it listens to."""
        self._told = True
        self._settle()

    def _settle(self) -> None:
        """Ready once both directions work, so that nothing sent or published from here on misses the peer."""
        if self._said and self._told and not self.settled.is_set():
            self._on_ready()
            self.settled.set()

    async def run(
        self,
        open_stream: Callable[[], Awaitable[ByteStream]],
        announcement: Callable[[], bytes],
    ) -> None:
        """Keep a stream open and write to it, until cancelled or the peer falls silent.

        Returning means that the peer has not been heard for the heartbeat timeout: it hangs, or is
        no node of ours.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_writing, open_stream, announcement)
            await self._until_silent()
            nursery.cancel_scope.cancel()

    async def _until_silent(self) -> None:
        """Beat when nothing else was said for as long: whatever we say is a sign of life."""
        interval_s = self._config.heartbeat_interval_s
        now_s = trio.current_time()
        while True:
            due_s = self._spoke_s + interval_s
            if due_s <= now_s:
                due_s = now_s + interval_s
            await trio.sleep_until(due_s)
            now_s = trio.current_time()
            if now_s - due_s > interval_s:
                self.heard()  # it was us who slept: give what lies in the socket a chance to be read
            elif now_s - self._heard_s > self._config.heartbeat_timeout_s:
                return
            if not self._queue and now_s >= self._spoke_s + interval_s:
                self.put(_BEAT)

    async def _keep_writing(
        self,
        open_stream: Callable[[], Awaitable[ByteStream]],
        announcement: Callable[[], bytes],
    ) -> None:
        pause_s = REOPEN_MIN_S
        while True:
            try:
                stream = await open_stream()
            except BrokenStreamError:
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, REOPEN_MAX_S)
                continue
            self.announcement_due = True
            try:
                await stream.write(announcement())
                self._spoke_s = trio.current_time()
                self.announcement_due = False
                self.said()
                pause_s = REOPEN_MIN_S
                while True:
                    await self._wake.wait()
                    await stream.write(self._take(announcement))
                    self._spoke_s = trio.current_time()
            except BrokenStreamError:
                await trio.sleep(pause_s)
            finally:
                with trio.CancelScope(shield=True):
                    await stream.reset()

    def _take(self, announcement: Callable[[], bytes]) -> bytes:
        """The next write: an announcement if one is due, then as many queued frames as fit, at least one."""
        parts = [announcement()] if self.announcement_due else []
        self.announcement_due = False
        size = sum(map(len, parts))
        while self._queue and (not parts or size + len(self._queue[0]) <= WRITE_SIZE_MAX):
            frame = self._queue.popleft()
            self._queued_bytes -= len(frame)
            size += len(frame)
            parts.append(frame)
        if not self._queue:
            self._wake = trio.Event()
        return b"".join(parts)
