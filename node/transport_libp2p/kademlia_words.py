"""Messages of Kademlia: what of them is let through to libp2p, and which values are worth keeping."""

# mypy: allow-subclassing-any
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.records.validator import Validator

from node.transport import KIB
from node.transport_frames import Exactly, FrameError
from node.transport_kademlia import KEY_SIZE_MAX, NAMESPACE, VALUE_SIZE_MAX, Rank

ASK_SIZE_MAX: Final = 12 * KIB  # one message of a peer
ANSWER_SIZE_MAX: Final = 32 * KIB  # what a peer answers
NAMED_PEERS_MAX: Final = 20  # of those that an answer names
SENDER_SIZE_MAX: Final = 2 * KIB  # what a peer says of itself

_LENGTH_SIZE_MAX: Final = 3  # bytes of a length up to that
_KEY: Final = re.compile(rb"/%s/[A-Za-z0-9_-]{1,64}" % NAMESPACE.encode())


class PutError(Exception):
    """A value that is not kept."""


class Judge(Validator):
    """A caller's rank as libp2p wants it. Remembers the best value of those it was shown."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._best: tuple[int, bytes] | None = None

    @property
    def best(self) -> bytes | None:
        return None if self._best is None else self._best[1]

    def look(self, key: str, value: bytes) -> int | None:
        rank = self._rank(key, value)
        if rank is not None and (self._best is None or rank > self._best[0]):
            self._best = rank, value
        return rank

    def validate(self, key: str, value: bytes) -> None:
        if self.look(key, value) is None:
            raise ValueError("a value that does not belong there")

    def select(self, key: str, values: list[bytes]) -> int:
        """Of equals the last: who hands in what is there already has it kept for longer."""
        ranks = [rank if (rank := self._rank(key, value)) is not None else -1 for value in values]
        return max(range(len(values)), key=lambda index: (ranks[index], index))


async def read_message(source: Exactly, size_max: int = ASK_SIZE_MAX) -> bytes:
    """:raises FrameError: no length, or too much."""
    size = 0
    for place in range(_LENGTH_SIZE_MAX):
        (byte,) = await source.take(1)
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    else:
        raise FrameError("a message without an end")
    if size > size_max:
        raise FrameError(f"a message of {size} bytes")
    return await source.take(size)


def with_length(message: bytes) -> bytes:
    """As it is written on a stream."""
    size, length = len(message), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*length, size)) + message


def checked_answer(data: bytes) -> bytes:
    """What a peer answers us, with no more peers than a table's rows are long.

    :raises FrameError: not an answer.
    """
    message = _parsed(data)
    del message.closerPeers[NAMED_PEERS_MAX:]
    message.ClearField("providerPeers")
    checked: bytes = message.SerializeToString()
    return checked


def checked_request(data: bytes, rank: Rank, may_put: Callable[[], bool]) -> bytes:
    """A peer's message without what we do not need of it.

    :raises FrameError: none that we answer.
    :raises PutError: a value that is not kept.
    """
    message = _parsed(data)
    clean = Message(type=message.type, key=message.key)
    if len(message.senderRecord) <= SENDER_SIZE_MAX and message.HasField("senderRecord"):
        clean.senderRecord = message.senderRecord
    kind = message.type
    if kind == Message.FIND_NODE:
        if not 2 <= len(message.key) <= KEY_SIZE_MAX:
            raise FrameError(f"a key of {len(message.key)} bytes")
    elif kind in (Message.GET_VALUE, Message.PUT_VALUE):
        if len(message.key) > KEY_SIZE_MAX or not _KEY.fullmatch(message.key):
            raise FrameError("a key of something else")
        if kind == Message.PUT_VALUE:
            key, value = message.record.key, message.record.value
            if key != message.key or len(value) > VALUE_SIZE_MAX:
                raise FrameError("a value that is too large, or of another key")
            if not may_put() or rank(key.decode(), value) is None:
                raise PutError
            clean.record.key, clean.record.value = key, value  # not who handed it in, and when
    elif kind != Message.PING:
        raise FrameError(f"a message of kind {kind}")
    checked: bytes = clean.SerializeToString()
    return checked


def _parsed(data: bytes) -> Any:
    try:
        return Message.FromString(data)
    except Exception as error:  # the decoder's own, which is not ours to import
        raise FrameError("not a message of the table") from error
