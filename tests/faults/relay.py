"""A relay that every connection between the nodes goes through, and the weather on each link.

A process of its own, so that the fork server of the nodes stays without threads. Commands come as lines of JSON on
standard input, the port is the only line of output; the relay ends with its input. Who connects says first who it is
and which port it wants. Bytes are never dropped, TCP would send them again: a *loss* holds up everything behind it for
a retransmission timeout that doubles with every loss in a row, and a *cut* holds up everything until it is mended.
"""

import asyncio
import json
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

HELLO: Final = struct.Struct("!HH")  # number of the node that dials, port that it dials
CHUNK: Final = 64 * 1024
QUEUE_MAX: Final = 256  # chunks under way on one connection in one direction
RTO_S: Final = 0.2
RTO_DOUBLINGS_MAX: Final = 4


@dataclass(slots=True)
class Weather:
    """How all links behave, and which are cut."""

    delay_s: tuple[float, float] = (0.0, 0.0)  # one way
    loss: float = 0.0  # of each chunk
    cuts: frozenset[frozenset[int]] = frozenset()


class Relay:
    """Everything that is under way."""

    def __init__(self) -> None:
        self.weather = Weather()
        self.nodes: dict[int, int] = {}  # port -> number
        self.chance = Random(1)
        self.changed = asyncio.Event()

    async def run(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await self._obey()

    async def _obey(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            self.nodes.update({int(port): number for port, number in command.get("nodes", {}).items()})
            if "weather" in command:
                told = command["weather"]
                cuts = frozenset(frozenset(pair) for pair in told["cuts"])
                self.weather = Weather(tuple(told["delay_s"]), told["loss"], cuts)
                self.changed.set()
                self.changed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            source, port = HELLO.unpack(await reader.readexactly(HELLO.size))
            link = frozenset((source, self.nodes[port]))
            await self._open(link)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await _first(self._pump(link, reader, far_writer), self._pump(link, far_reader, writer))
            finally:
                far_writer.close()
        writer.close()

    async def _open(self, link: frozenset[int]) -> None:
        """Wait until a link is whole."""
        while link in self.weather.cuts:
            await self.changed.wait()

    async def _pump(self, link: frozenset[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction of a connection, until it ends."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_MAX)
        await _first(self._take(reader, queue), self._give(link, queue, writer))

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        due_s, loop = 0.0, asyncio.get_running_loop()
        while chunk := await reader.read(CHUNK):
            due_s = max(due_s, loop.time() + self.chance.uniform(*self.weather.delay_s))
            for doubling in range(RTO_DOUBLINGS_MAX + 1):
                if self.chance.random() >= self.weather.loss:
                    break
                due_s += RTO_S * 2**doubling
            await queue.put((due_s, chunk))
        await queue.put((due_s, b""))
        await asyncio.Event().wait()  # until the other half has given everything

    async def _give(
        self, link: frozenset[int], queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await queue.get()
            if (left_s := due_s - loop.time()) > 0:
                await asyncio.sleep(left_s)
            await self._open(link)
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()


async def _first(*works: object) -> None:
    """Run these until one ends; the others end with it."""
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(OSError, asyncio.CancelledError):
                await task


def cuts_between(groups: Iterable[Iterable[int]]) -> list[list[int]]:
    """The links between nodes of different groups."""
    listed = [list(group) for group in groups]
    return [[a, b] for place, here in enumerate(listed) for there in listed[place + 1 :] for a in here for b in there]


if __name__ == "__main__":
    asyncio.run(Relay().run())
