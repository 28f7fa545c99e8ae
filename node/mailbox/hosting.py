"""The mailbox of a running node, if its operator has switched it on: a file of its own in the data directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from node.context import NodeContext
from node.data_dir import DataDir
from node.logs import logger
from node.mailbox.admission import Admission
from node.mailbox.room import Limits
from node.mailbox.serving import Mailbox
from node.mailbox.store import open_mailbox
from node.store import KEY_SIZE
from node.transport import MIB

MAILBOX_KEY: Final = "mailbox key"  # where the node's store keeps the key of the mailbox's

log = logger("mailbox")


@asynccontextmanager
async def open_serving(context: NodeContext, nursery: trio.Nursery) -> AsyncIterator[None]:
    """Serve for as long as the block lasts, if `mailbox.serve` says so."""
    settings = context.config.mailbox
    if not settings.serve:
        yield
        return
    key = context.store.meta(MAILBOX_KEY)
    if key is None:
        key = context.random(KEY_SIZE)
        with context.store.transaction() as transaction:
            transaction.put_meta(MAILBOX_KEY, key)
    limits = Limits(settings.quota_mb * MIB, settings.topic_quota_mb * MIB, settings.retention_days)
    path = DataDir(context.config.data_dir).mailbox_path
    with open_mailbox(path, key, limits, context.random) as store:
        mailbox = Mailbox(store, context.identity, context.random, context.now_ms, Admission(context).admits)
        mailbox.answer(context.transport)
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await mailbox.run()

        nursery.start_soon(run)
        log.info("mailbox open", size=store.size)
        try:
            yield
        finally:
            mailbox.close()
            scope.cancel()
