"""What is said on a stream of circuit relay v2 (libp2p's specification), before it carries a circuit."""

from __future__ import annotations

from typing import Any, Final

from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, Reservation, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerWord

from node.transport import KIB, PeerId
from node.transport_frames import ByteStream, Exactly, FrameError

HOP: Final = TProtocol("/libp2p/circuit/relay/0.2.0/hop")
"""To a relay."""
STOP: Final = TProtocol("/libp2p/circuit/relay/0.2.0/stop")
"""From a relay, to who is reached through it."""

CIRCUIT_WORD_SIZE_MAX: Final = 4 * KIB  # one message
_LENGTH_SIZE_MAX: Final = 2  # bytes of a length up to that

OK: Final = Status.OK
RESERVE, CONNECT, STATUS = HopMessage.RESERVE, HopMessage.CONNECT, HopMessage.STATUS
REASONS: Final = {
    int(Status.RESERVATION_REFUSED): "it gives this node no reservation",
    int(Status.RESOURCE_LIMIT_EXCEEDED): "it carries as much as it wants to",
    int(Status.PERMISSION_DENIED): "it does not do that for this node",
    int(Status.CONNECTION_FAILED): "the other end did not answer it",
    int(Status.NO_RESERVATION): "the other end is not reached through it now",
}


class Talk:
    """Messages on a stream, and what came after them."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._source = Exactly(stream)

    async def say(self, message: Any) -> None:
        data = message.SerializeToString()
        await self.stream.write(_length(len(data)) + data)

    async def hear_hop(self) -> Any:
        """:raises FrameError: no such message, or one that is too long."""
        return await self._hear(HopMessage)

    async def hear_stop(self) -> Any:
        """Likewise."""
        return await self._hear(StopMessage)

    def rest(self) -> bytes:
        """What has been read beyond the messages."""
        return self._source.rest()

    async def _hear(self, kind: Any) -> Any:
        size = 0
        for place in range(_LENGTH_SIZE_MAX):
            (byte,) = await self._source.take(1)
            size |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                break
        else:
            raise FrameError("a message of the circuit protocol without an end")
        if size > CIRCUIT_WORD_SIZE_MAX:
            raise FrameError(f"a message of the circuit protocol of {size} bytes")
        data = await self._source.take(size)
        try:
            return kind.FromString(data)
        except Exception as error:  # the decoder's own, which is not ours to import
            raise FrameError("not a message of the circuit protocol") from error


def hop_connect(target: PeerId) -> Any:
    return HopMessage(type=HopMessage.CONNECT, peer=_peer(target))


def hop_reserve() -> Any:
    return HopMessage(type=HopMessage.RESERVE)


def hop_status(status: Any, limit: Any = None) -> Any:
    return HopMessage(type=HopMessage.STATUS, status=status, limit=limit)


def hop_reserved(expires_s: int, limit: Any) -> Any:
    return HopMessage(type=HopMessage.STATUS, status=OK, reservation=Reservation(expire=expires_s), limit=limit)


def stop_connect(source: PeerId, limit: Any) -> Any:
    return StopMessage(type=StopMessage.CONNECT, peer=_peer(source), limit=limit)


def stop_status(status: Any) -> Any:
    return StopMessage(type=StopMessage.STATUS, status=status)


def limit_of(duration_s: float) -> Any:
    """How long a circuit lasts; its rate is bounded, what it carries in all is not."""
    return Limit(duration=int(duration_s))


def peer_in(message: Any) -> PeerId:
    """:raises FrameError: it names nobody."""
    if not 0 < len(message.peer.id) <= 64:
        raise FrameError("a message of the circuit protocol that names nobody")
    peer: PeerId = ID(message.peer.id).to_base58()
    return peer


def reason(status: int) -> str:
    return REASONS.get(status, f"it answers {status}")


def _peer(peer: PeerId) -> Any:
    return PeerWord(id=ID.from_base58(peer).to_bytes())


def _length(size: int) -> bytes:
    return bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
