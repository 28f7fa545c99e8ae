"""Mailboxes on the memory network, and members' side of them played by hand."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.identity import Identity
from node.mailbox.room import Limits
from node.mailbox.serving import Mailbox
from node.mailbox.store import open_mailbox
from node.transport import MIB
from node.transport_memory import MemoryNetwork
from node.transport_memory_node import MemoryTransport

ROOMY = Limits(64 * MIB, 16 * MIB, 30)


class Box:
    """A mailbox that runs by itself."""

    LIMITS = ROOMY

    def __init__(self, identity: Identity, mailbox: Mailbox, transport: MemoryTransport) -> None:
        self.identity = identity
        self.mailbox = mailbox
        self.transport = transport
        self.store = mailbox.store
        self.address = transport.addresses[0]
        self.now_ms = 1_800_000_000_000


@asynccontextmanager
async def open_box(network: MemoryNetwork, folder: Path, limits: Limits = ROOMY) -> AsyncIterator[Box]:
    """A mailbox in the network, for as long as the block lasts."""
    identity = Identity.generate(os.urandom)
    with open_mailbox(folder / "mailbox.db", bytes(32), limits, os.urandom) as store:
        async with trio.open_nursery() as nursery:
            transport = network.add(identity.peer_id)
            mailbox = Mailbox(store, identity, os.urandom, lambda: box.now_ms)
            box = Box(identity, mailbox, transport)
            mailbox.answer(transport)
            nursery.start_soon(mailbox.run)
            try:
                yield box
            finally:
                network.remove(identity.peer_id)
                nursery.cancel_scope.cancel()
