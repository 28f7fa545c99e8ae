"""What a mailbox keeps: topics with their sealed items, and how each topic's epoch ended as far as that is certified.

Room (`node.mailbox.room`) is given to *owners*: to a chain of decisions that it has verified itself, from the first
entry it was given, or to a single topic of no such chain. Nobody fills the room of another.

A batch of deposits is one transaction: it is durable when `take` returns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mls import Random, ed25519_verify
from node.mailbox.messages import BORN_SIZE, DECIDED_MAX, ENTRIES_MAX, ITEMS_SIZE_MAX, Deposit, Outcome
from node.mailbox.room import ITEM_COST, TOPIC_COST, Limits, Room
from node.mailbox.sealing import is_padded, item_id
from node.mailbox.store_schema import MAILBOX_MIGRATIONS, MAILBOX_SCHEMA, MAILBOX_SCHEMA_VERSION
from node.store import Database, Schema, open_database
from ordering import Anchor, InvalidError, LogEntry, MalformedError, verify_entry

CHAINS_PER_GROUP_MAX: Final = 4  # chains under one group id: the true one, parts of it, or made-up ones
DECIDED_KEPT: Final = 4  # a decided bundle outlives its retention so many times, unless its epoch is released
EXPIRED_PER_STEP: Final = 512
DAY_S: Final = 24 * 3600
_BORN: Final = "born"


@dataclass(frozen=True, slots=True)
class TopicState:
    """What is said of a topic in a statement."""

    serial: int = 0
    count: int = 0
    entries: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Topic:
    """A topic's row, while a batch is taken in."""

    number: int
    owner: int
    serial: int
    count: int
    bytes: int


