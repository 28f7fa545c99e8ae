"""The decided chain as one file: an anchor and every entry after it, checkable by anyone without this node.

Bundles stay out: an entry names its bundle by hash, and commits are the group's business.
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from node.store_reads import PAGE_SIZE_MAX, StoreReads
from ordering import Anchor, Candidate, Decision, LogEntry, Wire

FILE_VERSION: Final = 1
FILE_SIZE_MAX: Final = 256 * 1024 * 1024
ENTRIES_MAX: Final = 1_000_000


class ChainFile(Wire, frozen=True):
    """What `conclave log export` writes."""

    SIZE_MAX: ClassVar[int] = FILE_SIZE_MAX

    anchor: Anchor
    entries: Annotated[tuple[LogEntry, ...], Meta(max_length=ENTRIES_MAX)]


def read_chain(store: StoreReads, anchor: Anchor) -> ChainFile:
    """The stored chain from an anchor up to where decision or bundle is missing, unchecked.

    Raises `OrderingError` for rows that cannot be read.
    """
    entries: list[LogEntry] = []
    while rows := store.decisions(anchor.group_id, anchor.epoch + len(entries), PAGE_SIZE_MAX):
        for row in rows:
            if row.candidate is None or row.epoch != anchor.epoch + len(entries):
                return ChainFile(anchor, tuple(entries))
            entries.append(LogEntry.of(Decision.decode(row.decision), Candidate.decode(row.candidate).bundle))
    return ChainFile(anchor, tuple(entries))
