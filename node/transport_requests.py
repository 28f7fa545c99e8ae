"""Questions and answers: each on a stream of its own, in either direction, with a bound on how many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from node.transport import (
    HANDLER_TIMEOUT_S,
    PROTOCOL_SIZE_MAX,
    REQUESTS_PER_PEER_MAX,
    RESPONSE_SIZE_MAX,
    Handler,
    OversizeError,
    PeerId,
    RefusedError,
    RequestError,
    RequestFailure,
)
from node.transport_frames import (
    FAILURE_OF,
    BrokenStreamError,
    ByteStream,
    FrameError,
    Outcome,
    Question,
    encode_answer,
    encode_question,
    read_answer,
    read_question,
)
from node.transport_link import Link

REQUEST_PROTOCOL = "/conclave/request/1"
ANSWER_TIMEOUT_S = 30.0  # for a peer to take our answer

_log = structlog.get_logger()


class Requests:
    """Of one transport. `open_stream` opens one for a question to a peer; raises `BrokenStreamError`."""

    def __init__(self, open_stream: Callable[[PeerId], Awaitable[ByteStream]], counters: Counter[str]) -> None:
        self._open_stream = open_stream
        self._counters = counters
        self._handlers: dict[str, Handler] = {}

    def handle(self, protocol: str, handler: Handler) -> None:
        """From now on questions of this protocol are answered by `handler`."""
        if not 0 < len(protocol.encode()) <= PROTOCOL_SIZE_MAX:
            raise OversizeError(f"a protocol name is 1 to {PROTOCOL_SIZE_MAX} bytes of UTF-8")
        self._handlers[protocol] = handler

    async def ask(self, link: Link, protocol: str, payload: bytes, timeout_s: float) -> bytes:
        """Put a question to a connected peer; raises `RequestError`."""
        try:
            with trio.move_on_after(timeout_s):
                async with link.asking:
                    outcome, answer = await self._ask(link.peer, encode_question(protocol, payload))
                if outcome is Outcome.ANSWER:
                    return answer
                raise RequestError(FAILURE_OF[outcome], protocol)
        except BrokenStreamError as error:
            raise RequestError(RequestFailure.BROKEN, link.peer) from error
        except FrameError as error:
            self._counters["frames_malformed"] += 1
            raise RequestError(RequestFailure.MALFORMED, str(error)) from error
        raise RequestError(RequestFailure.TIMEOUT, f"{protocol}, {timeout_s} s")

    async def _ask(self, peer: PeerId, question: bytes) -> tuple[Outcome, bytes]:
        stream = await self._open_stream(peer)
        finish: Callable[[], object] = stream.reset
        try:
            await stream.write(question)
            answer = await read_answer(stream)
            finish = stream.close
            return answer
        finally:
            with trio.CancelScope(shield=True):
                await finish()  # type: ignore[misc]

    async def serve(self, link: Link | None, peer: PeerId, stream: ByteStream) -> None:
        """Answer one question on a stream that `peer` opened; without a link it is gone already."""
        try:
            with trio.move_on_after(HANDLER_TIMEOUT_S + ANSWER_TIMEOUT_S), suppress(BrokenStreamError):
                if link is not None:
                    await stream.write(await self._answer(link, stream))
                    await stream.close()
                    while await stream.read():  # until the asker has it and closes too
                        pass
        except FrameError as error:
            self._counters["frames_malformed"] += 1
            _log.warning("transport.breach", peer=peer, detail=str(error))
        finally:
            with trio.CancelScope(shield=True):
                await stream.reset()

    async def _answer(self, link: Link, stream: ByteStream) -> bytes:
        if link.serving >= REQUESTS_PER_PEER_MAX:
            self._counters["requests_busy"] += 1
            return encode_answer(Outcome.BUSY)
        link.serving += 1
        try:
            with trio.fail_after(HANDLER_TIMEOUT_S):
                return await self._serve(link.peer, await read_question(stream))
        except trio.TooSlowError:
            self._counters["requests_slow"] += 1
            return encode_answer(Outcome.FAILED)
        finally:
            link.serving -= 1

    async def _serve(self, peer: PeerId, question: Question) -> bytes:
        handler = self._handlers.get(question.protocol)
        if handler is None:
            return encode_answer(Outcome.UNSUPPORTED)
        try:
            response = await handler(peer, question.payload)
        except RefusedError:
            return encode_answer(Outcome.REFUSED)
        except trio.TooSlowError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler does wrong, its peer gets an answer
            self._counters["handlers_failed"] += 1
            _log.error("transport.handler_failed", protocol=question.protocol, error=type(error).__name__)
            return encode_answer(Outcome.FAILED)
        if len(response) > RESPONSE_SIZE_MAX:
            self._counters["responses_too_large"] += 1
            return encode_answer(Outcome.TOO_LARGE)
        return encode_answer(Outcome.ANSWER, response)
