"""Which mailboxes a group has: those of this node's settings, and those that its members name in their cards."""

from collections.abc import Iterable
from typing import Final

from node.contacts.cards import PLACES_MAX, CardError, Place, open_card
from node.context import NodeContext
from node.peer_id import PeerId, public_key_of
from node.transport import peer_of

MAILBOXES_MAX: Final = 16  # of one group


def own_places(addresses: Iterable[str]) -> tuple[Place, ...]:
    """The mailboxes of the settings as a card names them."""
    by_peer: dict[PeerId, tuple[str, ...]] = {}
    for address in addresses:
        peer = peer_of(address)
        by_peer[peer] = tuple(dict.fromkeys((*by_peer.get(peer, ()), address.removesuffix(f"/p2p/{peer}"))))
    return tuple(Place(public_key_of(peer), bare[:2]) for peer, bare in by_peer.items())[:PLACES_MAX]


def mailboxes_of(context: NodeContext, members: Iterable[PeerId]) -> tuple[str, ...]:
    """An address of each mailbox that a group of these members has, our own first, this node itself left out."""
    found: dict[PeerId, str] = {}
    for address in context.config.mailbox.use:
        found.setdefault(peer_of(address), address)
    for member in members:
        contact = context.store.contact(member)
        if contact is None or contact.card is None or contact.blocked:
            continue
        try:
            card = open_card(contact.card)
        except CardError:
            continue
        for place in card.mailboxes:
            for address in place.dial[:1]:
                found.setdefault(place.peer_id, address)
    found.pop(context.identity.peer_id, None)
    return tuple(found.values())[:MAILBOXES_MAX]
