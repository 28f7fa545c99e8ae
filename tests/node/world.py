"""A small world of real nodes: real engine, agreement and store, over the in-memory network."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import trio

from node.config import (
    Config,
    DiscoverySection,
    GroupSection,
    KeyPackagesSection,
    MailboxSection,
    NodeSection,
    OrderingSection,
)
from node.daemon import Node, open_node
from node.data_dir import DataDir
from node.intents import ADD, ALREADY, DONE, OPT_IN, OPT_OUT, POLICY, REMOVE, UPDATE, AddBody, RemoveBody
from node.policies import PolicyBody
from node.session import Session
from node.setup import create_node, open_key, read_identity
from node.store import Store, open_store
from node.store_rows import IntentRow
from node.transport import Transport
from node.transport_memory import Conditions, MemoryNetwork, open_memory_network
from node.vault import KeyFile
from ordering import Committee, Policy

SUITE = 1
HOLDS = (DONE, ALREADY)
"""How a change ends that holds: by a commit of who asked for it, or carried by another member's."""


class Member:
    """One node of the world; `start` and `stop` may be repeated, the store stays."""

    def __init__(self, world: "World", name: str, always_on: bool) -> None:
        self.world = world
        self.name = name
        self.config = Config(
            node=NodeSection(data_dir=str(world.folder / name), name=name, always_on=always_on),
            ordering=world.ordering,
            group=GroupSection(suite=world.suite, accept=world.accept),
            mailbox=world.mailbox,
            discovery=world.discovery,
            key_packages=world.key_packages,
        )
        data_dir = DataDir(self.config.data_dir)
        if not data_dir.store_path.exists():
            create_node(data_dir, KeyFile(self.config.key_file_path))
        self.key = open_key(self.config)
        with open_store(data_dir.store_path, self.key.value) as store:
            self.peer_id = read_identity(store).peer_id
        self._running: Node | None = None
        self._scope: trio.CancelScope | None = None
        self._stopped = trio.Event()
        self.wrap_store: Callable[[Store], Store] = lambda store: store
        self.wrap_transport: Callable[[Transport], Transport] = lambda transport: transport
        self.survives: type[BaseException] | None = None  # what may end the node without ending the test

    @property
    def node(self) -> Node:
        assert self._running is not None, f"{self.name} is not running"
        return self._running

    @property
    def session(self) -> Session:
        """The only group's session."""
        (session,) = self.node.sessions.values()
        return session

    @property
    def epoch(self) -> int:
        return self.session.holding.epoch

    @property
    def address(self) -> str:
        """What others dial."""
        return f"/memory/{self.peer_id}/p2p/{self.peer_id}"

    async def start(self, *, alone: bool = False) -> None:
        """Run until `stop`, connected to everybody who runs, or to nobody."""
        await self.world.nursery.start(self._run)
        for other in self.world.members.values():
            if not alone and other is not self and other._running is not None:
                await self.node.context.transport.connect(other.address)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:  # type: ignore[name-defined]
        self._stopped = trio.Event()
        network = self.world.network
        transport = network.add(self.peer_id)
        with open_store(DataDir(self.config.data_dir).store_path, self.key.value) as store:
            assert read_identity(store).peer_id == self.peer_id
            try:
                with trio.CancelScope() as self._scope:
                    wrapped = self.wrap_store(store), self.wrap_transport(transport)
                    async with open_node(self.config, *wrapped) as self._running:
                        task_status.started()
                        await trio.sleep_forever()
            except BaseException as error:
                group = BaseExceptionGroup("the node ended", [error])
                if self.survives is None or group.split(self.survives)[1] is not None:
                    raise
            finally:
                self._running = None
                network.remove(self.peer_id)
                self._stopped.set()

    async def ended(self) -> None:
        """Wait until the node is no more, whatever ended it."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """End the node's tasks where they stand; nothing is said to anybody."""
        assert self._scope is not None
        self._scope.cancel()
        await self._stopped.wait()

    async def submit(self, kind: str, body: bytes = b"") -> IntentRow:
        return await self.session.submit(kind, body)

    async def change(self, kind: str, body: bytes = b"") -> IntentRow:
        """Submit and wait for the end."""
        row = await self.submit(kind, body)
        return await self.session.intent_ended(row.intent_id)

    async def add(self, other: "Member") -> IntentRow:
        package = await self.node.key_package_of(other.peer_id, SUITE)
        return await self.change(ADD, AddBody(other.peer_id, package).encode())

    async def remove(self, other: "Member") -> IntentRow:
        return await self.change(REMOVE, RemoveBody(other.peer_id).encode())

    async def update(self) -> IntentRow:
        return await self.change(UPDATE)

    async def opt_in(self) -> IntentRow:
        return await self.change(OPT_IN)

    async def opt_out(self) -> IntentRow:
        return await self.change(OPT_OUT)

    async def amend(self, wish: PolicyBody) -> IntentRow:
        """Change the ordering policy."""
        return await self.change(POLICY, wish.encode())

    @property
    def committee(self) -> Committee:
        """That of the epoch this node stands in."""
        return self.session.agreement.instance.config.committee

    @property
    def voters(self) -> list[str]:
        """Who is seated, by name."""
        names = {other.peer_id: other.name for other in self.world.members.values()}
        return [names[seat.identity.decode()] for seat in self.committee.seats]


class World:
    """The members and the network between them."""

    def __init__(self, folder: Path, network: MemoryNetwork, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.network = network
        self.nursery = nursery
        self.members: dict[str, Member] = {}
        self.suite = GroupSection().suite  # of groups that members made from now on found
        self.mailbox = MailboxSection()  # of members made from now on
        self.discovery = DiscoverySection()  # likewise
        self.key_packages = KeyPackagesSection(pool=2, replenish_below=1)  # likewise; few, since making them costs
        self.ordering = OrderingSection(delta_ms=200, status_period_ms=500, status_idle_period_ms=1000)
        self.accept: Literal["contacts", "anyone", "nobody"] = "anyone"  # of members made from now on

    async def member(self, name: str, *, always_on: bool = True, alone: bool = False) -> Member:
        """A new node, running."""
        member = self.members[name] = Member(self, name, always_on)
        await member.start(alone=alone)
        return member

    async def group_of(self, *names: str, committee: int) -> list[Member]:
        """A group founded by the first, the others added and opted in, until the committee has that size."""
        members = [await self.member(name) for name in names]
        await members[0].node.create_group("test", SUITE, Policy(delta_ms=200))
        for other in members[1:]:
            assert (await members[0].add(other)).state in HOLDS
        await until(lambda: all(m.node.sessions for m in members))
        await until(lambda: all(committee_size(m) == committee for m in members))
        await self.settled(*members)
        return members

    async def settled(self, *members: Member) -> None:
        """Until all stand in one epoch and nothing is under way."""

        def same() -> bool:
            return len({m.session.fingerprint() for m in members}) == 1 and not any(
                m.node.context.store.open_intents(m.session.group_id) for m in members
            )

        await until(same)


def committee_size(member: Member) -> int:
    if not member.node.sessions:
        return 0
    return member.session.agreement.instance.config.committee.size


async def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Poll on the (mock) clock; fails when it takes longer than any healthy run."""
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions span nodes, nobody signals them
            await trio.sleep(0.01)


@asynccontextmanager
async def open_world(folder: Path, seed: int = 1, conditions: Conditions | None = None) -> AsyncIterator[World]:
    """An empty world; everything in it ends with the block."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_memory_network(seed, conditions or Conditions()))
        async with trio.open_nursery() as nursery:
            yield World(folder, network, nursery)
            nursery.cancel_scope.cancel()
