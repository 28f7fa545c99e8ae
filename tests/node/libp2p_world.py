"""Real nodes on real sockets in one process, and a stranger with sockets of its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from node import feed
from node.config import Config, DiscoverySection, GroupSection, KeyPackagesSection, NodeSection
from node.daemon import Node, open_node
from node.data_dir import DataDir
from node.intents import ADD, DONE, UPDATE, AddBody
from node.session import Session
from node.setup import create_node, open_key, read_identity
from node.store import open_store
from node.transport import TransportConfig
from node.transport_libp2p import open_libp2p
from node.transport_streams import StreamTransport
from node.vault import KeyFile
from ordering import Policy

SUITE = 1


class Peer:
    """A running node and what tests ask of it."""

    def __init__(self, node: Node, transport: StreamTransport) -> None:
        self.node = node
        self.transport = transport

    @property
    def peer_id(self) -> str:
        return self.node.context.identity.peer_id

    @property
    def address(self) -> str:
        return self.transport.addresses[0]

    @property
    def session(self) -> Session:
        """The only group's session."""
        (session,) = self.node.sessions.values()
        return session

    @property
    def voters(self) -> int:
        return self.session.agreement.instance.config.committee.size if self.node.sessions else 0

    def texts(self) -> list[str]:
        """The messages read, oldest first."""
        rows = self.node.context.store.feed_of_kind(self.session.group_id, feed.MESSAGE, 0, 1000)
        return [feed.MessageBody.decode(row.body).text for row in rows]

    async def add(self, other: Peer) -> None:
        package = await self.node.key_package_of(other.peer_id, SUITE)
        await self._done(ADD, AddBody(other.peer_id, package).encode())

    async def update(self) -> None:
        """Refresh our keys, and be told that it is decided."""
        await self._done(UPDATE, b"")

    async def _done(self, kind: str, body: bytes) -> None:
        row = await self.session.submit(kind, body)
        assert (await self.session.intent_ended(row.intent_id)).state == DONE


@asynccontextmanager
async def open_peer(
    folder: Path,
    name: str,
    discovery: DiscoverySection | None = None,
    key_packages: KeyPackagesSection | None = None,
    suite: int = GroupSection().suite,
) -> AsyncIterator[Peer]:
    """A new node, always on, with every timer at its default."""
    config = Config(
        node=NodeSection(data_dir=str(folder / name), name=name, always_on=True),
        group=GroupSection(accept="anyone", suite=suite),
        discovery=discovery or DiscoverySection(),
        key_packages=key_packages or KeyPackagesSection(pool=2, replenish_below=1),
    )
    data_dir = DataDir(config.data_dir)
    create_node(data_dir, KeyFile(config.key_file_path))
    with open_store(data_dir.store_path, open_key(config).value) as store:
        seed = read_identity(store).key.to_bytes()
        async with open_libp2p(TransportConfig(), seed) as transport, open_node(config, store, transport) as node:
            yield Peer(node, transport)


class Stranger:
    """Somebody with a key and a connection, who is in no group and keeps to no protocol."""

    def __init__(self, transport: StreamTransport, victim: Peer) -> None:
        self.transport = transport
        self.victim = victim

    async def stream(self, protocol: str) -> Any:
        """A stream to the victim, for bytes of the stranger's choice; dials again when it was thrown out."""
        await self.transport.connect(self.victim.address)
        wire: Any = self.transport._wire
        return await wire.open_stream(self.victim.peer_id, protocol)

    async def throw(self, protocol: str, data: bytes) -> None:
        """Bytes on a stream of their own, and gone."""
        stream = await self.stream(protocol)
        await stream.write(data)
        await trio.sleep(0.01)
        await stream.reset()

    async def tcp(self) -> trio.SocketStream:
        """A bare connection to the victim's port."""
        return await trio.open_tcp_stream("127.0.0.1", int(self.victim.address.split("/")[4]))


class Scene:
    """A group of three voters, each in its own node, and a stranger connected to the first."""

    def __init__(self, peers: tuple[Peer, ...], stranger: Stranger) -> None:
        self.peers = peers
        self.victim, self.bob, self.cyn = peers
        self.stranger = stranger

    async def under(self, attack: Callable[[], Any]) -> None:
        """The group decides and talks while the attack runs, and after it; nothing was restarted, nobody was cut."""
        tasks = [peer.session for peer in self.peers]
        epoch = self.victim.session.holding.epoch
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attack)
            with trio.fail_after(30):
                await self.victim.update()
                await self.bob.update()
        with trio.fail_after(30):
            await self.victim.update()
            await self.cyn.update()
            await self.bob.session.send(f"after epoch {epoch}")
            await until(lambda: all(peer.texts()[-1:] == [f"after epoch {epoch}"] for peer in self.peers))
            await until(lambda: len({peer.session.fingerprint() for peer in self.peers}) == 1)
        assert self.victim.session.holding.epoch >= epoch + 4
        assert [peer.session for peer in self.peers] == tasks
        assert not self.victim.transport.counters["handlers_failed"]
        assert self.victim.transport.peers() >= {self.bob.peer_id, self.cyn.peer_id}


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    """The group is formed from one acquaintance: those who are added know only who adds them."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_peer(folder, name)) for name in ("ada", "bob", "cyn")]
        ada, *others = opened
        await ada.node.create_group("test", SUITE, Policy())
        for other in others:
            await other.node.connect(ada.address)
            await until(lambda other=other: other.peer_id in ada.transport.peers())  # type: ignore[misc]
            await ada.add(other)
        with trio.fail_after(30):
            await until(lambda: all(peer.voters == 3 for peer in opened))
        seed = hashlib.sha256(b"stranger").digest()
        transport = await stack.enter_async_context(open_libp2p(TransportConfig(listen=()), seed))
        await transport.connect(ada.address)
        yield Scene(tuple(opened), Stranger(transport, ada))


async def until(condition: Callable[[], bool]) -> None:
    """Look every 10 ms; the caller bounds it."""
    while not condition():  # noqa: ASYNC110 - conditions span nodes, nobody signals them
        await trio.sleep(0.01)
