"""For whom a mailbox keeps notes: for anyone, or for its own contacts, whose inboxes it can tell by their cards.

Who leaves a note, and whose groups bring their messages, a mailbox does not know, so neither can be admitted or refused
by name. A note's topic is a hash of the inbox key that its owner's card names: that can be told.
"""

from typing import Final

from node.contacts.cards import CardError, open_card
from node.contacts.own import OwnCard
from node.context import NodeContext
from node.mailbox.notes import inbox_topic, week_of

WEEKS_AROUND: Final = (-1, 0, 1)  # a sender's clock may be wrong by a week
LOOK_GAP_S: Final = 5.0  # between two looks at who our contacts are


class Admission:
    """Of one mailbox; a change of the contacts counts a few seconds later."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._keys: dict[bytes, bytes] = {}  # the inbox key of each contact, by its card
        self._topics: frozenset[bytes] = frozenset()
        self._looked_s = float("-inf")

    def admits(self, topic: bytes) -> bool:
        """Whether notes are kept under a topic."""
        if self._context.config.mailbox.admit == "anyone":
            return True
        now_s = self._context.now_s()
        if now_s >= self._looked_s + LOOK_GAP_S:
            self._looked_s = now_s
            self._look()
        return topic in self._topics

    def _look(self) -> None:
        rows = self._context.store.contacts()  # those without a name are acquaintances
        cards = {row.card for row in rows if row.petname and row.card is not None and not row.blocked}
        self._keys = {card: self._keys.get(card) or _inbox_key(card) for card in cards}
        inboxes = {*self._keys.values(), OwnCard(self._context).inbox_key.public}
        week = week_of(self._context.now_ms())
        self._topics = frozenset(inbox_topic(key, week + away) for key in inboxes if key for away in WEEKS_AROUND)


def _inbox_key(card: bytes) -> bytes:
    try:
        return open_card(card).inbox_key
    except CardError:
        return b""
