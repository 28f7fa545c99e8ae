"""The events' retention: the latest so many are told to whoever asks, and older ones leave the disk.

Messages stay, as history, and so do decisions as long as their certificates: both have readers of their own
(`group read`, `group log`). Up to where events are no longer told is written in the transaction that deletes them, so a
reader that was away for too long is always told so, and never skips silently.
"""

from typing import Final

import trio

from node import feed
from node.context import NodeContext
from node.store_reads import StoreReads

TRIM_PERIOD_S: Final = 60.0
EVENTS_PER_STEP: Final = 4096  # of one transaction
_CUT: Final = "events/cut"


def events_cut(store: StoreReads) -> int:
    """The number up to which events are no longer told."""
    return int.from_bytes(store.meta(_CUT) or b"", "big")


def trim(context: NodeContext) -> int:
    """Forget the oldest events above the bound; returns up to which number."""
    wanted = context.store.feed_head() - context.config.retention.events
    cut = events_cut(context.store)
    while cut < wanted:
        begin, cut = cut, min(wanted, cut + EVENTS_PER_STEP)
        with context.store.transaction() as transaction:
            transaction.trim_feed(begin, cut, keep=(feed.MESSAGE, feed.DECISION))
            transaction.put_meta(_CUT, cut.to_bytes(8, "big"))
    return cut


async def keep_trimming(context: NodeContext) -> None:
    """While the node runs."""
    while True:
        trim(context)
        await trio.sleep(TRIM_PERIOD_S)
