"""The server of the local API: the operation table over one Service, on a unix socket and on loopback.

Each place has its gate (`node.api.gate`) before the same application.
"""

import logging
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from node.api.app import build_app
from node.api.gate import Gate, Keyring, Owner
from node.api.listener import BoundedStream, bound, bound_on_loopback, may_call, peer_uid
from node.api.service import Service
from node.lazy_logs import LazyLogger

CONNECTIONS_MAX = 128  # open at once at each place; later ones are closed at once
REFUSED_SAID_S = 60.0  # at most so often the log says that there is no room: any local process can make us refuse it
GRACE_S = 0.5  # for replies under way when the stop event comes; then whoever does not read is cut off
LAST_LOOK_S = 0.1  # for what lies in the socket of a connection that is about to be closed for its silence

log = LazyLogger("api")


class Started(Protocol):
    """What `nursery.start` hands to a server, to be told that connections are accepted, and where."""

    def started(self, value: Any) -> None: ...


async def serve(
    service: Service,
    socket_path: Path,
    *,
    stop_event: trio.Event,
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `socket_path` until `stop_event`; calls `task_status.started` once connections are accepted.

    Raises `node.api.listener.SocketError` before that when the socket cannot be had.
    """
    door = Door(Owner(build_app(service, stop_event)), _is_ours)
    with bound(socket_path) as listening:
        await door.open(listening, stop_event, partial(task_status.started, socket_path))


async def serve_http(
    service: Service,
    keyring: Keyring,
    place: tuple[str, int],
    *,
    stop_event: trio.Event,
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer over HTTP at an address of loopback, to who has a token; tells its task_status the URL.

    Raises `node.api.listener.SocketError` before that when the address cannot be had.
    """
    with bound_on_loopback(place) as listening:
        host, port = listening.getsockname()[:2]
        named = f"[{host}]" if ":" in host else host
        hosts = {f"{name}:{port}" for name in (named, *LOOPBACK)}
        door = Door(Gate(build_app(service, stop_event), keyring, hosts), lambda _: True)
        await door.open(listening, stop_event, partial(task_status.started, f"http://{named}:{port}"))


LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""The names by which a call may mean us; a page of another name that leads here is refused."""


def _is_ours(stream: trio.SocketStream) -> bool:
    return may_call(peer_uid(stream.socket))


class Connection(TCPServer):
    """One client's, over as soon as the client is gone: else its idle timer would hold its place for five seconds.

    It speaks HTTP/1.1. In HTTP/2, which hypercorn would go over to, who has no token could keep a place for ever: by a
    stream whose window leaves no room for its refusal.
    """

    async def _read_data(self) -> None:
        self.protocol.protocol._check_protocol = _stay  # type: ignore[union-attr, method-assign]
        await super()._read_data()
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        """As hypercorn's; but it was us who were silent if this process stood still meanwhile, and then a request lies
        there. Whoever reads it stops this timer, up to the very end."""
        with trio.move_on_after(self.config.keep_alive_timeout) as waiting:
            await self.context.terminated.wait()
        if waiting.cancelled_caught:
            await trio.sleep(LAST_LOOK_S)
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()


async def _stay(request: object) -> None:
    """Whatever a request says of other protocols."""


class Door:
    """Lets connections in, one task each, and keeps them apart."""

    def __init__(self, app: ASGIApp, may_enter: Callable[[trio.SocketStream], bool]) -> None:
        self._app = wrap_app(app, 0, "asgi")  # type: ignore[arg-type]
        self._may_enter = may_enter
        self._context = WorkerContext(None)
        self._streams: set[trio.SocketStream] = set()
        self._refused = 0  # since that was said
        self._refused_said_s = float("-inf")
        self._config = Config()
        self._config.include_server_header = False
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("conclave.api.http")

    async def open(self, listening: socket.socket, stop_event: trio.Event, started: Callable[[], None]) -> None:
        """Answer whoever connects, until the stop event and a moment longer."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as around:
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(trio.serve_listeners, self._answer, [listener], handler_nursery=connections)
                    )
                    started()
                    await stop_event.wait()
                    accepting.cancel_scope.cancel()
                connections.cancel_scope.deadline = trio.current_time() + GRACE_S
                around.start_soon(self._cut_off)
                await self._context.terminated.set()  # idle connections end now, the others after the reply under way
            around.cancel_scope.cancel()

    async def _answer(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever is wrong with it stays in it."""
        if len(self._streams) >= CONNECTIONS_MAX or not self._may_enter(stream):
            self._say_refused()
            await trio.aclose_forcefully(stream)
            return
        self._streams.add(stream)
        try:
            await Connection(
                self._app,
                self._config,
                self._context,
                ConnectionState({}),
                cast(Any, BoundedStream(stream)),  # the same verbs as the stream it expects
            ).run()
        except Exception:  # one client's bytes must not end the others' connections
            log.exception("api connection failed")
            await trio.aclose_forcefully(stream)
        finally:
            self._streams.discard(stream)

    def _say_refused(self) -> None:
        self._refused += 1
        if trio.current_time() >= self._refused_said_s + REFUSED_SAID_S:
            log.warning("api connections refused", count=self._refused, open_count=len(self._streams))
            self._refused, self._refused_said_s = 0, trio.current_time()

    async def _cut_off(self) -> None:
        """End what is left: a reader that stopped reading is beyond cancelling, since hypercorn shields its sends."""
        await trio.sleep(GRACE_S)
        for stream in tuple(self._streams):
            await trio.aclose_forcefully(stream)
