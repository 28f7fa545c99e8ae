"""People's cards and signposts, without nodes."""

import os
import time

from mls import HpkePrivateKey, suite
from node.contacts.cards import INBOX_SUITE, Card, make_card
from node.daemon import Node
from node.discovery.signposts import Signpost, make_signpost
from node.identity import Identity

NOW_S = int(time.time())


class Somebody:
    """A key, and what it signs."""

    def __init__(self, name: str = "somebody") -> None:
        self.name = name
        self.identity = Identity.generate(os.urandom)
        self.inbox: HpkePrivateKey = suite(INBOX_SUITE).generate_hpke_key(os.urandom)

    @property
    def peer_id(self) -> str:
        return self.identity.peer_id

    def card(self, *addresses: str, serial: int = 1) -> Card:
        return make_card(
            self.identity,
            serial=serial,
            name=self.name,
            addresses=addresses,
            mailboxes=(),
            replicas=(),
            suites=(1,),
            inbox_key=self.inbox.public,
            now_s=NOW_S,
        )

    def signpost(self, *addresses: str, now_s: int = NOW_S, serial: int = 1) -> Signpost:
        return make_signpost(self.identity, self.card(*addresses, serial=serial), now_s)


def addressless(node: Node, serial: int = 1, name: str = "") -> Card:
    """An old card of a node's, with no address in it."""
    return make_card(
        node.context.identity,
        serial=serial,
        name=name,
        addresses=(),
        mailboxes=(),
        replicas=(),
        suites=(1,),
        inbox_key=node.own_card.inbox_key.public,
        now_s=node.context.now_ms() // 1000,
    )
