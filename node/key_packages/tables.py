"""What a node keeps of its own key packages, and of the adds that wait for others' ones: tables, questions, changes."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from node.store_rows import (
    KEY_PACKAGE_AVAILABLE,
    KEY_PACKAGE_LAST_RESORT,
    KEY_PACKAGE_ONE_TIME,
    KEY_PACKAGE_RETIRED,
    KeyPackageRow,
)

TABLES: Final = """
CREATE TABLE wanted_packages (
    intent_id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    batch BLOB NOT NULL, -- what was asked for together
    peer TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, -- when its key package is to be claimed; 0: it is at hand
    reason TEXT NOT NULL -- why the last attempt came to nothing
) STRICT;
CREATE INDEX wanted_packages_by_batch ON wanted_packages (group_id, batch);
"""

MIGRATION: Final = (
    TABLES
    + """
ALTER TABLE key_packages ADD COLUMN suite INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key_packages ADD COLUMN digest BLOB NOT NULL DEFAULT x'';
ALTER TABLE key_packages ADD COLUMN place BLOB NOT NULL DEFAULT x'';
ALTER TABLE key_packages ADD COLUMN expires_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key_packages ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
UPDATE key_packages SET expires_s = unixepoch() + 7776000, changed_ms = unixepoch() * 1000;
CREATE INDEX key_packages_by_state ON key_packages (state, kind, suite);
"""
)
"""From the tables before there were replicas: what was handed out then is good for as long as it can be: 90 days."""

BATCHES_KEPT: Final = 16  # of a group: what became of that many adds of several can be asked after


@dataclass(frozen=True, slots=True)
class WantedRow:
    """An add, one of a batch, whose key package is to be claimed by this node itself, now or again."""

    intent_id: bytes
    group_id: bytes
    batch: bytes
    peer: str
    attempts: int
    due_ms: int
    reason: str = field(default="", repr=False)


class PackageReads:
    """The questions. Whoever derives from it knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    def key_package(self, reference: bytes) -> KeyPackageRow | None:
        rows = self._rows(f"{_KEY_PACKAGE} WHERE reference = ?", reference)
        return KeyPackageRow(*rows[0]) if rows else None

    def key_packages(
        self, kind: str | None = None, state: str | None = None, suite: int | None = None
    ) -> tuple[KeyPackageRow, ...]:
        """Our key packages, oldest first, narrowed by kind, state and cipher suite where given."""
        rows = self._rows(
            f"{_KEY_PACKAGE} WHERE kind = coalesce(?, kind) AND state = coalesce(?, state)"
            " AND suite = coalesce(?, suite) ORDER BY arrival",
            kind,
            state,
            suite,
        )
        return tuple(KeyPackageRow(*row) for row in rows)

    def key_package_references(self) -> frozenset[bytes]:
        """Of all key packages whose private keys are here."""
        return frozenset(row[0] for row in self._rows("SELECT reference FROM key_packages"))

    def key_packages_available(self, kind: str, suite: int | None = None, place: bytes | None = None) -> int:
        """How many nobody has yet, of one place where given."""
        sql = (
            "SELECT count(*) FROM key_packages WHERE state = ? AND kind = ?"
            " AND suite = coalesce(?, suite) AND place = coalesce(?, place)"
        )
        return int(self._rows(sql, KEY_PACKAGE_AVAILABLE, kind, suite, place)[0][0])

    def free_key_package(self, suite: int, after_s: int) -> KeyPackageRow | None:
        """The oldest one-time package that nobody has and no replica either, and that is good until then."""
        sql = f"{_KEY_PACKAGE} WHERE state = ? AND kind = ? AND suite = ? AND place = x'' AND expires_s > ?"
        bindings = (KEY_PACKAGE_AVAILABLE, KEY_PACKAGE_ONE_TIME, suite, after_s)
        rows = self._rows(f"{sql} ORDER BY arrival LIMIT 1", *bindings)
        return KeyPackageRow(*rows[0]) if rows else None

    def key_packages_gone(self) -> int:
        """How many of ours somebody has, or were withdrawn."""
        return int(self._rows("SELECT count(*) FROM key_packages WHERE state <> ?", KEY_PACKAGE_AVAILABLE)[0][0])

    def wanted_package(self, intent_id: bytes) -> WantedRow | None:
        rows = self._rows(f"{_WANTED} WHERE intent_id = ?", intent_id)
        return WantedRow(*rows[0]) if rows else None

    def wanted_packages(self, group_id: bytes, batch: bytes) -> tuple[WantedRow, ...]:
        """A batch, in the order in which it was asked for."""
        sql = f"{_WANTED} WHERE group_id = ? AND batch = ? ORDER BY rowid"
        return tuple(WantedRow(*row) for row in self._rows(sql, group_id, batch))

    def packages_due(self, now_ms: int) -> tuple[WantedRow, ...]:
        """What is to be claimed now, oldest first."""
        rows = self._rows(f"{_WANTED} WHERE due_ms BETWEEN 1 AND ? ORDER BY rowid", now_ms)
        return tuple(WantedRow(*row) for row in rows)

    def packages_waiting(self) -> tuple[WantedRow, ...]:
        """What is to be claimed now or later."""
        return tuple(WantedRow(*row) for row in self._rows(f"{_WANTED} WHERE due_ms > 0 ORDER BY rowid"))


