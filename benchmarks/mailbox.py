"""What a mailbox costs: durable ingest, bytes on its disk, and catching up through it alone. Everything over libp2p."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node import logs
from node.config import Config, GroupSection, MailboxSection, NodeSection
from node.daemon import Node, open_node
from node.data_dir import DataDir
from node.identity import Identity
from node.intents import ADD, UPDATE, AddBody
from node.mailbox.messages import Deposit
from node.mailbox.room import Limits
from node.mailbox.sealing import ItemKind, Topic, TopicKeys
from node.mailbox.serving import Mailbox
from node.mailbox.store import open_mailbox
from node.mailbox.visiting import Visit
from node.setup import create_node, open_key, read_identity
from node.store import open_store
from node.transport import MIB, TransportConfig
from node.transport_libp2p import open_libp2p
from node.vault import KeyFile
from ordering import Policy

MESSAGE_SIZE = 300  # bytes of a sealed message of a line or two
DEPOSITORS = 8
LISTEN = TransportConfig(listen=("/ip4/127.0.0.1/tcp/0",))


@dataclass(frozen=True, slots=True)
class Ingest:
    """So many messages by many at once, each durable when it was acknowledged."""

    per_s: float  # as the machine is, members and mailbox sharing it
    mailbox_cpu_s: float  # of the mailbox's process, for one message: what it could take with a core of its own
    stored_bytes: float  # of the file, for one message
    item_bytes: int


async def serve(folder: Path) -> None:
    """A mailbox in a process of its own: says where it is, serves until its input ends, then what it took to serve."""
    identity = Identity.generate(os.urandom)
    with open_mailbox(folder / "mailbox.db", bytes(32), Limits(1024 * MIB, 1024 * MIB, 30), os.urandom) as store:
        async with open_libp2p(LISTEN, identity.key.to_bytes()) as transport, trio.open_nursery() as nursery:
            mailbox = Mailbox(store, identity, os.urandom, lambda: time.time_ns() // 1_000_000)
            mailbox.answer(transport)
            nursery.start_soon(mailbox.run)
            print(transport.addresses[0], flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)  # the members are connected
            before_s = time.process_time()
            await trio.to_thread.run_sync(sys.stdin.readline)
            print(time.process_time() - before_s, flush=True)
            nursery.cancel_scope.cancel()
        store._rows("PRAGMA wal_checkpoint(TRUNCATE)")


async def ingest(folder: Path, count: int, together: int) -> Ingest:
    """Deposits of so many messages over libp2p, the mailbox in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mailbox", "--serve", str(folder)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = await _line(process.stdout)
        async with open_libp2p(TransportConfig(listen=()), os.urandom(32)) as asking:
            work = []
            for _ in range(DEPOSITORS):
                topic = Topic(TopicKeys(os.urandom(32), os.urandom(32)))
                items = [topic.seal(ItemKind.MESSAGE, os.urandom(MESSAGE_SIZE)) for _ in range(count // DEPOSITORS)]
                visit = Visit(asking, address, os.urandom(32))
                await visit.compare(topic, [])
                work.append((visit, topic, items))
            await process.stdin.send_all(b"begin\n")
            began_s = time.perf_counter()
            async with trio.open_nursery() as depositing:
                for visit, topic, items in work:
                    depositing.start_soon(_deposit, visit, topic, items, together)
            took_s = time.perf_counter() - began_s
            await process.stdin.send_all(b"end\n")
            cpu_s = float(await _line(process.stdout))
        await process.wait()
    finally:
        process.kill()
    stored = sum(len(items) for _, _, items in work)
    size = (folder / "mailbox.db").stat().st_size
    return Ingest(stored / took_s, cpu_s / stored, size / stored, len(items[0]))


async def _line(stream: trio.abc.ReceiveStream) -> str:
    said = b""
    while not said.endswith(b"\n"):
        more = await stream.receive_some()
        if not more:
            raise RuntimeError("the mailbox's process ended")
        said += more
    return said.decode().strip()


async def _deposit(visit: Visit, topic: Topic, items: Sequence[bytes], together: int) -> None:
    for first in range(0, len(items), together):
        await visit.deposit(topic, Deposit(tuple(items[first : first + together])))


@asynccontextmanager
async def running(folder: Path, mailbox: MailboxSection) -> AsyncIterator[Node]:
    """A node over libp2p, with the store of an earlier one in that folder."""
    config = Config(node=NodeSection(data_dir=str(folder)), group=GroupSection(accept="anyone"), mailbox=mailbox)
    data_dir = DataDir(config.data_dir)
    if not data_dir.store_path.exists():
        create_node(data_dir, KeyFile(config.key_file_path))
    with open_store(data_dir.store_path, open_key(config).value) as store:
        seed = read_identity(store).key.to_bytes()
        async with open_libp2p(LISTEN, seed) as transport, open_node(config, store, transport) as node:
            yield node


async def speak(folder: Path, messages: int) -> float:
    """Messages a second that one member says as fast as it can, until its mailbox has acknowledged all of them."""
    async with running(folder / "box", MailboxSection(serve=True)) as box:
        use = MailboxSection(use=box.context.transport.addresses[:1])
        async with running(folder / "ada", use) as ada:
            session = await ada.create_group("bench", 1, Policy(delta_ms=200))
            began_s = time.perf_counter()
            for number in range(messages):
                await session.send(str(number))
            while session.mailboxes.backlog:  # noqa: ASYNC110 - nobody signals it
                await trio.sleep(0.02)
            return messages / (time.perf_counter() - began_s)


async def catch_up(folder: Path, epochs: int, messages: int) -> float:
    """Seconds that a member who was away needs for so many epochs and messages, with nobody there but a mailbox."""
    async with running(folder / "box", MailboxSection(serve=True)) as box:
        use = MailboxSection(use=box.context.transport.addresses[:1])
        async with running(folder / "ada", use) as ada:
            session = await ada.create_group("bench", 1, Policy(delta_ms=200))
            async with running(folder / "bob", use) as bob:
                await ada.context.transport.connect(bob.context.transport.addresses[0])
                package = await ada.key_package_of(bob.context.identity.peer_id, 1)
                row = await session.submit(ADD, AddBody(bob.context.identity.peer_id, package).encode())
                await session.intent_ended(row.intent_id)
                while not bob.sessions:  # noqa: ASYNC110 - nobody signals it
                    await trio.sleep(0.01)
            for epoch in range(epochs):
                for number in range(messages // epochs):
                    await session.send(f"{epoch} {number}")
                row = await session.submit(UPDATE, b"")
                await session.intent_ended(row.intent_id)
            while session.mailboxes.backlog:  # noqa: ASYNC110 - nobody signals it
                await trio.sleep(0.05)
            last = session.holding.epoch
        async with running(folder / "bob", use) as bob:
            began_s = time.perf_counter()
            (session,) = bob.sessions.values()
            while session.holding.epoch < last:  # noqa: ASYNC110 - nobody signals it
                await trio.sleep(0.01)
            return time.perf_counter() - began_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mailbox", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)  # the mailbox's process
    given = parser.parse_args(arguments)
    if given.serve is not None:
        trio.run(serve, given.serve)
        return 0
    logs.setup("error", "console")
    share = 10 if given.quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for together in (1, 4, 16):
            (folder / str(together)).mkdir()
            taken = trio.run(ingest, folder / str(together), 4096 // share, together)
            print(
                f"ingest: {taken.per_s:.0f} messages/s in deposits of {together} from {DEPOSITORS} members at once,"
                f" each durable when acknowledged (target 300); {taken.mailbox_cpu_s * 1000:.2f} ms of the mailbox's"
                f" CPU for each: {1 / taken.mailbox_cpu_s:.0f}/s with a core of its own"
            )
        print(
            f"on disk: {taken.stored_bytes:.0f} bytes for a message of {MESSAGE_SIZE}, sealed in {taken.item_bytes}:"
            f" {taken.stored_bytes - taken.item_bytes:.0f} bytes of the store's own"
        )
        spoken = trio.run(speak, folder / "speak", 1000 // share)
        print(f"as a node brings them: {spoken:.0f} messages/s of one member, sealed, sent, stored, acknowledged")
        seconds = trio.run(catch_up, folder, 100 // share, 1000 // share)
        print(f"catch-up: {100 // share} epochs and {1000 // share} messages in {seconds:.1f} s (target 8)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
