"""Signposts in a table over real nodes: found by who looks for a peer, forged by nobody, read by who had a card."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from node.config import Config, DiscoverySection
from node.discovery.kademlia import KademliaFinding, place_of
from node.discovery.port import DiscoveryError
from node.discovery.signposts import LIFETIME_S
from node.transport_libp2p import open_libp2p
from node.transport_streams import StreamTransport
from tests.node.discovery.cards import NOW_S, Somebody
from tests.node.transport_worlds import QUICK, until

DAY_S = 24 * 3600


class Asking:
    """What a kind needs of a node: settings, a network, a clock that the test moves."""

    def __init__(self, transport: StreamTransport, entries: list[str], serves: bool) -> None:
        self.config = Config(discovery=DiscoverySection(kademlia=tuple(entries), kademlia_serve=serves))
        self.transport = transport
        self.random = os.urandom
        self.later_s = 0

    def addresses(self) -> tuple[str, ...]:
        return self.transport.addresses

    def now_ms(self) -> int:
        return (NOW_S + self.later_s) * 1000


class World:
    """Nodes that keep the table, in a line: each was told only of the one before."""

    def __init__(self, nodes: list[Asking], kinds: list[Any]) -> None:
        self.nodes = nodes
        self.kinds = kinds

    def pass_s(self, seconds: int) -> None:
        for node in self.nodes:
            node.later_s += seconds


@asynccontextmanager
async def open_world(count: int) -> AsyncIterator[World]:
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            nursery = await stack.enter_async_context(trio.open_nursery())
            world = World([], [])
            for number in range(count):
                transport = await stack.enter_async_context(open_libp2p(QUICK, bytes((number + 1,)) * 32))
                before = [each.transport.addresses[0] for each in world.nodes[-1:]]
                node: Any = Asking(transport, before, serves=True)
                assert transport.open_table is not None
                kind: Any = KademliaFinding(node, transport.open_table)
                nursery.start_soon(kind.run, lambda _: None)
                world.nodes.append(node)
                world.kinds.append(kind)
                await until(lambda kind=kind: kind._table._dht is not None)  # type: ignore[misc]
            for kind in world.kinds:
                await until(lambda kind=kind: kind._table._dht.routing_table.size())  # type: ignore[misc]
            yield world
            nursery.cancel_scope.cancel()


async def test_a_card_is_found_by_peer_id_over_a_line_of_nodes() -> None:
    """Who had a card before finds the new one; who had none finds addresses, and no name is anywhere."""
    ada = Somebody("ada of the lake")
    async with open_world(5) as world:
        await world.kinds[0].announce(ada.signpost("/ip4/203.0.113.5/tcp/4840", serial=7))
        found = await world.kinds[4].look_up(ada.peer_id)
        assert found.peer == ada.peer_id
        assert found.addresses == (f"/ip4/203.0.113.5/tcp/4840/p2p/{ada.peer_id}",)
        card = found.signpost.card(ada.inbox.public)
        assert (card.name, card.serial) == ("ada of the lake", 7)
        assert found.signpost.card(Somebody().inbox.public) is None
        kept = [record for kind in world.kinds for record, _ in kind._table._values.store.values()]
        assert kept
        assert not any(b"ada of the lake" in record.SerializeToString() for record in kept)
        assert not any(ada.peer_id.encode() in record.key for record in kept)
        assert await world.kinds[2].look_up(Somebody().peer_id) is None


async def test_only_a_peer_itself_says_where_it_is() -> None:
    """Forged, another's, stale, and expired ones: none is handed on, whoever keeps them."""
    ada, eve = Somebody("ada"), Somebody("eve")
    old, new = ada.signpost("/ip4/203.0.113.5/tcp/1", now_s=NOW_S - 60), ada.signpost("/ip4/203.0.113.6/tcp/1")
    place = place_of(ada.peer_id)
    async with open_world(3) as world:
        table = world.kinds[0]._table
        for forged in (
            eve.signpost("/ip4/198.51.100.66/tcp/1", now_s=NOW_S + 60).encode(),
            new.encode()[:-1] + bytes((new.encode()[-1] ^ 1,)),
            new.encode().replace(b"203.0.113.6", b"198.51.1.66"),
            ada.signpost("/ip4/203.0.113.7/tcp/1", now_s=NOW_S - 2 * LIFETIME_S).encode(),
            os.urandom(400),
        ):
            with pytest.raises(ValueError, match="does not belong there"):
                await table.put(place, forged)
        await world.kinds[0].announce(new)
        for kind in world.kinds[1:]:  # they keep an old one, against the rules
            for record, _ in kind._table._values.store.values():
                record.value = old.encode()
        assert (await world.kinds[2].look_up(ada.peer_id)).addresses == where(new)
        kept = [record for kind in world.kinds for record, _ in kind._table._values.store.values()]
        assert {record.value for record in kept} == {new.encode()}  # who has an old one is told on the way
        world.pass_s(2 * DAY_S)
        assert await world.kinds[2].look_up(ada.peer_id) is None
        assert not world.kinds[2]._table._values.store


async def test_what_no_peer_has_signed_is_not_handed_on() -> None:
    ada = Somebody("ada")
    async with open_world(3) as world:
        await world.kinds[0].announce(ada.signpost("/ip4/203.0.113.5/tcp/4840"))
        for kind in world.kinds:
            for record, _ in kind._table._values.store.values():
                record.value = os.urandom(100)
        assert await world.kinds[2].look_up(ada.peer_id) is None


async def test_a_table_that_nobody_answers_for_is_an_error_in_words() -> None:
    with trio.fail_after(30):
        async with open_libp2p(QUICK, b"a" * 32) as transport:
            gone = f"/ip4/127.0.0.1/tcp/1/p2p/{Somebody().peer_id}"
            node: Any = Asking(transport, [gone], serves=False)
            assert transport.open_table is not None
            kind = KademliaFinding(node, transport.open_table)
            with pytest.raises(DiscoveryError, match="no node of the table could be reached"):
                await kind.look_up(Somebody().peer_id)
            with pytest.raises(DiscoveryError, match="no node of the table could be reached"):
                await kind.announce(Somebody().signpost())


def where(signpost: Any) -> tuple[str, ...]:
    dial: tuple[str, ...] = signpost.dial
    return dial
