"""What both adapters, or one of them, are made of: queue, frames, packets, window, audience, dialling, link."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from node.transport import (
    FRAME_SIZE_MAX,
    GOSSIP_SIZE_MAX,
    KEPT_ADDRESSES_MAX,
    QUEUE_FRAMES_MAX,
    DialError,
    PeerId,
    TransportConfig,
    peer_of,
)
from node.transport_dial import DialManager
from node.transport_frames import (
    Announcement,
    BrokenStreamError,
    FrameError,
    FrameReader,
    Kind,
    Outcome,
    Question,
    decode_announcement,
    decode_hint,
    encode_announcement,
    encode_answer,
    encode_frame,
    encode_hint,
    encode_question,
    read_answer,
    read_question,
)
from node.transport_gossip import Audience, SeenWindow, content_id
from node.transport_link import WRITE_SIZE_MAX, Link
from node.transport_packets import PLAIN_SIZE_MAX, Packets
from node.transport_queue import FairQueue

# The queue


async def test_one_loud_source_loses_only_its_own_items() -> None:
    queue: FairQueue[str] = FairQueue(items_max=3, bytes_max=1000)
    dropped = sum(queue.put("loud", f"loud {number}") for number in range(10))
    queue.put("quiet", "quiet 0")
    queue.put("quiet", "quiet 1")
    assert dropped == 7
    assert len(queue) == 5
    assert [queue.receive_nowait() for _ in range(5)] == ["loud 7", "quiet 0", "loud 8", "quiet 1", "loud 9"]


async def test_bytes_are_bounded_too_but_one_item_always_fits() -> None:
    queue: FairQueue[int] = FairQueue(items_max=100, bytes_max=10)
    assert [queue.put("source", number, size) for number, size in enumerate((4, 4, 4, 50))] == [0, 0, 1, 2]
    assert queue.receive_nowait() == 3
    assert queue.put("source", 4, 4) == 0


async def test_a_closed_queue_gives_what_it_has_and_ends(autojump_clock: MockClock) -> None:
    queue: FairQueue[int] = FairQueue(items_max=10, bytes_max=10)
    taken: list[int] = []

    async def reader() -> None:
        taken.extend([item async for item in queue])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        nursery.start_soon(reader)
        await trio.sleep(1)
        queue.put("source", 1)
        queue.put("source", 2)
        await trio.sleep(1)
        queue.put("source", 3)
        queue.close()
        assert queue.put("source", 4) == 1
    assert sorted(taken) == [1, 2, 3]


# Frames


FRAMES = st.lists(st.tuples(st.just(Kind.DATA), st.binary(max_size=200)) | st.just((Kind.BEAT, b"")), max_size=8)


@given(FRAMES, st.randoms(use_true_random=False))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[Kind, bytes]], rng: random.Random
) -> None:
    data = b"".join(encode_frame(kind, body) for kind, body in frames)
    reader = FrameReader()
    seen: list[tuple[Kind, bytes]] = []
    while data:
        size = rng.randint(1, len(data))
        seen += reader.feed(data[:size])
        data = data[size:]
    assert seen == frames


@given(st.binary(max_size=100))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes) -> None:
    try:
        for kind, body in FrameReader().feed(data):
            if kind is Kind.HINT:
                decode_hint(body)
            if kind is Kind.ANNOUNCE:
                decode_announcement(body)
    except FrameError:
        pass


def test_another_version_is_refused_with_both_named() -> None:
    with pytest.raises(FrameError, match="version 7; this node speaks version 1"):
        list(FrameReader().feed(bytes((0, 0, 0, 2, 7, 0))))


def test_a_length_beyond_the_cap_is_refused_before_the_body_comes() -> None:
    for length, kind in ((FRAME_SIZE_MAX + 3, Kind.DATA), (3, Kind.BEAT), (2**32 - 1, Kind.HINT), (1, Kind.BEAT)):
        with pytest.raises(FrameError):
            list(FrameReader().feed(length.to_bytes(4, "big") + bytes((1, kind))))


@given(st.text(min_size=1, max_size=60), st.binary(max_size=100))
def test_hints_come_back(topic: str, payload: bytes) -> None:
    ((kind, body),) = FrameReader().feed(encode_hint(topic, payload))
    assert kind is Kind.HINT
    assert decode_hint(body) == (topic, payload)


def test_a_hint_is_refused_when_its_topic_or_payload_is_not_one() -> None:
    for body in (b"", b"\x00data", b"\x05abc", b"\x01\xff", b"\x01t" + bytes(GOSSIP_SIZE_MAX + 1)):
        with pytest.raises(FrameError):
            decode_hint(body)


def test_a_topic_that_is_no_text_is_a_bad_announcement() -> None:
    """Whatever a peer sends ends in a FrameError; the decoder has a type of its own for broken text."""
    ((_, body),) = FrameReader().feed(encode_announcement(Announcement(("topic",), ())))
    with pytest.raises(FrameError):
        decode_announcement(body.replace(b"topic", b"top\xc4c"))


def test_announcements_come_back_and_are_bounded() -> None:
    said = Announcement(("a", "b"), ("peer",))
    ((kind, body),) = FrameReader().feed(encode_announcement(said))
    assert kind is Kind.ANNOUNCE
    assert decode_announcement(body) == said
    for wrong in (("t",) * 2000, ("",), ("x" * 300,)):
        ((_, body),) = FrameReader().feed(encode_announcement(Announcement(wrong, ())))
        with pytest.raises(FrameError):
            decode_announcement(body)


class Tape:
    """A stream that plays bytes back in small pieces and records what is written."""

    def __init__(self, data: bytes = b"", piece: int = 3) -> None:
        self.data = data
        self.piece = piece
        self.written: list[bytes] = []
        self.broken = False

    async def read(self) -> bytes:
        piece, self.data = self.data[: self.piece], self.data[self.piece :]
        return piece

    async def write(self, data: bytes) -> None:
        await trio.sleep(0.001)
        if self.broken:
            raise BrokenStreamError("broken")
        self.written.append(data)

    async def close(self) -> None: ...

    async def reset(self) -> None: ...


async def test_questions_and_answers_come_back_in_any_pieces() -> None:
    for piece in (1, 3, 100):
        assert await read_question(Tape(encode_question("echo", b"payload"), piece)) == Question("echo", b"payload")
        assert await read_answer(Tape(encode_answer(Outcome.ANSWER, b"payload"), piece)) == (
            Outcome.ANSWER,
            b"payload",
        )
        for short in (encode_question("echo", b"payload")[:-1], b""):
            with pytest.raises(FrameError):
                await read_question(Tape(short, piece))
    for wrong in (b"\x02\x00" + bytes(4), b"\x01\x09" + bytes(4), b"\x01\x00\xff\xff\xff\xff"):
        with pytest.raises(FrameError):
            await read_answer(Tape(wrong))


# Hints


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_packets_come_out_as_they_went_in_however_they_are_cut(said: list[bytes], step: int) -> None:
    """TCP keeps no boundaries, and a cipher opens each packet once and in order."""
    ours, theirs = counting_cipher(), counting_cipher()
    wire = b"".join(map(Packets(ours, refuse).seal, said))
    packets = Packets(refuse, theirs)
    cut = [wire[start : start + step] for start in range(0, len(wire), step)]
    assert [each for piece in cut for each in packets.open(piece)] == said


def test_what_is_too_long_for_a_packet_goes_in_several() -> None:
    ours, theirs = counting_cipher(), counting_cipher()
    said = os.urandom(2 * PLAIN_SIZE_MAX + 1)
    opened = list(Packets(refuse, theirs).open(Packets(ours, refuse).seal(said)))
    assert b"".join(opened) == said
    assert list(map(len, opened)) == [PLAIN_SIZE_MAX, PLAIN_SIZE_MAX, 1]


def counting_cipher() -> Callable[[bytes], bytes]:
    """Its own inverse, another key stream for each packet."""
    counter = itertools.count(1)

    def apply(data: bytes) -> bytes:
        key = next(counter) % 256
        return bytes(byte ^ key for byte in data)

    return apply


def refuse(data: bytes) -> bytes:
    raise AssertionError("the other direction")


def test_a_window_forgets_by_age_and_by_number() -> None:
    window = SeenWindow(window_s=10, hints_max=3)
    assert window.first(b"a", now_s=0)
    assert not window.first(b"a", now_s=9.9)
    assert window.first(b"a", now_s=10)
    assert [window.first(key, now_s=11) for key in (b"b", b"c", b"d")] == [True, True, True]
    assert len(window) == 3
    assert window.first(b"a", now_s=11)  # the oldest of four had to go


def test_topic_and_payload_cannot_trade_bytes() -> None:
    assert content_id("ab", b"c") != content_id("a", b"bc")


def test_a_hint_is_passed_on_to_those_its_sender_does_not_know() -> None:
    audience = Audience()
    audience.announced("alice", ["t"], ["bob", "me"])
    audience.announced("bob", ["t"], [])
    audience.announced("carol", ["t"], [])
    audience.announced("dave", ["u"], [])
    assert audience.subscribed("t") == {"alice", "bob", "carol"}
    assert audience.passed_on_to("t", "alice") == {"carol"}
    audience.gone("carol")
    assert audience.passed_on_to("t", "alice") == frozenset()


# Dialling


class Listener:
    """Somewhere to dial; refuses while `away`."""

    def __init__(self) -> None:
        self.away = True
        self.connected = False
        self.dialled_s: list[float] = []

    async def connect(self, address: str) -> PeerId:
        self.dialled_s.append(trio.current_time())
        await trio.sleep(0.01)
        if self.away:
            raise DialError("away")
        self.connected = True
        return peer_of(address)


async def test_redialling_slows_down_and_starts_anew_after_success(autojump_clock: MockClock) -> None:
    config = TransportConfig(redial_min_s=1, redial_max_s=8)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        dials = DialManager(
            listener.connect, lambda peer: listener.connected, nursery.start_soon, config, random.Random(1)
        )
        dials.keep("/x/p2p/peer")
        dials.keep("/x/p2p/peer")
        await trio.sleep(60)
        waits = [after - before for before, after in zip(listener.dialled_s, listener.dialled_s[1:], strict=False)]
        for wait, longest in zip(waits, (1, 2, 4, 8, 8, 8), strict=False):
            assert longest / 2 <= wait - 0.01 <= longest
        assert len(waits) >= 7

        listener.away = False
        await trio.sleep(10)
        dialled = len(listener.dialled_s)
        await trio.sleep(100)
        assert len(listener.dialled_s) == dialled
        listener.connected = False
        dials.peers_changed()
        await trio.sleep(1.1)
        assert listener.connected
        dials.forget("/x/p2p/peer")
    assert len(listener.dialled_s) == dialled + 1


async def test_what_is_kept_is_bounded_and_must_name_a_peer(autojump_clock: MockClock) -> None:
    listener = Listener()
    async with trio.open_nursery() as nursery:
        dials = DialManager(
            listener.connect, lambda peer: True, nursery.start_soon, TransportConfig(), random.Random(1)
        )
        for number in range(KEPT_ADDRESSES_MAX):
            dials.keep(f"/x/p2p/{number}")
        with pytest.raises(DialError):
            dials.keep("/x/p2p/more")
        for wrong in ("/ip4/127.0.0.1/tcp/1", "/p2p/peer", "/x/p2p/", "/x/p2p/a/b", ""):
            with pytest.raises(DialError):
                dials.keep(wrong)
        nursery.cancel_scope.cancel()


# A link


async def test_queued_frames_share_a_write_and_a_broken_stream_is_opened_again(autojump_clock: MockClock) -> None:
    tapes: list[Tape] = []
    ready: list[bool] = []
    link = Link("peer", TransportConfig(), lambda: ready.append(True))

    async def open_tape() -> Tape:
        await trio.sleep(0.01)
        tapes.append(Tape())
        return tapes[-1]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, open_tape, lambda: b"announcement")
        for number in range(5):
            assert link.put(bytes([number]))
        await trio.sleep(0.1)
        assert not ready
        link.told()
        assert link.settled.is_set()
        assert tapes[0].written == [b"announcement", bytes(range(5))]

        for _ in range(3):
            assert link.put(bytes(WRITE_SIZE_MAX // 2))
        link.announce()
        link.announce()
        await trio.sleep(0.1)
        assert [len(written) for written in tapes[0].written[2:]] == [
            len(b"announcement") + WRITE_SIZE_MAX // 2,
            2 * (WRITE_SIZE_MAX // 2),
        ]

        tapes[0].broken = True
        link.put(b"lost with the stream")
        await trio.sleep(0.1)
        link.put(b"after")
        await trio.sleep(0.1)
        assert tapes[1].written == [b"announcement", b"after"]
        assert ready == [True]
        nursery.cancel_scope.cancel()


async def test_a_link_beats_while_idle_and_ends_when_the_peer_is_silent(autojump_clock: MockClock) -> None:
    link = Link("peer", TransportConfig(heartbeat_interval_s=1, heartbeat_timeout_s=5), lambda: None)
    tape = Tape()

    async def open_tape() -> Tape:
        await trio.lowlevel.checkpoint()
        return tape

    async def hear() -> None:
        for _ in range(10):
            await trio.sleep(1)
            link.heard()

    start_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        await link.run(open_tape, lambda: b"announcement")
    assert 15 <= trio.current_time() - start_s <= 17
    assert tape.written.count(encode_frame(Kind.BEAT)) >= 14


async def test_a_link_that_speaks_does_not_beat_as_well(autojump_clock: MockClock) -> None:
    """Among many peers that say something now and then, beats would be most of what is sent."""
    link = Link("peer", TransportConfig(heartbeat_interval_s=2, heartbeat_timeout_s=20), lambda: None)
    tape = Tape()

    async def open_tape() -> Tape:
        await trio.lowlevel.checkpoint()
        return tape

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, open_tape, lambda: b"announcement")
        for _ in range(8):
            await trio.sleep(1.5)
            link.put(b"something")
        assert encode_frame(Kind.BEAT) not in tape.written
        await trio.sleep(2.1)
        assert tape.written[-1] == encode_frame(Kind.BEAT)
        nursery.cancel_scope.cancel()


async def test_a_link_without_a_stream_queues_up_to_its_bound() -> None:
    link = Link("peer", TransportConfig(), lambda: None)
    assert [link.put(b"frame") for _ in range(QUEUE_FRAMES_MAX + 1)].count(False) == 1
