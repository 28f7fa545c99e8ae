"""Circuits: connections of ours that a relay carries.

A circuit is a stream to the relay. Everything above a connection wants a socket, so it gets one end of a local pair of
them, and what goes through the other end is copied to the stream and back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import Status

from node.transport import DialError, PeerId
from node.transport_frames import BrokenStreamError, ByteStream, FrameError
from node.transport_libp2p.circuit_words import (
    HOP,
    OK,
    STATUS,
    Talk,
    hop_connect,
    hop_reserve,
    reason,
    stop_status,
)
from node.transport_libp2p.relay import CLOSE_TIMEOUT_S, WORD_TIMEOUT_S
from node.transport_relay import RESERVED_S, RelayError
from node.transport_scope import shielded_for

COPY_SIZE = 32 * 1024
PAIR_SIZE = 32 * 1024
"""Of what waits between two local sockets: heartbeats wait behind it, and a relay may be slow."""

_ENDS = (BrokenStreamError, trio.BrokenResourceError, trio.ClosedResourceError)


class Circuits:
    """Of one node. `open_stream` opens a stream to a connected peer."""

    def __init__(self, open_stream: Callable[[PeerId, str], Awaitable[ByteStream]], nursery: trio.Nursery) -> None:
        self._open_stream = open_stream
        self._nursery = nursery
        self._relays: set[PeerId] = set()  # at which we have a reservation

    def gone(self, relay: PeerId) -> None:
        """Our last connection to it is: so is our reservation there."""
        self._relays.discard(relay)

    def has_place(self, relay: PeerId) -> bool:
        return relay in self._relays

    async def reserve(self, relay: PeerId) -> float:
        """See `Relays.reserve`."""
        try:
            with trio.fail_after(WORD_TIMEOUT_S):
                stream = await self._open_stream(relay, HOP)
                try:
                    talk = Talk(stream)
                    await talk.say(hop_reserve())
                    answer = await talk.hear_hop()
                finally:
                    with shielded_for(CLOSE_TIMEOUT_S):
                        await stream.close()
        except (FrameError, BrokenStreamError, trio.TooSlowError) as error:
            raise RelayError(f"peer {relay} does not serve as a relay: {error or 'no answer'}") from error
        if answer.type != STATUS or answer.status != OK:
            raise RelayError(f"relay {relay} refuses: {reason(answer.status)}")
        self._relays.add(relay)
        return RESERVED_S  # it names a time of its own clock, which is not ours

    async def call(self, relay: PeerId, target: PeerId) -> trio.SocketStream:
        """A circuit to a peer through a connected relay. Nothing of the other end is proven yet.

        :raises DialError: the relay does not, or the peer.
        """
        try:
            stream = await self._open_stream(relay, HOP)
        except BrokenStreamError as error:
            raise DialError(f"peer {relay} does not serve as a relay") from error
        agreed = False
        try:
            talk = Talk(stream)
            await talk.say(hop_connect(target))
            answer = await talk.hear_hop()
            agreed = answer.type == STATUS and answer.status == OK
            if not agreed:
                raise DialError(f"no way through relay {relay}: {reason(answer.status)}")
            return self._joined(talk)
        except (FrameError, BrokenStreamError) as error:
            raise DialError(f"no way through relay {relay}: {error}") from error
        finally:
            if not agreed:
                with shielded_for(CLOSE_TIMEOUT_S):
                    await stream.reset()

    async def answer(self, relay: PeerId, stream: ByteStream) -> trio.SocketStream | None:
        """A relay says that somebody wants us: the circuit, if we have asked to be reached through that relay."""
        talk = Talk(stream)
        try:
            with trio.fail_after(WORD_TIMEOUT_S):
                await talk.hear_stop()
                if relay in self._relays:
                    await talk.say(stop_status(OK))
                    return self._joined(talk)
                await talk.say(stop_status(Status.PERMISSION_DENIED))
        except (FrameError, BrokenStreamError, trio.TooSlowError):
            pass
        with shielded_for(CLOSE_TIMEOUT_S):
            await stream.reset()
        return None

    def _joined(self, talk: Talk) -> trio.SocketStream:
        near, far = trio.socket.socketpair()
        for end in (near, far):
            end.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, PAIR_SIZE)
        self._nursery.start_soon(_copy, talk, trio.SocketStream(far))
        return trio.SocketStream(near)


async def _copy(talk: Talk, far: trio.SocketStream) -> None:
    """Both directions, until either side ends."""
    try:
        async with trio.open_nursery() as nursery:

            async def inwards() -> None:
                try:
                    data = talk.rest() or await talk.stream.read()
                    while data:
                        await far.send_all(data)
                        data = await talk.stream.read()
                except _ENDS:
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(inwards)
            try:
                while data := await far.receive_some(COPY_SIZE):
                    await talk.stream.write(bytes(data))
            except _ENDS:
                pass
            nursery.cancel_scope.cancel()
    finally:
        with shielded_for(CLOSE_TIMEOUT_S):
            await far.aclose()
            await talk.stream.reset()
