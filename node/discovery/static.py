"""What this node knows without asking anybody: the settings, its contacts' cards, and where peers were reached before.

Those addresses are kept connected, as many as the transport keeps. Only who knows more of them looks peers up here.
"""

from collections import Counter
from collections.abc import Callable
from itertools import chain

import trio

from node.contacts.book import stored_card
from node.context import NodeContext
from node.discovery.port import Found
from node.discovery.signposts import Signpost
from node.introductions import keep
from node.peer_id import PeerId
from node.transport import KEPT_ADDRESSES_MAX, peer_of


class Static:
    """Always on."""

    name = "static"

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self.counters: Counter[str] = Counter()

    async def run(self, found: Callable[[Found], None]) -> None:  # noqa: ARG002 - what is known is told when asked
        """Stay connected to the peers of the settings, and to all that were reached before."""
        rows = self._context.store.peers()
        keep(self._context, tuple(chain(self._context.config.network.peers, *(row.addresses for row in rows))))
        await trio.sleep_forever()

    async def look_up(self, peer: PeerId) -> Found | None:
        """All that is known, most trusted first; None when all of it is dialled again and again anyway."""
        await trio.lowlevel.checkpoint()
        kept = sum(len(row.addresses) for row in self._context.store.peers()) + len(self._context.config.network.peers)
        if kept <= KEPT_ADDRESSES_MAX:
            return None
        contact, row = self._context.store.contact(peer), self._context.store.peer(peer)
        configured = [address for address in self._context.config.network.peers if peer_of(address) == peer]
        card = None if contact is None or contact.card is None else stored_card(contact.card)
        is_current = card is not None and self._context.now_ms() < card.expires_s * 1000
        known = Found.at(
            peer,
            chain(configured, card.dial if card is not None and is_current else (), row.addresses if row else ()),
        )
        return known if known.addresses else None

    async def announce(self, signpost: Signpost) -> None:
        """Contacts are told by `CardExchange`."""
