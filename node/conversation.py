"""Application messages of one group: sealing, opening, and repairing what gossip lost.

Messages never wait for agreement. They are sealed in the newest certified epoch; what comes early is parked until its
epoch is entered, what comes late is opened from the window of past epochs, and what never came is pulled: members
compare the sets they hold, epoch by epoch, and fetch the difference.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from mls import FutureEpochError, MlsError, UnopenableError, sha256
from node import feed
from node.agreement import Agreement
from node.api.errors import ApiError, ErrorCode
from node.feed import MessageBody, Note
from node.logs import logger, short
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
from node.store_rows import FeedRow, MessageRow, OutboxRow, ParkedRow
from ordering import OrderingError, Wire

MESSAGE_KIND: Final = "message"
SYNC_EPOCHS: Final = 21  # epochs compared: the present one and the twenty whose messages can still be opened
TOO_FAR_AHEAD: Final = "V047"  # opens once more of its sender's messages before it are here
DRAIN_PULLS_MAX: Final = 256  # before an epoch is left; a member could say new things in it for ever
DROPPED_MAX: Final = 4096  # ids of messages that will never open, remembered so that they are not pulled again

log = logger("conversation")


class Conversation:
    """The messages of one group. Like `Agreement`: synchronous steps, outward effects in a queue."""

    def __init__(self, agreement: Agreement, outward: deque[Outward]) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.outward = outward
        self._tag = group_tag(agreement.holding.group_id)
        self._hopeless: dict[bytes, None] = {}  # insertion-ordered, bounded
        self._sent: list[int] = []  # outbox rows that have left; deleted with the next transaction

    # --- sending ---

    def send(self, text: str) -> FeedRow:
        """Seal, make durable, and let go. The ratchet step is on disk before the ciphertext leaves."""
        agreement, context = self.agreement, self.context
        holding, group, now_ms = agreement.holding, agreement.group, context.now_ms()
        if holding.is_cut_off:
            raise ApiError(
                ErrorCode.BUSY,
                "this node could not open the last change of the group and has no key to speak with",
                "it comes back by itself: try again in a moment",
            )
        successor, message = group.seal(Note(now_ms, text).encode(), context.random)
        message_id = sha256(message)
        after = holding.with_changes(group=successor)
        body = MessageBody(group.own_leaf, group.next_generation, True, now_ms, text)
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
            seq = transaction.append_feed(row)
            outbox = transaction.put_outbox(
                OutboxRow(holding.group_id, MESSAGE_KIND, group.epoch, None, message, now_ms)
            )
            transaction.delete_outbox(self._take_sent())
        agreement.holding = after
        context.feed.grew()
        self._publish(message, group.epoch)
        self._sent.append(outbox)
        return FeedRow(row.group_id, row.kind, row.epoch, row.sender, row.message_id, row.body, row.at_ms, seq=seq or 0)

    def resume(self) -> None:
        """After a restart: what was sealed and may not have left goes out again. Receivers know it by its id."""
        for row in self.context.store.outbox(self.agreement.holding.group_id):
            if row.kind == MESSAGE_KIND:
                self._publish(row.payload, row.epoch)
                self._sent.append(row.id)

    def _publish(self, message: bytes, epoch: int) -> None:
        self.outward.append(Publish(Frame(self._tag, FrameKind.MESSAGE, message), epoch))

    def _take_sent(self) -> list[int]:
        sent, self._sent = self._sent, []
        return sent

    # --- receiving ---

    def receive(self, peer: PeerId, message: bytes) -> None:
        """Open a message and append it to the feed, or park it, or drop it for good; never half of it."""
        agreement, context = self.agreement, self.context
        holding = agreement.holding
        message_id = sha256(message)
        if message_id in self._hopeless or context.store.has_message(holding.group_id, message_id):
            return
        now_ms = context.now_ms()
        try:
            successor, opened = agreement.group.open(message, now_ms // 1000)
            note = Note.decode(opened.plaintext)
        except FutureEpochError as error:
            if error.epoch <= holding.epoch:  # we are in that epoch, cut off from its secrets
                self._give_up(message_id)
                return
            with context.store.transaction() as transaction:
                transaction.park(ParkedRow(holding.group_id, error.epoch, message_id, message))
            return
        except (MlsError, OrderingError) as error:
            log.info("message dropped", group=short(holding.group_id), peer=peer, reason=type(error).__name__)
            if not (isinstance(error, UnopenableError) and error.rule == TOO_FAR_AHEAD):
                self._give_up(message_id)
            return
        after = holding.with_changes(group=successor)
        body = MessageBody(opened.sender_leaf, opened.generation, False, note.sent_ms, note.text)
        sender = agreement.peer_of_member(opened.sender_identity)
        with context.store.transaction() as transaction:
            after.put(transaction)
            transaction.put_message(MessageRow(holding.group_id, opened.epoch, message_id, message, now_ms))
            transaction.append_feed(
                FeedRow(holding.group_id, feed.MESSAGE, opened.epoch, sender, message_id, body.encode(), now_ms)
            )
            transaction.delete_outbox(self._take_sent())
        agreement.holding = after
        context.feed.grew()

    def open_parked(self) -> None:
        """Open what was parked for the epoch that just began; dropped from the park only after that."""
        holding = self.agreement.holding
        rows = self.context.store.parked(holding.group_id, holding.epoch)
        for row in rows:
            self.receive(self.context.identity.peer_id, row.payload)
        if rows:
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
        digests = tuple(
            EpochDigest(epoch, _digest(self.context.store.message_ids(holding.group_id, epoch)))
            for epoch in self._epochs(holding.epoch)
        )
        request = SyncRequest(self._tag, holding.epoch, digests)
        self.outward.append(Ask((peer,), SYNC_PROTOCOL, request.encode(), self._compared))

    def answer_sync(self, peer: PeerId, request: SyncRequest) -> SyncReply:
        """What the asker lacks, as far as it was a member: the ids in the order in which they came here.

        A sender's messages open only as long as not too many before them are missing, so the order matters. Where
        there are too many ids for one answer, each has another stretch of them.
        """
        holding, store = self.agreement.holding, self.context.store
        differing, room = [], MESSAGE_IDS_PER_SYNC_MAX
        for theirs in {each.epoch: each for each in request.digests}.values():
            if not self.agreement.may_serve(peer, theirs.epoch):
                continue
            ids = store.message_ids(holding.group_id, theirs.epoch)
            if ids and _digest(ids) != theirs.digest:
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
        self, peers: tuple[PeerId, ...], epoch: int, then: Callable[[], None], pulls_left: int = DRAIN_PULLS_MAX
    ) -> None:
        """Before an epoch is left by catching up: pull what its members said in it, then go on with `then`.

        The first of `peers` that answers is asked again until it has nothing new; `then` is called whatever came.
        """
        held = _digest(self.context.store.message_ids(self.agreement.holding.group_id, epoch))
        request = SyncRequest(self._tag, epoch, (EpochDigest(epoch, held),))

        def pulled(peer: PeerId, reply: bytes | None) -> None:
            if self._pulled(peer, reply) and pulls_left > 1:
                self.drain(tuple(dict.fromkeys((peer, *peers))), epoch, then, pulls_left - 1)
            else:
                then()

        def compared(peer: PeerId, reply: bytes | None) -> None:
            missing = () if reply is None or self.agreement.is_over else self._missing(SyncReply.decode(reply))
            if missing:
                self._pull(peer, missing, pulled)
            else:
                then()

        self.outward.append(Ask(peers, SYNC_PROTOCOL, request.encode(), compared, decodes_as(SyncReply)))

    def _compared(self, peer: PeerId, reply: bytes | None) -> None:
        if reply is None or self.agreement.is_over:
            return
        answer = SyncReply.decode(reply)
        missing = self._missing(answer)
        if missing:
            self._pull(peer, missing, self._pulled)
        if answer.epoch > self.agreement.holding.epoch:
            self.behind(peer, answer.epoch)

    def _missing(self, answer: SyncReply) -> tuple[bytes, ...]:
        """The ids that a member holds and we neither hold nor have given up on; as many as one request asks for."""
        wanted: list[bytes] = []
        for each in answer.messages:
            held = set(self.context.store.message_ids(self.agreement.holding.group_id, each.epoch))
            wanted += (id for id in each.ids if id not in held and id not in self._hopeless)
        return tuple(wanted[:MESSAGES_PER_PULL_MAX])

    def _pull(self, peer: PeerId, ids: tuple[bytes, ...], then: Callable[[PeerId, bytes | None], object]) -> None:
        request = MessagesRequest(self._tag, ids).encode()
        self.outward.append(Ask((peer,), MESSAGES_PROTOCOL, request, then, decodes_as(MessagesReply)))

    def _pulled(self, peer: PeerId, reply: bytes | None) -> bool:
        """Take in what was pulled; whether any of it was new, so that asking again gets further."""
        if reply is None or self.agreement.is_over:
            return False
        group_id, store = self.agreement.holding.group_id, self.context.store
        fresh = False
        for message in MessagesReply.decode(reply).payloads:
            self.receive(peer, message)
            fresh = fresh or store.has_message(group_id, sha256(message))
        return fresh

    behind: Callable[[PeerId, int], None]
    """Set by the session: a peer stands in a later epoch."""

    def _epochs(self, epoch: int) -> range:
        """The epochs we compare: recent ones in which we were a member, and whose messages we may be able to open."""
        holding = self.agreement.holding
        joined = holding.extra.anchor.epoch
        last = self.agreement.group.epoch if holding.is_cut_off else epoch
        return range(max(joined, epoch - SYNC_EPOCHS + 1), last + 1)


def decodes_as(kind: type[Wire]) -> Callable[[bytes], bool]:
    """For `Ask.accepts`: whether an answer is one at all."""

    def accepts(reply: bytes) -> bool:
        try:
            kind.decode(reply)
        except OrderingError:
            return False
        return True

    return accepts


def _digest(ids: tuple[bytes, ...]) -> bytes:
    return sha256(b"".join(ids))
