"""A recorder on a node's wire: everything it said, to be said again by somebody else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from node.transport import PeerId, RequestError, Transport
from tests.node.world import Member, World


class Recorder:
    """What several nodes said."""

    def __init__(self) -> None:
        self.frames: list[tuple[PeerId, bytes]] = []  # to whom
        self.hints: list[tuple[str, bytes]] = []
        self.requests: list[tuple[PeerId, str, bytes]] = []
        self.unnamed: list[tuple[str, str, bytes]] = []  # to mailboxes

    def wrap(self, inner: Transport) -> Transport:
        return cast(Transport, Recorded(inner, self))

    async def member(self, world: World, name: str) -> Member:
        """A new node whose every word is kept."""
        member = await world.member(name)
        await member.stop()
        member.wrap_transport = self.wrap
        await member.start()
        return member

    async def replay(self, speaker: Transport, listeners: Collection[PeerId]) -> int:
        """All of it again, by another node and to everybody; how much was refused."""
        refused = 0
        for _, payload in list(self.frames):
            for listener in listeners:
                await speaker.send(listener, payload)
        for topic, payload in list(self.hints):
            speaker.subscribe(topic)
            await speaker.publish(topic, payload)
        for _, protocol, payload in list(self.requests):
            for listener in listeners:
                try:
                    await speaker.request(listener, protocol, payload)
                except RequestError:
                    refused += 1
        return refused


class Recorded:
    """A transport that notes what goes out."""

    def __init__(self, inner: Transport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, peer: PeerId, payload: bytes) -> bool:
        self._recorder.frames.append((peer, payload))
        return await self._inner.send(peer, payload)

    async def publish(self, topic: str, payload: bytes) -> None:
        self._recorder.hints.append((topic, payload))
        await self._inner.publish(topic, payload)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, **named: Any) -> bytes:
        self._recorder.requests.append((peer, protocol, payload))
        return await self._inner.request(peer, protocol, payload, **named)

    async def request_unnamed(self, address: str, protocol: str, payload: bytes, **named: Any) -> bytes:
        self._recorder.unnamed.append((address, protocol, payload))
        return await self._inner.request_unnamed(address, protocol, payload, **named)
