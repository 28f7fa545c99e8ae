"""What a member remembers of its groups' mailboxes: the tables, what can be asked of them and changed in them.

The keys of each epoch's topic, what is to be deposited and where it is already, what each mailbox said it holds, and
what it was found to have done wrong.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import msgpack

TABLES: Final = """
CREATE TABLE topic_keys (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    seed BLOB NOT NULL,
    seal_key BLOB NOT NULL,
    PRIMARY KEY (group_id, epoch)
) STRICT;

CREATE TABLE deposits (
    group_id BLOB NOT NULL,
    ref BLOB NOT NULL, -- of a message its id, of a decision the id of what was decided
    epoch INTEGER NOT NULL,
    kind INTEGER NOT NULL, -- node.mailbox.sealing.ItemKind
    is_own INTEGER NOT NULL, -- 1: by us, and brought at once; 0: brought if nobody else does
    places BLOB NOT NULL, -- the mailboxes that have acknowledged it
    is_open INTEGER NOT NULL,
    PRIMARY KEY (group_id, ref)
) STRICT;
CREATE INDEX deposits_open ON deposits (group_id, epoch) WHERE is_open = 1;

CREATE TABLE mailbox_statements (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    mailbox TEXT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (group_id, epoch, mailbox)
) STRICT;

CREATE TABLE mailbox_faults (
    mailbox TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    count INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
"""

OF_A_GROUP: Final = ("topic_keys", "deposits", "mailbox_statements")
FAULTS_MAX: Final = 256  # mailboxes whose faults are remembered


@dataclass(frozen=True, slots=True)
class TopicKeysRow:
    """What members share about their mailboxes in one epoch."""

    group_id: bytes
    epoch: int
    seed: bytes = field(repr=False)
    seal_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DepositRow:
    """Something to leave at the mailboxes; `is_open` until all that are known have acknowledged it."""

    group_id: bytes
    ref: bytes
    epoch: int
    kind: int
    is_own: bool = True
    places: tuple[str, ...] = ()
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class FaultRow:
    """The latest thing a mailbox did wrong, and how often it did something wrong."""

    mailbox: str
    kind: str
    detail: str
    count: int
    at_ms: int


class MailboxReads:
    """The questions. Whoever derives from it knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    def topic_keys(self, group_id: bytes, epoch: int) -> TopicKeysRow | None:
        rows = self._rows(
            "SELECT group_id, epoch, seed, seal_key FROM topic_keys WHERE group_id = ? AND epoch = ?", group_id, epoch
        )
        return TopicKeysRow(*rows[0]) if rows else None

    def deposit(self, group_id: bytes, ref: bytes) -> DepositRow | None:
        rows = self._rows(f"{_DEPOSIT} WHERE group_id = ? AND ref = ?", group_id, ref)
        return _deposit(rows[0]) if rows else None

    def open_deposits(self, group_id: bytes, mailbox: str, limit: int) -> tuple[DepositRow, ...]:
        """What is ours to bring to a mailbox that has not acknowledged it, by epoch; so many at most."""
        rows = self._rows(
            f"{_DEPOSIT} WHERE group_id = ? AND is_open = 1 AND is_own = 1 AND instr(places, ?) = 0"
            " ORDER BY epoch, rowid LIMIT ?",
            group_id,
            mailbox.encode(),
            limit,
        )
        return tuple(map(_deposit, rows))

    def open_deposit_count(self, group_id: bytes, mailbox: str = "") -> int:
        """How much of ours some mailbox lacks; or this one."""
        sql = "SELECT count(*) FROM deposits WHERE group_id = ? AND is_open = 1 AND is_own = 1"
        if not mailbox:
            return int(self._rows(sql, group_id)[0][0])
        return int(self._rows(f"{sql} AND instr(places, ?) = 0", group_id, mailbox.encode())[0][0])

    def statement(self, group_id: bytes, epoch: int, mailbox: str) -> bytes | None:
        """The last thing a mailbox said it holds of an epoch."""
        rows = self._rows(
            "SELECT statement FROM mailbox_statements WHERE group_id = ? AND epoch = ? AND mailbox = ?",
            group_id,
            epoch,
            mailbox,
        )
        return rows[0][0] if rows else None

    def stated_epochs(self, group_id: bytes, mailbox: str) -> tuple[int, ...]:
        """The epochs that a mailbox has said something of, in order."""
        rows = self._rows(
            "SELECT epoch FROM mailbox_statements WHERE group_id = ? AND mailbox = ? ORDER BY epoch", group_id, mailbox
        )
        return tuple(epoch for (epoch,) in rows)

    def mailbox_fault(self, mailbox: str) -> FaultRow | None:
        rows = self._rows("SELECT mailbox, kind, detail, count, at_ms FROM mailbox_faults WHERE mailbox = ?", mailbox)
        return FaultRow(*rows[0]) if rows else None


class MailboxWrites(MailboxReads):
    """The changes, for use inside a transaction."""

    __slots__ = ()

    def put_topic_keys(self, row: TopicKeysRow) -> None:
        self._rows(
            "INSERT OR REPLACE INTO topic_keys VALUES (?, ?, ?, ?)", row.group_id, row.epoch, row.seed, row.seal_key
        )

    def put_deposit(self, row: DepositRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT INTO deposits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (group_id, ref) DO UPDATE SET"
            " places = ?6, is_open = ?7",
            row.group_id,
            row.ref,
            row.epoch,
            row.kind,
            row.is_own,
            msgpack.encode(row.places),
            row.is_open,
        )

    def put_statement(self, group_id: bytes, epoch: int, mailbox: str, statement: bytes) -> None:
        self._rows("INSERT OR REPLACE INTO mailbox_statements VALUES (?, ?, ?, ?)", group_id, epoch, mailbox, statement)

    def put_mailbox_fault(self, row: FaultRow) -> None:
        """Insert or replace; the mailbox that did nothing wrong for longest is forgotten first."""
        self._rows(
            "INSERT OR REPLACE INTO mailbox_faults VALUES (?, ?, ?, ?, ?)",
            row.mailbox,
            row.kind,
            row.detail,
            row.count,
            row.at_ms,
        )
        self._rows(
            "DELETE FROM mailbox_faults WHERE mailbox NOT IN"
            " (SELECT mailbox FROM mailbox_faults ORDER BY at_ms DESC LIMIT ?)",
            FAULTS_MAX,
        )

    def forget_mailboxes(self, group_id: bytes) -> None:
        """We are no member any more: the keys of all its topics go, and what we had to bring there."""
        for table in OF_A_GROUP:
            self._rows(f"DELETE FROM {table} WHERE group_id = ?", group_id)  # noqa: S608 - ours

    def prune_mailboxes(self, group_id: bytes, before_epoch: int) -> None:
        """Forget all this of the epochs below `before_epoch`."""
        for table in OF_A_GROUP:
            self._rows(f"DELETE FROM {table} WHERE group_id = ? AND epoch < ?", group_id, before_epoch)  # noqa: S608 - ours


_DEPOSIT = "SELECT group_id, ref, epoch, kind, is_own, places, is_open FROM deposits"


def _deposit(row: tuple[Any, ...]) -> DepositRow:
    group_id, ref, epoch, kind, is_own, places, is_open = row
    known = msgpack.decode(places, type=tuple[str, ...])
    return DepositRow(group_id, ref, epoch, kind, bool(is_own), known, bool(is_open))
