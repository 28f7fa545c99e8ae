"""The sockets of the local API: the unix socket, bound 0600 and answered only to our own user and root; and loopback.

Connections are handed to hypercorn one by one instead of through `hypercorn.trio.serve`, for three reasons: the peer's
user can be asked of the kernel, one broken connection ends alone, and a reader that stops reading is dropped after
`SEND_S_MAX` (hypercorn shields its sends, so such a reader would otherwise keep the daemon from stopping).
"""

import errno
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from node.errors import NodeError

PATH_SIZE_MAX = 107  # bytes: sun_path less its NUL (unix(7))
BACKLOG = 64
SEND_S_MAX = 5.0


class SocketError(NodeError):
    """The socket cannot be opened; the message says which and why."""


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, mode 0600, unlinked at the end. A dead daemon's socket is taken over.

    Raises SocketError when another daemon answers there, when something else lies there, when the folder is open to
    strangers, and when the path is too long for the kernel.
    """
    check_place(path)
    remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        except OSError as error:
            raise SocketError(f"cannot open the API socket {path}: {error.strerror}") from error
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        ours = os.lstat(path)
        try:
            yield listening
        finally:
            with suppress(FileNotFoundError):
                there = os.lstat(path)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):  # else: a successor's
                    os.unlink(path)
    finally:
        listening.close()


@contextmanager
def bound_on_loopback(place: tuple[str, int]) -> Iterator[socket.socket]:
    """A listening socket at an address of loopback; port 0 takes any free one. Raises SocketError."""
    host, port = place
    if not ipaddress.ip_address(host).is_loopback:  # said by the configuration already; this is the last gate
        raise SocketError(f"the API is not opened at {host}: others could reach it there")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise SocketError(f"cannot open the API at {host} port {port}: {error.strerror}; see api.http") from error
        listening.listen(BACKLOG)
        listening.setblocking(False)
        yield listening
    finally:
        listening.close()


def check_place(path: Path) -> None:
    """Raise SocketError where no socket of ours belongs."""
    size = len(os.fsencode(path))
    if size > PATH_SIZE_MAX:
        raise SocketError(f"the API socket path is {size} bytes long, at most {PATH_SIZE_MAX} work: {path}")
    try:
        folder = path.parent.stat()
    except OSError as error:
        raise SocketError(f"cannot open the API socket {path}: its folder: {error.strerror}") from error
    if folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX:
        raise SocketError(f"others may write in {path.parent}: the API socket could be replaced; chmod go-w it")


def remove_stale(path: Path) -> None:
    """Unlink a socket nobody listens on; leave everything else alone."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise SocketError(f"{path} exists and is not a socket: not touching it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError as error:  # EAGAIN: its backlog is full, so it lives
            if error.errno not in (errno.EAGAIN, errno.ETIMEDOUT) and not isinstance(error, TimeoutError):
                raise SocketError(f"cannot tell who owns the API socket {path}: {error.strerror}") from error
    raise SocketError(f"another daemon already answers on {path}")


def peer_uid(connected: socket.socket | trio.socket.SocketType) -> int:
    """The user at the other end of a unix socket, as the kernel recorded it when it connected (unix(7))."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return int(uid)


def may_call(uid: int) -> bool:
    """Whether a local user may use this node: its own user and root."""
    return uid in (os.geteuid(), 0)


class BoundedStream:
    """A connection whose sends end: what hypercorn needs of a stream, with a deadline on `send_all`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes) -> None:
        try:
            with trio.fail_after(SEND_S_MAX):
                await self._stream.send_all(data)
        except trio.TooSlowError:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the reader does not read") from None

    async def receive_some(self, size_max: int) -> bytes:
        return bytes(await self._stream.receive_some(size_max))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
