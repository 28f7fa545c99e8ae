"""Many changes wanted at once: how many epochs they take, how long the last one waits, and how unequally they wait.

Real nodes (engine, agreement, store) in one process over the in-memory network, in virtual time: every link takes δ,
the work itself takes none. Each change adds somebody else, and all are asked for in the same instant.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from trio.testing import MockClock

from benchmarks.ordering_figures import Figure, Target, percentile
from mls import basic, create_key_package, frame, own_capabilities, suite
from node import logs
from node.config import Config, GroupSection, NodeSection, OrderingSection
from node.context import NodeContext
from node.daemon import Node, open_node
from node.data_dir import DataDir
from node.directory import lifetime_from
from node.electorate import PRIVATE_EXTENSIONS
from node.identity import Identity
from node.intents import ADD, ALREADY, DONE, AddBody
from node.session import Session
from node.setup import create_node, open_key
from node.store import open_store
from node.transport_memory import Conditions, open_memory_network
from node.vault import KeyFile
from ordering import Policy

SUITE: Final = 1
MEMBERS: Final = 8
COUNTS: Final = (2, 8, 32, 100)
DELAY_S: Final = 0.01  # δ
LIMIT_S: Final = 600.0
EPOCHS_MAX: Final = {100: Target(12)}
UNFAIRNESS_MAX: Final = Target(3.0)


def figures(*, quick: bool) -> Iterator[Figure]:
    """A group of its own for each number of changes."""
    logs.setup("error")
    for count in COUNTS[:3] if quick else COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            epochs, waits_s = trio.run(_contend, Path(folder), count, clock=MockClock(autojump_threshold=0.0))
        bench = f"contention/{MEMBERS} members"
        yield Figure(f"{bench}, epochs used", count, epochs, "epochs", EPOCHS_MAX.get(count))
        yield Figure(f"{bench}, until the last is certified", count, max(waits_s) / DELAY_S, "δ")
        yield Figure(f"{bench}, median wait", count, percentile(waits_s, 50) / DELAY_S, "δ")
        unfairness = max(waits_s) / percentile(waits_s, 50)
        yield Figure(f"{bench}, worst wait / median", count, unfairness, "×", UNFAIRNESS_MAX)


async def _contend(folder: Path, count: int) -> tuple[int, list[float]]:
    """(epochs used, the wait of each change in virtual seconds)."""
    waits_s: list[float] = []

    async def want(session: Session, body: bytes) -> None:
        began_s = trio.current_time()
        row = await session.submit(ADD, body)
        ended = await session.intent_ended(row.intent_id)
        if ended.state not in (DONE, ALREADY):
            raise RuntimeError(f"a change is {ended.state}: {ended.error}")
        waits_s.append(trio.current_time() - began_s)

    async with open_group(folder) as sessions:
        bodies = [_stranger() for _ in range(count)]
        before = sessions[0].holding.epoch
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                for number, body in enumerate(bodies):
                    nursery.start_soon(want, sessions[number % MEMBERS], body)
        return max(session.holding.epoch for session in sessions) - before, waits_s


@asynccontextmanager
async def open_group(folder: Path) -> AsyncIterator[list[Session]]:
    """A group of eight, seven of them voters; each member's session."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_memory_network(1, Conditions(delay_s=(DELAY_S, DELAY_S))))
        nodes: list[Node] = []
        for number in range(MEMBERS):
            config = Config(
                node=NodeSection(data_dir=str(folder / str(number)), always_on=True),
                ordering=OrderingSection(delta_ms=200, status_period_ms=500, status_idle_period_ms=2000),
                group=GroupSection(accept="anyone"),
            )
            identity = create_node(DataDir(config.data_dir), KeyFile(config.key_file_path))
            store = stack.enter_context(open_store(DataDir(config.data_dir).store_path, open_key(config).value))
            nodes.append(await stack.enter_async_context(open_node(config, store, network.add(identity.peer_id))))
        await network.connect_all()
        founder = await nodes[0].create_group("contention", SUITE, Policy(delta_ms=200))
        for node in nodes[1:]:
            peer = node.context.identity.peer_id
            package = await nodes[0].key_package_of(peer, SUITE)
            await founder.intent_ended((await founder.submit(ADD, AddBody(peer, package).encode())).intent_id)
        with trio.fail_after(LIMIT_S):
            while not _is_settled(nodes):  # noqa: ASYNC110 - spans nodes, nobody signals it
                await trio.sleep(0.1)
        await trio.sleep(30.0)  # whoever won lately is not made to wait for it any more
        yield [next(iter(node.sessions.values())) for node in nodes]


def _is_settled(nodes: list[Node]) -> bool:
    sessions = [session for node in nodes for session in node.sessions.values()]
    if len(sessions) < MEMBERS or len({session.fingerprint() for session in sessions}) != 1:
        return False
    if any(session.context.store.open_intents(session.group_id) for session in sessions):
        return False
    return all(session.agreement.instance.config.committee.size == 7 for session in sessions)


def _stranger() -> bytes:
    """An intent to add somebody who is not there: a member can add whoever gave a key package."""
    identity, signer = Identity.generate(os.urandom), suite(SUITE).generate_signature_key(os.urandom)
    bundle = create_key_package(
        SUITE,
        basic(identity.bind(signer.public, SUITE)),
        signer,
        lifetime_from(NodeContext.now_ms() // 1000),
        own_capabilities(PRIVATE_EXTENSIONS),
        (),
        (),
        os.urandom,
    )
    return AddBody(identity.peer_id, frame(bundle.key_package)).encode()
