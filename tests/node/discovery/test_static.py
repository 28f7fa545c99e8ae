"""What is known without asking: kept connected, and looked up only where that is more than can be kept."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from trio.testing import MockClock

from node.config import NetworkSection
from node.discovery import static
from node.discovery.static import Static
from node.store_rows import PeerRow
from tests.node.contacts.people import Person, open_people
from tests.node.discovery.cards import NOW_S, Somebody
from tests.node.discovery.test_finding import is_connected
from tests.node.world import until


async def test_the_peers_of_the_settings_and_of_the_past_are_dialled_at_every_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_people(tmp_path) as (world, _):
        ada, bob, cyn = [Person(await world.member(name, alone=True)) for name in ("ada", "bob", "cyn")]
        with ada.member.node.context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(bob.peer_id, (bob.member.address,), ""))
        await ada.member.stop()
        config = ada.member.config
        ada.member.config = type(config)(node=config.node, network=NetworkSection(peers=(cyn.member.address,)))
        await ada.member.start(alone=True)
        await until(lambda: is_connected(ada, bob) and is_connected(ada, cyn))


async def test_who_knows_more_addresses_than_can_be_kept_looks_them_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Those of the settings first, then the card's, then where it was reached before; an expired card's not."""
    somebody, stranger = Somebody(), Somebody()
    configured, told, reached = (f"/ip4/192.0.2.{n}/tcp/1/p2p/{somebody.peer_id}" for n in (1, 2, 3))
    async with open_people(tmp_path, "ada") as (_, (ada,)):
        context = ada.member.node.context
        ada.member.node.contacts.take_in(somebody.card(told), "bob")
        with context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(somebody.peer_id, (reached,), ""))
        config = context.config
        context.config = type(config)(node=config.node, network=NetworkSection(peers=(configured,)))
        kind = Static(context)
        assert await kind.look_up(somebody.peer_id) is None
        monkeypatch.setattr(static, "KEPT_ADDRESSES_MAX", 1)
        assert addresses(await kind.look_up(somebody.peer_id)) == [configured, told, reached]
        assert await kind.look_up(stranger.peer_id) is None
        monkeypatch.setattr(type(context), "now_ms", staticmethod(lambda: (NOW_S + 2 * 365 * 24 * 3600) * 1000))
        assert addresses(await kind.look_up(somebody.peer_id)) == [configured, reached]


def addresses(found: object) -> list[str]:
    said: Iterable[str] = getattr(found, "addresses", ())
    return list(said)
