"""A node's post: notes left at others' mailboxes, and our own inbox, looked into at every start and now and then."""

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random as Chance
from typing import Final

import trio

from mls import HpkePrivateKey, MlsError
from node.contacts.cards import Card, CardError, open_card
from node.context import NodeContext
from node.logs import logger
from node.mailbox.messages import ITEMS_MAX
from node.mailbox.notes import (
    COLLECT_PROTOCOL,
    INBOX_PROTOCOL,
    NOTE_PROTOCOL,
    WEEKS_MAX,
    Collect,
    CollectReply,
    InboxChallenge,
    InboxRequest,
    Note,
    NoteKind,
    NoteReply,
    inbox_topic,
    open_challenge,
    open_note,
    seal_note,
    week_of,
)
from node.mailbox.sealing import item_id
from node.peer_id import PeerId, public_key_of
from node.transport import PERSONA_SIZE, RefusedError, TransportError, peer_of
from ordering import MalformedError

LOOK_PERIOD_S: Final = 30.0  # between two looks into our inbox, jittered
TIMEOUT_S: Final = 10.0
ROUNDS_MAX: Final = 64  # answers of one mailbox in one look

Take = Callable[[bytes], Awaitable[object]]

log = logger("post")


class Post:
    """Of a running node. `take` says what is done with the notes of a kind; `RefusedError` refuses one for good."""

    def __init__(self, context: NodeContext, inbox_key: Callable[[], HpkePrivateKey]) -> None:
        self._context = context
        self._inbox_key = inbox_key
        self._take: dict[NoteKind, Take] = {}
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter

    def handle(self, kind: NoteKind, take: Take) -> None:
        """What is done with notes of this kind that come for us."""
        self._take[kind] = take

    # --- leaving ---

    async def leave_for(self, peer: PeerId, kind: NoteKind, body: bytes) -> int:
        """Leave a note for a contact; at how many of its mailboxes it is. None are known of who is no contact."""
        contact = self._context.store.contact(peer)
        if contact is None or contact.card is None:
            return 0
        try:
            return await self.leave(open_card(contact.card), kind, body)
        except CardError as error:
            log.info("card not used", peer=peer, reason=str(error))
            return 0

    async def leave(self, card: Card, kind: NoteKind, body: bytes) -> int:
        """Leave a note for the owner of a card, unnamed; at how many of its mailboxes it is, durably."""
        addresses = [place.dial[0] for place in card.mailboxes if place.dial]
        if not addresses:
            return 0
        try:
            item = seal_note(card.inbox_key, kind, body, self._context.random)
        except MlsError as error:
            log.info("card not used", peer=card.peer_id, reason=str(error))
            return 0
        note = Note(inbox_topic(card.inbox_key, week_of(self._context.now_ms())), item)
        kept: list[str] = []

        async def one(address: str) -> None:
            persona = self._context.random(PERSONA_SIZE)
            try:
                reply = NoteReply.decode(await self._ask(address, NOTE_PROTOCOL, note.encode(), persona))
            except (TransportError, MalformedError) as error:
                log.info("note not left", mailbox=peer_of(address), reason=str(error))
                return
            if reply.is_kept:
                kept.append(address)

        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(one, address)
        return len(kept)

    # --- collecting ---

    async def run(self) -> None:
        """Look into our inbox at all our mailboxes, now and again."""
        own = self._context.identity.peer_id
        while True:
            async with trio.open_nursery() as nursery:
                for address in dict.fromkeys(self._context.config.mailbox.use):
                    if peer_of(address) != own:
                        nursery.start_soon(self._collect, address)
            await trio.sleep(LOOK_PERIOD_S * self._chance.uniform(0.75, 1.25))

    async def _collect(self, address: str) -> None:
        """What a mailbox has for us, each note once; forgotten there when we are done with it."""
        key, ask = self._inbox_key(), partial(self._ask, address, persona=self._context.random(PERSONA_SIZE))
        week = week_of(self._context.now_ms())
        weeks = tuple(range(max(0, week - WEEKS_MAX + 2), week + 2))  # its clock, or a sender's, may be ahead
        had: tuple[bytes, ...] = ()
        try:
            reply = await ask(INBOX_PROTOCOL, InboxRequest(key.public).encode())
            sealed = InboxChallenge.decode(reply).sealed
            challenge = open_challenge(key, public_key_of(peer_of(address)), sealed)
            for _ in range(ROUNDS_MAX):
                question = Collect(key.public, challenge, weeks, had)
                items = CollectReply.decode(await ask(COLLECT_PROTOCOL, question.encode())).items
                for item in items:
                    await self._open(key, item)
                had = tuple(item_id(item) for item in items)[:ITEMS_MAX]
                if not had:
                    return
        except (TransportError, MalformedError) as error:
            log.info("inbox not read", mailbox=peer_of(address), reason=str(error))

    async def _open(self, key: HpkePrivateKey, item: bytes) -> None:
        try:
            kind, body = open_note(key, item)
            take = self._take.get(kind)
            if take is not None:
                await take(body)
        except (MalformedError, RefusedError) as error:
            log.info("note dropped", reason=str(error))

    async def _ask(self, address: str, protocol: str, payload: bytes, persona: bytes) -> bytes:
        return await self._context.transport.request_unnamed(
            address, protocol, payload, persona=persona, timeout_s=TIMEOUT_S
        )
