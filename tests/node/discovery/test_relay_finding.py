"""A node that is reached through relays keeps a place at each, says where that is, and shows when it has none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from node.config import Config, DiscoverySection
from node.contacts.cards import ADDRESS_SIZE_MAX, make_card, open_card
from node.discovery.port import DiscoveryError
from node.discovery.relay import Relayed, serve_as_relay
from node.identity import Identity
from node.transport_libp2p import open_libp2p
from node.transport_relay import through
from node.transport_streams import StreamTransport
from tests.node.discovery.cards import Somebody
from tests.node.transport_worlds import QUICK, until


class Asking:
    """What a kind needs of a node."""

    def __init__(self, transport: StreamTransport, seed: bytes, **settings: Any) -> None:
        self.config = Config(discovery=DiscoverySection(**settings))
        self.transport = transport
        self.identity = Identity.generate(lambda size: seed[:size])
        self.random = os.urandom
        self.blocked: set[str] = set()


@asynccontextmanager
async def open_node(seed: bytes, **settings: Any) -> AsyncIterator[Any]:
    async with open_libp2p(QUICK, seed) as transport:
        yield Asking(transport, seed, **settings)


async def test_a_place_is_kept_and_found_again_after_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.discovery.relay.LOOK_S", 0.02)
    with trio.fail_after(30):
        async with open_node(b"r" * 32, relay_serve="anyone") as relay, trio.open_nursery() as nursery:
            serve_as_relay(relay, relay.transport.relays, lambda _: False)
            where = relay.transport.addresses[0]
            async with open_node(b"a" * 32, relays=(where,)) as ada:
                kind = Relayed(ada, ada.transport.relays)
                nursery.start_soon(kind.run, lambda _: None)
                await kind.announce(Somebody().signpost())
                way = through(where, ada.transport.peer_id)
                assert way in ada.transport.addresses
                for lost in (ada.transport, relay.transport):
                    other = relay.transport if lost is ada.transport else ada.transport
                    await lost.disconnect(other.peer_id)
                    await until(lambda: way not in ada.transport.addresses)
                    await until(lambda: way in ada.transport.addresses)
                assert kind.counters["places"] == 1
                nursery.cancel_scope.cancel()


async def test_a_relay_without_a_place_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay for contacts has none for strangers, nor for whom its user has blocked."""
    monkeypatch.setattr("node.discovery.relay.PLACE_S", 0.5)
    monkeypatch.setattr("node.discovery.relay.LOOK_S", 0.02)
    with trio.fail_after(30):
        async with open_node(b"r" * 32, relay_serve="contacts") as relay, trio.open_nursery() as nursery:
            contacts: set[str] = set()
            serve_as_relay(relay, relay.transport.relays, contacts.__contains__)
            async with open_node(b"a" * 32, relays=(relay.transport.addresses[0],)) as ada:
                kind = Relayed(ada, ada.transport.relays)
                nursery.start_soon(kind.run, lambda _: None)
                with pytest.raises(DiscoveryError, match="does not do that for this node"):
                    await kind.announce(Somebody().signpost())
                contacts.add(ada.transport.peer_id)
                relay.blocked.add(ada.transport.peer_id)
                with pytest.raises(DiscoveryError, match="does not do that for this node"):
                    await kind.announce(Somebody().signpost())
                nursery.cancel_scope.cancel()


def test_addresses_through_a_relay_go_into_a_card() -> None:
    """As long as those of the settings may be."""
    ada, relay = Somebody("ada"), Somebody("relay")
    host = "2001:db8:1234:5678:9abc:def0:1234:5678"
    ways = [through(f"/ip6/{host}/tcp/65535/p2p/{relay.peer_id}", ada.peer_id)]
    card = make_card(
        ada.identity,
        serial=1,
        name="ada",
        addresses=ways,
        mailboxes=(),
        replicas=(),
        suites=(1,),
        inbox_key=ada.inbox.public,
        now_s=1,
    )
    assert open_card(card.encode()).dial == tuple(ways)
    assert all(len(address) <= ADDRESS_SIZE_MAX for address in card.addresses)
    assert ada.signpost(*ways).dial == tuple(ways)
