"""What can be changed in the store, always inside one transaction.

``Transaction`` is what ``Store.transaction()`` hands out: every question of ``StoreReads`` and every
change. Its changes become durable together when the ``with`` block ends, or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from hashlib import sha256
from typing import Any, Final

from msgspec import msgpack

from node.contacts.tables import ContactWrites
from node.errors import NodeError, NodeMisuseError
from node.key_packages.tables import PackageWrites
from node.mailbox.tables import OF_A_GROUP, MailboxWrites
from node.receipts.tables import OF_A_GROUP as RECEIPTS_OF_A_GROUP
from node.receipts.tables import ReceiptWrites
from node.store_reads import PAGE_SIZE_MAX, StoreReads
from node.store_rows import (
    EPOCH_MAX,
    CandidateRow,
    DecisionRow,
    FeedRow,
    GroupRow,
    GuardRow,
    IntentRow,
    MessageRow,
    OutboxRow,
    ParkedRow,
    PeerRow,
    Pieces,
)
from node.tokens.tables import TokenWrites

PARKED_PER_GROUP_MAX: Final = 1024
"""Most messages of future epochs kept for one group; peers choose what arrives early."""

PARKED_BYTES_PER_GROUP_MAX: Final = 8 * 2**20
"""Most bytes of such messages kept for one group."""


class GuardError(NodeError):
    """A vote at or below a position already signed at: signing it could be equivocation."""


class ConflictError(NodeError):
    """A second, different decision for an epoch that has one: more liars than the committee tolerates."""


class Digests:
    """What the pieces last written hash to. They are the same objects from message to message, and large."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[tuple[bytes, bytes], ...]] = {}

    def of(self, group_id: bytes, pieces: Pieces) -> tuple[bytes, ...]:
        """The digests of all pieces but the last; hashed anew only where an object is another one."""
        known = {id(data): digest for data, digest in self._known.get(group_id, ())}
        wanted = (pieces.public, *pieces.past)
        found = tuple((data, known.get(id(data)) or sha256(data).digest()) for data in wanted)
        self._known[group_id] = found  # which keeps the objects, and so their ids, alive
        return tuple(digest for _, digest in found)

    def forget(self, group_id: bytes) -> None:
        """The group is no more ours, and its secrets shall not stay in memory."""
        self._known.pop(group_id, None)


