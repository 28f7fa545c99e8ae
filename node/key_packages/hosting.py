"""The replica of a running node, if its operator serves others: a file of its own in the data directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from node.context import NodeContext
from node.data_dir import DataDir
from node.key_packages.serving import Replica
from node.key_packages.store import open_replica
from node.logs import logger
from node.peer_id import PeerId
from node.store import KEY_SIZE
from node.transport import MIB

_KEY: Final = "replica key"  # where the node's store keeps the key of the replica's

log = logger("replica")


@asynccontextmanager
async def open_replica_serving(context: NodeContext, nursery: trio.Nursery) -> AsyncIterator[None]:
    """Serve for as long as the block lasts, if `key_packages.serve` says so."""
    settings = context.config.key_packages
    if not settings.serve:
        yield
        return
    key = context.store.meta(_KEY)
    if key is None:
        key = context.random(KEY_SIZE)
        with context.store.transaction() as transaction:
            transaction.put_meta(_KEY, key)

    def is_contact(peer: PeerId) -> bool:
        row = context.store.contact(peer)
        return row is not None and bool(row.petname) and not row.blocked

    path = DataDir(context.config.data_dir).replica_path
    with open_replica(path, key, settings.quota_mb * MIB) as store:
        replica = Replica(store, context.now_ms, is_contact, admits_all=settings.admit == "anyone")
        replica.answer(context.transport)
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await replica.run()

        nursery.start_soon(run)
        log.info("replica open", owners=store.owner_count)
        try:
            yield
        finally:
            replica.close()
            scope.cancel()
