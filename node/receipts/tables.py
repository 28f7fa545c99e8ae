"""What a member remembers about who has what: the tables, what can be asked of them and changed in them.

Of our own messages: in which epochs there are any, who was a member then, and whose word we have for which of them. Of
those of others: which we hold, and whether that was said to who is not here. Of the members: how far each has come.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Final

from msgspec import msgpack

from node.receipts.ranges import Ranges

TABLES: Final = """
CREATE TABLE spoken ( -- epochs in which there are messages of ours
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    leaf INTEGER NOT NULL, -- ours
    generations BLOB NOT NULL,
    audience BLOB NOT NULL,
    PRIMARY KEY (group_id, epoch)
) STRICT;

CREATE TABLE audiences ( -- the other members; the same in epoch after epoch, so kept once
    group_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    peers TEXT NOT NULL,
    PRIMARY KEY (group_id, digest)
) STRICT;

CREATE TABLE deliveries ( -- what a member has said that it has of ours
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    peer TEXT NOT NULL,
    generations BLOB NOT NULL,
    PRIMARY KEY (group_id, epoch, peer)
) STRICT;

CREATE TABLE heard ( -- what we have of others
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    leaf INTEGER NOT NULL,
    generations BLOB NOT NULL,
    is_marked INTEGER NOT NULL, -- 1: a mark of ours says so
    PRIMARY KEY (group_id, epoch, leaf)
) STRICT;
CREATE INDEX heard_unmarked ON heard (group_id, epoch) WHERE is_marked = 0;

CREATE TABLE marks (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL, -- in whose topic it lies
    item BLOB NOT NULL, -- the id it has at a mailbox
    ref BLOB NOT NULL, -- SHA-256 of the mark
    body BLOB, -- of ours the mark itself; NULL: another's, known already
    PRIMARY KEY (group_id, epoch, item)
) STRICT;

CREATE TABLE standings (
    group_id BLOB NOT NULL,
    peer TEXT NOT NULL,
    epoch INTEGER NOT NULL, -- it has come at least so far
    PRIMARY KEY (group_id, peer)
) STRICT;

