"""Our own card: made when it is first wanted, and anew whenever what it says has changed or half its life is over."""

from typing import Final

from mls import HpkePrivateKey, suite, supported_suites
from node.addresses import is_loopback
from node.contacts.cards import INBOX_SUITE, LIFETIME_S, Card, Place, make_card, open_card
from node.context import NodeContext

INBOX_ROW: Final = "inbox_key"
CARD_ROW: Final = "card"
RENEW_S: Final = LIFETIME_S // 2
"""A card handed out today is good for at least so long."""


class OwnCard:
    """What this node says of itself. `mailboxes` and `replicas` are set by whoever knows them, before `refresh`."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self.mailboxes: tuple[Place, ...] = ()
        self.replicas: tuple[Place, ...] = ()

    @property
    def inbox_key(self) -> HpkePrivateKey:
        """The key that notes for this node are sealed to; the same for ever."""
        inbox, store = suite(INBOX_SUITE), self._context.store
        data = store.meta(INBOX_ROW)
        if data is None:
            key = inbox.generate_hpke_key(self._context.random)
            with store.transaction() as transaction:
                transaction.put_meta(INBOX_ROW, key.to_bytes())
            return key
        return inbox.load_hpke_key(data)

    @property
    def card(self) -> Card:
        """The present card."""
        self.refresh()
        data = self._context.store.meta(CARD_ROW)
        assert data is not None, "just refreshed"
        return open_card(data)

    def refresh(self) -> bool:
        """Make the card say what is so now; whether that is news.

        Serials are unix seconds or higher, so that they go on growing after a backup was restored.
        """
        context, store = self._context, self._context.store
        now_s = context.now_ms() // 1000
        data = store.meta(CARD_ROW)
        present = None if data is None else open_card(data)
        fresh = make_card(
            context.identity,
            serial=max(now_s, 1 if present is None else present.serial + 1),
            name=context.config.node.name,
            addresses=shareable(context.addresses()),
            mailboxes=self.mailboxes,
            replicas=self.replicas,
            suites=preferred(context.config.group.suite),
            inbox_key=self.inbox_key.public,
            now_s=now_s,
        )
        if present is not None and present.says_the_same(fresh) and present.expires_s - now_s > RENEW_S:
            return False
        with store.transaction() as transaction:
            transaction.put_meta(CARD_ROW, fresh.encode())
        return True


def shareable(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses worth telling: those of the loopback only where there are no others."""
    return tuple(address for address in addresses if not is_loopback(address)) or addresses


def preferred(first: int) -> tuple[int, ...]:
    """The cipher suites of this node, the one it founds groups with first."""
    return tuple(sorted(map(int, supported_suites()), key=lambda each: (each != first, each)))
