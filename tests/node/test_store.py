"""The store as a whole: atomic, durable, encrypted on disk, and refused where it cannot be trusted."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import NodeMisuseError
from node.receipts.tables import OF_A_GROUP as RECEIPTS
from node.store import SchemaVersionError, Store, StoreError, StoreKeyError, open_store
from node.store_reads import DamageError
from node.store_rows import (
    CandidateRow,
    DecisionRow,
    FeedRow,
    GroupRow,
    IntentRow,
    KeyPackageRow,
    MessageRow,
    OutboxRow,
    ParkedRow,
    PeerRow,
    Pieces,
)
from node.store_schema import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))
CANARY = b"canary in the coal mine"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path, KEY) as store:
        yield store


def on_disk(path: Path) -> bytes:
    """Every byte of the database, its log and its index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    with open_store(path, KEY) as store, store.transaction() as tx:
        tx.put_meta("identity", b"seed")
    with open_store(path, KEY) as store:
        assert store.meta("identity") == b"seed"
        assert store.meta("unknown") is None


def test_an_exception_leaves_everything_as_it_was(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_meta("a", b"before")

    def half_a_step() -> None:
        with store.transaction() as tx:
            tx.put_meta("a", b"after")
            tx.append_feed(FeedRow(b"g", "message", 1, "p", b"id", b"text", 0))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_a_step()
    assert store.meta("a") == b"before"
    assert store.feed_head() == 0
    with store.transaction() as tx:
        tx.put_meta("a", b"later")
    assert store.meta("a") == b"later"


def test_a_refused_statement_rolls_the_whole_step_back(store: Store) -> None:
    intent = IntentRow(b"i", b"g", "add", b"", "queued", None, None, 1)
    with store.transaction() as tx:
        tx.put_intent(intent)

    def step() -> None:
        with store.transaction() as tx:
            tx.put_meta("a", b"1")
            tx.put_intent(intent)

    with pytest.raises(StoreError, match="UNIQUE"):
        step()
    assert store.meta("a") is None


def test_a_second_transaction_inside_the_first_is_a_bug_and_harms_neither(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_meta("a", b"1")
        with pytest.raises(NodeMisuseError, match="already open"), store.transaction():
            pytest.fail("nested")
        with pytest.raises(NodeMisuseError, match="checkpoint inside"):
            store.checkpoint()
        tx.put_meta("b", b"2")
    assert (store.meta("a"), store.meta("b")) == (b"1", b"2")


def test_steps_together_are_durable_together(store: Store, path: Path) -> None:
    """One wait for the disk instead of two; another reader sees both or neither."""
    with store.together():
        with store.transaction() as tx:
            tx.put_meta("a", b"1")
        with open_store(path, KEY, read_only=True) as other:
            assert other.meta("a") is None
        with store.transaction() as tx:
            assert tx.meta("a") == b"1"
            tx.put_meta("b", b"2")
        with pytest.raises(NodeMisuseError, match="checkpoint inside"):
            store.checkpoint()
        with pytest.raises(NodeMisuseError, match="already open"), store.together():
            pytest.fail("nested")
    with open_store(path, KEY, read_only=True) as other:
        assert (other.meta("a"), other.meta("b")) == (b"1", b"2")
    with store.transaction() as tx:
        tx.put_meta("a", b"3")
    assert store.meta("a") == b"3"


def test_open_intents_are_those_on_the_disk(store: Store) -> None:
    """They are kept in memory between changes; what was rolled back has not happened."""
    group_id = b"g"

    def put(intent_id: bytes) -> None:
        with store.transaction() as tx:
            tx.put_intent(IntentRow(intent_id, group_id, "update", b"", "open", None, None, 0))
            assert intent_id in {each.intent_id for each in store.open_intents(group_id)}
            if intent_id == b"lost":
                raise RuntimeError("half way")

    def ids() -> list[bytes]:
        return [each.intent_id for each in store.open_intents(group_id)]

    def lose() -> None:
        with store.together():
            put(b"3")
            assert ids() == [b"1", b"2", b"3"]
            store._rows("ROLLBACK")

    assert ids() == []
    put(b"1")
    assert ids() == [b"1"]
    with pytest.raises(RuntimeError, match="half way"):
        put(b"lost")
    assert ids() == [b"1"]
    with store.together():
        put(b"2")
        assert ids() == [b"1", b"2"]
    with pytest.raises(StoreError, match="was lost"):
        lose()
    assert ids() == [b"1", b"2"]
    with store.transaction() as tx:
        tx.update_intent(b"1", "done", 1)
    assert ids() == [b"2"]
    with store.transaction() as tx:
        tx.delete_group(group_id)
    assert ids() == []


def test_steps_that_change_nothing_together_leave_the_disk_alone(store: Store, path: Path) -> None:
    """Frames are taken in together, and most of them change nothing on the disk: another writer is not in the way."""
    with open_store(path, KEY) as other, store.together(), other.transaction() as tx:
        tx.put_meta("a", b"1")
    assert store.meta("a") == b"1"


def test_of_steps_together_each_is_all_or_nothing(store: Store) -> None:
    """What ended is kept, for memory knows of it; what failed half way leaves nothing."""

    def second() -> None:
        with store.transaction() as tx:
            tx.put_meta("a", b"2")
            raise RuntimeError("half way")

    def both() -> None:
        with store.together():
            with store.transaction() as tx:
                tx.put_meta("a", b"1")
            second()

    with pytest.raises(RuntimeError, match="half way"):
        both()
    assert store.meta("a") == b"1"
    with store.together():
        with store.transaction() as tx:
            tx.put_meta("b", b"1")
        with pytest.raises(RuntimeError, match="half way"):
            second()
        with store.transaction() as tx:
            tx.put_meta("c", b"1")
    assert [store.meta(key) for key in "abc"] == [b"1", b"1", b"1"]


def test_a_lost_step_is_not_passed_over_in_silence(store: Store) -> None:
    """A full disk may roll back all that was together."""

    def lost() -> None:
        with store.together():
            with store.transaction() as tx:
                tx.put_meta("a", b"1")
            store._rows("ROLLBACK")

    with pytest.raises(StoreError, match="was lost"):
        lost()
    assert store.meta("a") is None


def test_a_transaction_is_of_no_use_after_its_block(store: Store) -> None:
    """A reference kept by mistake would write outside any transaction."""
    with store.transaction() as tx:
        pass
    with pytest.raises(NodeMisuseError, match="has ended"):
        tx.put_meta("a", b"1")
    with pytest.raises(NodeMisuseError, match="has ended"):
        tx.meta("a")


def test_a_closed_store_says_so(path: Path) -> None:
    with open_store(path, KEY) as store:
        pass
    with pytest.raises(NodeMisuseError, match="closed"):
        store.meta("a")


def test_every_transaction_is_synced_and_deleted_rows_are_overwritten(store: Store) -> None:
    assert store._rows("PRAGMA journal_mode") == [("wal",)]
    assert store._rows("PRAGMA synchronous") == [(2,)]  # FULL
    assert store._rows("PRAGMA secure_delete") == [(1,)]
    assert store._rows("PRAGMA temp_store") == [(2,)]  # MEMORY
    assert store._rows("PRAGMA cipher") == [("chacha20",)]


def test_nothing_readable_lies_on_disk(path: Path) -> None:
    """Neither rows nor the schema, neither in the database nor in its write-ahead log."""
    text = CANARY.decode()
    with open_store(path, KEY) as store:
        for _ in range(2):  # first into the log, then through a checkpoint into the database, then the log again
            with store.transaction() as tx:
                tx.put_meta(text, CANARY)
                tx.put_group(GroupRow(CANARY, text, 1, CANARY * 999, text, False, False, CANARY))
                tx.put_candidate(CandidateRow(CANARY, 1, CANARY, CANARY, CANARY, (CANARY,)))
                tx.put_ordering_record(CANARY, 1, text, CANARY)
                tx.append_feed(FeedRow(CANARY, text, 1, text, None, CANARY, 0))
                tx.put_message(MessageRow(CANARY, 1, CANARY, CANARY, 0))
                tx.park(ParkedRow(CANARY, 1, CANARY, CANARY))
                tx.put_outbox(OutboxRow(CANARY, text, 1, text, CANARY, 0))
                tx.put_key_package(KeyPackageRow(CANARY, CANARY))
                tx.put_peer(PeerRow(text, (text,), text))
            assert path.with_name("store.db-wal").stat().st_size > 0
            found = on_disk(path)
            for plain in (CANARY, b"SQLite format 3", b"CREATE TABLE", b"snapshot", KEY, KEY.hex().encode()):
                assert plain not in found
            assert store.checkpoint()
            assert path.with_name("store.db-wal").stat().st_size == 0
    assert CANARY not in on_disk(path)


def test_the_files_are_for_their_owner_only(store: Store, path: Path) -> None:
    with store.transaction() as tx:
        tx.put_meta("a", b"1")
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3


def test_a_wrong_key_is_refused_clearly_and_changes_nothing(path: Path) -> None:
    with open_store(path, KEY) as store, store.transaction() as tx:
        tx.put_meta("a", b"1")
    before = on_disk(path)
    with pytest.raises(StoreKeyError, match="the key does not open it"), open_store(path, bytes(32)):
        pytest.fail("opened")
    assert on_disk(path) == before
    with open_store(path, KEY) as store:
        assert store.meta("a") == b"1"


def test_a_plain_database_or_any_other_file_is_not_taken_for_a_store(path: Path) -> None:
    for content in (b"SQLite format 3\0" + bytes(4080), b"hello" * 1000):
        path.write_bytes(content)
        with pytest.raises(StoreKeyError), open_store(path, KEY):
            pytest.fail("opened")


def test_a_key_of_another_size_is_a_bug(path: Path) -> None:
    with pytest.raises(NodeMisuseError, match="32 bytes"), open_store(path, b"short"):
        pytest.fail("opened")
    assert not path.exists()


def test_the_key_does_not_show_in_errors_or_reprs(store: Store, path: Path) -> None:
    assert KEY.hex() not in repr(store)
    assert repr(store) == f"Store({str(path)!r})"


def test_a_flipped_byte_in_any_page_is_noticed(path: Path) -> None:
    """Pages are authenticated: a damaged or altered store must not become different rows."""
    with open_store(path, KEY) as store, store.transaction() as tx:
        tx.put_group(GroupRow(b"g", "", 1, CANARY * 1000, "ok", False, False))
    good = path.read_bytes()
    for page in range(0, len(good), 4096):
        path.write_bytes(good[: page + 200] + bytes([good[page + 200] ^ 1]) + good[page + 201 :])
        with pytest.raises(StoreError), open_store(path, KEY, read_only=True) as store:
            assert store._rows("PRAGMA integrity_check") == [("ok",)]


def test_a_directory_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"), open_store(tmp_path / "no" / "store.db", KEY):
        pytest.fail("opened")


def test_an_unknown_schema_version_is_refused_naming_both(path: Path) -> None:
    with open_store(path, KEY) as store:
        store._rows("PRAGMA user_version = 99")
    before = on_disk(path)
    with pytest.raises(SchemaVersionError, match=f"version 99; this program reads version {SCHEMA_VERSION}"):
        open_store(path, KEY).__enter__()
    assert on_disk(path) == before


def test_a_store_without_a_version_but_with_tables_is_refused(path: Path) -> None:
    with open_store(path, KEY) as store:
        store._rows("PRAGMA user_version = 0")
    with pytest.raises(SchemaVersionError, match="schema version 0"), open_store(path, KEY):
        pytest.fail("opened")


def test_a_known_older_version_is_migrated_in_one_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(path, KEY) as store, store.transaction() as tx:
        tx.put_meta("a", b"1")
    now, later = SCHEMA_VERSION, SCHEMA_VERSION + 2
    monkeypatch.setattr("node.store.SCHEMA_VERSION", later)
    monkeypatch.setattr("node.store.MIGRATIONS", {now: "CREATE TABLE extra (x) STRICT;", now + 1: "SELECT 1"})
    with pytest.raises(StoreError), open_store(path, KEY):  # a STRICT table wants column types
        pytest.fail("opened")
    steps = {now: "CREATE TABLE extra (x ANY) STRICT;", now + 1: "DROP TABLE extra"}
    monkeypatch.setattr("node.store.MIGRATIONS", steps)
    with pytest.raises(SchemaVersionError), open_store(path, KEY, read_only=True):
        pytest.fail("a reader migrated")
    with open_store(path, KEY) as store:
        assert store._rows("PRAGMA user_version") == [(later,)]
        assert store.meta("a") == b"1"
    monkeypatch.undo()
    with pytest.raises(SchemaVersionError, match=f"schema version {later}"), open_store(path, KEY):
        pytest.fail("opened")


def test_a_store_of_version_1_opens_with_its_groups_whole_and_its_decisions_dated(path: Path) -> None:
    """Its snapshots stay in one piece until their group is written next; its decisions begin to age now."""
    with open_store(path, KEY) as store:
        with store.transaction() as tx:
            tx.put_group(GroupRow(b"g", "one", 1, b"whole", "ok", False, False, b"extra"))
            tx.put_decision(DecisionRow(b"g", 0, b"id", b"decision", None))
        today = columns(store)
        for back in (
            "ALTER TABLE groups DROP COLUMN pieces",
            "DROP TABLE group_pieces",
            "ALTER TABLE decisions DROP COLUMN at_ms",
            "DROP INDEX intents_open",
            *(f"DROP TABLE {name}" for name in ("contacts", "invitations", "invites", "requests", "joins")),
            *(f"DROP TABLE {name}" for name in ("mailbox_faults", "mailbox_statements", "deposits", "topic_keys")),
            "DROP TABLE tokens",
            *(f"DROP TABLE {name}" for name in RECEIPTS),
            "DROP TABLE wanted_packages",
            "DROP INDEX key_packages_by_state",
            *(
                f"ALTER TABLE key_packages DROP COLUMN {name}"
                for name in ("suite", "digest", "place", "expires_s", "changed_ms")
            ),
            "PRAGMA user_version = 1",
        ):
            store._rows(back)

    with open_store(path, KEY) as store:
        assert columns(store) == today
        row, decision = store.group(b"g"), store.decision(b"g", 0)
        assert row == GroupRow(b"g", "one", 1, b"whole", "ok", False, False, b"extra")
        assert decision is not None
        assert decision.at_ms > 1_600_000_000_000
        after = GroupRow(b"g", "one", 1, Pieces(b"public", (b"newer", b"older"), b"present"), "ok", False, False)
        with store.transaction() as tx:
            tx.put_group(after)
        assert store.group(b"g") == after


def columns(store: Store) -> dict[str, list[tuple[object, ...]]]:
    tables = [name for (name,) in store._rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {
        name: store._rows(f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')") for name in tables
    }


def test_a_message_writes_little_of_a_large_group(store: Store) -> None:
    """A snapshot comes in pieces; those that are stored are not written again, those that are gone are deleted."""
    large = CANARY * 10_000
    first = GroupRow(b"g", "", 1, Pieces(large, (b"one", b"two"), b"present"), "ok", False, False)
    with store.transaction() as tx:
        tx.put_group(first)
    written = store._rows("SELECT total_changes()")[0][0]
    again = GroupRow(b"g", "", 1, Pieces(large, (b"one", b"two"), b"later"), "ok", False, False)
    with store.transaction() as tx:
        tx.put_group(again)
    assert store._rows("SELECT total_changes()")[0][0] == written + 1
    assert store.group(b"g") == again

    next_epoch = GroupRow(b"g", "", 2, Pieces(b"next", (b"zero", b"one"), b"present"), "ok", False, False)
    with store.transaction() as tx:
        tx.put_group(next_epoch)
    assert store.group(b"g") == next_epoch
    assert len(store.piece_digests(b"g")) == 3
    with store.transaction() as tx:
        tx.put_group(GroupRow(b"g", "", 2, None, "removed", False, True))
    assert not store.piece_digests(b"g")


def test_a_piece_that_is_missing_is_told(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_group(GroupRow(b"g", "", 1, Pieces(b"public", (b"past",), b"present"), "ok", False, False))
    store._rows("DELETE FROM group_pieces WHERE data = ?", b"past")
    with pytest.raises(DamageError, match="missing"):
        store.group(b"g")


def test_a_piece_of_a_step_that_was_undone_is_written_by_the_next(store: Store) -> None:
    """What is remembered about pieces may not outlive the transaction that was to write them."""
    pieces = Pieces(b"public", (), b"present")

    def half_a_step() -> None:
        with store.transaction() as tx:
            tx.put_group(GroupRow(b"g", "", 1, pieces, "ok", False, False))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_step()
    with store.transaction() as tx:
        tx.put_group(GroupRow(b"g", "", 1, pieces, "ok", False, False))
    assert store.group(b"g") == GroupRow(b"g", "", 1, pieces, "ok", False, False)


def test_a_reader_beside_the_node_sees_what_is_committed_and_changes_nothing(store: Store, path: Path) -> None:
    """`conclave log verify` and the demo's verdict read the stores of running and of stopped nodes."""
    with store.transaction() as tx:
        tx.put_meta("a", b"1")
    with open_store(path, KEY, read_only=True) as reader:
        assert reader.meta("a") == b"1"
        with store.transaction() as tx:
            tx.put_meta("a", b"2")
            assert reader.meta("a") == b"1"
        assert reader.meta("a") == b"2"
        with pytest.raises(StoreError, match="readonly"), reader.transaction() as tx:
            tx.put_meta("a", b"3")
    assert store.meta("a") == b"2"


def test_a_stopped_nodes_store_can_be_read_and_a_missing_one_is_not_created(path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"), open_store(path, KEY, read_only=True):
        pytest.fail("opened")
    assert not path.exists()
    with open_store(path, KEY) as store, store.transaction() as tx:
        tx.put_meta("a", b"1")
    with open_store(path, KEY, read_only=True) as reader:
        assert reader.meta("a") == b"1"


CRASH = """
import sys, time
from pathlib import Path
from node.store import open_store
from node.store_rows import GuardRow, OutboxRow
with open_store(Path(sys.argv[1]), bytes(range(32))) as store:
    with store.transaction() as tx:
        tx.put_meta("step", b"1")
        tx.put_guard(GuardRow(b"g", 1, 0, 1, 0, b"first", b""))
    with store.transaction() as tx:
        tx.put_meta("step", b"2")
        tx.put_meta("large", bytes(5_000_000))  # more than the cache: pages spill into the log before the commit
        tx.put_guard(GuardRow(b"g", 1, 0, 2, 0, b"second", b""))
        if sys.argv[2] == "inside":
            print("now", flush=True)
            time.sleep(60)
    print("now", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("moment", "step", "signed"), [("inside", b"1", b"first"), ("after", b"2", b"second")])
def test_a_killed_process_leaves_the_step_whole_or_undone(path: Path, moment: str, step: bytes, signed: bytes) -> None:
    child = subprocess.Popen([sys.executable, "-c", CRASH, str(path), moment], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"now\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    with open_store(path, KEY) as store:
        guard = store.guard(b"g")
        assert store.meta("step") == step
        assert guard is not None
        assert guard.signed == signed
        assert (store.meta("large") is None) == (moment == "inside")
        assert store._rows("PRAGMA integrity_check") == [("ok",)]


def test_a_reader_sees_one_moment_while_the_node_goes_on_writing(store: Store, path: Path) -> None:
    """What `log verify` reads in several questions belongs together, also beside a running daemon."""
    with store.transaction() as tx:
        tx.put_meta("a", b"1")
    with open_store(path, KEY, read_only=True) as reader:
        with reader.snapshot():
            assert reader.meta("a") == b"1"
            with store.transaction() as tx:
                tx.put_meta("a", b"2")
                tx.put_meta("b", b"2")
            assert (reader.meta("a"), reader.meta("b")) == (b"1", None)
        assert reader.meta("a") == b"2"


@pytest.mark.parametrize("table", ["parked", "outbox"])
def test_what_was_empty_is_found_once_something_is_there(store: Store, table: str) -> None:
    """That there is nothing is kept in memory until there may be something; what is lost with its block is unknown."""
    group_id = b"g"

    def put(payload: bytes) -> None:
        with store.transaction() as tx:
            if table == "parked":
                tx.park(ParkedRow(group_id, 5, payload, payload))
            else:
                tx.put_outbox(OutboxRow(group_id, "welcome", 5, "peer", payload, 0))

    def found() -> list[bytes]:
        return [row.payload for row in (store.parked(group_id, 5) if table == "parked" else store.outbox(group_id))]

    def drop() -> None:
        with store.transaction() as tx:
            if table == "parked":
                tx.drop_parked(group_id, 5)
            else:
                tx.delete_outbox([row.id for row in tx.outbox(group_id)])

    def lose() -> None:
        with store.together():
            drop()
            assert found() == []
            store._rows("ROLLBACK")

    for _ in range(2):
        assert found() == []
        put(b"1")
        assert found() == [b"1"]
        drop()
    assert found() == []
    put(b"2")
    with pytest.raises(StoreError, match="was lost"):
        lose()
    assert found() == [b"2"]


def test_what_is_parked_for_later_is_found_then(store: Store) -> None:
    with store.transaction() as tx:
        tx.park(ParkedRow(b"g", 5, b"1", b"1"))
    assert store.parked(b"g", 4) == ()
    assert len(store.parked(b"g", 5)) == 1
