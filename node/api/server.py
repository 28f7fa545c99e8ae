"""The server of the local API: the operation table as HTTP routes over one Service, on one unix socket."""

import logging
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from node.api.app import build_app
from node.api.listener import BoundedStream, bound, may_call, peer_uid
from node.api.service import Service

CONNECTIONS_MAX = 128  # open at once; later ones are closed at once
GRACE_S = 2.0  # for replies under way when the stop event comes

log = structlog.get_logger("conclave.api")


class Started(Protocol):
    """What `nursery.start` hands to `serve`, to be told that connections are accepted."""

    def started(self, value: Path) -> None: ...


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
    door = Door(service, stop_event)
    with bound(socket_path) as listening:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(trio.serve_listeners, door.answer, [listener], handler_nursery=connections)
                )
                task_status.started(socket_path)
                await stop_event.wait()
                accepting.cancel_scope.cancel()
            await door.close()
            connections.cancel_scope.deadline = trio.current_time() + GRACE_S


class Connection(TCPServer):
    """One client's, over as soon as the client is gone: else its idle timer would hold its place for five seconds."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class Door:
    """Lets connections in, one task each, and keeps them apart."""

    def __init__(self, service: Service, stop_event: trio.Event) -> None:
        self._app = wrap_app(build_app(service, stop_event), 0, "asgi")  # type: ignore[arg-type]
        self._context = WorkerContext(None)
        self._open_count = 0
        self._config = Config()
        self._config.include_server_header = False
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("conclave.api.http")

    async def answer(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever is wrong with it stays in it."""
        if self._open_count >= CONNECTIONS_MAX or not may_call(peer_uid(stream.socket)):
            log.warning("api connection refused", open_count=self._open_count)
            await trio.aclose_forcefully(stream)
            return
        self._open_count += 1
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
            self._open_count -= 1

    async def close(self) -> None:
        """Let connections end after the reply under way; idle ones end now."""
        await self._context.terminated.set()
