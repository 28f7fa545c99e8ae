"""Small worlds of connected nodes, one per transport adapter, with the same verbs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import trio

from node.transport import PeerId, Transport, TransportConfig
from node.transport_memory import MemoryNetwork, open_memory_network
from node.transport_scope import open_background

QUICK = TransportConfig(heartbeat_interval_s=0.2, heartbeat_timeout_s=1.0, redial_min_s=0.05, redial_max_s=0.2)


class World(Protocol):
    async def add(self, name: str) -> Transport:
        """Start a node; after `remove` it comes back with the same key and addresses."""
        ...

    async def remove(self, name: str) -> None: ...


class MemoryWorld:
    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    async def add(self, name: str) -> Transport:
        return self._network.add(name, QUICK)

    async def remove(self, name: str) -> None:
        self._network.remove(name)


class Libp2pWorld:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._stop: dict[str, trio.Event] = {}
        self._gone: dict[str, trio.Event] = {}
        self._listen: dict[str, tuple[str, ...]] = {}

    async def add(self, name: str) -> Transport:
        self._stop[name], self._gone[name] = trio.Event(), trio.Event()
        transport: Transport = await self._nursery.start(self._run, name)
        self._listen[name] = tuple(address.partition("/p2p/")[0] for address in transport.addresses)
        return transport

    async def _run(self, name: str, task_status: Any) -> None:
        from node.transport_libp2p import open_libp2p

        config = replace(QUICK, listen=self._listen.get(name, QUICK.listen))
        async with open_libp2p(config, hashlib.sha256(name.encode()).digest()) as node:
            transport: Transport = node
            task_status.started(transport)
            await self._stop[name].wait()
        self._gone[name].set()

    async def remove(self, name: str) -> None:
        self._stop[name].set()
        await self._gone[name].wait()


@asynccontextmanager
async def open_world(kind: str) -> AsyncIterator[World]:
    if kind == "memory":
        async with open_memory_network(seed=1) as network:
            yield MemoryWorld(network)
    else:
        async with open_background() as nursery:
            yield Libp2pWorld(nursery)


async def until(condition: Callable[[], object]) -> None:
    """Look every 10 ms, as anyone outside would have to; the test's `fail_after` bounds it."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.01)


async def until_peers(transport: Transport, *peers: PeerId) -> None:
    """Wait until `send` works towards all of these."""
    await until(lambda: transport.peers() >= set(peers))


async def until_listening(transport: Transport, topic: str, count: int) -> None:
    await until(lambda: len(transport.topic_peers(topic)) >= count)


async def until_counted(transport: Transport, counter: str) -> None:
    await until(lambda: transport.counters[counter])


async def connect(a: Transport, b: Transport) -> None:
    """Connected, and both ends know."""
    await a.connect(b.addresses[0])
    await until_peers(b, a.peer_id)
