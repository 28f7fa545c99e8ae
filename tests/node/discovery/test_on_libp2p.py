"""Rendezvous between real nodes on real sockets, with one point that lies and one that is flooded."""

import os
from pathlib import Path

import trio

from node.config import DiscoverySection
from node.discovery.rendezvous_messages import ASK_PROTOCOL, REGISTER_PROTOCOL, Answer, Ask, Register, Registered
from node.discovery.rendezvous_point import ASKERS_MAX, PEER_ASKS_BURST_MAX
from node.transport import RESPONSE_SIZE_MAX, RequestError, RequestFailure, Transport, TransportConfig
from node.transport_libp2p import open_libp2p
from tests.node.discovery.cards import Somebody, addressless
from tests.node.libp2p_world import Peer, open_peer
from tests.node.world import until

LIES = 20


async def test_two_who_know_only_points_meet_while_one_point_lies_and_the_other_is_flooded(tmp_path: Path) -> None:
    """They have each other's keys, and the points' addresses, no more."""
    eve = Somebody("eve")
    answers = [
        bytes(RESPONSE_SIZE_MAX),
        os.urandom(500),
        Answer(eve.signpost("/ip4/192.0.2.1/tcp/1").encode()).encode(),
    ]

    async def lie(_peer: str, _payload: bytes) -> bytes:
        return answers[os.urandom(1)[0] % len(answers)]

    async def take(_peer: str, _payload: bytes) -> bytes:
        return Registered(1800).encode()

    async with (
        open_libp2p(TransportConfig(), os.urandom(32)) as liar,
        open_peer(tmp_path, "rose", DiscoverySection(rendezvous_serve="anyone", rendezvous_quota=16)) as rose,
    ):
        liar.handle(ASK_PROTOCOL, lie)
        liar.handle(REGISTER_PROTOCOL, take)
        points = DiscoverySection(rendezvous=(liar.addresses[0], rose.address))
        async with open_peer(tmp_path, "ada", points) as ada, open_peer(tmp_path, "bob", points) as bob:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood, rose)
                for one, other in ((ada, bob), (bob, ada)):
                    one.node.contacts.take_in(addressless(other.node), other.node.context.config.node.name)
                with trio.fail_after(60):
                    await until(lambda: ada.peer_id in bob.transport.peers(), timeout_s=60)
            point = rose.node.point
            assert point is not None
            assert len(point) == 2
            assert len(point._askers) <= ASKERS_MAX
            assert not rose.transport.counters["handlers_failed"]
            for peer in (ada, bob):
                assert eve.peer_id not in peer.transport.peers()
                assert peer.node.finding.tallies[0].reached == 0


async def flood(rose: Peer) -> None:
    """A stranger that registers others, and itself with junk, and asks and asks."""
    mallory, other = Somebody("mallory"), Somebody("other")
    async with open_libp2p(TransportConfig(listen=()), mallory.identity.key.to_bytes()) as stranger:
        await stranger.connect(rose.address)
        foreign = Register(other.signpost("/ip4/192.0.2.1/tcp/1").encode()).encode()
        expired = Register(mallory.signpost(now_s=1_600_000_000).encode()).encode()
        for _ in range(LIES):
            for payload in (foreign, expired, os.urandom(100), bytes(1_000_000)):
                assert await failure(stranger, rose, REGISTER_PROTOCOL, payload) is RequestFailure.REFUSED
        question = Ask(os.urandom(32)).encode()
        refused = [await failure(stranger, rose, ASK_PROTOCOL, question) for _ in range(2 * PEER_ASKS_BURST_MAX)]
        assert RequestFailure.REFUSED in refused


async def failure(stranger: Transport, rose: Peer, protocol: str, payload: bytes) -> RequestFailure | None:
    try:
        await stranger.request(rose.peer_id, protocol, payload)
    except RequestError as error:
        return error.kind
    return None


async def test_two_who_know_only_a_node_of_the_table_meet(tmp_path: Path) -> None:
    """They have each other's keys, and one address of somebody who serves; who serves knows neither of them by name."""
    serves = DiscoverySection(kademlia_serve=True, kademlia_quota=16)
    async with open_peer(tmp_path, "rose", serves) as rose:
        asks = DiscoverySection(kademlia=(rose.address,))
        async with open_peer(tmp_path, "ada", asks) as ada, open_peer(tmp_path, "bob", asks) as bob:
            for one, other in ((ada, bob), (bob, ada)):
                one.node.contacts.take_in(addressless(other.node), other.node.context.config.node.name)
            with trio.fail_after(60):
                await until(lambda: ada.peer_id in bob.transport.peers(), timeout_s=60)
            assert rose.transport.peers().isdisjoint({ada.peer_id, bob.peer_id})
            assert sum(each.reached for peer in (ada, bob) for each in peer.node.finding.tallies) >= 1
