"""What we hold of one group's epochs, as the items it would be at a mailbox."""

from dataclasses import dataclass
from typing import Final, TypeVar

from mls import Group
from node.context import NodeContext
from node.mailbox.sealing import ItemKind, Topic, TopicKeys, item_id
from node.mailbox.tables import DepositRow, TopicKeysRow
from node.store_reads import PAGE_SIZE_MAX
from node.store_writes import Transaction
from ordering import Candidate, Decision, LogEntry

EPOCHS_MAX: Final = 32  # epochs whose topics and item ids are remembered

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Ref:
    """A message or a mark of ours, by its id, or what ended the epoch, by the id of what was decided."""

    kind: ItemKind
    id: bytes


class Shelf:
    """Of one group."""

    def __init__(self, context: NodeContext, group_id: bytes) -> None:
        self._context, self._store = context, context.store
        self._group_id = group_id
        self._topics: dict[int, Topic] = {}
        self._ids: dict[int, dict[Ref, bytes]] = {}  # by epoch: what each would be called
        self._since_s: dict[int, dict[Ref, float]] = {}  # by epoch: when each was first held here

    def topic(self, epoch: int) -> Topic | None:
        """The topic of an epoch; None when we were not in it, or it is long ago."""
        if epoch not in self._topics:
            row = self._store.topic_keys(self._group_id, epoch)
            if row is None:
                return None
            self._topics[epoch] = Topic(TopicKeys(row.seed, row.seal_key))
            _forget_oldest(self._topics)
        return self._topics[epoch]

    def forget(self) -> None:
        """We are no member any more: no key of the group stays in memory."""
        self._topics.clear()
        self._ids.clear()
        self._since_s.clear()

    def held(self, epoch: int) -> dict[bytes, Ref]:
        """What we hold of an epoch, by item id."""
        topic = self.topic(epoch)
        if topic is None:
            return {}
        known = self._ids.setdefault(epoch, {})
        _forget_oldest(self._ids)
        fresh = [id for id in self._store.message_ids(self._group_id, epoch) if Ref(ItemKind.MESSAGE, id) not in known]
        for first in range(0, len(fresh), PAGE_SIZE_MAX):
            for row in self._store.messages(self._group_id, fresh[first : first + PAGE_SIZE_MAX]):
                known[Ref(ItemKind.MESSAGE, row.message_id)] = item_id(topic.seal(ItemKind.MESSAGE, row.payload))
        if not any(ref.kind is ItemKind.BUNDLE for ref in known):
            decision = self._store.decision(self._group_id, epoch)
            if decision is not None and decision.candidate is not None:
                item = topic.seal(ItemKind.BUNDLE, decision.candidate)
                known[Ref(ItemKind.BUNDLE, decision.candidate_id)] = item_id(item)
        marks = self._store.own_marks(self._group_id, epoch)
        known.update({Ref(ItemKind.MARK, ref): id for ref, id in marks.items()})
        since_s = self._since_s.setdefault(epoch, {})
        _forget_oldest(self._since_s)
        for ref in known:
            since_s.setdefault(ref, self._context.now_s())
        return {id: ref for ref, id in known.items()}

    def seen(self, epoch: int) -> frozenset[bytes]:
        """Items of an epoch that are known here and not kept: marks of others."""
        return self._store.mark_items(self._group_id, epoch)

    def held_for_s(self, epoch: int, ref: Ref) -> float:
        """How long we have held something, as far as this process remembers."""
        now_s = self._context.now_s()
        return now_s - self._since_s.get(epoch, {}).get(ref, now_s)

    def item(self, epoch: int, ref: Ref) -> bytes | None:
        """The item itself; None when what is in it is not kept here any more."""
        topic = self.topic(epoch)
        if topic is None:
            return None
        if ref.kind is ItemKind.MESSAGE:
            rows = self._store.messages(self._group_id, [ref.id])
            return topic.seal(ref.kind, rows[0].payload) if rows else None
        if ref.kind is ItemKind.MARK:
            mark = self._store.own_mark(self._group_id, epoch, ref.id)
            return None if mark is None else topic.seal(ref.kind, mark)
        decision = self._store.decision(self._group_id, epoch)
        if decision is None or decision.candidate is None:
            return None
        return topic.seal(ref.kind, decision.candidate)

    def entry(self, epoch: int) -> bytes:
        """How an epoch ended, in clear for the mailbox; empty when it has not."""
        row = self._store.decision(self._group_id, epoch)
        if row is None or row.candidate is None:
            return b""
        return LogEntry.of(Decision.decode(row.decision), Candidate.decode(row.candidate).bundle).encode()


def note_keys(transaction: Transaction, group: Group) -> None:
    """Keep what the group's present epoch shares about its mailboxes: it cannot be derived once the epoch is left."""
    keys = TopicKeys.of(group)
    transaction.put_topic_keys(TopicKeysRow(group.group_id, group.epoch, keys.seed, keys.seal_key))


def note_message(transaction: Transaction, group_id: bytes, epoch: int, message_id: bytes) -> None:
    """A message of ours is to be left at the mailboxes, at once."""
    transaction.put_deposit(DepositRow(group_id, message_id, epoch, ItemKind.MESSAGE))


def note_decision(transaction: Transaction, group_id: bytes, epoch: int, decided: bytes, *, is_own: bool) -> None:
    """What ended an epoch is to be left at the mailboxes: by whoever committed it, or else by the others."""
    transaction.put_deposit(DepositRow(group_id, decided, epoch, ItemKind.BUNDLE, is_own))


def _forget_oldest(kept: dict[int, V]) -> None:
    while len(kept) > EPOCHS_MAX:
        del kept[next(iter(kept))]
