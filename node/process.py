"""The daemon as a process: it answers at once, and lets the node in when that has been read and connected.

Reading the code of a node takes seconds, its passphrase half of one. So the local API is opened first, and says
`starting` to every call (`Entry`); meanwhile a thread imports. Order of the start: data-directory lock, API, code,
store key, store, network, groups. Of the stop: the API lets calls under way end, then the groups, then the network.

This file imports nothing of the engine or the network; `node.daemon.serve_node` is the rest.
"""

import gc
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import trio

from node import lazy_logs
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.operations import OPERATIONS, SHUTDOWN
from node.api.server import serve
from node.config import Config
from node.data_dir import DataDir
from node.errors import NodeError

if TYPE_CHECKING:
    from node.api.service import Service
    from node.vault import StoreKey

NAMES: Final = frozenset(operation.name for operation in OPERATIONS)
GARBAGE_MIN: Final = 10_000  # objects made and not gone before cycles are looked for; a decision makes thousands


class Entry:
    """Stands for the Service from the first moment to the last, and says `starting` until there is one."""

    def __init__(self, stop_event: trio.Event) -> None:
        self.stop_event = stop_event
        self.closed = trio.Event()  # the API answers nobody any more
        self.service: Service | None = None

    def __getattr__(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        if name not in NAMES:
            raise AttributeError(name)
        return partial(self._answer, name)

    async def _answer(self, name: str, request: Any) -> Any:
        if name == SHUTDOWN.name:
            self.stop_event.set()
            return schema.Done()
        if self.stop_event.is_set():
            raise ApiError(ErrorCode.SHUTTING_DOWN, "the daemon is stopping")
        if self.service is None:
            raise ApiError(ErrorCode.STARTING, "the node is starting", "ask again in a moment")
        return await getattr(self.service, name)(request)


def run(config: Config, key_of: Callable[[], "StoreKey"], *, on_ready: Callable[[schema.Identity], None]) -> None:
    """Run the daemon until SIGINT, SIGTERM or the API's `shutdown`; `on_ready` is called once the node answers.

    `key_of` opens the vault; it may take its time, and is called in another thread.
    Raises `NodeError` for what keeps the node from running: directory in use, wrong key, address taken.
    """
    lazy_logs.set_up_later(partial(_set_up_logs, config))
    with DataDir(config.data_dir).locked():
        try:
            trio.run(_main, config, key_of, on_ready)
        except BaseExceptionGroup as group:
            raise _the_reason(group) from group
    gc.freeze()  # the process ends: looking for cycles in all that was imported would take half a second


async def _main(config: Config, key_of: Callable[[], "StoreKey"], on_ready: Callable[[schema.Identity], None]) -> None:
    entry = Entry(trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, entry.stop_event)
        async with trio.open_nursery() as serving:
            await serving.start(_serve, entry, config)
            await _run_node(entry, config, key_of, on_ready)
            entry.stop_event.set()
        nursery.cancel_scope.cancel()


async def _serve(entry: Entry, config: Config, *, task_status: Any) -> None:
    try:
        service: Any = entry  # its methods are dynamic
        await serve(service, config.socket_path, stop_event=entry.stop_event, task_status=task_status)
    finally:
        entry.closed.set()


async def _run_node(
    entry: Entry, config: Config, key_of: Callable[[], "StoreKey"], on_ready: Callable[[schema.Identity], None]
) -> None:
    """Start the node and run it to the end. A stop meanwhile waits for nothing but the thread that imports."""
    with trio.CancelScope() as starting:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_give_up, entry, starting)
            await trio.to_thread.run_sync(_import_node)
            key = await trio.to_thread.run_sync(key_of)
            from node.daemon import serve_node

            await serve_node(config, key, entry, on_ready)
            nursery.cancel_scope.cancel()


async def _give_up(entry: Entry, starting: trio.CancelScope) -> None:
    await entry.stop_event.wait()
    if entry.service is None:
        starting.cancel()


def _import_node() -> None:
    lazy_logs.set_up_now()
    for name in ("node.daemon", "node.service", "node.transport_libp2p"):
        import_module(name)
    gc.freeze()  # code stays; no group and no key has been read yet
    gc.set_threshold(GARBAGE_MIN, 10, 10)


def _set_up_logs(config: Config) -> None:
    from node import logs

    logs.setup(config.node.log_level, config.node.log_format)


async def _watch_signals(stop_event: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop_event.set()


def _the_reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error a person can act on, out of the nests that nurseries make of it."""
    from node.transport import TransportError

    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        named = leaf.subgroup(NodeError) or leaf.subgroup(TransportError) or leaf
        leaf = named.exceptions[0] if isinstance(named, BaseExceptionGroup) else named
    return NodeError(str(leaf)) if isinstance(leaf, TransportError) else leaf
