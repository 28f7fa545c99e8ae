"""What the feed's entries say: one structure per kind, stored as msgpack in `FeedRow.body`.

The feed is the durable, numbered story of this node: what was received and sent, what was decided, what became of
an intent. The local API reads it; the demo's verdict is computed from it.
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from node.store_rows import FeedRow
from ordering import Wire

MESSAGE: Final = "message"
DECISION: Final = "decision"
INTENT: Final = "intent"
GROUP: Final = "group"
HEALTH: Final = "health"
CONTACT: Final = "contact"
INVITATION: Final = "invitation"
REQUEST: Final = "request"

NO_GROUP: Final = b""
"""The group of what is about none."""

TEXT_SIZE_MAX: Final = 32 * 1024
BODY_SIZE_MAX: Final = 256 * 1024


class Note(Wire, frozen=True):
    """The plaintext of an application message. `sent_ms` is the sender's clock, for people and for measuring only."""

    SIZE_MAX: ClassVar[int] = 4 * TEXT_SIZE_MAX + 64

    sent_ms: Annotated[int, Meta(ge=0, le=2**62)]
    text: Annotated[str, Meta(max_length=TEXT_SIZE_MAX)]


class MessageBody(Wire, frozen=True):
    """A message sent or received."""

    SIZE_MAX: ClassVar[int] = BODY_SIZE_MAX

    sender_leaf: int
    generation: int
    is_own: bool
    sent_ms: int
    text: str


class ChangeBody(Wire, frozen=True):
    """One thing a commit changed: kind, leaf and peer; the words are made when it is shown."""

    SIZE_MAX: ClassVar[int] = BODY_SIZE_MAX

    kind: str
    leaf_index: int
    peer: str


class DecisionBody(Wire, frozen=True):
    """A decided epoch."""

    SIZE_MAX: ClassVar[int] = BODY_SIZE_MAX

    candidate_id: bytes
    committer_leaf: int
    committer: str
    is_own: bool
    changes: tuple[ChangeBody, ...]
    view: int
    voters: tuple[str, ...]
    quorum: int
    committee_size: int
    latency_ms: int | None  # first heard of the candidate until decided here; None when caught up later
    rivals: int  # candidates of the epoch known here, the decided one included


class IntentBody(Wire, frozen=True):
    """An intent that has ended."""

    SIZE_MAX: ClassVar[int] = BODY_SIZE_MAX

    intent_id: bytes
    kind: str
    state: str
    peer: str
    epoch: int | None
    candidate_id: bytes
    error: str
    latency_ms: int


class NoticeBody(Wire, frozen=True):
    """Something to tell the user in words."""

    SIZE_MAX: ClassVar[int] = BODY_SIZE_MAX

    text: str


def news(
    kind: str, text: str, at_ms: int, *, group_id: bytes = NO_GROUP, epoch: int = 0, peer: str | None = None
) -> FeedRow:
    """An entry in words, to be appended in the transaction of what it tells of; then `context.feed.grew()`."""
    return FeedRow(group_id, kind, epoch, peer, None, NoticeBody(text).encode(), at_ms)
