"""Frames on streams: what is written on a kept stream and on a request's stream, byte by byte.

A kept stream carries frames one after another, each

    length (4 bytes, of what follows) | version (1) | kind (1) | body

and a request's stream carries one question and one answer:

    version (1) | protocol length (1) | protocol | payload length (4) | payload
    version (1) | outcome (1) | payload length (4) | payload

Numbers are big-endian. Whoever breaks this has no business on the stream: it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Protocol

import msgspec

from node.transport import (
    CONNECTIONS_MAX,
    FRAME_SIZE_MAX,
    GOSSIP_SIZE_MAX,
    KIB,
    PROTOCOL_SIZE_MAX,
    REQUEST_SIZE_MAX,
    RESPONSE_SIZE_MAX,
    TOPIC_SIZE_MAX,
    TOPICS_MAX,
    RequestFailure,
    TransportError,
)

VERSION = 1

ANNOUNCEMENT_SIZE_MAX = 512 * KIB
_HEADER_SIZE = 2  # version and kind


class FrameError(TransportError):
    """A peer's bytes are not a frame of this version."""


class Kind(IntEnum):
    DATA = 0  # one `send` payload
    BEAT = 1  # nothing but a sign of life
    ANNOUNCE = 2  # our topics and neighbours, replacing what we said before
    HINT = 3  # one `publish` payload with its topic


_BODY_SIZE_MAX = {
    Kind.DATA: FRAME_SIZE_MAX,
    Kind.BEAT: 0,
    Kind.ANNOUNCE: ANNOUNCEMENT_SIZE_MAX,
    Kind.HINT: 1 + TOPIC_SIZE_MAX + GOSSIP_SIZE_MAX,
}
_LENGTH_MAX = _HEADER_SIZE + max(_BODY_SIZE_MAX.values())


def encode_frame(kind: Kind, body: bytes = b"") -> bytes:
    return (len(body) + _HEADER_SIZE).to_bytes(4, "big") + bytes((VERSION, kind)) + body


class FrameReader:
    """Cuts the bytes of a kept stream into frames; holds at most one unfinished frame and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Append what was read and yield the frames that are complete now.

        :raises FrameError: unknown version or kind, or a length beyond the kind's cap, before its body is awaited.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4 + _HEADER_SIZE:
            length = int.from_bytes(buffer[start : start + 4], "big")
            kind = _kind(length, buffer[start + 4], buffer[start + 5])
            end = start + 4 + length
            if len(buffer) < end:
                break
            yield kind, bytes(buffer[start + 4 + _HEADER_SIZE : end])
            start = end
        del buffer[:start]


def _kind(length: int, version: int, number: int) -> Kind:
    if version != VERSION:
        raise FrameError(f"frame of version {version}; this node speaks version {VERSION}")
    if not _HEADER_SIZE <= length <= _LENGTH_MAX:
        raise FrameError(f"frame of {length} bytes")
    try:
        kind = Kind(number)
    except ValueError:
        raise FrameError(f"frame of unknown kind {number}") from None
    if length - _HEADER_SIZE > _BODY_SIZE_MAX[kind]:
        raise FrameError(f"{kind.name} frame of {length} bytes")
    return kind


def encode_hint(topic: str, payload: bytes) -> bytes:
    name = topic.encode()
    return encode_frame(Kind.HINT, bytes((len(name),)) + name + payload)


def decode_hint(body: bytes) -> tuple[str, bytes]:
    size = body[0] if body else 0
    if size == 0 or not 0 <= len(body) - 1 - size <= GOSSIP_SIZE_MAX:
        raise FrameError("a hint without a topic, or too large")
    try:
        return body[1 : 1 + size].decode(), body[1 + size :]
    except UnicodeDecodeError:
        raise FrameError("a topic is UTF-8") from None


class Announcement(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node tells its neighbours about itself, so that hints reach everyone once."""

    topics: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=TOPIC_SIZE_MAX)], ...],
        msgspec.Meta(max_length=TOPICS_MAX),
    ]
    neighbours: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=PROTOCOL_SIZE_MAX)], ...],
        msgspec.Meta(max_length=4 * CONNECTIONS_MAX),
    ]


