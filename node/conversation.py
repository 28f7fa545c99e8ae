"""Application messages of one group: sealing, opening, and repairing what gossip lost.

Messages never wait for agreement. They are sealed in the newest certified epoch; what comes early is parked until its
epoch is entered, what comes late is opened from the window of past epochs, and what never came is pulled: members
compare the sets they hold, epoch by epoch, and fetch the difference.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from mls import FutureEpochError, MlsError, UnopenableError, sha256
from node import feed
from node.adoption import notice_row
from node.agreement import Agreement
from node.draining import Drained, Draining, Patience, decodes_as
from node.feed import MessageBody, Note
from node.holding import Holding
from node.logs import logger, short
from node.mailbox.shelf import note_message
from node.outward import Ask, Outward, Publish
from node.peer_id import PeerId
from node.peer_messages import (
    MESSAGE_IDS_PER_SYNC_MAX,
    MESSAGES_PER_PULL_MAX,
    MESSAGES_PROTOCOL,
    PULL_SIZE_MAX,
    SYNC_PROTOCOL,
    EpochDigest,
    EpochMessages,
    Frame,
    FrameKind,
    MessagesReply,
    MessagesRequest,
    SyncReply,
    SyncRequest,
    group_tag,
)
from node.receipts.receipts import Opened, Receipts
from node.store_rows import FeedRow, MessageRow, OutboxRow, ParkedRow
from ordering import OrderingError

MESSAGE_KIND: Final = "message"
DRAFT_KIND: Final = "draft"  # not sealed yet
SYNC_EPOCHS: Final = 21  # epochs compared: the present one and the twenty whose messages can still be opened
TOO_FAR_AHEAD: Final = "V047"  # opens once more of its sender's messages before it are here
DROPPED_MAX: Final = 4096  # ids of messages that will never open, remembered so that they are not pulled again
FORGOTTEN_TEXT: Final = (
    "messages that this node had sent and did not know any more: {}. It is an older copy of itself; never run two"
)

log = logger("conversation")


class Conversation:
    """The messages of one group. Like `Agreement`: synchronous steps, outward effects in a queue."""

    def __init__(self, agreement: Agreement, outward: deque[Outward]) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.outward = outward
        self.tag = group_tag(agreement.holding.group_id)
        self.receipts = Receipts(agreement)
        self._hopeless: dict[bytes, None] = {}  # insertion-ordered, bounded
        self.skip_generations = 0  # thrown away before the next message of ours
        self._sent: list[int] = []  # outbox rows that have left; deleted with the next transaction

    # --- sending ---

    def send(self, text: str) -> FeedRow:
        """Seal, make durable, and let go. The ratchet step is on disk before the ciphertext leaves."""
        return self._send(Note(self.context.now_ms(), text), ())

    def keep(self, text: str) -> FeedRow:
        """Make durable what cannot be sealed yet (after a start, see `node.caution`; while we are cut off).

        The row is in no feed before it is sent.
        """
        holding, now_ms = self.agreement.holding, self.context.now_ms()
        note = Note(now_ms, text).encode()
        with self.context.store.transaction() as transaction:
            transaction.put_outbox(OutboxRow(holding.group_id, DRAFT_KIND, holding.epoch, None, note, now_ms))
        own = self.context.identity.peer_id
        return FeedRow(holding.group_id, feed.MESSAGE, holding.epoch, own, None, b"", now_ms)

    @property
    def drafts(self) -> tuple[OutboxRow, ...]:
        """What waits to be sealed, oldest first."""
        return tuple(
            row for row in self.context.store.outbox(self.agreement.holding.group_id) if row.kind == DRAFT_KIND
        )

    def send_drafts(self) -> None:
        """Send what had to wait, in the order in which it was said."""
        while drafts := self.drafts:
            for row in drafts:
                self._send(Note.decode(row.payload), (row.id,))

    def _send(self, note: Note, drafts: tuple[int, ...]) -> FeedRow:
        agreement, context = self.agreement, self.context
        holding, now_ms = agreement.holding, context.now_ms()
        assert not holding.is_cut_off, "there is no key to speak with; the session keeps it as a draft"
        group = agreement.group.skipping(self.skip_generations, now_ms // 1000)
        successor, message = group.seal(note.encode(), context.random)
        message_id = sha256(message)
        after = holding.with_changes(group=successor)
        body = MessageBody(group.own_leaf, group.next_generation, True, note.sent_ms, note.text)
        row = FeedRow(
            holding.group_id,
            feed.MESSAGE,
            group.epoch,
            context.identity.peer_id,
            message_id,
            body.encode(),
            now_ms,
        )
        with context.store.transaction() as transaction:
            after.put(transaction)
            transaction.put_message(MessageRow(holding.group_id, group.epoch, message_id, message, now_ms))
            if holding.group_id in context.with_mailboxes:
                note_message(transaction, holding.group_id, group.epoch, message_id)
            self.receipts.note_own(transaction, group.epoch, group.own_leaf, (group.next_generation,))
            seq = transaction.append_feed(row)
            outbox = transaction.put_outbox(
                OutboxRow(holding.group_id, MESSAGE_KIND, group.epoch, None, message, now_ms)
            )
            transaction.delete_outbox([*drafts, *self._take_sent()])
        agreement.holding = after
        self.skip_generations = 0
        context.feed.grew()
        self._publish(message, group.epoch)
        self._sent.append(outbox)
        self.on_sealed()
        return FeedRow(row.group_id, row.kind, row.epoch, row.sender, row.message_id, row.body, row.at_ms, seq=seq or 0)

    def resume(self) -> None:
        """After a restart: what was sealed and may not have left goes out again. Receivers know it by its id."""
        for row in self.context.store.outbox(self.agreement.holding.group_id):
            if row.kind == MESSAGE_KIND:
                self._publish(row.payload, row.epoch)
                self._sent.append(row.id)

    def _publish(self, message: bytes, epoch: int) -> None:
        self.outward.append(Publish(Frame(self.tag, FrameKind.MESSAGE, message), epoch))

    def _take_sent(self) -> list[int]:
        sent, self._sent = self._sent, []
        return sent

    # --- receiving ---

    def receive(self, peer: PeerId, message: bytes) -> None:
        """One message, as it comes."""
        self.receive_all(peer, (message,))

    def receive_all(self, peer: PeerId, messages: Sequence[bytes]) -> int:
        """Open messages and append them to the feed, or park, or drop them for good; how many are here that were not.

        All in one transaction, so what is pulled costs the disk little; a message is never half taken in.
        """
        agreement, context = self.agreement, self.context
        holding, group, now_ms = agreement.holding, agreement.group, context.now_ms()
        opened: list[tuple[MessageRow, FeedRow]] = []
        come: list[Opened] = []
        early: list[ParkedRow] = []
        met: set[bytes] = set()
        forgotten = 0
        for message in messages:
            message_id = sha256(message)
            if message_id in met or not self._is_new(message_id):
                continue
            met.add(message_id)
            try:
                successor, said = group.open(message, now_ms // 1000)
                note = Note.decode(said.plaintext)
            except FutureEpochError as error:
                if error.epoch <= holding.epoch:  # we are in that epoch, cut off from its secrets
                    self._give_up(message_id)
                    continue
                early.append(ParkedRow(holding.group_id, error.epoch, message_id, message))
                continue
            except (MlsError, OrderingError) as error:
                log.info("message dropped", group=short(holding.group_id), peer=peer, reason=type(error).__name__)
                if not (isinstance(error, UnopenableError) and error.rule == TOO_FAR_AHEAD):
                    self._give_up(message_id)
                continue
            group = successor
            sender = agreement.peer_of_member(said.sender_identity)
            is_own = sender == context.identity.peer_id
            forgotten += is_own
            come.append((said.epoch, said.sender_leaf, said.generation, is_own))
            body = MessageBody(said.sender_leaf, said.generation, is_own, note.sent_ms, note.text).encode()
            row = FeedRow(holding.group_id, feed.MESSAGE, said.epoch, sender, message_id, body, now_ms)
            opened.append((MessageRow(holding.group_id, said.epoch, message_id, message, now_ms), row))
        if opened or early:
            self._keep(holding.with_changes(group=group), opened, come, early)
        if forgotten:
            self._tell_forgotten(forgotten)
        return len(opened)

    def _tell_forgotten(self, count: int) -> None:
        """Messages of ours that we did not know: this is an older copy of a node that went on."""
        text = FORGOTTEN_TEXT.format(count)
        log.warning("own messages were forgotten", group=short(self.agreement.holding.group_id), count=count)
        with self.context.store.transaction() as transaction:
            transaction.append_feed(notice_row(self.agreement.holding, feed.HEALTH, text, self.context.now_ms()))
        self.context.feed.grew()

    def _is_new(self, message_id: bytes) -> bool:
        group_id = self.agreement.holding.group_id
        return message_id not in self._hopeless and not self.context.store.has_message(group_id, message_id)

    def _keep(
        self, after: Holding, opened: list[tuple[MessageRow, FeedRow]], come: list[Opened], early: list[ParkedRow]
    ) -> None:
        with self.context.store.transaction() as transaction:
            for parked in early:
                transaction.park(parked)
            if opened:
                after.put(transaction)
                transaction.delete_outbox(self._take_sent())
            for message, row in opened:
                transaction.put_message(message)
                transaction.append_feed(row)
            self.receipts.note_opened(transaction, come)
        if opened:
            self.agreement.holding = after
            self.context.feed.grew()

    def open_parked(self) -> None:
        """Open what was parked for the epoch that just began; dropped from the park only after that."""
        holding = self.agreement.holding
        rows = self.context.store.parked(holding.group_id, holding.epoch)
        if rows:
            self.receive_all(self.context.identity.peer_id, [row.payload for row in rows])
            with self.context.store.transaction() as transaction:
                transaction.drop_parked(holding.group_id, holding.epoch)

    def _give_up(self, message_id: bytes) -> None:
        self._hopeless[message_id] = None
        while len(self._hopeless) > DROPPED_MAX:
            del self._hopeless[next(iter(self._hopeless))]

    # --- repair ---

    def compare_with(self, peer: PeerId) -> None:
        """Ask a member what we lack."""
        holding = self.agreement.holding
        epochs = self._epochs(holding.epoch)
        kept = self.context.store.message_ids_between(holding.group_id, epochs.start, epochs.stop)
        digests = tuple(EpochDigest(epoch, _digest(kept.get(epoch, ()))) for epoch in epochs)
        request = SyncRequest(self.tag, holding.epoch, digests)
        self.outward.append(Ask((peer,), SYNC_PROTOCOL, request.encode(), self._compared))

    def answer_sync(self, peer: PeerId, request: SyncRequest) -> SyncReply:
        """What the asker lacks, as far as it was a member: the ids in the order in which they came here.

        A sender's messages open only as long as not too many before them are missing, so the order matters. Where
        there are too many ids for one answer, each has another stretch of them.
        """
        holding, store = self.agreement.holding, self.context.store
        self.receipts.stands(peer, request.epoch)
        differing, room = [], MESSAGE_IDS_PER_SYNC_MAX
        for theirs in {each.epoch: each for each in request.digests}.values():
            if not self.agreement.may_serve(peer, theirs.epoch):
                continue
            ids = store.message_ids(holding.group_id, theirs.epoch)
            if ids and _digest(ids) == theirs.digest:
                self.receipts.holds_the_same(peer, theirs.epoch, theirs.epoch)
            elif ids:
                told = self._stretch(store.message_ids_as_they_came(holding.group_id, theirs.epoch), room)
                room -= len(told)
                differing.append(EpochMessages(theirs.epoch, told))
        return SyncReply(self.agreement.epoch_told(peer), tuple(differing))

    def _stretch(self, ids: tuple[bytes, ...], room: int) -> tuple[bytes, ...]:
        if len(ids) <= room:
            return ids
        start = int.from_bytes(self.context.random(4), "big") % (len(ids) - room + 1)
        return ids[start : start + room]

    def answer_messages(self, peer: PeerId, request: MessagesRequest) -> MessagesReply:
        """The ciphertexts asked for, as far as the asker was a member of their epoch and they fit in one reply."""
        payloads, size = [], 0
        for row in self.context.store.messages(self.agreement.holding.group_id, request.ids):
            size += len(row.payload) + 8
            if size > PULL_SIZE_MAX:
                break
            if self.agreement.may_serve(peer, row.epoch):
                payloads.append(row.payload)
        return MessagesReply(tuple(payloads))

    def drain(
        self, peers: tuple[PeerId, ...], epoch: int, then: Callable[[Drained], None], patience: Patience | None = None
    ) -> None:
        """Before an epoch is left by catching up: gather what its members said in it, then go on with `then`."""
        Draining(self, epoch, peers, patience or Patience(), then).begin()

    def digest_of(self, epoch: int) -> EpochDigest:
        """Our messages of an epoch, as one hash."""
        return EpochDigest(epoch, _digest(self.context.store.message_ids(self.agreement.holding.group_id, epoch)))

    @property
    def first_compared(self) -> int:
        """The first of the epochs that we compare."""
        return self._epochs(self.agreement.holding.epoch).start

    def digest_between(self, first: int, last: int) -> bytes:
        """Our messages of these epochs, both included, as one hash."""
        kept = self.context.store.message_ids_between(self.agreement.holding.group_id, first, last)
        return sha256(b"".join(epoch.to_bytes(8, "big") + _digest(ids) for epoch, ids in kept.items()))

    def missing(self, epoch: int, ids: Sequence[bytes]) -> tuple[bytes, ...]:
        """Those of a member's ids that we neither hold nor have given up on, in its order."""
        held = set(self.context.store.message_ids(self.agreement.holding.group_id, epoch))
        return tuple(id for id in ids if id not in held and id not in self._hopeless)

    def take_pulled(self, peer: PeerId, reply: bytes | None) -> bool:
        """Take in what was pulled; whether any of it was new, so that asking again gets further."""
        if reply is None or self.agreement.is_over:
            return False
        return bool(self.receive_all(peer, MessagesReply.decode(reply).payloads))

    def _compared(self, peer: PeerId, reply: bytes | None) -> None:
        if reply is None or self.agreement.is_over:
            return
        answer = SyncReply.decode(reply)
        self.note_answer(peer, answer)
        missing = self._missing(answer)
        if missing:
            self._pull(peer, missing)
        if answer.epoch > self.agreement.holding.epoch:
            self.behind(peer, answer.epoch)

    def note_answer(self, peer: PeerId, answer: SyncReply) -> None:
        """What a member's answer says of itself."""
        self.receipts.stands(peer, answer.epoch)
        for each in answer.messages:
            self.receipts.lists(peer, each.epoch, each.ids)

    def _missing(self, answer: SyncReply) -> tuple[bytes, ...]:
        """The ids that we lack; as many as one request asks for."""
        wanted = [id for each in answer.messages for id in self.missing(each.epoch, each.ids)]
        return tuple(wanted[:MESSAGES_PER_PULL_MAX])

    def _pull(self, peer: PeerId, ids: tuple[bytes, ...]) -> None:
        request = MessagesRequest(self.tag, ids).encode()
        self.outward.append(Ask((peer,), MESSAGES_PROTOCOL, request, self.take_pulled, decodes_as(MessagesReply)))

    behind: Callable[[PeerId, int], None]
    """Set by the session: a peer stands in a later epoch."""
    on_sealed: Callable[[], None]
    """Set by the session: a message of ours is durable."""

    def _epochs(self, epoch: int) -> range:
        """The epochs we compare: recent ones in which we were a member, and whose messages we may be able to open."""
        holding = self.agreement.holding
        joined = holding.extra.anchor.epoch
        last = self.agreement.group.epoch if holding.is_cut_off else epoch
        return range(max(joined, epoch - SYNC_EPOCHS + 1), last + 1)


def _digest(ids: tuple[bytes, ...]) -> bytes:
    return sha256(b"".join(ids))
