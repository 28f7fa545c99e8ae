"""A table of values over real nodes: found from afar, and proof against those who would fill, bend or misuse it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.kad_dht.pb.kademlia_pb2 import Message, Record
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.transport_frames import BrokenStreamError
from node.transport_kademlia import (
    DIALS_MAX,
    KEY_SIZE_MAX,
    LOOK_UP_S,
    VALUE_SIZE_MAX,
    KademliaError,
    KademliaLimits,
)
from node.transport_libp2p import open_libp2p
from node.transport_libp2p.kademlia import REFRESH_DIALS_MAX
from node.transport_libp2p.kademlia_host import KADEMLIA, TOLD_ADDRESSES_MAX, TOLD_PEERS_MAX, Told
from node.transport_libp2p.kademlia_words import ANSWER_SIZE_MAX, ASK_SIZE_MAX, with_length
from node.transport_streams import StreamTransport
from tests.node.transport_worlds import QUICK, until


def rank(key: str, value: bytes) -> int | None:
    """A value names its key and how new it is."""
    name, _, serial = value.partition(b"=")
    return int(serial) if key == f"/conclave/{name.decode()}" and serial.isdigit() else None


def put(key: str, value: bytes) -> Any:
    path = f"/conclave/{key}".encode()
    return Message(type=Message.PUT_VALUE, key=path, record=Record(key=path, value=value))


class Line:
    """Nodes of a table, each of which was told only of the one before."""

    def __init__(self, nodes: list[StreamTransport], tables: list[Any]) -> None:
        self.nodes = nodes
        self.tables = tables


@asynccontextmanager
async def open_line(count: int, limits: KademliaLimits | None = None) -> AsyncIterator[Line]:
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            nodes: list[StreamTransport] = []
            tables: list[Any] = []
            nursery = await stack.enter_async_context(trio.open_nursery())
            for number in range(count):
                node = await stack.enter_async_context(open_libp2p(QUICK, bytes((number + 1,)) * 32))
                assert node.open_table is not None
                table = node.open_table([each.addresses[0] for each in nodes[-1:]], rank, os.urandom)
                nursery.start_soon(table.serve, limits or KademliaLimits(), lambda node=node: node.addresses)
                nodes.append(node)
                tables.append(table)
                await until(lambda table=table: table._dht is not None)  # type: ignore[misc]
            for table in tables if count > 1 else ():
                await until(lambda table=table: table._dht.routing_table.size())  # type: ignore[misc]
            yield Line(nodes, tables)
            nursery.cancel_scope.cancel()


async def test_a_value_is_found_from_afar() -> None:
    """Six nodes in a line: what one end tells, the other end finds, and nobody learns who asked."""
    async with open_line(6) as line:
        assert await line.tables[0].put("ada", b"ada=7") >= 2
        assert await line.tables[5].get("ada") == b"ada=7"
        assert await line.tables[3].get("bob") is None


async def test_the_first_node_of_a_table_is_one() -> None:
    """It has nobody to ask, and keeps what it announces for those to come."""
    async with open_line(1) as line:
        assert await line.tables[0].put("ada", b"ada=1") == 1
        assert await line.tables[0].get("ada") == b"ada=1"
        with pytest.raises(KademliaError):
            await line.tables[0].get("bob")


async def test_who_only_asks_keeps_nothing() -> None:
    async with open_line(2) as line, open_libp2p(QUICK, b"c" * 32) as asker:
        table = table_of(asker, line.nodes[1].addresses[0])
        assert await table.put("cyn", b"cyn=1") == 2
        assert await line.tables[0].get("cyn") == b"cyn=1"
        assert (table.record_count, asker.peers()) == (0, frozenset())
        await line.nodes[0].connect(asker.addresses[0])
        assert await told(line.nodes[0], asker, Message(type=Message.PING)) is None


async def test_without_a_node_of_the_table_there_is_no_answer() -> None:
    async with open_libp2p(QUICK, b"c" * 32) as asker:
        gone = ID.from_pubkey(create_new_key_pair(b"g" * 32).public_key).to_base58()
        table = table_of(asker, f"/ip4/127.0.0.1/tcp/1/p2p/{gone}")
        with trio.fail_after(20), pytest.raises(KademliaError, match="no node of the table"):
            await table.get("ada")


async def test_the_better_value_wins_wherever_it_is() -> None:
    """A node that keeps an old one, or makes one up, is outvoted by one that has the latest."""
    async with open_line(4) as line:
        await line.tables[0].put("ada", b"ada=7")
        (new, *rest) = line.tables
        key = b"/conclave/ada"
        for old, table in zip((b"ada=3", b"ada=garbage", b"bob=99"), rest, strict=True):
            table._values.store[key][0].value = old
        new._values.take(key, b"ada=8")
        async with open_libp2p(QUICK, b"c" * 32) as asker:
            assert await table_of(asker, line.nodes[3].addresses[0]).get("ada") == b"ada=8"


async def test_what_is_no_such_value_is_not_kept() -> None:
    """Garbage, another's, an older one, and what a table of libp2p would keep besides."""
    async with open_line(1) as line, open_libp2p(QUICK, b"m" * 32) as mallory:
        (node,), (table,) = line.nodes, line.tables
        await mallory.connect(node.addresses[0])
        assert await told(mallory, node, put("ada", b"ada=7")) is not None
        own = Message.Peer(
            id=ID.from_base58(mallory.peer_id).to_bytes(), addrs=[Multiaddr(mallory.addresses[0]).to_bytes()]
        )
        for wrong in (
            put("ada", b"ada=6"),
            put("ada", b"bob=9"),
            put("ada", os.urandom(100)),
            put("ada", b"ada=" + b"0" * (VALUE_SIZE_MAX - 3)),
            put("x" * KEY_SIZE_MAX, b"x"),
            Message(type=Message.PUT_VALUE, key=b"/pk/ada", record=Record(key=b"/pk/ada", value=b"x")),
            Message(type=Message.PUT_VALUE, key=b"plain", record=Record(key=b"plain", value=b"x")),
            Message(type=Message.PUT_VALUE, key=b"/conclave/bob", record=Record(key=b"/conclave/ada", value=b"ada=9")),
            Message(type=Message.PUT_VALUE, key=b"/conclave/ada"),
            Message(type=Message.ADD_PROVIDER, key=b"ada", providerPeers=[own]),
            Message(type=Message.GET_PROVIDERS, key=b"ada"),
            Message(type=Message.GET_VALUE, key=b"/ipns/ada"),
            Message(type=Message.FIND_NODE, key=b"x" * 51),
            Message(type=Message.FIND_NODE),
            os.urandom(50),
            b"",
        ):
            assert await told(mallory, node, wrong) is None, wrong
        assert {key: record.value for key, (record, _) in table._values.store.items()} == {b"/conclave/ada": b"ada=7"}
        assert not table._dht.provider_store.providers
        assert await told(mallory, node, put("ada", b"ada=7")) is not None  # again: kept for longer
        signed = put("ada", b"ada=8")
        signed.record.author = signed.record.signature = b"who handed it in"
        answer = await told(mallory, node, signed)
        assert answer is not None
        assert b"who handed it in" not in answer


