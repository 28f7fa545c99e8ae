"""One order of a group's messages that all its members share, whenever and however each of them came by them.

By epoch, then by the sender's own clock, then by the message's id: nothing in it is of this node. A message that comes
late takes its place among those before it; so who reads in this order reads again. The feed's own numbers stay what
they are: the order in which this node learnt of things, in which nothing is ever put in between.

A sender can give its message any place within its epoch, and no other.
"""

from typing import Final, NamedTuple, Self

from node.errors import NodeError
from node.feed import MESSAGE, MessageBody
from node.store_reads import StoreReads
from node.store_rows import FeedRow

EPOCHS_PER_LOOK: Final = 64


class PlaceError(NodeError):
    """A place that no page ended with."""


class Place(NamedTuple):
    """Where a message stands."""

    epoch: int
    sent_ms: int
    message_id: bytes

    @classmethod
    def of(cls, row: FeedRow) -> Self:
        """Of a message in the feed."""
        return cls(row.epoch, MessageBody.decode(row.body).sent_ms, row.message_id or b"")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote; raises `PlaceError`."""
        epoch, _, rest = text.partition(".")
        sent_ms, _, message_id = rest.partition(".")
        try:
            return cls(int(epoch), int(sent_ms), bytes.fromhex(message_id))
        except ValueError as error:
            raise PlaceError(f"not a place in the shared order: {text!r}") from error

    def to_text(self) -> str:
        """For who goes on from here."""
        return f"{self.epoch}.{self.sent_ms}.{self.message_id.hex()}"


def messages_after(store: StoreReads, group_id: bytes, place: Place | None, limit: int) -> tuple[FeedRow, ...]:
    """So many messages after a place, None being the beginning, in the shared order."""
    found: list[FeedRow] = []
    epoch = 0 if place is None else place.epoch
    while len(found) < limit:
        epochs = store.feed_epochs(group_id, MESSAGE, epoch, EPOCHS_PER_LOOK)
        for each in epochs:
            rows = sorted(store.feed_of_epoch(group_id, MESSAGE, each), key=Place.of)
            found += [row for row in rows if place is None or Place.of(row) > place]
            if len(found) >= limit:
                break
        if len(epochs) < EPOCHS_PER_LOOK:
            break
        epoch = epochs[-1] + 1
    return tuple(found[:limit])
