"""Streams of a connection."""

from __future__ import annotations

import struct
from contextlib import suppress

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux.yamux import (
    HEADER_SIZE,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)

from node.transport_frames import BrokenStreamError


class Stream:
    """A stream of a connection, read and written by the shortest way through the muxer."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._muxed: YamuxStream = stream.muxed_stream
        self._muxer: Yamux = self._muxed.conn
        self._id: int = self._muxed.stream_id

    async def read(self) -> bytes:
        muxed, muxer = self._muxed, self._muxer
        while True:
            buffer = muxer.stream_buffers.get(self._id)
            if buffer:
                data = bytes(buffer)
                buffer.clear()
                await self._make_room()
                return data
            if buffer is None or muxed.reset_received or muxer.event_shutting_down.is_set():
                raise BrokenStreamError("the stream was reset")
            if muxed.recv_closed:
                return b""
            event = muxer.stream_events[self._id]
            await event.wait()
            if muxer.stream_events.get(self._id) is event:
                muxer.stream_events[self._id] = trio.Event()

    async def _make_room(self) -> None:
        """Tell the writer that it may go on, once half of the window is used up."""
        muxed = self._muxed
        try:
            if muxed.closed:
                await self._muxer._finalize_stream(muxed, fully_closed=True)
            elif 2 * muxed.recv_window <= muxed.target_recv_window:
                await muxed._auto_tune_and_send_window_update(bytes_read=0)
        except STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error

    async def write(self, data: bytes) -> None:
        muxed = self._muxed
        try:
            if not (muxed.closed or muxed.send_closed) and len(data) <= min(muxed.send_window, _FRAME_SIZE_MAX):
                muxed.send_window -= len(data)
                header = HEADER.pack(0, TYPE_DATA, 0, self._id, len(data))
                await self._muxer._write_frame(header + data)
            else:
                await muxed.write(data)
        except STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error

    async def close(self) -> None:
        with suppress(*STREAM_ERRORS):
            await self._stream.close()

    async def reset(self) -> None:
        with suppress(*STREAM_ERRORS):
            await self._stream.reset()


STREAM_ERRORS = (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError)
HEADER = struct.Struct(YAMUX_HEADER_FORMAT)
_FRAME_SIZE_MAX = MAX_MESSAGE_SIZE - HEADER_SIZE - 16  # so that header, frame and tag are one Noise packet
