"""EventStream: the node's feed as server-sent events, resumable by their ids."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.api.answers import FAILED, problem, refusal
from node.api.errors import ApiError
from node.api.gate import Grant
from node.api.schema import EventBatch
from node.lazy_logs import LazyLogger

RETRY_MS = 500  # how long an EventSource waits before it comes back
KEEP_ALIVE_S = 15.0  # longest silence

log = LazyLogger("api")


class EventStream(Response):
    """Asks the Service for the next events again and again, until the client leaves, its token ends or the
    daemon stops.

    Nothing is buffered here: a slow reader slows its own asking, and the feed is on disk.
    """

    def __init__(
        self,
        method: Callable[[Any], Awaitable[msgspec.Struct]],
        request: Any,
        stop_event: trio.Event,
        grant: Grant,
    ) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._method = method
        self._request = request
        self._stop_event = stop_event
        self._grant = grant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream as the ASGI answer."""
        try:
            first = await self._next(wait_s=0.0)  # a bad request is still answered with its own status
        except ApiError as error:
            await refusal(error)(scope, receive, send)
            return
        except Exception:  # a bug of ours, answered like any other
            log.exception("event stream failed")
            await refusal(FAILED)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_gone, receive, nursery.cancel_scope)
            nursery.start_soon(until_set, self._stop_event, nursery.cancel_scope)
            nursery.start_soon(until_over, self._grant, nursery.cancel_scope)
            await self._pump(first, send)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, batch: EventBatch, send: Send) -> None:
        start = batch.last_seq if self._request.since is None else self._request.since
        await emit(send, b"retry: %d\nid: %d\n\n" % (RETRY_MS, start))
        while True:
            for event in batch.events:
                await emit(send, b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.kind.encode(), encode(event)))
            if not batch.events:
                await emit(send, b": alive\n\n")
            self._request = msgspec.structs.replace(self._request, since=batch.last_seq)
            try:
                batch = await self._next(min(self._request.wait_s, KEEP_ALIVE_S))
            except ApiError as error:
                await emit(send, b"event: error\ndata: %b\n\n" % encode(problem(error)))
                return
            except Exception:  # a bug of ours; the reader comes back by itself and may fare better
                log.exception("event stream failed")
                await emit(send, b"event: error\ndata: %b\n\n" % encode(problem(FAILED)))
                return

    async def _next(self, wait_s: float) -> EventBatch:
        batch = await self._method(msgspec.structs.replace(self._request, wait_s=wait_s))
        assert isinstance(batch, EventBatch)
        return batch


encode = msgspec.json.encode


async def emit(send: Send, data: bytes) -> None:
    """Send one piece of the stream."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel a scope when the client has left; to be started once the whole body is read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def until_set(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel a scope when the daemon stops."""
    await event.wait()
    scope.cancel()


async def until_over(grant: Grant, scope: trio.CancelScope) -> None:
    """Cancel a scope when its caller's token is no longer good."""
    await grant.until_over()
    scope.cancel()
