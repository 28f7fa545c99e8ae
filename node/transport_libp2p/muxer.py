"""The muxer: streams in one connection, with a bound on what it buffers."""

# mypy: allow-subclassing-any
from __future__ import annotations

from typing import Any

import libp2p.stream_muxer.muxer_multistream as muxer_module
import trio
from libp2p.network.connection.exceptions import RawConnError
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, TYPE_DATA, Yamux

from node.transport import MIB
from node.transport_libp2p.stream import HEADER
from node.transport_packets import Packets
from node.transport_socket import Socket

BUFFER_SIZE_MAX = 24 * MIB  # unread bytes of one connection
BODY_TIMEOUT_S = 60.0  # for the rest of a muxer frame whose header is here


class BoundedYamux(Yamux):
    """The muxer with a bound on what it buffers, and the shortest way for small frames, in both directions.

    libp2p reads a connection through four layers and a task each frame wakes; here what one read of the socket gave is
    opened at once and data for streams that are there goes to their buffers. Every other frame, and every frame that
    is not here as a whole, is left to libp2p's own loop, which asks for the header of the next.
    """

    def __init__(self, secured_conn: Any, *args: Any, **options: Any) -> None:
        super().__init__(secured_conn, *args, **options)
        noise = secured_conn.conn.noise_state
        self._socket = bottom_of(secured_conn)
        self._packets = Packets(noise.encrypt, noise.decrypt)
        self._plain = bytearray(secured_conn._drain(None))  # opened, and not yet taken
        secured_conn.read = self._next_header  # what libp2p's loop reads

    async def _write_frame(self, data: bytes) -> None:
        """Sealed and written in one go, so that no lock is needed to keep the packets in order."""
        try:
            await self._socket.write(self._packets.seal(data))
        except ConnectionResetError as error:
            raise RawConnError(str(error)) from error

    async def _next_header(self, size: int) -> bytes:
        """The header of the next frame that is not taken here."""
        assert size == HEADER_SIZE
        plain = self._plain
        while True:
            start = 0
            while len(plain) - start >= HEADER_SIZE:
                end = self._take_data(start)
                if end == start:
                    header = bytes(plain[start : start + HEADER_SIZE])
                    del plain[: start + HEADER_SIZE]
                    return header
                start = end
            del plain[:start]
            await self._read_more()

    def _take_data(self, start: int) -> int:
        """Give the frame at `start` to its stream and return where it ends; `start` if that is not for us to do."""
        _, kind, flags, stream_id, length = HEADER.unpack_from(self._plain, start)
        body = start + HEADER_SIZE
        end: int = body + length
        if kind != TYPE_DATA or flags or end > len(self._plain) or self.streams_lock.locked():
            return start
        stream = self.streams.get(stream_id)
        if stream is None or length > stream.recv_window or self._is_full(length):
            return start
        self.stream_buffers[stream_id] += self._plain[body:end]
        stream.recv_window -= length
        self.stream_events[stream_id].set()
        return end

    async def _read_data_body(self, length: int) -> bytes:
        if self._is_full(length):
            raise trio.TooSlowError  # the muxer's word for: close this connection
        plain = self._plain
        with trio.fail_after(BODY_TIMEOUT_S):
            while len(plain) < length:
                await self._read_more()
        body = bytes(plain[:length])
        del plain[:length]
        return body

    async def _read_more(self) -> None:
        """At the end of the connection nothing is left: libp2p's loop goes on after a body that it could not read, and
        would take what is here of that body for frames."""
        try:
            for said in self._packets.open(await self._socket.read()):
                self._plain += said
        except Exception as error:
            self._plain.clear()
            self._socket.close_now()
            raise RawConnError(str(error) or "a packet that the peer did not seal") from error

    def _is_full(self, length: int) -> bool:
        return length + sum(map(len, self.stream_buffers.values())) > BUFFER_SIZE_MAX


muxer_module.Yamux = BoundedYamux  # libp2p makes its own whatever class it was given


def bottom_of(secured: Any) -> Socket:
    """The socket under a secured connection: session, cipher, packets, raw, socket."""
    socket = secured.conn.read_writer.read_write_closer.stream
    assert isinstance(socket, Socket)
    return socket
