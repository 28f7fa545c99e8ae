"""On a local network, with radios that are lists: who is recognised, what strangers are told, what a flood does."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
import trio
import trio.lowlevel
import trio.testing

from node import addresses
from node.context import NodeContext
from node.discovery import mdns
from node.discovery.mdns import HASHES_BURST_MAX, HASHES_PER_S, REMEMBERED_MAX, Mdns
from node.discovery.mdns_radio import Heard, RadioError
from node.discovery.mdns_words import TEXT_SIZE_MAX, Announcement
from node.discovery.port import DiscoveryError, Found
from tests.node.discovery.cards import Somebody

THERE = "/ip4/192.168.1.7/tcp/4840"
HERE = "/ip4/192.168.1.8/tcp/4840"


class Radio:
    """One that was opened."""

    def __init__(self, lan: str, name: str, port: int, text: bytes, heard: Heard) -> None:
        self.lan, self.name, self.port, self.text, self.heard = lan, name, port, text, heard
        self.is_open = True
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    def close(self) -> None:
        self.is_open = False


class Air:
    """A node with radios that a test holds."""

    def __init__(self, wanted: Callable[[], Iterable[str]]) -> None:
        self.me = Somebody()
        self.radios: list[Radio] = []
        self.lans: dict[str, tuple[str, ...]] = {"192.168.1.8": (f"{HERE}/p2p/{self.me.peer_id}",)}
        self.found: list[Found] = []
        context = SimpleNamespace(
            identity=self.me.identity, addresses=tuple, random=os.urandom, now_s=trio.current_time
        )
        self.mdns = Mdns(cast(NodeContext, context), wanted, self.open, lambda _: self.lans)

    def open(self, lan: str, name: str, port: int, text: bytes, heard: Heard) -> Radio:
        self.radios.append(Radio(lan, name, port, text, heard))
        return self.radios[-1]

    async def hear(self, *texts: bytes, is_over: bool = False) -> None:
        for text in texts:
            self.radios[-1].heard(text, is_over)
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def on_air(wanted: Callable[[], Iterable[str]]) -> AsyncIterator[Air]:
    air = Air(wanted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(air.mdns.run, air.found.append)
        with trio.fail_after(10):
            while len(air.radios) < len(air.lans):  # noqa: ASYNC110 - opened in threads
                await trio.sleep(0.01)
        yield air
        nursery.cancel_scope.cancel()


def words(somebody: Somebody, *at: str) -> bytes:
    return Announcement.of(somebody.identity.public_key, os.urandom(16), at).write()


async def test_who_is_looked_for_is_recognised_and_nobody_else() -> None:
    ada, stranger = Somebody(), Somebody()
    async with on_air(lambda: (ada.peer_id,)) as air:
        await air.hear(words(stranger, THERE), words(ada, THERE))
        assert air.found == [Found(ada.peer_id, (f"{THERE}/p2p/{ada.peer_id}",))]


async def test_what_breaks_over_a_text_ends_this_way_of_finding_and_not_the_node() -> None:
    """Its caller shows it and starts it again; raised in a callback of the loop it would be the end of everything."""

    def broken() -> tuple[str, ...]:
        raise ZeroDivisionError

    async def listen() -> None:
        async with on_air(broken) as air:
            await air.hear(words(Somebody(), THERE))
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await listen()
    assert caught.value.split(ZeroDivisionError)[1] is None


async def test_a_neighbour_cannot_send_us_to_a_relay_of_its_own() -> None:
    """The relay would be dialled as well, and be told who dials it."""
    ada, relay = Somebody(), Somebody()
    async with on_air(lambda: (ada.peer_id,)) as air:
        await air.hear(words(ada, f"/ip4/192.0.2.7/tcp/1/p2p/{relay.peer_id}/p2p-circuit", THERE))
        assert air.found == [Found(ada.peer_id, (f"{THERE}/p2p/{ada.peer_id}",))]


async def test_who_becomes_wanted_later_was_heard_already() -> None:
    ada = Somebody()
    async with on_air(tuple) as air:
        text = words(ada, THERE)
        await air.hear(text)
        assert air.found == []
        assert await air.mdns.look_up(ada.peer_id) == Found(ada.peer_id, (f"{THERE}/p2p/{ada.peer_id}",))
        await air.mdns.look_up(Somebody().peer_id)
        assert air.radios[0].asked == 1  # within five seconds
        await air.hear(text, is_over=True)
        assert await air.mdns.look_up(ada.peer_id) is None


async def test_strangers_are_told_where_a_node_is_and_not_which() -> None:
    """Neither peer id nor key is on the air, and at another time or on another network all of it looks different."""
    async with on_air(tuple) as air:
        (first,) = air.radios
        assert Announcement.read(first.text) is not None
        assert HERE.encode() in first.text
        await air.hear(first.text)
        assert air.mdns.counters["heard"] == 0, "what comes back is our own"
        for told in (air.me.peer_id.encode(), air.me.identity.public_key, air.me.identity.public_key.hex().encode()):
            assert told not in first.text
            assert told not in first.name.encode()
        assert first.port == 4840
    async with on_air(tuple) as again:
        assert again.radios[0].name != first.name


async def test_each_network_is_told_the_addresses_there_and_left_with_a_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mdns, "LAN_CHECK_S", 0.01)
    async with on_air(tuple) as air:
        elsewhere = "/ip4/10.0.0.8/tcp/4840"
        air.lans = {"10.0.0.8": (f"{elsewhere}/p2p/{air.me.peer_id}",)}
        with trio.fail_after(10):
            while len(air.radios) < 2:  # noqa: ASYNC110 - opened in threads
                await trio.sleep(0.01)
        home, other = air.radios
        assert not home.is_open
        assert other.is_open
        assert elsewhere.encode() in other.text
        assert HERE.encode() not in other.text
    assert not other.is_open


async def test_a_flood_on_the_network_is_looked_at_within_bounds() -> None:
    """What is over the rate is dropped unseen, what is remembered is bounded, junk costs the reading only."""
    ada, crowd = Somebody(), [Somebody().peer_id for _ in range(199)]
    async with on_air(lambda: (*crowd, ada.peer_id)) as air:
        began_s = trio.current_time()
        await air.hear(*(words(ada, f"{THERE}{n}") for n in range(1_000)))
        counters, took_s = air.mdns.counters, trio.current_time() - began_s
        assert len(air.found) <= (HASHES_BURST_MAX + took_s * HASHES_PER_S) / 200
        assert counters["too_many"] == 1_000 - len(air.found) > 0
        assert len(air.mdns._remembered) <= REMEMBERED_MAX
        await air.hear(*(os.urandom(n) for n in range(0, 2 * TEXT_SIZE_MAX, 50)))
        assert counters["malformed"] == len(range(0, 2 * TEXT_SIZE_MAX, 50))


async def test_the_same_announcement_over_and_over_is_one() -> None:
    ada = Somebody()
    async with on_air(lambda: (ada.peer_id,)) as air:
        text = words(ada, THERE)
        await air.hear(*[text] * 500)
        assert len(air.found) == 1
        assert air.mdns.counters["too_many"] == 0


async def test_a_network_without_multicast_is_an_error_to_be_shown() -> None:
    air = Air(tuple)

    def refuse(*_: object) -> Radio:
        raise RadioError("no multicast")

    air.mdns._open_radio = refuse
    with pytest.raises(DiscoveryError, match="no multicast"):
        await air.mdns.run(air.found.append)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x03v=2",
        b"\x03v=1",
        b"\x03v=1\x04m=00",
        b"\x03v=1\x42m=" + b"0" * 64 + b"\x03b=1",
        b"\x03v=1\x42m=" + b"g" * 64,
        b"\x03v=1\x42m=" + b"0" * 64 + b"\x04a=/x" * 5,
        b"\xff" * 2000,
    ],
)
def test_what_is_no_announcement_is_none(text: bytes) -> None:
    assert Announcement.read(text) is None


def test_an_announcement_bent_by_a_stranger_is_of_nobody() -> None:
    """The mark covers the addresses: who does not know the peer id cannot send its friends elsewhere."""
    ada = Somebody()
    said = Announcement.read(words(ada, THERE))
    assert said is not None
    assert said.is_of(ada.identity.public_key)
    assert not Announcement(said.nonce, said.mark, (HERE,)).is_of(ada.identity.public_key)


def test_tunnels_and_loopback_are_no_local_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel's address is not told to the café, nor the café's network to the tunnel."""
    import socket

    def entry(address: str) -> SimpleNamespace:
        return SimpleNamespace(family=socket.AF_INET, address=address)

    interfaces = {"lo": "127.0.0.1", "eth0": "192.168.1.8", "tun0": "10.8.0.2", "down": "172.16.0.1"}
    flags = {
        "lo": "up,loopback,running",
        "eth0": "up,broadcast,running,multicast",
        "tun0": "up,pointopoint,running,multicast",
        "down": "broadcast,multicast",
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {n: [entry(a)] for n, a in interfaces.items()})
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {n: SimpleNamespace(flags=f) for n, f in flags.items()})
    ours = [f"/ip4/{host}/tcp/4840/p2p/x" for host in interfaces.values()]
    assert addresses.by_lan(ours) == {"192.168.1.8": ("/ip4/192.168.1.8/tcp/4840/p2p/x",)}
    assert addresses.by_lan(["/ip4/127.0.0.1/tcp/4840/p2p/x"]) == {}


