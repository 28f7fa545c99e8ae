"""A TCP connection that is cheap to write to, and can be closed at any moment."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from node.transport import KIB, PeerId

BACKLOG_SIZE_MAX = 256 * KIB  # written and not yet taken by the kernel, before a writer has to wait
READ_SIZE = 64 * KIB

_MIN_RTT = slice(148, 152)  # tcpi_min_rtt of Linux's struct tcp_info, in microseconds
_NO_RTT = 0xFFFFFFFF  # nothing measured yet


class Socket:
    """A TCP connection as the libp2p layers above see it: written without a detour through the scheduler.

    What the kernel does not take at once waits here and is written by a task of ours, so that a
    cancelled writer never leaves half an encrypted packet on the wire. `close_now` works at once,
    whoever is reading or writing. Reading and writing raise `ConnectionResetError`, at the end too.
    """

    def __init__(self, stream: trio.SocketStream, nursery: trio.Nursery, on_end: Callable[[Socket], None]) -> None:
        self.ended = trio.Event()
        self.peer: PeerId = ""  # once known
        self.connection: Any = None  # likewise; what the library above makes of us
        self.is_relayed = False  # whether the other end is this process, which copies to and from a relay
        self._stream = stream
        self._fd = stream.socket.fileno()
        self._remote = _endpoint(stream)
        self._nursery = nursery
        self._on_end = on_end
        self._unread = b""
        self._backlog = bytearray()
        self._drained = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        if self.ended.is_set():
            raise ConnectionResetError("the connection is closed")
        while not self._unread:
            self._unread = await self._read_some()
        if n is None or n >= len(self._unread):
            data, self._unread = self._unread, b""
        else:
            data, self._unread = self._unread[:n], self._unread[n:]
        return data

    async def _read_some(self) -> bytes:
        """What is there once anything is; nothing after a false alarm. There is rarely more than one read."""
        try:
            await trio.lowlevel.wait_readable(self._fd)
            if self.ended.is_set():  # meanwhile; the number may be another connection's by now
                raise ConnectionResetError("the connection is closed")
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except (OSError, trio.ClosedResourceError) as error:
            self.close_now()
            raise ConnectionResetError("the connection broke") from error
        if not data:
            self.close_now()
            raise ConnectionResetError("the connection was closed")
        return data

    async def write(self, data: bytes) -> None:
        if self.ended.is_set():
            raise ConnectionResetError("the connection is closed")
        if self._backlog:
            self._backlog += data
        else:
            sent = self._write_now(data)
            if sent < len(data):
                self._backlog += memoryview(data)[sent:]
                self._drained = trio.Event()
                self._nursery.start_soon(self._write_backlog)
        while len(self._backlog) > BACKLOG_SIZE_MAX and not self.ended.is_set():
            await self._drained.wait()

    def _write_now(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.close_now()
            raise ConnectionResetError("the connection broke") from error

    async def _write_backlog(self) -> None:
        with suppress(ConnectionResetError, trio.ClosedResourceError):
            while self._backlog and not self.ended.is_set():
                await trio.lowlevel.wait_writable(self._fd)
                if not self.ended.is_set():
                    del self._backlog[: self._write_now(self._backlog)]
                if len(self._backlog) <= BACKLOG_SIZE_MAX:
                    self._drained.set()
        self._drained.set()

    def close_now(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self._stream.socket.close()
            self._backlog.clear()
            self._drained.set()
            self._on_end(self)

    async def close(self) -> None:
        self.close_now()
        await trio.lowlevel.checkpoint()

    def nearest_s(self) -> float | None:
        """The least round trip that the kernel has seen; None where it does not say."""
        if self.ended.is_set() or not hasattr(socket, "TCP_INFO"):
            return None
        try:
            info = self._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _MIN_RTT.stop)
        except OSError:
            return None
        microseconds = int.from_bytes(info[_MIN_RTT], sys.byteorder) if len(info) == _MIN_RTT.stop else 0
        return microseconds / 1e6 if 0 < microseconds < _NO_RTT else None

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._remote


def _endpoint(stream: trio.SocketStream) -> tuple[str, int] | None:
    with suppress(OSError, ValueError):  # a local pair of sockets has no address
        host, port = stream.socket.getpeername()[:2]
        return str(host), int(port)
    return None
