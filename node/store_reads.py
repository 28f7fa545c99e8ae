"""What can be asked of the store: one typed method per question.

Both the store itself (between transactions) and an open transaction answer them; inside a transaction
the answers include what it has written so far.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from msgspec import msgpack

from node.contacts.tables import ContactReads
from node.errors import NodeError
from node.key_packages.tables import PackageReads
from node.mailbox.tables import MailboxReads
from node.receipts.tables import ReceiptReads
from node.store_rows import (
    EPOCH_MAX,
    INTENT_FINAL_STATES,
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
from node.tokens.tables import TokenReads

PAGE_SIZE_MAX = 1000
"""Most rows one paged question returns, whatever limit the caller names."""


class DamageError(NodeError):
    """Rows that belong together do not."""


class StoreReads(ContactReads, MailboxReads, ReceiptReads, TokenReads, PackageReads, ABC):
    """The questions. The subclass knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    # meta

    def meta(self, key: str) -> bytes | None:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    # groups

    def group(self, group_id: bytes) -> GroupRow | None:
        rows = self._rows(f"{_GROUP} WHERE group_id = ?", group_id)
        return self._group(rows[0]) if rows else None

    def groups(self) -> tuple[GroupRow, ...]:
        """Every group, removed ones included, in the order they came into this store."""
        return tuple(map(self._group, self._rows(f"{_GROUP} ORDER BY rowid")))

    def piece_digests(self, group_id: bytes) -> frozenset[bytes]:
        """Which pieces of a group's snapshot are stored, its last one left out."""
        return frozenset(row[0] for row in self._rows("SELECT digest FROM group_pieces WHERE group_id = ?", group_id))

    def _group(self, row: tuple[Any, ...]) -> GroupRow:
        group_id, name, epoch, snapshot, health, unconfirmed, removed, extra, pieces = row
        if pieces is not None:
            stored = dict(self._rows("SELECT digest, data FROM group_pieces WHERE group_id = ?", group_id))
            named = msgpack.decode(pieces, type=tuple[bytes, ...])
            if snapshot is None or not named or not stored.keys() >= set(named):
                raise DamageError("a piece of a group's snapshot is missing")
            public, *past = (stored[digest] for digest in named)
            snapshot = Pieces(public, tuple(past), snapshot)
        return GroupRow(group_id, name, epoch, snapshot, health, bool(unconfirmed), bool(removed), extra)

    # the undecided epoch

    def candidate(self, group_id: bytes, epoch: int, candidate_id: bytes) -> CandidateRow | None:
        rows = self._rows(
            f"{_CANDIDATE} WHERE group_id = ? AND epoch = ? AND candidate_id = ?",
            group_id,
            epoch,
            candidate_id,
        )
        return _candidate(rows[0]) if rows else None

    def candidates(self, group_id: bytes, epoch: int) -> tuple[CandidateRow, ...]:
        """The candidates of one epoch, by id."""
        return tuple(
            map(
                _candidate,
                self._rows(
                    f"{_CANDIDATE} WHERE group_id = ? AND epoch = ? ORDER BY candidate_id",
                    group_id,
                    epoch,
                ),
            )
        )

    def ordering_records(self, group_id: bytes, epoch: int) -> tuple[tuple[str, bytes], ...]:
        """``(key, body)`` of every record of one instance, in key order (by code point)."""
        return tuple(
            (key, body)
            for key, body in self._rows(
                "SELECT key, body FROM ordering_records WHERE group_id = ? AND epoch = ? ORDER BY key", group_id, epoch
            )
        )

    def guard(self, group_id: bytes) -> GuardRow | None:
        rows = self._rows(f"{_GUARD} WHERE group_id = ?", group_id)
        return GuardRow(*rows[0]) if rows else None

    # the decided chain

    def decision(self, group_id: bytes, epoch: int) -> DecisionRow | None:
        rows = self._rows(f"{_DECISION} WHERE group_id = ? AND epoch = ?", group_id, epoch)
        return DecisionRow(*rows[0]) if rows else None

    def decisions(self, group_id: bytes, from_epoch: int, limit: int) -> tuple[DecisionRow, ...]:
        """At most ``limit`` decisions from ``from_epoch`` on, oldest first."""
        rows = self._rows(
            f"{_DECISION} WHERE group_id = ? AND epoch >= ? ORDER BY epoch LIMIT ?",
            group_id,
            min(from_epoch, EPOCH_MAX),
            _page(limit),
        )
        return tuple(DecisionRow(*row) for row in rows)

    def latest_decision(self, group_id: bytes) -> DecisionRow | None:
        rows = self._rows(f"{_DECISION} WHERE group_id = ? ORDER BY epoch DESC LIMIT 1", group_id)
        return DecisionRow(*rows[0]) if rows else None

    # intents

    def intent(self, intent_id: bytes) -> IntentRow | None:
        rows = self._rows(f"{_INTENT} WHERE intent_id = ?", intent_id)
        return IntentRow(*rows[0]) if rows else None

    def open_intents(self, group_id: bytes) -> tuple[IntentRow, ...]:
        """The intents still to be carried out, oldest first."""
        rows = self._rows(f"{_INTENT} WHERE group_id = ? AND {_IS_OPEN} ORDER BY created_ms, rowid", group_id)
        return tuple(IntentRow(*row) for row in rows)

    def intents(self, group_id: bytes) -> tuple[IntentRow, ...]:
        """Every intent of a group, oldest first."""
        rows = self._rows(f"{_INTENT} WHERE group_id = ? ORDER BY created_ms, rowid", group_id)
        return tuple(IntentRow(*row) for row in rows)

    # the local feed

    def feed(self, after_seq: int, limit: int, group_id: bytes | None = None) -> tuple[FeedRow, ...]:
        """At most ``limit`` entries with a sequence number above ``after_seq``, of one group or of all."""
        rows = (
            self._rows(f"{_FEED} WHERE seq > ? ORDER BY seq LIMIT ?", min(after_seq, EPOCH_MAX), _page(limit))
            if group_id is None
            else self._rows(
                f"{_FEED} WHERE group_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                group_id,
                min(after_seq, EPOCH_MAX),  # a client may name any number
                _page(limit),
            )
        )
        return tuple(FeedRow(*row) for row in rows)

    def feed_of_kind(self, group_id: bytes, kind: str, after_seq: int, limit: int) -> tuple[FeedRow, ...]:
        """At most ``limit`` entries of one kind and group with a sequence number above ``after_seq``."""
        rows = self._rows(
            f"{_FEED} WHERE group_id = ? AND kind = ? AND seq > ? ORDER BY seq LIMIT ?",
            group_id,
            kind,
            min(after_seq, EPOCH_MAX),
            _page(limit),
        )
        return tuple(FeedRow(*row) for row in rows)

    def feed_of_epochs(self, group_id: bytes, kind: str, first: int, last: int) -> tuple[FeedRow, ...]:
        """The entries of one kind and group in these epochs, both included, by epoch; one page of them."""
        rows = self._rows(
            f"{_FEED} WHERE group_id = ? AND kind = ? AND epoch BETWEEN ? AND ? ORDER BY epoch, seq LIMIT ?",
            group_id,
            kind,
            max(first, 0),
            min(last, EPOCH_MAX),
            PAGE_SIZE_MAX,
        )
        return tuple(FeedRow(*row) for row in rows)

    def feed_epochs(self, group_id: bytes, kind: str, first: int, limit: int) -> tuple[int, ...]:
        """The epochs from `first` on in which a group has entries of one kind, in order; so many at most."""
        rows = self._rows(
            "SELECT DISTINCT epoch FROM feed WHERE group_id = ? AND kind = ? AND epoch >= ? ORDER BY epoch LIMIT ?",
            group_id,
            kind,
            max(0, min(first, EPOCH_MAX)),
            _page(limit),
        )
        return tuple(row[0] for row in rows)

    def feed_of_epoch(self, group_id: bytes, kind: str, epoch: int) -> tuple[FeedRow, ...]:
        """All entries of one kind, group and epoch."""
        rows = self._rows(f"{_FEED} WHERE group_id = ? AND kind = ? AND epoch = ? ORDER BY seq", group_id, kind, epoch)
        return tuple(FeedRow(*row) for row in rows)

    def feed_message(self, group_id: bytes, message_id: bytes) -> FeedRow | None:
        """The entry of a message."""
        rows = self._rows(f"{_FEED} WHERE group_id = ? AND message_id = ?", group_id, message_id)
        return FeedRow(*rows[0]) if rows else None

    def unread_count(self, group_id: bytes, kind: str, after_seq: int, own: str) -> int:
        """How many entries of one kind and group above ``after_seq`` are by somebody else than ``own``."""
        rows = self._rows(
            "SELECT count(*) FROM feed WHERE group_id = ? AND kind = ? AND seq > ? AND sender <> ?",
            group_id,
            kind,
            after_seq,
            own,
        )
        return int(rows[0][0])

    def feed_head(self) -> int:
        """The sequence number of the newest entry, 0 when there is none."""
        return int(self._rows("SELECT coalesce(max(seq), 0) FROM feed")[0][0])

    # messages

    def has_message(self, group_id: bytes, message_id: bytes) -> bool:
        return bool(self._rows("SELECT 1 FROM messages WHERE group_id = ? AND message_id = ?", group_id, message_id))

    def message_ids(self, group_id: bytes, epoch: int) -> tuple[bytes, ...]:
        """The ids of the ciphertexts kept for one epoch, in byte order."""
        if epoch > EPOCH_MAX:  # a peer may ask for any 64-bit epoch
            return ()
        rows = self._rows(
            "SELECT message_id FROM messages WHERE group_id = ? AND epoch = ? ORDER BY message_id", group_id, epoch
        )
        return tuple(row[0] for row in rows)

    def message_ids_between(self, group_id: bytes, first: int, last: int) -> dict[int, tuple[bytes, ...]]:
        """The ids of the ciphertexts kept for these epochs, both included, by epoch; each in byte order."""
        rows = self._rows(
            "SELECT epoch, message_id FROM messages WHERE group_id = ? AND epoch BETWEEN ? AND ?"
            " ORDER BY epoch, message_id",
            group_id,
            first,
            min(last, EPOCH_MAX),
        )
        found: dict[int, list[bytes]] = {}
        for epoch, message_id in rows:
            found.setdefault(epoch, []).append(message_id)
        return {epoch: tuple(ids) for epoch, ids in found.items()}

    def message_ids_as_they_came(self, group_id: bytes, epoch: int) -> tuple[bytes, ...]:
        """The same ids in the order in which the ciphertexts came into this store."""
        if epoch > EPOCH_MAX:
            return ()
        rows = self._rows(
            "SELECT message_id FROM messages WHERE group_id = ? AND epoch = ? ORDER BY rowid", group_id, epoch
        )
        return tuple(row[0] for row in rows)

    def messages(self, group_id: bytes, message_ids: Sequence[bytes]) -> tuple[MessageRow, ...]:
        """The kept ciphertexts among ``message_ids``, in that order; unknown ids are left out."""
        sql = f"{_MESSAGE} WHERE group_id = ? AND message_id = ?"
        return tuple(MessageRow(*row) for id_ in message_ids[:PAGE_SIZE_MAX] for row in self._rows(sql, group_id, id_))

    def parked_count(self, group_id: bytes) -> int:
        return int(self._rows("SELECT count(*) FROM parked WHERE group_id = ?", group_id)[0][0])

    def parked(self, group_id: bytes, epoch: int) -> tuple[ParkedRow, ...]:
        """The parked messages of an epoch and those before it, in order of arrival."""
        rows = self._rows(
            "SELECT group_id, epoch, message_id, payload FROM parked"
            " WHERE group_id = ? AND epoch <= ? ORDER BY arrival",
            group_id,
            epoch,
        )
        return tuple(ParkedRow(*row) for row in rows)

    # the way out

    def outbox(self, group_id: bytes | None = None) -> tuple[OutboxRow, ...]:
        """What is still to be sent, oldest first, of one group or of all."""
        rows = (
            self._rows(f"{_OUTBOX} ORDER BY id LIMIT ?", PAGE_SIZE_MAX)
            if group_id is None
            else self._rows(f"{_OUTBOX} WHERE group_id = ? ORDER BY id LIMIT ?", group_id, PAGE_SIZE_MAX)
        )
        return tuple(OutboxRow(*row) for row in rows)

    # peers

    def peer(self, peer_id: str) -> PeerRow | None:
        rows = self._rows(f"{_PEER} WHERE peer_id = ?", peer_id)
        return _peer(rows[0]) if rows else None

    def peers(self) -> tuple[PeerRow, ...]:
        return tuple(map(_peer, self._rows(f"{_PEER} ORDER BY peer_id")))


