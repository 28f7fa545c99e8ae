"""The ASGI application: routes made from the operation table, errors always in one shape.

A call is dropped when its client leaves and answered `shutting_down` when the daemon stops; what the Service has
accepted by then is durable and goes on without it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from node.api.answers import FAILED, JSON, refusal, reply
from node.api.errors import ApiError, ErrorCode, http_status
from node.api.gate import Grant, grant_of
from node.api.openapi import openapi_json
from node.api.operations import OPERATIONS, SHUTDOWN, Operation
from node.api.service import Service
from node.api.stream import EventStream, until_gone, until_set
from node.lazy_logs import LazyLogger

BODY_SIZE_MAX = 256 * 1024
BODY_DRAIN_MAX = 4 * 1024 * 1024  # read past an oversize body so far, so that its sender gets to read the answer
BODY_S_MAX = 10.0

log = LazyLogger("api")

Method = Callable[[msgspec.Struct], Awaitable[msgspec.Struct]]


def build_app(service: Service, stop_event: trio.Event) -> Starlette:
    """One route per operation of the table."""
    routes = [
        Route(
            operation.path,
            endpoint(operation, getattr(service, operation.name), stop_event),
            methods=[operation.method],
        )
        for operation in OPERATIONS
    ]
    routes.append(Route("/openapi.json", describe, methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse_route})
    app.router.redirect_slashes = False
    return app


async def describe(request: Request) -> Response:
    """This API, for programs that make clients of it; any token will do."""
    if grant_of(request.scope) is None:
        return refusal(ApiError(ErrorCode.UNAUTHORIZED, "nobody said who calls"))
    return Response(openapi_json(), media_type=JSON)


def endpoint(
    operation: Operation[Any, Any], method: Method, stop_event: trio.Event
) -> Callable[[Request], Awaitable[Response]]:
    """The handler of one operation: request in, the Service's reply or an error out."""

    async def answer(request: Request) -> Response:
        try:
            grant = granted(operation, request)
            asked = await read_request(operation, request)
            if operation.is_stream:
                asked = with_resume(asked, request)
                if wants_stream(request):
                    return EventStream(method, asked, stop_event, grant)
            return reply(await call(operation, method, asked, request, stop_event, grant))
        except ApiError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception:  # a bug of ours: the caller learns that, the log learns which
            log.exception("api call failed", operation=operation.name)
            return refusal(FAILED)

    return answer


def granted(operation: Operation[Any, Any], request: Request) -> Grant:
    """What the caller may do, if that is enough. Raises ApiError."""
    grant = grant_of(request.scope)
    if grant is None:  # reached through no gate
        raise ApiError(ErrorCode.UNAUTHORIZED, "nobody said who calls")
    if not operation.allows(grant.scope):
        raise ApiError(
            ErrorCode.OUT_OF_SCOPE,
            f"{operation.name} needs a token of scope {operation.scope}; this one is for {grant.scope}",
            f"conclave token create NAME --scope {operation.scope}",
        )
    return grant


async def read_request(operation: Operation[Any, Any], request: Request) -> Any:
    """The typed request, from path, query and body. Raises ApiError for whatever is wrong with them."""
    is_query = operation.method == "GET"
    fields = query_fields(request) if is_query else await body_fields(request)
    twice = sorted(fields.keys() & request.path_params.keys())
    if twice:
        raise ApiError(ErrorCode.BAD_REQUEST, f"{twice[0]} belongs in the path only")
    try:
        return msgspec.convert({**fields, **request.path_params}, operation.request, strict=not is_query)
    except msgspec.ValidationError as error:
        raise ApiError(ErrorCode.BAD_REQUEST, str(error)) from error


def query_fields(request: Request) -> dict[str, Any]:
    """The query string's fields, each at most once."""
    pairs = request.query_params.multi_items()
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ApiError(ErrorCode.BAD_REQUEST, "a query field is given twice")
    return fields


async def body_fields(request: Request) -> dict[str, Any]:
    """The JSON object in the body; no body is an empty one."""
    body = await read_body(request)
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, f"the body is not a JSON object: {error}") from error


async def read_body(request: Request) -> bytes:
    """The whole body, bounded in size and time."""
    body = bytearray()
    size = 0
    with trio.move_on_after(BODY_S_MAX) as reading:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= BODY_SIZE_MAX:
                body += chunk
            elif size > BODY_DRAIN_MAX:
                break
    if size > BODY_SIZE_MAX:
        raise ApiError(ErrorCode.TOO_LARGE, f"the request is larger than {BODY_SIZE_MAX} bytes")
    if reading.cancelled_caught:
        raise ApiError(ErrorCode.BAD_REQUEST, f"the request was not complete after {BODY_S_MAX:.0f} s")
    return bytes(body)


def wants_stream(request: Request) -> bool:
    """A stream, unless the client says that it takes JSON only."""
    accepted = request.headers.get("accept", "")
    return "text/event-stream" in accepted or JSON not in accepted


def with_resume(asked: Any, request: Request) -> Any:
    """The request of a stream, moved on by the header an EventSource sends when it comes back."""
    last = request.headers.get("last-event-id")
    if last is None:
        return asked
    if not (last.isascii() and last.isdecimal() and len(last) <= 18):
        raise ApiError(ErrorCode.BAD_REQUEST, "Last-Event-ID is not a sequence number")
    return msgspec.structs.replace(asked, since=int(last))


async def call(
    operation: Operation[Any, Any], method: Method, asked: Any, request: Request, stop_event: trio.Event, grant: Grant
) -> msgspec.Struct:
    """The Service's reply, unless the client leaves, its token ends or the daemon stops first."""
    answer: msgspec.Struct | ApiError | None = None
    is_over = False

    async with trio.open_nursery() as nursery:

        async def until_over() -> None:
            nonlocal is_over
            await grant.until_over()
            is_over = True
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_over)
        nursery.start_soon(until_gone, request.receive, nursery.cancel_scope)
        if operation is not SHUTDOWN:
            nursery.start_soon(until_set, stop_event, nursery.cancel_scope)
        try:
            answer = await method(asked)
        except ApiError as error:
            answer = error
        nursery.cancel_scope.cancel()
    if isinstance(answer, ApiError):
        raise answer
    if answer is not None:
        return answer
    if stop_event.is_set():
        raise ApiError(
            ErrorCode.SHUTTING_DOWN, "the daemon is stopping", "a change it has accepted goes on when it runs again"
        )
    if is_over:
        raise ApiError(ErrorCode.UNAUTHORIZED, "the token of this call has ended", "a change it has accepted goes on")
    raise ClientDisconnect


async def refuse_route(request: Request, error: Exception) -> Response:
    """What starlette refuses by itself: no such path, wrong method for it."""
    assert isinstance(error, HTTPException)
    if error.status_code == http_status(ErrorCode.METHOD_NOT_ALLOWED):
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not for {request.url.path}"
        return refusal(ApiError(ErrorCode.METHOD_NOT_ALLOWED, message, f"try {allowed}"), {"allow": allowed})
    return refusal(
        ApiError(ErrorCode.UNKNOWN_ROUTE, f"there is no {request.url.path}", "client and daemon may differ in version")
    )