_announcements = msgspec.msgpack.Decoder(Announcement)


def encode_announcement(announcement: Announcement) -> bytes:
    return encode_frame(Kind.ANNOUNCE, msgspec.msgpack.encode(announcement))


def decode_announcement(body: bytes) -> Announcement:
    try:
        return _announcements.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError("an announcement that cannot be read") from error


class Outcome(IntEnum):
    """How a request ended, on the wire."""

    ANSWER = 0
    UNSUPPORTED = 1
    REFUSED = 2
    BUSY = 3
    FAILED = 4
    TOO_LARGE = 5


FAILURE_OF = {
    Outcome.UNSUPPORTED: RequestFailure.UNSUPPORTED,
    Outcome.REFUSED: RequestFailure.REFUSED,
    Outcome.BUSY: RequestFailure.BUSY,
    Outcome.FAILED: RequestFailure.FAILED,
    Outcome.TOO_LARGE: RequestFailure.TOO_LARGE,
}


@dataclass(frozen=True, slots=True)
class Question:
    protocol: str
    payload: bytes


def encode_question(protocol: str, payload: bytes) -> bytes:
    name = protocol.encode()
    return bytes((VERSION, len(name))) + name + len(payload).to_bytes(4, "big") + payload


def encode_answer(outcome: Outcome, payload: bytes = b"") -> bytes:
    return bytes((VERSION, outcome)) + len(payload).to_bytes(4, "big") + payload


class BrokenStreamError(Exception):
    """The other end, or the connection, is gone; what was written last may not have arrived."""


class ByteStream(Protocol):
    """A bidirectional stream to one peer. Reading and writing raise `BrokenStreamError`."""

    async def read(self) -> bytes:
        """Some bytes, at least one; none when the other end has finished writing."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """Finish writing; never raises."""
        ...

    async def reset(self) -> None:
        """Give up both directions at once; never raises."""
        ...


class Exactly:
    """Takes fixed numbers of bytes from a stream that gives them in pieces of its own choice."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = await self._stream.read()
            if not piece:
                raise FrameError("the stream ended inside a frame")
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def rest(self) -> bytes:
        """What the stream has given beyond what was taken; from here on it is the caller's."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


async def read_question(stream: ByteStream) -> Question:
    """:raises FrameError: not a question of this version, or beyond `REQUEST_SIZE_MAX`."""
    source = Exactly(stream)
    version, size = await source.take(2)
    if version != VERSION:
        raise FrameError(f"request of version {version}; this node speaks version {VERSION}")
    if not 0 < size <= PROTOCOL_SIZE_MAX:
        raise FrameError(f"protocol name of {size} bytes")
    try:
        protocol = (await source.take(size)).decode()
    except UnicodeDecodeError:
        raise FrameError("a protocol name is UTF-8") from None
    return Question(protocol, await _take_payload(source, REQUEST_SIZE_MAX))


async def read_answer(stream: ByteStream) -> tuple[Outcome, bytes]:
    """:raises FrameError: not an answer of this version, or beyond `RESPONSE_SIZE_MAX`."""
    source = Exactly(stream)
    version, number = await source.take(2)
    if version != VERSION:
        raise FrameError(f"answer of version {version}; this node speaks version {VERSION}")
    try:
        outcome = Outcome(number)
    except ValueError:
        raise FrameError(f"unknown outcome {number}") from None
    return outcome, await _take_payload(source, RESPONSE_SIZE_MAX)


async def _take_payload(source: Exactly, size_max: int) -> bytes:
    size = int.from_bytes(await source.take(4), "big")
    if size > size_max:
        raise FrameError(f"payload of {size} bytes; at most {size_max} are taken")
    return await source.take(size)
