"""Contacts tell each other their newest cards: when they connect, and when what a card says has changed.

Only a contact's own card is taken, and only over a link that proves whose it is, so nothing is verified that others
send without end; what a card says of itself is signed anyway.
"""

from contextlib import suppress
from typing import Final

import trio

from node.contacts.book import Contacts
from node.contacts.cards import CardError, open_card
from node.contacts.own import OwnCard
from node.context import NodeContext
from node.logs import logger
from node.peer_id import PeerId
from node.transport import RefusedError, TransportError

CARD_PROTOCOL: Final = "/conclave/card/1"
REFRESH_S: Final = 60.0  # how often it is looked whether our own card has to change
WISHES_MAX: Final = 256  # exchanges that the user has caused and that have not begun

log = logger("cards")


class CardExchange:
    """Of a running node."""

    def __init__(self, context: NodeContext, contacts: Contacts, own: OwnCard) -> None:
        self._context = context
        self._contacts = contacts
        self._own = own
        self._asked: set[PeerId] = set()  # an exchange is under way
        self._wishes, self._wanted = trio.open_memory_channel[PeerId](WISHES_MAX)

    async def run(self) -> None:
        """Renew our card when it has to be, and tell it to the contacts that are connected."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._renew)
            async for peer in self._wanted:
                nursery.start_soon(self.exchange, peer)

    def begin(self, peer: PeerId) -> None:
        """Exchange cards with a peer that has just become a contact, if it is connected."""
        with suppress(trio.WouldBlock):
            self._wishes.send_nowait(peer)

    async def _renew(self) -> None:
        while True:
            if self._own.refresh():
                await self.tell_all()
            await trio.sleep(REFRESH_S)

    async def tell_all(self) -> None:
        """Exchange cards with every contact that is connected."""
        async with trio.open_nursery() as nursery:
            for peer in self._context.transport.peers():
                nursery.start_soon(self.exchange, peer)

    async def exchange(self, peer: PeerId) -> None:
        """Tell a contact our card and take its own; nothing for others."""
        if peer in self._asked or not self._contacts.is_contact(peer):
            return
        self._asked.add(peer)
        try:
            payload = self._own.card.encode()
            self._take(peer, await self._context.transport.request(peer, CARD_PROTOCOL, payload))
        except (TransportError, RefusedError) as error:
            log.debug("card not exchanged", peer=peer, reason=str(error))
        finally:
            self._asked.discard(peer)

    async def serve(self, peer: PeerId, payload: bytes) -> bytes:
        """A contact tells its card and is told ours. Others are told nothing."""
        if not self._contacts.is_contact(peer):
            raise RefusedError("no contact of this node")
        self._take(peer, payload)
        return self._own.card.encode()

    def _take(self, peer: PeerId, data: bytes) -> None:
        try:
            card = open_card(data)
        except CardError as error:
            raise RefusedError(str(error)) from error
        if card.peer_id != peer:
            raise RefusedError("a card of somebody else")
        if self._contacts.update(card):
            log.info("newer card", peer=peer, serial=card.serial)