class Transaction(StoreReads, ContactWrites, MailboxWrites, ReceiptWrites, TokenWrites, PackageWrites):
    """One atomic step. Use it inside its ``with`` block only, and never across an ``await``."""

    __slots__ = ("_digests", "_run", "changed_intents", "filled")

    def __init__(self, run: Callable[..., list[tuple[Any, ...]]], digests: Digests) -> None:
        self._run: Callable[..., list[tuple[Any, ...]]] | None = run
        self._digests = digests
        self.changed_intents = set[bytes]()  # of these groups
        self.filled = set[tuple[str, bytes]]()  # tables, and groups that may have rows there now

    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        if self._run is None:
            raise NodeMisuseError("this transaction has ended; begin another one")
        return self._run(sql, *bindings)

    def end(self) -> None:
        """Make every later use an error. Called by the store when the block is left."""
        self._run = None

    # meta

    def put_meta(self, key: str, value: bytes) -> None:
        self._rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def delete_meta(self, key: str) -> None:
        self._rows("DELETE FROM meta WHERE key = ?", key)

    # groups

    def put_group(self, row: GroupRow) -> None:
        """Insert the group or replace all its fields. Of a snapshot in pieces only those that changed are written."""
        snapshot, digests = row.snapshot, None
        stored = self.piece_digests(row.group_id)
        if isinstance(snapshot, Pieces):
            digests = self._digests.of(row.group_id, snapshot)
            for digest, data in zip(digests, (snapshot.public, *snapshot.past), strict=True):
                if digest not in stored:
                    self._rows("INSERT OR IGNORE INTO group_pieces VALUES (?, ?, ?)", row.group_id, digest, data)
            snapshot = snapshot.present
        else:
            self._digests.forget(row.group_id)
        for digest in stored.difference(digests or ()):
            self._rows("DELETE FROM group_pieces WHERE group_id = ? AND digest = ?", row.group_id, digest)
        self._rows(
            "INSERT INTO groups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (group_id) DO UPDATE SET"
            " name = ?2, epoch = ?3, snapshot = ?4, health = ?5, unconfirmed = ?6, removed = ?7, extra = ?8,"
            " pieces = ?9",
            row.group_id,
            row.name,
            row.epoch,
            snapshot,
            row.health,
            row.unconfirmed,
            row.removed,
            row.extra,
            None if digests is None else msgpack.encode(digests),
        )

    def delete_group(self, group_id: bytes) -> None:
        """Forget a group and everything of it, except the guard: what was signed stays signed."""
        self._digests.forget(group_id)
        self.changed_intents.add(group_id)
        for table in (
            "groups",
            "group_pieces",
            "candidates",
            "ordering_records",
            "decisions",
            "intents",
            "feed",
            "messages",
            "parked",
            "outbox",
            *OF_A_GROUP,
            *RECEIPTS_OF_A_GROUP,
            "wanted_packages",
            "invitations",
            "invites",
            "requests",
            "joins",
        ):
            self._rows(f"DELETE FROM {table} WHERE group_id = ?", group_id)  # noqa: S608 - names from the line above

    # the undecided epoch

    def put_candidate(self, row: CandidateRow) -> None:
        """Insert or replace a candidate; a successor already stored under its id is kept when ``row`` has none."""
        self._rows(
            "INSERT INTO candidates VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
            " ON CONFLICT (group_id, epoch, candidate_id) DO UPDATE SET candidate = ?4,"
            " successor = coalesce(?5, successor), intent_ids = iif(?5 IS NULL, intent_ids, ?6), ordinal = ?7",
            row.group_id,
            row.epoch,
            row.candidate_id,
            row.candidate,
            row.successor,
            msgpack.encode(row.intent_ids),
            row.ordinal,
        )

    def drop_candidates(self, group_id: bytes, before_epoch: int) -> None:
        """Delete the candidates of every epoch below ``before_epoch``, own successors included."""
        self._rows("DELETE FROM candidates WHERE group_id = ? AND epoch < ?", group_id, before_epoch)

    def put_ordering_record(self, group_id: bytes, epoch: int, key: str, body: bytes) -> None:
        """Insert the record or replace its body."""
        self._rows("INSERT OR REPLACE INTO ordering_records VALUES (?, ?, ?, ?)", group_id, epoch, key, body)

    def drop_ordering_records(self, group_id: bytes, before_epoch: int) -> None:
        """Delete the records of every epoch below ``before_epoch``."""
        self._rows("DELETE FROM ordering_records WHERE group_id = ? AND epoch < ?", group_id, before_epoch)

    def put_guard(self, row: GuardRow) -> None:
        """Advance the guard. The same position with the same signed bytes is no vote more, and allowed.

        Raises ``GuardError`` for a lower position, for the same one with anything else signed, and for a lower
        ``abstain_below``.
        """
        if (present := self.guard(row.group_id)) is not None:
            same_vote = (row.position, row.signed, row.signature) == (
                present.position,
                present.signed,
                present.signature,
            )
            if row.position <= present.position and not same_vote:
                raise GuardError(
                    f"refused to sign at (epoch, view, step, rank) {row.position}:"
                    f" already signed at {present.position} in this group"
                )
            if row.abstain_below < present.abstain_below:
                raise GuardError(
                    f"refused to vote again from epoch {row.abstain_below} on: this group is to be abstained in"
                    f" below epoch {present.abstain_below}"
                )
        self._rows("INSERT OR REPLACE INTO guards VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *_values(row))

    # the decided chain

    def put_decision(self, row: DecisionRow) -> bool:
        """Store what ended an epoch; True when it is new.

        A decision already there stays as it is (certificates of one decision differ), except that missing
        candidate bytes are filled in. Raises ``ConflictError`` when it decided another candidate.
        """
        present = self.decision(row.group_id, row.epoch)
        if present is None:
            self._rows("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?)", *_values(row))
            return True
        if present.candidate_id != row.candidate_id:
            raise ConflictError(f"epoch {row.epoch} of this group is already decided, for another candidate")
        if present.candidate is None and row.candidate is not None:
            self._rows(
                "UPDATE decisions SET candidate = ? WHERE group_id = ? AND epoch = ?",
                row.candidate,
                row.group_id,
                row.epoch,
            )
        return False

    def prune_decisions(self, group_id: bytes, before_epoch: int) -> None:
        self._rows("DELETE FROM decisions WHERE group_id = ? AND epoch < ?", group_id, before_epoch)

    # intents

    def put_intent(self, row: IntentRow) -> None:
        """Insert a new intent; an id already there is an error of ours."""
        self.changed_intents.add(row.group_id)
        self._rows("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *_values(row))

    def update_intent(self, intent_id: bytes, state: str, epoch: int | None = None, error: str | None = None) -> None:
        """Set where an intent stands; ``epoch`` and ``error`` are replaced too."""
        changed = self._rows(
            "UPDATE intents SET state = ?, epoch = ?, error = ? WHERE intent_id = ? RETURNING group_id",
            *(state, epoch, error, intent_id),
        )
        self.changed_intents.update(group_id for (group_id,) in changed)

    def put_intent_body(self, intent_id: bytes, body: bytes) -> None:
        """Say anew what an open intent is about."""
        changed = self._rows("UPDATE intents SET body = ? WHERE intent_id = ? RETURNING group_id", body, intent_id)
        self.changed_intents.update(group_id for (group_id,) in changed)

    # the local feed

    def append_feed(self, row: FeedRow) -> int | None:
        """Append an entry and return its sequence number; None, and no change, for a message id seen before."""
        rows = self._rows(
            "INSERT INTO feed (group_id, kind, epoch, sender, message_id, body, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (group_id, message_id) DO NOTHING RETURNING seq",
            *_values(row)[:-1],
        )
        return rows[0][0] if rows else None

    def trim_feed(self, after_seq: int, to_seq: int, keep: Sequence[str]) -> None:
        """Delete the entries above one number and up to another, but for those of some kinds."""
        kinds = ", ".join("?" * len(keep))
        sql = f"DELETE FROM feed WHERE seq > ? AND seq <= ? AND kind NOT IN ({kinds})"  # noqa: S608 - only marks
        self._rows(sql, after_seq, to_seq, *keep)

    def prune_feed(self, group_id: bytes, kind: str, before_epoch: int, to_seq: int) -> None:
        """Delete a group's entries of one kind that are of epochs below one, and up to a number."""
        self._rows(
            "DELETE FROM feed WHERE group_id = ? AND kind = ? AND epoch < ? AND seq <= ?",
            *(group_id, kind, before_epoch, to_seq),
        )

    # messages

    def put_message(self, row: MessageRow) -> bool:
        """Keep a ciphertext for peers who missed it; False when it was there already."""
        return bool(
            self._rows("INSERT INTO messages VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1", *_values(row))
        )

    def prune_messages(self, group_id: bytes, before_epoch: int, before_ms: int, limit: int = PAGE_SIZE_MAX) -> bool:
        """Delete ciphertexts of epochs below ``before_epoch`` that are older than ``before_ms``, so many at most.

        Whether there may be more of them.
        """
        gone = self._rows(
            "DELETE FROM messages WHERE rowid IN"
            " (SELECT rowid FROM messages WHERE group_id = ? AND epoch < ? AND at_ms < ? LIMIT ?) RETURNING 1",
            group_id,
            before_epoch,
            before_ms,
            limit,
        )
        return len(gone) == limit

    def park(self, row: ParkedRow) -> bool:
        """Keep a message until its epoch is entered; True when it is (or already was) kept.

        At the bound the message of the farthest epoch gives way, so that a flood of far futures cannot push out
        what is needed next.
        """
        if row.epoch > EPOCH_MAX or len(row.payload) > PARKED_BYTES_PER_GROUP_MAX:
            return False
        if self._rows("SELECT 1 FROM parked WHERE group_id = ? AND message_id = ?", row.group_id, row.message_id):
            return True
        while self._parked_is_full(row):
            farthest = "SELECT arrival, epoch FROM parked WHERE group_id = ? ORDER BY epoch DESC, arrival DESC LIMIT 1"
            arrival, epoch = self._rows(farthest, row.group_id)[0]
            if epoch <= row.epoch:
                return False
            self._rows("DELETE FROM parked WHERE arrival = ?", arrival)
        self.filled.add(("parked", row.group_id))
        self._rows("INSERT INTO parked (group_id, epoch, message_id, payload) VALUES (?, ?, ?, ?)", *_values(row))
        return True

    def _parked_is_full(self, row: ParkedRow) -> bool:
        sql = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM parked WHERE group_id = ?"
        count, size = self._rows(sql, row.group_id)[0]
        return bool(count >= PARKED_PER_GROUP_MAX or size + len(row.payload) > PARKED_BYTES_PER_GROUP_MAX)

    def drop_parked(self, group_id: bytes, epoch: int) -> None:
        """Delete the parked messages of an epoch and of those before it: they were opened, or never will be."""
        self._rows("DELETE FROM parked WHERE group_id = ? AND epoch <= ?", group_id, epoch)

    # the way out

    def put_outbox(self, row: OutboxRow) -> int:
        """Queue something to send and return its id."""
        self.filled.add(("outbox", row.group_id))
        rows = self._rows(
            "INSERT INTO outbox (group_id, kind, epoch, recipient, payload, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
            " RETURNING id",
            *_values(row)[:-1],
        )
        return int(rows[0][0])

    def delete_outbox(self, ids: Sequence[int]) -> None:
        for id_ in ids:
            self._rows("DELETE FROM outbox WHERE id = ?", id_)

    # peers

    def put_peer(self, row: PeerRow) -> None:
        """Insert the peer or replace its addresses and name."""
        self._rows(
            "INSERT OR REPLACE INTO peers VALUES (?, ?, ?)", row.peer_id, msgpack.encode(row.addresses), row.name
        )

    def delete_peer(self, peer_id: str) -> None:
        self._rows("DELETE FROM peers WHERE peer_id = ?", peer_id)


Write = Callable[[Transaction], None]
"""Something that is to be in the next transaction, whichever it is."""


def _values(row: Any) -> tuple[Any, ...]:
    """A row's fields in order. (`dataclasses.astuple` would copy every blob on the way.)"""
    return tuple(getattr(row, field.name) for field in fields(row))