class MailboxStore:
    """An open mailbox."""

    def __init__(self, database: Database, limits: Limits, random: Random) -> None:
        self._database = database
        self._rows = database.rows
        self.limits = limits
        if not self._rows("SELECT 1 FROM meta WHERE key = ?", _BORN):
            with database.transaction():
                self._rows("INSERT INTO meta VALUES (?, ?)", _BORN, random(BORN_SIZE))
        self.born: bytes = self._rows("SELECT value FROM meta WHERE key = ?", _BORN)[0][0]
        self._room = Room(database.rows, limits)

    # --- questions ---

    @property
    def size(self) -> int:
        """Bytes kept in all, costs included."""
        return self._room.size

    def ids(self, topic: bytes) -> list[bytes]:
        """The ids of a topic's items, sorted."""
        rows = self._rows(
            "SELECT id FROM items WHERE topic = (SELECT number FROM topics WHERE topic = ?) ORDER BY id", topic
        )
        return [row[0] for row in rows]

    def state(self, topic: bytes) -> TopicState:
        """What there is to say of a topic; of an unknown one, that there is nothing."""
        rows = self._rows("SELECT number, serial, count FROM topics WHERE topic = ?", topic)
        if not rows:
            return TopicState()
        number, serial, count = rows[0]
        entries = self._rows("SELECT entry FROM entries WHERE topic = ? ORDER BY continues DESC, decided", number)
        return TopicState(serial, count, tuple(row[0] for row in entries))

    def items(self, topic: bytes, ids: Sequence[bytes]) -> tuple[int, tuple[bytes, ...]]:
        """The items among these that are here, in order, and how many of the ids were looked at before it was full."""
        found: list[bytes] = []
        size = 0
        for considered, id in enumerate(ids):
            rows = self._rows(
                "SELECT body FROM items WHERE id = ? AND topic = (SELECT number FROM topics WHERE topic = ?)", id, topic
            )
            for (body,) in rows:
                if found and size + len(body) > ITEMS_SIZE_MAX:
                    return considered, tuple(found)
                size += len(body)
                found.append(body)
        return len(ids), tuple(found)

    # --- changes ---

    def take(
        self, deposits: Sequence[tuple[bytes, Deposit]], now_s: int
    ) -> list[tuple[tuple[Outcome, ...], TopicState]]:
        """Take in what was deposited in these topics; durable when this returns. One answer for each deposit."""
        taken = []
        try:
            with self._database.transaction():
                for topic, deposit in deposits:
                    outcomes = self._take(topic, deposit, now_s)
                    taken.append((outcomes, self.state(topic)))
        except BaseException:
            self._room.measure()
            raise
        return taken

    def remove(self, topic: bytes, ids: Sequence[bytes]) -> None:
        """Forget these items of a topic: they have arrived."""
        with self._database.transaction():
            for id in ids:
                sql = "SELECT arrival FROM items WHERE id = ? AND topic = (SELECT number FROM topics WHERE topic = ?)"
                for (arrival,) in self._rows(sql, id, topic):
                    self._room.delete_item(arrival)

    def room(self, topic: bytes) -> tuple[int, int]:
        """How many items a topic has, and their bytes."""
        rows = self._rows("SELECT count, bytes FROM topics WHERE topic = ?", topic)
        return rows[0] if rows else (0, 0)

    def expire(self, now_s: int) -> bool:
        """Forget what is past its time, some of it; whether there may be more."""
        before_s = now_s - self.limits.retention_days * DAY_S
        decided_before_s = now_s - DECIDED_KEPT * self.limits.retention_days * DAY_S
        with self._database.transaction():
            old = self._rows(
                "SELECT items.arrival FROM items JOIN topics ON topics.number = items.topic"
                " WHERE items.at_s < ?1 AND (items.rank = 0 OR topics.released = 1 OR items.at_s < ?2) LIMIT ?3",
                before_s,
                decided_before_s,
                EXPIRED_PER_STEP,
            )
            for (arrival,) in old:
                self._room.delete_item(arrival)
            empty = self._rows(
                "SELECT number FROM topics WHERE count = 0 AND at_s < ? LIMIT ?", before_s, EXPIRED_PER_STEP
            )
            for (number,) in empty:
                self._room.delete_topic(number)
            self._rows(
                "DELETE FROM owners WHERE at_s < ? AND NOT EXISTS (SELECT 1 FROM topics WHERE owner = owners.number)",
                decided_before_s,
            )
        return max(len(old), len(empty)) == EXPIRED_PER_STEP

    # --- one deposit ---

    def _take(self, id: bytes, deposit: Deposit, now_s: int) -> tuple[Outcome, ...]:
        self._room.busy = 0
        if not self._rows("SELECT 1 FROM topics WHERE topic = ?", id) and not self._found_topic(id, now_s):
            return (Outcome.NO_ROOM,) * len(deposit.items)
        self._room.busy = self._topic(id).number
        if deposit.entry:
            self._take_entry(id, deposit, now_s)
        topic = self._topic(id)
        outcomes = tuple(self._take_item(topic, item, now_s) for item in deposit.items)
        for decided in deposit.decided:
            self._protect(topic, decided)
        self._rows(
            "UPDATE topics SET serial = serial + ?2, at_s = ?3, released = max(released, ?4) WHERE number = ?1",
            topic.number,
            outcomes.count(Outcome.STORED),
            now_s,
            deposit.is_released,
        )
        return outcomes

    def _found_topic(self, id: bytes, now_s: int) -> bool:
        """A topic that nobody has spoken of yet; it belongs to no chain."""
        if not self._room.make(TOPIC_COST, None):
            return False
        (owner,) = self._rows("INSERT INTO owners (bytes, at_s) VALUES (0, ?) RETURNING number", now_s)[0]
        self._rows(
            "INSERT INTO topics (topic, owner, serial, count, bytes, released, at_s) VALUES (?, ?, 0, 0, 0, 0, ?)",
            id,
            owner,
            now_s,
        )
        self._room.charge(owner, TOPIC_COST)
        return True

    def _topic(self, id: bytes) -> _Topic:
        return _Topic(*self._rows("SELECT number, owner, serial, count, bytes FROM topics WHERE topic = ?", id)[0])

    def _take_item(self, topic: _Topic, item: bytes, now_s: int) -> Outcome:
        if not is_padded(len(item)):
            return Outcome.REFUSED
        id = item_id(item)
        if self._rows("SELECT 1 FROM items WHERE topic = ? AND id = ?", topic.number, id):
            return Outcome.HELD
        cost = len(item) + ITEM_COST
        if not self._room.make(cost, topic.owner):
            return Outcome.NO_ROOM
        self._rows(
            "INSERT INTO items (topic, rank, at_s, id, body) VALUES (?, 0, ?, ?, ?)", topic.number, now_s, id, item
        )
        self._rows("UPDATE topics SET count = count + 1, bytes = bytes + ? WHERE number = ?", cost, topic.number)
        self._room.charge(topic.owner, cost)
        return Outcome.STORED

    def _protect(self, topic: _Topic, id: bytes) -> None:
        """Keep an item longest; of a topic so many and no more."""
        (count,) = self._rows("SELECT count(*) FROM items WHERE topic = ? AND rank = 1", topic.number)[0]
        if count < DECIDED_MAX:
            self._rows("UPDATE items SET rank = 1 WHERE topic = ? AND id = ?", topic.number, id)

    # --- chains ---

    def _take_entry(self, id: bytes, deposit: Deposit, now_s: int) -> None:
        """How a topic's epoch ended, if it is certified; the topic, and the next, then belong to that chain."""
        try:
            entry = LogEntry.decode(deposit.entry)
            after = verify_entry(Anchor.before(entry.decision), entry, ed25519_verify)
        except (MalformedError, InvalidError):
            return
        topic = self._topic(id)
        known = self._rows("SELECT decided, continues FROM entries WHERE topic = ?", topic.number)
        if any(decided == entry.decision.id for decided, _ in known):
            return
        chain, continues = self._chain_of(entry, after, now_s)
        if len(known) >= ENTRIES_MAX:
            others = [decided for decided, continued in known if not continued]
            if not continues or not others:
                return
            self._drop_entry(topic, others[0])
        cost = len(deposit.entry) + ITEM_COST
        if not self._room.make(cost, topic.owner):
            return
        self._rows("INSERT INTO entries VALUES (?, ?, ?, ?)", topic.number, entry.decision.id, continues, deposit.entry)
        self._rows("UPDATE topics SET serial = serial + 1, bytes = bytes + ? WHERE number = ?", cost, topic.number)
        self._room.charge(topic.owner, cost)
        if chain is None:
            return
        self._move(self._topic(id), chain)
        for next in deposit.next:
            if self._rows("SELECT 1 FROM topics WHERE topic = ?", next) or self._found_topic(next, now_s):
                self._move(self._topic(next), chain)

    def _drop_entry(self, topic: _Topic, decided: bytes) -> None:
        rows = self._rows(
            "DELETE FROM entries WHERE topic = ? AND decided = ? RETURNING length(entry)", topic.number, decided
        )
        cost = rows[0][0] + ITEM_COST
        self._rows("UPDATE topics SET bytes = bytes - ? WHERE number = ?", cost, topic.number)
        self._room.charge(topic.owner, -cost)

    def _chain_of(self, entry: LogEntry, after: Anchor, now_s: int) -> tuple[int | None, bool]:
        """The chain that an entry continues, or begins; and whether it continues one."""
        group_id = entry.decision.group_id
        chains = self._rows("SELECT number, anchor FROM owners WHERE group_id = ?", group_id)
        for number, stored in chains:
            try:
                verify_entry(Anchor.decode(stored), entry, _verified)
            except InvalidError:
                continue
            self._rows("UPDATE owners SET anchor = ?, at_s = ? WHERE number = ?", after.encode(), now_s, number)
            return number, True
        if len(chains) >= CHAINS_PER_GROUP_MAX:
            return None, False
        number = self._rows(
            "INSERT INTO owners (group_id, anchor, bytes, at_s) VALUES (?, ?, 0, ?) RETURNING number",
            group_id,
            after.encode(),
            now_s,
        )[0][0]
        return number, False

    def _move(self, topic: _Topic, chain: int) -> None:
        """A lone topic becomes part of a chain; one that is part of a chain stays where it is."""
        if self._room.is_chain(topic.owner):
            return
        cost = topic.bytes + TOPIC_COST
        self._room.charge(topic.owner, -cost)
        self._rows("DELETE FROM owners WHERE number = ?", topic.owner)
        self._rows("UPDATE topics SET owner = ? WHERE number = ?", chain, topic.number)
        self._room.charge(chain, cost)


@contextmanager
def open_mailbox(path: Path, key: bytes, limits: Limits, random: Random) -> Iterator[MailboxStore]:
    """Open the mailbox at a path, or make it; errors are those of `node.store.open_store`."""
    schema = Schema(MAILBOX_SCHEMA_VERSION, MAILBOX_SCHEMA, MAILBOX_MIGRATIONS)
    with open_database(path, key, schema) as database:
        yield MailboxStore(database, limits, random)


def _verified(_key: bytes, _message: bytes, _signature: bytes) -> bool:
    """The signatures of this entry are verified already; what is checked again is what it follows."""
    return True
