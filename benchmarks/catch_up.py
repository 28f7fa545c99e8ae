"""How long a node takes to come back: `python -m benchmarks.catch_up [--epochs 100] [--messages 1000] [--json]`.

Three nodes on libp2p over loopback, all in this one process, so their work is in the time too. The third
is stopped while the others decide and talk; measured is from its start until it stands where they stand and has read
everything.
"""

import argparse
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node import feed, logs
from node.config import Config, GroupSection, NodeSection
from node.daemon import Node, open_node
from node.data_dir import DataDir
from node.intents import ADD, DONE, UPDATE, AddBody
from node.session import Session
from node.setup import create_node, open_key, read_identity
from node.store import open_store
from node.transport import TransportConfig
from node.transport_libp2p import open_libp2p
from node.vault import KeyFile
from ordering import Policy

SUITE = 1
PATIENCE_S = 120.0


def made(folder: Path, name: str) -> Config:
    """A new node's folder."""
    config = Config(
        node=NodeSection(data_dir=str(folder / name), name=name, always_on=True), group=GroupSection(accept="anyone")
    )
    create_node(DataDir(config.data_dir), KeyFile(config.key_file_path))
    return config


@asynccontextmanager
async def running(config: Config, *addresses: str) -> AsyncIterator[Node]:
    """A node, connected to these."""
    with open_store(DataDir(config.data_dir).store_path, open_key(config).value) as store:
        seed = read_identity(store).key.to_bytes()
        async with open_libp2p(TransportConfig(), seed) as transport, open_node(config, store, transport) as node:
            for address in addresses:
                await node.connect(address)
            yield node


def session_of(node: Node) -> Session:
    (session,) = node.sessions.values()
    return session


async def change(node: Node, kind: str, body: bytes = b"") -> None:
    """Have a change certified."""
    row = await session_of(node).submit(kind, body)
    ended = await session_of(node).intent_ended(row.intent_id)
    assert ended.state == DONE, ended.error


def read_count(node: Node) -> int:
    """How many messages stand in the feed."""
    count, after = 0, 0
    while rows := node.context.store.feed_of_kind(session_of(node).group_id, feed.MESSAGE, after, 1000):
        count, after = count + len(rows), rows[-1].seq
    return count


async def measure(folder: Path, epochs: int, messages: int) -> float:
    """Seconds until everything is here."""
    ada_config, bob_config, cyn_config = (made(folder, name) for name in ("ada", "bob", "cyn"))
    async with running(ada_config) as ada, running(bob_config, ada.context.addresses()[0]) as bob:
        addresses = (ada.context.addresses()[0], bob.context.addresses()[0])
        await ada.create_group("g", SUITE, Policy())
        async with running(cyn_config, *addresses) as cyn:
            for other in (bob, cyn):
                peer = other.context.identity.peer_id
                await change(ada, ADD, AddBody(peer, await ada.key_package_of(peer, SUITE)).encode())
            with trio.fail_after(PATIENCE_S):
                while session_of(ada).agreement.instance.config.committee.size < 3 or any(  # noqa: ASYNC110 - nobody signals it
                    not each.sessions or session_of(each).holding.unconfirmed for each in (bob, cyn)
                ):
                    await trio.sleep(0.05)
        for number in range(epochs):
            for _ in range(messages // epochs):
                await session_of((ada, bob)[number % 2]).send(f"in epoch {number}")
            await change(ada, UPDATE)
        began_s = time.perf_counter()
        async with running(cyn_config, *addresses) as cyn:
            with trio.fail_after(PATIENCE_S):
                while session_of(cyn).holding.epoch < session_of(ada).holding.epoch or read_count(cyn) < messages:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            return time.perf_counter() - began_s


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logs.setup("error", "console")
    with tempfile.TemporaryDirectory() as folder:
        seconds = trio.run(measure, Path(folder), given.epochs, given.messages)
    if given.json:
        print(json.dumps({"bench": "catch_up", "n": given.epochs, "value": round(seconds, 3), "unit": "s"}))
    else:
        print(f"{given.epochs} epochs and {given.messages} messages: {seconds:.2f} s")


if __name__ == "__main__":
    main()