_GROUP = "SELECT group_id, name, epoch, snapshot, health, unconfirmed, removed, extra, pieces FROM groups"
_CANDIDATE = "SELECT group_id, epoch, candidate_id, candidate, successor, intent_ids, ordinal FROM candidates"
_GUARD = "SELECT group_id, epoch, view, step, rank, signed, signature, abstain_below FROM guards"
_DECISION = "SELECT group_id, epoch, candidate_id, decision, candidate, at_ms FROM decisions"
_INTENT = "SELECT intent_id, group_id, kind, body, state, epoch, error, created_ms FROM intents"
_IS_OPEN = f"state NOT IN {INTENT_FINAL_STATES}"  # in the very words of the index `intents_open`
_FEED = "SELECT group_id, kind, epoch, sender, message_id, body, at_ms, seq FROM feed"
_MESSAGE = "SELECT group_id, epoch, message_id, payload, at_ms FROM messages"
_OUTBOX = "SELECT group_id, kind, epoch, recipient, payload, created_ms, id FROM outbox"
_PEER = "SELECT peer_id, addresses, name FROM peers"


def _page(limit: int) -> int:
    return max(0, min(limit, PAGE_SIZE_MAX))


def _candidate(row: tuple[Any, ...]) -> CandidateRow:
    group_id, epoch, candidate_id, candidate, successor, intent_ids, ordinal = row
    return CandidateRow(
        group_id, epoch, candidate_id, candidate, successor, msgpack.decode(intent_ids, type=tuple[bytes, ...]), ordinal
    )


def _peer(row: tuple[Any, ...]) -> PeerRow:
    peer_id, addresses, name = row
    return PeerRow(peer_id, msgpack.decode(addresses, type=tuple[str, ...]), name)