@pytest.mark.parametrize(
    ("address", "is_far"),
    [
        ("/ip4/192.0.2.7/tcp/1/p2p/x", True),
        ("/dns4/example.org/tcp/1/p2p/x", True),
        ("/ip4/127.0.0.1/tcp/1/p2p/x", False),
        ("/ip4/0.0.0.0/tcp/1/p2p/x", False),
        ("/ip4/224.0.0.251/tcp/1/p2p/x", False),
        ("/ip4/255.255.255.255/tcp/1/p2p/x", False),
        ("/ip6/::1/tcp/1/p2p/x", False),
        ("/ip6/::ffff:127.0.0.1/tcp/1/p2p/x", False),
        ("/ip6/2001:db8::1/tcp/1/p2p/x", True),
        ("/ip4/not-an-address/tcp/1/p2p/x", False),
        ("/ip4/192.0.2.7/tcp/1/p2p/r/p2p-circuit/p2p/x", True),
        ("/tcp/22/ip4/127.0.0.1/p2p/x", False),  # libp2p dials it
        ("/ip4/192.0.2.7/ip4/127.0.0.1/tcp/22/p2p/x", False),  # likewise, the second
        ("/ip4/192.0.2.7/dns4/example.org/tcp/1/p2p/x", False),
        ("/ip4/192.0.2.7/tcp/1/p2p/r/p2p-circuit/ip4/127.0.0.1/tcp/22/p2p/x", False),
        ("/sni/x/dns4/example.org/tcp/1/p2p/x", False),
    ],
)
def test_what_leads_back_to_us_or_to_many_is_not_far(address: str, is_far: bool) -> None:
    assert addresses.is_far(address) is is_far
