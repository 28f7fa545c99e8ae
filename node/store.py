"""The node's encrypted database: one file, one writer, one transaction per step.

SQLite with every page encrypted and authenticated (ChaCha20-Poly1305, SQLite3 Multiple Ciphers), the write-ahead
log too. A transaction is synchronous on purpose: it is bounded by one fsync, and no other task can run in
the middle of it. ``synchronous=FULL`` makes the end of the ``with`` block mean *durable*, which every "disk before
wire" rule of the node leans on.

``secure_delete`` overwrites deleted rows in the database file only; the log keeps old pages until it is
truncated. So whoever deletes a secret (an epoch's keys) calls ``checkpoint()`` after that transaction.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from node.errors import NodeError, NodeMisuseError
from node.store_reads import StoreReads
from node.store_rows import IntentRow, OutboxRow, ParkedRow
from node.store_schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION
from node.store_writes import ConflictError, Digests, GuardError, Transaction

__all__ = [
    "KEY_SIZE",
    "ConflictError",
    "Database",
    "GuardError",
    "Schema",
    "SchemaVersionError",
    "Store",
    "StoreError",
    "StoreKeyError",
    "Transaction",
    "open_database",
    "open_store",
]

KEY_SIZE: Final = 32
BUSY_TIMEOUT_MS: Final = 250  # only an offline reader can be in the way, and only of a checkpoint


class StoreError(NodeError):
    """The database could not do what was asked: disk full, file damaged, constraint broken."""


class StoreKeyError(StoreError):
    """The key does not open this file, or the file is no database."""


class SchemaVersionError(StoreError):
    """The file was written by another version of this program, and there is no way from there to here."""

    def __init__(self, path: Path, found: int, supported: int = SCHEMA_VERSION) -> None:
        super().__init__(f"store {path} has schema version {found}; this program reads version {supported}")
        self.found = found
        self.supported = supported


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of store, and the steps from one version of them to the next."""

    version: int
    script: str
    migrations: Mapping[int, str]


