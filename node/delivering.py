"""Delivering Welcomes: each row of the outbox is tried in its turn until the newcomer says that it is in, or speaks as
a member.

Or that it does not want to be: then it is removed again. Or that it has no keys for it any more: then it is added anew
by who made the commit. One that says none of these waits for its user.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.agreement import Agreement
from node.api.errors import ApiError
from node.feed import GROUP, NoticeBody
from node.intents import REMOVE, RemoveBody
from node.logs import logger, short
from node.mailbox.notes import NoteKind
from node.names import Names
from node.peer_id import PeerId
from node.peer_messages import WELCOME_PROTOCOL, WelcomeDelivery
from node.store_rows import FeedRow
from node.transport import RequestError
from node.welcoming import (
    ALREADY_IN,
    DECLINED,
    GIVE_UP_MS,
    JOINED,
    NO_KEYS,
    RETRY_MS,
    WAITING,
    WAITING_RETRY_MS,
    WELCOME_KIND,
)
from ordering import JoinProof

NOTE_RETRY_S: Final = 60.0

log = logger("delivering")


class Deliveries:
    """Of one group; `submit` makes an intent."""

    def __init__(self, agreement: Agreement, submit: Callable[[str, bytes], Awaitable[object]]) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.group_id = agreement.holding.group_id
        self._submit = submit
        self._under_way: set[int] = set()  # outbox rows
        self._note_due_s: dict[int, float] = {}  # when each is to be left at the newcomer's mailboxes (again)

    def start(self, nursery: trio.Nursery) -> None:
        """Start a delivery for each Welcome whose turn has come."""
        now_ms, needless = self.context.now_ms(), []
        for row in self.context.store.outbox(self.group_id):
            if row.kind != WELCOME_KIND or row.id in self._under_way:
                continue
            assert row.recipient is not None
            if self.agreement.arrived.get(row.recipient, -1) >= row.epoch:
                needless.append(row.id)
            elif row.created_ms <= now_ms:
                self._under_way.add(row.id)
                expired = now_ms - row.created_ms > GIVE_UP_MS
                nursery.start_soon(self._deliver, row.id, row.recipient, row.payload, expired)
        if needless:
            with self.context.store.transaction() as transaction:
                transaction.delete_outbox(needless)
            for row_id in needless:
                self._note_due_s.pop(row_id, None)

    async def _deliver(self, row_id: int, peer: PeerId, payload: bytes, expired: bool) -> None:
        """One attempt; the row stays until the newcomer says that it is in."""
        reply = b""
        try:
            if peer in self.context.transport.peers():
                reply = await self.context.transport.request(peer, WELCOME_PROTOCOL, payload)
            elif self.context.now_s() >= self._note_due_s.get(row_id, float("-inf")):
                kept = await self.context.leave_note(peer, NoteKind.WELCOME, payload)  # found there when it wakes
                self._note_due_s[row_id] = float("inf") if kept else self.context.now_s() + NOTE_RETRY_S
        except RequestError as error:
            log.info("welcome not delivered", group=short(self.group_id), peer=peer, reason=str(error))
        waits = (self.group_id, peer)
        if reply == WAITING:
            self.context.waiting.add(waits)
        elif reply:
            self.context.waiting.discard(waits)
        is_over = expired or reply in (JOINED, ALREADY_IN, DECLINED, NO_KEYS)
        if reply == DECLINED:  # what follows from the answer is durable before the row that has it asked goes
            is_over = await self._take_out(peer) or expired
        elif reply == NO_KEYS and self._is_ours(payload):
            is_over = await self.context.add_anew(self.group_id, peer) or expired
        if is_over:
            with self.context.store.transaction() as transaction:
                transaction.delete_outbox([row_id])
                if reply == DECLINED:
                    self._tell_declined(transaction.append_feed, peer)
            self.context.feed.grew()
        else:
            await trio.sleep((WAITING_RETRY_MS if reply == WAITING else RETRY_MS) / 1000)
        self._under_way.discard(row_id)
        if is_over:
            self._note_due_s.pop(row_id, None)

    def _is_ours(self, payload: bytes) -> bool:
        """Whether the commit was ours: then another one is for us to make, and for nobody else."""
        proof = JoinProof.decode(WelcomeDelivery.decode(payload).join_proof)
        return proof.candidate.author == self.agreement.own_leaf

    def _tell_declined(self, append: Callable[[FeedRow], object], peer: PeerId) -> None:
        text = f"{Names.of(self.context).shown(peer)} does not want to be in this group, and is removed again"
        epoch = self.agreement.holding.epoch
        append(FeedRow(self.group_id, GROUP, epoch, peer, None, NoticeBody(text).encode(), self.context.now_ms()))

    async def _take_out(self, peer: PeerId) -> bool:
        """Nobody stays a member who never came in. Whether that is taken care of: false where it cannot be just now."""
        try:
            if peer in self.agreement.roster:
                await self._submit(REMOVE, RemoveBody(peer).encode())
        except ApiError as error:
            log.info("who declined stays a member", group=short(self.group_id), peer=peer, reason=error.message)
            return False
        return True
