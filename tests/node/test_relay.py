"""Nodes that nobody can dial are reached through a relay, which learns nothing of what they say and lends so much and
no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.transport import DialError, PeerId
from node.transport_libp2p import open_libp2p
from node.transport_libp2p.circuit_words import (
    CIRCUIT_WORD_SIZE_MAX,
    HOP,
    OK,
    STOP,
    Talk,
    hop_connect,
    hop_reserve,
    limit_of,
    stop_connect,
)
from node.transport_libp2p.relay import Pace
from node.transport_libp2p.wire import RELAYED_HANDSHAKES_MAX
from node.transport_relay import RelayError, RelayLimits, split_relayed, through
from node.transport_streams import StreamTransport
from tests.node.transport_worlds import QUICK, until, until_peers

HIDDEN = replace(QUICK, listen=())  # as behind a NAT: it dials, and is not dialled


async def echo(peer: PeerId, payload: bytes) -> bytes:
    return payload


def anybody(_peer: PeerId) -> bool:
    return True


class Scene:
    """A relay, a node that is reached through it, and one that wants to."""

    def __init__(self, relay: StreamTransport, ada: StreamTransport, bob: StreamTransport) -> None:
        self.relay = relay
        self.ada = ada
        self.bob = bob

    @property
    def address(self) -> str:
        """Where ada is reached."""
        return through(self.relay.addresses[0], self.ada.peer_id)

    async def reserve(self, who: StreamTransport | None = None) -> None:
        who = who or self.ada
        await who.connect(self.relay.addresses[0])
        assert who.relays is not None
        await who.relays.reserve(self.relay.peer_id)


@asynccontextmanager
async def open_scene(limits: RelayLimits | None = None, heartbeat_timeout_s: float = 2.0) -> AsyncIterator[Scene]:
    hidden = replace(HIDDEN, heartbeat_timeout_s=heartbeat_timeout_s)
    with trio.fail_after(30):
        async with (
            open_libp2p(QUICK, b"r" * 32) as relay,
            open_libp2p(hidden, b"a" * 32) as ada,
            open_libp2p(hidden, b"b" * 32) as bob,
        ):
            assert relay.relays is not None
            relay.relays.serve(limits or RelayLimits(), anybody)
            for node in (ada, bob):
                node.handle("echo", echo)
            yield Scene(relay, ada, bob)


async def test_who_cannot_be_dialled_is_reached_through_a_relay() -> None:
    """All services work both ways, and the peers have proven to each other who they are."""
    async with open_scene() as scene:
        await scene.reserve()
        assert await scene.bob.connect(scene.address) == scene.ada.peer_id
        await until_peers(scene.ada, scene.bob.peer_id)
        assert await scene.bob.request(scene.ada.peer_id, "echo", b"there") == b"there"
        assert await scene.ada.request(scene.bob.peer_id, "echo", bytes(300_000)) == bytes(300_000)
        assert await scene.ada.send(scene.bob.peer_id, b"a frame")
        assert await scene.bob.inbox().receive() == (scene.ada.peer_id, b"a frame")
        assert scene.relay.counters["relay_bytes"] > 600_000
        await scene.bob.disconnect(scene.ada.peer_id)
        await until(lambda: scene.bob.peer_id not in scene.ada.peers())
        await until(lambda: scene.relay.peer_id not in scene.bob.peers())  # it was there for that only


async def test_a_slow_relay_is_slow_and_cuts_nobody() -> None:
    """Heartbeats wait behind what is on its way; that has to be little."""
    async with open_scene(RelayLimits(bytes_per_s=400_000), heartbeat_timeout_s=3.0) as scene:
        await scene.reserve()
        await scene.bob.connect(scene.address)
        began_s = trio.current_time()
        size = 1_500_000
        assert await scene.bob.request(scene.ada.peer_id, "echo", bytes(size), timeout_s=25) == bytes(size)
        assert trio.current_time() - began_s > 4
        assert scene.bob.counters["peers_hung"] == scene.ada.counters["peers_hung"] == 0


async def test_a_throw_away_identity_goes_through_a_relay_too() -> None:
    """Mailboxes behind a NAT are reached like others, and by nobody with a name."""
    async with open_scene() as scene:
        await scene.reserve()
        asked: list[PeerId] = []

        async def who(peer: PeerId, payload: bytes) -> bytes:
            asked.append(peer)
            return payload

        scene.ada.handle("who", who)
        assert await scene.bob.request_unnamed(scene.address, "who", b"me", persona=b"p" * 32) == b"me"
        assert asked != [scene.bob.peer_id]
        assert scene.bob.peer_id not in scene.relay.peers()


async def test_a_direct_way_is_preferred() -> None:
    async with open_scene() as scene, open_libp2p(QUICK, b"c" * 32) as cyn:
        await scene.reserve(cyn)
        scene.bob.keep(through(scene.relay.addresses[0], cyn.peer_id))
        scene.bob.keep(cyn.addresses[0])
        await until_peers(scene.bob, cyn.peer_id)
        await trio.sleep(1.2)
        assert scene.relay.counters["relay_circuits"] == 0


async def test_who_is_not_there_is_not_reached() -> None:
    """Each refusal in words, and no connection to the relay stays for it."""
    async with open_scene() as scene:
        with pytest.raises(DialError, match="not reached through it now"):
            await scene.bob.connect(scene.address)  # ada has reserved nothing
        await scene.reserve()
        await scene.ada.disconnect(scene.relay.peer_id)
        await until(lambda: scene.ada.peer_id not in scene.relay.peers())
        with pytest.raises(DialError, match="not reached through it now"):
            await scene.bob.connect(scene.address)  # and is gone
        for wrong in (
            f"{scene.relay.addresses[0]}/p2p-circuit",
            f"{scene.address}/p2p-circuit/p2p/{scene.bob.peer_id}",
            f"/p2p-circuit/p2p/{scene.ada.peer_id}",
        ):
            with pytest.raises(DialError):
                await scene.bob.connect(wrong)
        assert not scene.bob.peers()


async def test_a_relay_is_left_with_the_last_circuit_through_it() -> None:
    async with open_scene() as scene, open_libp2p(HIDDEN, b"c" * 32) as cyn:
        for node in (scene.ada, cyn):
            await scene.reserve(node)
            await scene.bob.connect(through(scene.relay.addresses[0], node.peer_id))
        await scene.bob.disconnect(scene.ada.peer_id)
        assert await scene.relay.request(scene.bob.peer_id, "echo", b"still") == b"still"
        assert cyn.peer_id in scene.bob.peers()
        await scene.bob.disconnect(cyn.peer_id)
        await until(lambda: not scene.bob.peers())
        await cyn.connect(scene.address)  # from a node with a place there, which it keeps
        await cyn.disconnect(scene.ada.peer_id)
        await until(lambda: scene.ada.peer_id not in cyn.peers())
        assert scene.relay.peer_id in cyn.peers()


async def test_a_relay_that_does_not_serve_says_so() -> None:
    async with open_scene() as scene, open_libp2p(QUICK, b"c" * 32) as cyn:
        await scene.ada.connect(cyn.addresses[0])
        assert scene.ada.relays is not None
        with pytest.raises(RelayError, match="does not serve as a relay"):
            await scene.ada.relays.reserve(cyn.peer_id)
        assert cyn.relays is not None
        cyn.relays.serve(RelayLimits(), lambda _: False)
        with pytest.raises(RelayError, match="does not do that for this node"):
            await scene.ada.relays.reserve(cyn.peer_id)


async def test_a_relay_cannot_be_the_peer() -> None:
    """What answers in the circuit has to have the key of who was called: a relay that answers itself gets nothing."""
    async with open_scene() as scene:
        await scene.reserve(scene.bob)
        liar: Any = scene.relay._wire
        liar._relay._reserved[scene.ada.peer_id] = float("inf")
        target = scene.bob.peer_id
        opens = liar._relay._open_stream
        liar._relay._open_stream = lambda _, protocol: opens(target, protocol)  # bob answers for ada
        async with open_libp2p(HIDDEN, b"c" * 32) as cyn:
            with pytest.raises(DialError, match="cannot connect"):
                await cyn.connect(scene.address)
            assert scene.ada.peer_id not in cyn.peers()
            assert target not in cyn.peers()


async def test_nobody_pushes_circuits_at_a_node_that_did_not_ask() -> None:
    async with open_scene() as scene:
        await scene.ada.connect(scene.relay.addresses[0])
        wire: Any = scene.relay._wire
        wire._relay._reserved[scene.ada.peer_id] = float("inf")
        with pytest.raises(DialError, match="did not answer"):
            await scene.bob.connect(scene.address)


async def test_a_relay_cannot_take_all_handshakes() -> None:
    """Whom a node chose as its relay may send it callers who say nothing; those who dial it have room all the same."""
    async with open_scene() as scene, open_libp2p(QUICK, b"c" * 32) as cyn:
        await scene.reserve(cyn)
        for _ in range(RELAYED_HANDSHAKES_MAX + 8):
            talk = Talk(await scene.relay._wire.open_stream(cyn.peer_id, STOP))
            await talk.say(stop_connect(scene.bob.peer_id, limit_of(60)))
        await until(lambda: cyn.counters["connections_refused"] >= 8)
        assert cyn._wire._handshakes <= RELAYED_HANDSHAKES_MAX  # type: ignore[attr-defined]
        assert await scene.bob.connect(cyn.addresses[0]) == cyn.peer_id


async def test_a_relay_lends_so_much_and_no_more() -> None:
    """Reservations, circuits in all and of one peer; what is given back can be had again."""
    limits = RelayLimits(reservations=2, circuits=2, circuits_per_peer=1)
    async with (
        open_scene(limits) as scene,
        open_libp2p(HIDDEN, b"c" * 32) as cyn,
        open_libp2p(HIDDEN, b"d" * 32) as dan,
    ):
        await scene.reserve(scene.ada)
        await scene.reserve(cyn)
        with pytest.raises(RelayError, match="no reservation"):
            await scene.reserve(dan)
        await scene.reserve(cyn)  # again is no more
        await scene.bob.connect(scene.address)
        for full in (scene.address, through(scene.relay.addresses[0], cyn.peer_id)):
            with pytest.raises(DialError, match="as much as it wants"):
                await (dan if full == scene.address else scene.bob).connect(full)
        await scene.bob.disconnect(scene.ada.peer_id)
        await until(lambda: not scene.relay._wire._relay._circuits)  # type: ignore[attr-defined]
        await dan.connect(scene.address)
        await cyn.disconnect(scene.relay.peer_id)
        await until(lambda: cyn.peer_id not in scene.relay.peers())
        await scene.reserve(dan)


async def test_a_circuit_ends_in_time_and_when_an_end_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_scene(RelayLimits(duration_s=0.5)) as scene:
        await scene.reserve()
        await scene.bob.connect(scene.address)
        await until(lambda: scene.ada.peer_id not in scene.bob.peers())
    monkeypatch.setattr("node.transport_libp2p.relay.IDLE_S", 0.2)
    async with open_scene() as scene:
        await scene.reserve()
        await scene.bob.connect(scene.relay.addresses[0])
        talk = Talk(await scene.bob._wire.open_stream(scene.relay.peer_id, HOP))
        await talk.say(hop_connect(scene.ada.peer_id))
        assert (await talk.hear_hop()).status == OK
        await until(lambda: not scene.relay._wire._relay._circuits)  # type: ignore[attr-defined]


async def test_a_circuit_has_a_pace(autojump_clock: MockClock) -> None:
    pace = Pace(1000)
    began_s = trio.current_time()
    for _ in range(10):
        await pace.spend(1000)
    assert trio.current_time() - began_s == pytest.approx(9.0)  # a second's worth at once


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"\xff\xff\xff\xff", id="a length without end"),
        pytest.param(bytes((0x81, CIRCUIT_WORD_SIZE_MAX >> 7)), id="too long"),
        pytest.param(b"\x02\x08\xff", id="cut short"),
        pytest.param(b"\x04\xff\xff\xff\xff", id="no message"),
        pytest.param(b"\x02\x08\x01", id="a call for nobody"),
        pytest.param(b"\x04\x08\x01\x12\x00", id="a call for an empty id"),
        pytest.param(b"\x02\x08\x02", id="an answer that nobody wants"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_garbage_costs_its_sender_the_stream(words: bytes) -> None:
    """On the relay's side and on that of who is reached through it."""
    async with open_scene() as scene:
        await scene.reserve()
        for asker, victim, protocol in ((scene.bob, scene.relay, HOP), (scene.relay, scene.ada, STOP)):
            if victim.peer_id not in asker.peers():
                await asker.connect(victim.addresses[0])
            stream = await asker._wire.open_stream(victim.peer_id, protocol)
            await stream.write(words)
            await stream.close()
        assert await scene.bob.connect(scene.address) == scene.ada.peer_id
        assert await scene.bob.request(scene.ada.peer_id, "echo", b"still") == b"still"


async def test_reservations_are_for_oneself() -> None:
    """A wish in somebody else's name is one in one's own."""
    async with open_scene(RelayLimits(reservations=1)) as scene:
        await scene.bob.connect(scene.relay.addresses[0])
        wish = hop_reserve()
        wish.peer.CopyFrom(hop_connect(scene.ada.peer_id).peer)
        talk = Talk(await scene.bob._wire.open_stream(scene.relay.peer_id, HOP))
        await talk.say(wish)
        await talk.hear_hop()
        with pytest.raises(RelayError):
            await scene.reserve()
        assert list(scene.relay._wire._relay._reserved) == [scene.bob.peer_id]  # type: ignore[attr-defined]


def test_addresses_are_taken_apart_as_they_are_put_together() -> None:
    relay = "/ip4/192.0.2.7/tcp/4840/p2p/12D3KooWRelay"
    assert split_relayed(through(relay, "12D3KooWAda")) == (relay, "12D3KooWAda")