class PackageWrites(PackageReads):
    """The changes, for use inside a transaction."""

    __slots__ = ()

    def put_key_package(self, row: KeyPackageRow) -> None:
        self._rows(
            "INSERT INTO key_packages (reference, bundle, kind, state, suite, digest, place, expires_s, changed_ms)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
            " ON CONFLICT (reference) DO UPDATE SET bundle = ?2, kind = ?3, state = ?4, changed_ms = ?9",
            row.reference,
            row.bundle,
            row.kind,
            row.state,
            row.suite,
            row.digest,
            row.place,
            row.expires_s,
            row.changed_ms,
        )

    def mark_key_packages(self, references: Iterable[bytes], state: str, now_ms: int) -> None:
        for reference in references:
            self._rows(
                "UPDATE key_packages SET state = ?, changed_ms = ? WHERE reference = ?", state, now_ms, reference
            )

    def use_key_package(self, reference: bytes, now_ms: int) -> None:
        """A group was joined by it. A one-time one is gone; a last resort is replaced, and stays for a while."""
        self._rows("DELETE FROM key_packages WHERE reference = ? AND kind <> ?", reference, KEY_PACKAGE_LAST_RESORT)
        self._rows(
            "UPDATE key_packages SET state = ?1, changed_ms = ?2 WHERE reference = ?3 AND state <> ?1",
            KEY_PACKAGE_RETIRED,
            now_ms,
            reference,
        )

    def delete_key_package(self, reference: bytes) -> None:
        self._rows("DELETE FROM key_packages WHERE reference = ?", reference)

    def retire_key_packages(self, before_s: int, place: bytes, now_ms: int) -> None:
        """Withdraw those that expire before a time, and one-time ones for other replicas than these."""
        self._rows(
            "UPDATE key_packages SET state = ?1, changed_ms = ?2 WHERE state = ?3"
            " AND (expires_s <= ?4 OR (place <> x'' AND place <> ?5))",
            KEY_PACKAGE_RETIRED,
            now_ms,
            KEY_PACKAGE_AVAILABLE,
            before_s,
            place,
        )

    def drop_key_packages(self, now_s: int, last_resorts_ms: int) -> int:
        """Forget those that have expired, and last resorts that were retired before a time; how many."""
        gone = self._rows(
            "DELETE FROM key_packages WHERE expires_s < ?1 OR (kind = ?2 AND state = ?3 AND changed_ms < ?4)"
            " RETURNING 1",
            now_s,
            KEY_PACKAGE_LAST_RESORT,
            KEY_PACKAGE_RETIRED,
            last_resorts_ms,
        )
        return len(gone)

    def drop_oldest_gone(self, count: int) -> None:
        """Forget so many of those, the oldest."""
        self._rows(
            "DELETE FROM key_packages WHERE arrival IN"
            " (SELECT arrival FROM key_packages WHERE state <> ? ORDER BY changed_ms, arrival LIMIT ?)",
            KEY_PACKAGE_AVAILABLE,
            count,
        )

    def put_wanted_package(self, row: WantedRow) -> None:
        """Insert or replace; of a group, only so many batches are remembered, those still under way apart."""
        self._rows(
            "INSERT INTO wanted_packages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (intent_id) DO UPDATE SET"
            " attempts = ?5, due_ms = ?6, reason = ?7",
            row.intent_id,
            row.group_id,
            row.batch,
            row.peer,
            row.attempts,
            row.due_ms,
            row.reason,
        )

    def prune_wanted_packages(self, group_id: bytes) -> None:
        """Forget all but the latest batches that have ended."""
        self._rows(
            "DELETE FROM wanted_packages WHERE group_id = ?1 AND batch IN (SELECT batch FROM wanted_packages"
            " WHERE group_id = ?1 GROUP BY batch HAVING max(due_ms) = 0 ORDER BY max(rowid) DESC LIMIT -1 OFFSET ?2)",
            group_id,
            BATCHES_KEPT,
        )


_KEY_PACKAGE: Final = (
    "SELECT reference, bundle, kind, state, suite, digest, place, expires_s, changed_ms FROM key_packages"
)
_WANTED: Final = "SELECT intent_id, group_id, batch, peer, attempts, due_ms, reason FROM wanted_packages"