async def test_a_flood_of_values_ends_at_the_bounds() -> None:
    """The rate of all, and then the number: of more, those nearest to the node's own id are kept."""
    limits = KademliaLimits(records=16, puts_per_s=0.01, puts_burst=30, asks_burst=1000)
    async with open_line(1, limits) as line, open_libp2p(QUICK, b"m" * 32) as mallory:
        (node,), (table,) = line.nodes, line.tables
        await mallory.connect(node.addresses[0])
        taken = [f"k{n}" for n in range(40) if await told(mallory, node, put(f"k{n}", f"k{n}=1".encode()))]
        assert taken == [f"k{n}" for n in range(30)]
        keys = sorted((f"/conclave/{each}".encode() for each in taken), key=table._values._distance)
        assert set(table._values.store) == set(keys[:16])


async def test_too_many_questions_are_not_answered() -> None:
    async with (
        open_line(1, KademliaLimits(asks_per_s=0.01, asks_burst=10)) as line,
        open_libp2p(QUICK, b"m" * 32) as mallory,
        open_libp2p(QUICK, b"f" * 32) as friend,
    ):
        (node,) = line.nodes
        for asker in (mallory, friend):
            await asker.connect(node.addresses[0])
        answers = [await told(mallory, node, Message(type=Message.PING)) for _ in range(15)]
        assert sum(each is not None for each in answers) == 10
        assert await told(friend, node, Message(type=Message.PING)) is not None