CREATE TABLE releases (
    group_id BLOB NOT NULL,
    mailbox TEXT NOT NULL,
    epoch INTEGER NOT NULL, -- it was told that all members are past this one, and those before
    PRIMARY KEY (group_id, mailbox)
) STRICT;
"""

OF_EPOCHS: Final = ("spoken", "deliveries", "heard", "marks")
OF_A_GROUP: Final = (*OF_EPOCHS, "audiences", "standings", "releases")


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """An epoch in which there are messages of ours: their generations, and who was meant to read them."""

    epoch: int
    leaf: int
    generations: Ranges
    audience: bytes  # `audience` says who


class ReceiptReads:
    """The questions. Whoever derives from it knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    def spoken(self, group_id: bytes, first: int, last: int) -> tuple[SpokenRow, ...]:
        """The epochs among these, both included, in which there are messages of ours."""
        rows = self._rows(
            "SELECT epoch, leaf, generations, audience FROM spoken WHERE group_id = ? AND epoch BETWEEN ? AND ?"
            " ORDER BY epoch",
            group_id,
            first,
            last,
        )
        return tuple(SpokenRow(epoch, leaf, _ranges(ranges), audience) for epoch, leaf, ranges, audience in rows)

    def audience(self, group_id: bytes, digest: bytes) -> frozenset[str]:
        """The other members, by peer id."""
        rows = self._rows("SELECT peers FROM audiences WHERE group_id = ? AND digest = ?", group_id, digest)
        return frozenset(rows[0][0].split()) if rows else frozenset()

    def deliveries(self, group_id: bytes, epoch: int) -> dict[str, Ranges]:
        """What each member has said that it has of our messages of an epoch."""
        rows = self._rows("SELECT peer, generations FROM deliveries WHERE group_id = ? AND epoch = ?", group_id, epoch)
        return {peer: _ranges(ranges) for peer, ranges in rows}

    def delivery(self, group_id: bytes, epoch: int, peer: str) -> Ranges:
        """What one member has said."""
        rows = self._rows(
            "SELECT generations FROM deliveries WHERE group_id = ? AND epoch = ? AND peer = ?", group_id, epoch, peer
        )
        return _ranges(rows[0][0]) if rows else ()

    def own_messages(self, group_id: bytes, epoch: int, own: str, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        """The newest messages of ours in an epoch: id and `feed.MessageBody`."""
        rows = self._rows(
            "SELECT message_id, body FROM feed WHERE group_id = ? AND kind = 'message' AND epoch = ? AND sender = ?"
            " ORDER BY seq DESC LIMIT ?",
            group_id,
            epoch,
            own,
            limit,
        )
        return tuple((id, body) for id, body in rows)

    def own_kept_count(self, group_id: bytes, epoch: int, own: str) -> int:
        """How many messages of ours in an epoch are kept for the others."""
        sql = (
            "SELECT count(*) FROM messages WHERE group_id = ?1 AND epoch = ?2 AND message_id IN (SELECT message_id"
            " FROM feed WHERE group_id = ?1 AND kind = 'message' AND epoch = ?2 AND sender = ?3)"
        )
        return int(self._rows(sql, group_id, epoch, own)[0][0])

    def own_message_ids(self, group_id: bytes, own: str, limit: int) -> tuple[tuple[bytes, int], ...]:
        """The newest messages of ours: id and feed number."""
        rows = self._rows(
            "SELECT message_id, seq FROM feed WHERE group_id = ? AND kind = 'message' AND sender = ?"
            " ORDER BY seq DESC LIMIT ?",
            group_id,
            own,
            limit,
        )
        return tuple((id, seq) for id, seq in rows)

    def heard(self, group_id: bytes, epoch: int) -> dict[int, Ranges]:
        """What we have of others in an epoch, by leaf."""
        rows = self._rows(
            "SELECT leaf, generations FROM heard WHERE group_id = ? AND epoch = ? ORDER BY leaf", group_id, epoch
        )
        return {leaf: _ranges(ranges) for leaf, ranges in rows}

    def heard_of(self, group_id: bytes, epoch: int, leaf: int) -> Ranges:
        """The same of one leaf."""
        rows = self._rows(
            "SELECT generations FROM heard WHERE group_id = ? AND epoch = ? AND leaf = ?", group_id, epoch, leaf
        )
        return _ranges(rows[0][0]) if rows else ()

    def unmarked_epochs(self, group_id: bytes, limit: int) -> tuple[int, ...]:
        """Epochs of which we have something that no mark of ours tells, the newest first."""
        rows = self._rows(
            "SELECT DISTINCT epoch FROM heard WHERE group_id = ? AND is_marked = 0 ORDER BY epoch DESC LIMIT ?",
            group_id,
            limit,
        )
        return tuple(epoch for (epoch,) in rows)

    def mark_items(self, group_id: bytes, epoch: int) -> frozenset[bytes]:
        """The ids, at a mailbox, of the marks of others that are known."""
        rows = self._rows("SELECT item FROM marks WHERE group_id = ? AND epoch = ? AND body IS NULL", group_id, epoch)
        return frozenset(item for (item,) in rows)

    def own_marks(self, group_id: bytes, epoch: int) -> dict[bytes, bytes]:
        """Our own marks that lie in an epoch's topic: by reference, their ids at a mailbox."""
        rows = self._rows(
            "SELECT ref, item FROM marks WHERE group_id = ? AND epoch = ? AND body IS NOT NULL", group_id, epoch
        )
        return dict(rows)

    def own_mark(self, group_id: bytes, epoch: int, ref: bytes) -> bytes | None:
        """One of them."""
        rows = self._rows("SELECT body FROM marks WHERE group_id = ? AND epoch = ? AND ref = ?", group_id, epoch, ref)
        return rows[0][0] if rows else None

    def standings(self, group_id: bytes) -> dict[str, int]:
        """How far each member is known to have come."""
        return dict(self._rows("SELECT peer, epoch FROM standings WHERE group_id = ?", group_id))

    def released(self, group_id: bytes, mailbox: str) -> int:
        """The last epoch that a mailbox was told all are past; -1 for none."""
        rows = self._rows("SELECT epoch FROM releases WHERE group_id = ? AND mailbox = ?", group_id, mailbox)
        return rows[0][0] if rows else -1


class ReceiptWrites(ReceiptReads):
    """The changes, for use inside a transaction."""

    __slots__ = ()

    def put_spoken(self, group_id: bytes, row: SpokenRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT OR REPLACE INTO spoken VALUES (?, ?, ?, ?, ?)",
            group_id,
            row.epoch,
            row.leaf,
            msgpack.encode(row.generations),
            row.audience,
        )

    def put_audience(self, group_id: bytes, digest: bytes, peers: str) -> None:
        self._rows("INSERT OR IGNORE INTO audiences VALUES (?, ?, ?)", group_id, digest, peers)

    def put_delivery(self, group_id: bytes, epoch: int, peer: str, generations: Ranges) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?)", group_id, epoch, peer, msgpack.encode(generations)
        )

    def put_heard(self, group_id: bytes, epoch: int, leaf: int, generations: Ranges) -> None:
        """Insert or replace: something that no mark of ours tells yet."""
        self._rows(
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, 0)", group_id, epoch, leaf, msgpack.encode(generations)
        )

    def mark_heard(self, group_id: bytes, epoch: int) -> None:
        """What we have of this epoch was told."""
        self._rows("UPDATE heard SET is_marked = 1 WHERE group_id = ? AND epoch = ? AND is_marked = 0", group_id, epoch)

    def put_mark(
        self, group_id: bytes, epoch: int, item: bytes, ref: bytes, body: bytes | None, known_max: int
    ) -> None:
        """Keep one of ours, or remember another's; of an epoch so many at most are remembered."""
        if body is None:
            sql = "SELECT count(*) FROM marks WHERE group_id = ? AND epoch = ?"
            if self._rows(sql, group_id, epoch)[0][0] >= known_max:
                return
        self._rows("INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?, ?)", group_id, epoch, item, ref, body)

    def put_standing(self, group_id: bytes, peer: str, epoch: int) -> None:
        """A member has come at least so far."""
        self._rows(
            "INSERT INTO standings VALUES (?1, ?2, ?3) ON CONFLICT (group_id, peer) DO UPDATE SET"
            " epoch = max(epoch, ?3)",
            group_id,
            peer,
            epoch,
        )

    def drop_standing(self, group_id: bytes, peer: str) -> None:
        self._rows("DELETE FROM standings WHERE group_id = ? AND peer = ?", group_id, peer)

    def put_released(self, group_id: bytes, mailbox: str, epoch: int) -> None:
        """Insert or replace."""
        self._rows("INSERT OR REPLACE INTO releases VALUES (?, ?, ?)", group_id, mailbox, epoch)

    def forget_marks(self, group_id: bytes) -> None:
        """We are no member any more: what became of our messages stays, what was for the others goes."""
        for table in ("heard", "marks", "standings", "releases"):
            self._rows(f"DELETE FROM {table} WHERE group_id = ?", group_id)  # noqa: S608 - ours

    def prune_receipts(self, group_id: bytes, before_epoch: int) -> None:
        """Forget who has what of the epochs below `before_epoch`."""
        for table in OF_EPOCHS:
            self._rows(f"DELETE FROM {table} WHERE group_id = ? AND epoch < ?", group_id, before_epoch)  # noqa: S608 - ours
        self._rows(
            "DELETE FROM audiences WHERE group_id = ?1 AND digest NOT IN"
            " (SELECT audience FROM spoken WHERE group_id = ?1)",
            group_id,
        )


def _ranges(stored: bytes) -> Ranges:
    return msgpack.decode(stored, type=Ranges)
