"""The events' retention: the latest so many are told to whoever asks, and older ones leave the disk.

Messages stay, as history, and so do decisions as long as their certificates: both have readers of their own
(`group read`, `group log`). Up to where events are no longer told is written in the transaction that deletes them, so a
reader that was away for too long is always told so, and never skips silently.
"""

from typing import Final

import trio

from node import feed
from node.context import NodeContext
from node.logs import logger
from node.store_reads import StoreReads

TRIM_PERIOD_S: Final = 60.0
EVENTS_PER_STEP: Final = 4096  # of one transaction
_CUT: Final = "events/cut"

log = logger("trimming")


def events_cut(store: StoreReads) -> int:
    """The number up to which events are no longer told."""
    return int.from_bytes(store.meta(_CUT) or b"", "big")


async def trim(context: NodeContext) -> int:
    """Forget the oldest events above the bound, step by step; returns up to which number."""
    while (cut := events_cut(context.store)) < (wanted := context.store.feed_head() - context.config.retention.events):
        with context.store.transaction() as transaction:
            transaction.trim_feed(cut, end := min(wanted, cut + EVENTS_PER_STEP), keep=(feed.MESSAGE, feed.DECISION))
            transaction.put_meta(_CUT, end.to_bytes(8, "big"))
        await trio.lowlevel.checkpoint()
    return cut


async def keep_trimming(context: NodeContext) -> None:
    """While the node runs. A disk that is full has other things to tell than that events stay a while longer."""
    while True:
        try:
            await trim(context)
        except Exception as error:  # noqa: BLE001 - the database's own; it is tried again
            log.warning("events not trimmed", error=type(error).__name__)
        await trio.sleep(TRIM_PERIOD_S)