async def test_silent_streams_keep_nobody_out() -> None:
    async with (
        open_line(1) as line,
        open_libp2p(QUICK, b"m" * 32) as mallory,
        open_libp2p(QUICK, b"f" * 32) as friend,
    ):
        (node,) = line.nodes
        for asker in (mallory, friend):
            await asker.connect(node.addresses[0])
        for _ in range(20):
            with suppress(BrokenStreamError):
                await (await raw_stream(mallory, node)).write(b"\x7f")
        await until(lambda: node.counters["kademlia_refused"] >= 16)
        assert await told(friend, node, Message(type=Message.PING)) is not None


@pytest.mark.parametrize(
    "length",
    [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\xff", bytes((0x81, ASK_SIZE_MAX >> 7))],
    ids=["without end", "longer still", "a byte too long"],
)
async def test_a_message_that_is_too_long_is_not_waited_for(length: bytes) -> None:
    async with open_line(1) as line, open_libp2p(QUICK, b"m" * 32) as mallory:
        await mallory.connect(line.nodes[0].addresses[0])
        stream = await raw_stream(mallory, line.nodes[0])
        await stream.write(length)
        with pytest.raises(BrokenStreamError):
            await stream.read()


async def test_who_names_thousands_of_peers_is_not_believed() -> None:
    """Of an answer's many the first few are dialled, up to a bound; none enters a table, and honest nodes are heard."""
    dialled = 0

    async def answer(_stream: trio.SocketStream) -> None:
        nonlocal dialled
        dialled += 1

    async with trio.open_nursery() as nursery, open_line(3) as line:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        phantoms_at = Multiaddr(f"/ip4/127.0.0.1/tcp/{listeners[0].socket.getsockname()[1]}").to_bytes()
        liar = line.tables[1]
        await line.tables[0].put("ada", b"ada=7")
        liar._values.store.clear()
        genuine = liar._dht._add_closer_peers_to_response

        def lie(response: Any, closest: Any, exclude_peer_id: Any = None) -> None:
            genuine(response, closest, exclude_peer_id)
            for _ in range(500):
                phantom = ID.from_pubkey(create_new_key_pair(os.urandom(32)).public_key)
                response.closerPeers.add(id=phantom.to_bytes(), addrs=[phantoms_at])

        liar._dht._add_closer_peers_to_response = lie
        async with open_libp2p(QUICK, b"c" * 32) as asker:
            began_s = trio.current_time()
            table = table_of(asker, *(node.addresses[0] for node in line.nodes[1:]))
            assert await table.get("ada") == b"ada=7"
            assert trio.current_time() - began_s < LOOK_UP_S + 2
        assert 0 < dialled <= DIALS_MAX
        last = line.tables[2]
        await last._refresh(last._dht)
        assert last._dht.routing_table.size() <= 2
        assert dialled <= DIALS_MAX + REFRESH_DIALS_MAX
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\xff" * 100, id="a length without end"),
        pytest.param(with_length(b"\xff" * 100), id="no message"),
        pytest.param(with_length(b""), id="an empty one"),
        pytest.param(with_length(put("ada", b"ada=garbage").SerializeToString()), id="an answer to something else"),
        pytest.param(b"\x7f", id="one that is not finished"),
        pytest.param(bytes((0x81, 0x80 | (ANSWER_SIZE_MAX >> 7) & 0x7F, ANSWER_SIZE_MAX >> 14)), id="too much"),
    ],
)
async def test_whatever_a_node_answers_others_are_heard(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.transport_libp2p.kademlia.LOOK_UP_S", 2.0)
    async with open_line(2) as line, open_libp2p(QUICK, b"c" * 32) as asker:
        await line.tables[0].put("ada", b"ada=7")

        async def lie(_peer: str, stream: Any, _upper: Any) -> None:
            await stream.write(answer)
            await trio.sleep_forever()

        line.tables[1].answer = lie
        assert await table_of(asker, *(node.addresses[0] for node in line.nodes)).get("ada") == b"ada=7"


@pytest.mark.parametrize(
    ("is_private", "texts", "kept"),
    [
        pytest.param(
            False,
            ["/ip4/192.168.1.1/tcp/22", "/ip4/127.0.0.1/tcp/80", "/ip6/::1/tcp/80", "/ip4/8.8.8.8/tcp/4840"],
            ["/ip4/8.8.8.8/tcp/4840"],
            id="in the open, nobody makes us knock at doors of our own network",
        ),
        pytest.param(
            True,
            ["/ip4/192.168.1.1/tcp/4840", "/dns/inside/tcp/80", "/ip4/8.8.8.8/udp/53"],
            ["/ip4/192.168.1.1/tcp/4840"],
            id="at home, at others there",
        ),
        pytest.param(
            True,
            [f"/ip4/8.8.8.{n}/tcp/1" for n in range(100)],
            [f"/ip4/8.8.8.{n}/tcp/1" for n in range(TOLD_ADDRESSES_MAX)],
            id="a few of each peer",
        ),
    ],
)
def test_only_such_addresses_are_kept_as_may_be_dialled(is_private: bool, texts: list[str], kept: list[str]) -> None:
    peer = ID.from_pubkey(create_new_key_pair(b"p" * 32).public_key)
    told = Told(is_private)
    told.add_addrs(peer, [Multiaddr(text) for text in texts], 60)
    assert told.dialled(peer) == kept


@pytest.mark.parametrize(
    ("own", "is_private"),
    [("/ip4/8.8.8.8/tcp/1", False), ("/ip4/192.168.1.7/tcp/1", True), ("", False)],
)
async def test_the_first_of_a_public_table_is_not_sent_into_its_own_network(own: str, is_private: bool) -> None:
    """It has no entries that say which kind of table it is; its own addresses do."""
    async with open_libp2p(QUICK, b"f" * 32) as node:
        table = table_of(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(table.serve, KademliaLimits(), lambda: (own,) if own else ())
            await until(lambda: table._dht is not None)
            assert table._is_private is is_private
            nursery.cancel_scope.cancel()


def test_so_many_peers_are_remembered() -> None:
    told = Told(False)
    for number in range(TOLD_PEERS_MAX + 50):
        told.add_addrs(ID(number.to_bytes(34, "big")), [Multiaddr("/ip4/8.8.8.8/tcp/1")], 60)
    assert len(told.peer_ids()) <= TOLD_PEERS_MAX


def table_of(asker: StreamTransport, *entries: str) -> Any:
    """The part of a node that only asks."""
    assert asker.open_table is not None
    return asker.open_table(entries, rank, os.urandom)


async def raw_stream(asker: StreamTransport, node: StreamTransport) -> Any:
    wire: Any = asker._wire
    return await wire.open_stream(node.peer_id, KADEMLIA)


async def told(asker: StreamTransport, node: StreamTransport, message: Any) -> bytes | None:
    """What a node answers to a message, None for nothing."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    answer = b""
    try:
        stream = await raw_stream(asker, node)
        await stream.write(with_length(data))
        while piece := await stream.read():
            answer += piece
    except BrokenStreamError:
        return None
    return answer or None