class Database:
    """An open file of tables that are another part's business: statements, and one durable transaction at a time."""

    __slots__ = ("_connection", "_path")

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""
        return _run(self._connection, self._path, sql, bindings)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block is durable at its end, or nothing of it. Must not contain an ``await``."""
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self.rows("ROLLBACK")
            raise


class Store(StoreReads):
    """An open store. Questions may be asked at any time, changes go through ``transaction()``."""

    __slots__ = (
        "_connection",
        "_digests",
        "_empty",
        "_has_begun",
        "_open_intents",
        "_path",
        "_together",
        "_transaction",
    )

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._transaction: Transaction | None = None
        self._together = self._has_begun = False
        self._digests = Digests()
        self._open_intents: dict[bytes, tuple[IntentRow, ...]] = {}
        self._empty: set[tuple[str, bytes]] = set()  # tables in which a group is known to have no row

    def open_intents(self, group_id: bytes) -> tuple[IntentRow, ...]:
        """As everywhere; asked several times for every change of a group, so what was read is kept until it changes."""
        if self._transaction is not None:
            return super().open_intents(group_id)
        if group_id not in self._open_intents:
            self._open_intents[group_id] = super().open_intents(group_id)
        return self._open_intents[group_id]

    def outbox(self, group_id: bytes | None = None) -> tuple[OutboxRow, ...]:
        """As everywhere; asked in every epoch, and mostly there is nothing."""
        if group_id is None or self._transaction is not None:
            return super().outbox(group_id)
        if ("outbox", group_id) in self._empty:
            return ()
        rows = super().outbox(group_id)
        if not rows:
            self._empty.add(("outbox", group_id))
        return rows

    def parked(self, group_id: bytes, epoch: int) -> tuple[ParkedRow, ...]:
        """Likewise."""
        if self._transaction is not None:
            return super().parked(group_id, epoch)
        if ("parked", group_id) in self._empty:
            return ()
        rows = super().parked(group_id, epoch)
        if not rows and not self.parked_count(group_id):
            self._empty.add(("parked", group_id))
        return rows

    def __repr__(self) -> str:
        return f"Store({str(self._path)!r})"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One atomic, durable step: everything in the block happens, or nothing of it did.

        Must not contain an ``await``; a second one inside it, by whatever task, is a ``NodeMisuseError``.
        """
        if self._transaction is not None:
            raise NodeMisuseError("a transaction is already open in this store; one step, one transaction")
        begin, commit, undo = "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"
        if self._together:
            if not self._has_begun:
                self._rows(begin)
                self._has_begun = True
            begin, commit, undo = "SAVEPOINT step", "RELEASE step", "ROLLBACK TO step; RELEASE step"
        self._rows(begin)
        transaction = self._transaction = Transaction(self._rows, self._digests)
        try:
            yield transaction
            self._rows(commit)
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have rolled it back already
                self._rows(undo)
            raise
        finally:
            for group_id in transaction.changed_intents:
                self._open_intents.pop(group_id, None)
            self._empty -= transaction.filled
            transaction.end()
            self._transaction = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """The transactions in the block become durable at its end, with one wait for the disk instead of many.

        Nothing that they explain may leave before that, so the block must not contain an ``await``. Each of them is
        still all or nothing; when the block fails, those that ended are kept, since memory knows of them. A block in
        which nothing is changed costs nothing.
        """
        if self._transaction is not None or self._together:
            raise NodeMisuseError("a transaction is already open in this store; one step, one transaction")
        self._together, self._has_begun = True, False
        try:
            yield
        except BaseException:
            self._together = False
            self._forget()
            if self._connection.in_transaction:
                self._commit()
            raise
        self._together = False
        if not self._has_begun:
            return
        if not self._connection.in_transaction:
            self._forget()
            raise StoreError(f"store {self._path}: a step was lost with the transaction it was in")
        self._commit()

    def _forget(self) -> None:
        """What was read in a block that is lost."""
        self._open_intents.clear()
        self._empty.clear()

    def _commit(self) -> None:
        try:
            self._rows("COMMIT")
        except BaseException:
            self._forget()
            if self._connection.in_transaction:
                self._rows("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in the block is all of one moment, whatever another process writes meanwhile."""
        self._rows("BEGIN")
        try:
            yield
        finally:
            self._rows("COMMIT")

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the database and truncate it, so that deleted secrets leave the disk.

        False when an offline reader was in the way; the next call tries again.
        """
        if self._transaction is not None or self._together:
            raise NodeMisuseError("checkpoint inside a transaction")
        busy, _, _ = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not busy

    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        return _run(self._connection, self._path, sql, bindings)


@contextmanager
def open_store(path: Path, key: bytes, *, read_only: bool = False) -> Iterator[Store]:
    """Open the store at ``path``, creating it (mode 0600) when it is not there, and close it at the end.

    ``read_only`` is for tools beside a running node: nothing is created, migrated or changed. The exclusive
    right to write belongs to whoever holds the lock of the data directory.
    Raises ``StoreKeyError`` for a wrong key, ``SchemaVersionError`` for a version this program does not know,
    ``StoreError`` for everything the disk refuses.
    """
    with _opened(path, key, Schema(SCHEMA_VERSION, SCHEMA, MIGRATIONS), read_only) as connection:
        yield Store(connection, path)


@contextmanager
def open_database(path: Path, key: bytes, schema: Schema) -> Iterator[Database]:
    """Open a file of other tables, as encrypted and as durable as the store; errors as for ``open_store``."""
    with _opened(path, key, schema, read_only=False) as connection:
        yield Database(connection, path)


@contextmanager
def _opened(path: Path, key: bytes, schema: Schema, read_only: bool) -> Iterator[apsw.Connection]:
    if len(key) != KEY_SIZE:
        raise NodeMisuseError(f"a store key has {KEY_SIZE} bytes, not {len(key)}")
    connection = _connect(path, read_only)
    try:
        _unlock(connection, path, key)
        database = Database(connection, path)
        _configure(connection, database.rows, read_only)
        _bring_up_to_date(database, path, schema, read_only)
        yield connection
    finally:
        connection.close()


def _run(connection: apsw.Connection, path: Path, sql: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
    try:
        rows: list[tuple[Any, ...]] = connection.execute(sql, bindings).fetchall()
    except apsw.ConnectionClosedError as error:
        raise NodeMisuseError("the store is closed") from error
    except (apsw.Error, OverflowError) as error:
        raise StoreError(f"store {path}: {error}") from error
    return rows


def _connect(path: Path, read_only: bool) -> apsw.Connection:
    if not getattr(apsw, "mc_version", None):
        raise StoreError("the installed apsw cannot encrypt; install apsw-sqlite3mc and remove apsw")
    try:
        if read_only:
            return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # log and index inherit this mode
        return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except (apsw.Error, OSError) as error:
        raise StoreError(f"store {path} cannot be opened: {error}") from error


def _unlock(connection: apsw.Connection, path: Path, key: bytes) -> None:
    try:
        connection.pragma("cipher", "chacha20")
        connection.pragma("key", f"raw:{key.hex()}")  # already a uniform key: no passphrase stretching here
    except apsw.Error:
        raise StoreError(f"store {path}: the cipher could not be set up") from None  # the message may quote the key
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.NotADBError as error:
        raise StoreKeyError(f"store {path}: the key does not open it, or it is no Conclave store") from error
    except apsw.Error as error:
        raise StoreError(f"store {path}: {error}") from error


def _configure(connection: apsw.Connection, rows: Callable[[str], object], read_only: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    rows("PRAGMA temp_store = MEMORY")  # SQLite's own spill files would not be encrypted
    if read_only:
        return
    rows("PRAGMA journal_mode = WAL")
    rows("PRAGMA synchronous = FULL")
    rows("PRAGMA secure_delete = ON")


def _bring_up_to_date(database: Database, path: Path, schema: Schema, read_only: bool) -> None:
    version = int(database.rows("PRAGMA user_version")[0][0])
    if version == schema.version:
        return
    fresh = version == 0 and not database.rows("SELECT 1 FROM sqlite_schema LIMIT 1")
    steps = [schema.script] if fresh else [schema.migrations.get(step) for step in range(version, schema.version)]
    if read_only or not steps or None in steps:
        raise SchemaVersionError(path, version, schema.version)
    with database.transaction():
        for script in steps:
            database.rows(str(script))
        database.rows(f"PRAGMA user_version = {schema.version}")
