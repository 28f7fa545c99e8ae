"""Client: calls a running daemon over its unix socket. Standard library and the operation table; no trio.

One connection per call, so a Client may be shared between threads.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Generator, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from node.api import contact_schema, schema
from node.api import operations as op
from node.api.errors import ApiError, ErrorCode
from node.client_calls import Calls

RequestT = TypeVar("RequestT", bound=schema.Request)
ReplyT = TypeVar("ReplyT", bound=schema.Reply)

MARGIN_S = 15.0  # how much longer than the daemon's own deadline we wait for its answer
SILENCE_S_MAX = 45.0  # a stream says something every 15 s; after this long it is dialled again
STARTING_S = 60.0  # how long a daemon that is starting is waited for
PATIENCE_S = 5.0  # how long a lost stream is dialled again before we give up
REPLY_SIZE_MAX = 64 * 1024 * 1024
LATEST = schema.EventsRequest()  # from now on
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class ClientError(Exception):
    """The daemon could not be asked; `str(error)` says why in one line."""


class NotRunningError(ClientError):
    """Nobody answers on the socket."""

    def __init__(self, socket_path: Path, reason: str) -> None:
        super().__init__(f"no daemon answers on {socket_path} ({reason})")
        self.socket_path = socket_path


class NoReplyError(ClientError):
    """The daemon took the request and did not answer in time. What it has accepted goes on."""


class Client(Calls):
    """The operations of one daemon, as blocking calls."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def call(self, operation: op.Operation[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Do one operation. Raises ApiError as the daemon said it, or ClientError when it could not be asked.

        A daemon that says it is starting is asked again until it has started.
        """
        began_s = time.monotonic()
        while True:
            try:
                return self._call(operation, request)
            except ApiError as error:
                if error.code is not ErrorCode.STARTING or time.monotonic() - began_s > STARTING_S:
                    raise
            time.sleep(0.05)

    def _call(self, operation: op.Operation[RequestT, ReplyT], request: RequestT) -> ReplyT:
        target, body = encode(operation, request)
        with contextlib.closing(UnixConnection(self.socket_path, deadline_s(request))) as connection:
            response = exchange(connection, operation.method, target, body, JSON)
            return decode(response, operation.reply)

    def follow(self, request: schema.EventsRequest = LATEST) -> Generator[schema.Event]:
        """Events as they happen, for ever; a lost connection is resumed without loss or repetition.

        Keep the `seq` of what you have dealt with: `EventsRequest(since=seq)` goes on from there, after any restart.
        """
        last_seq: int | None = request.since
        lost_at: float | None = None
        while True:
            headers = {"Accept": "text/event-stream"}
            if last_seq is not None:
                headers["Last-Event-ID"] = str(last_seq)
            try:
                with contextlib.closing(UnixConnection(self.socket_path, SILENCE_S_MAX)) as connection:
                    target, _body = encode(op.EVENTS, request)
                    response = exchange(connection, "GET", target, None, headers)
                    lost_at = None
                    for seq, data in frames(response):
                        if data:
                            yield msgspec.json.decode(data, type=schema.Event)
                        last_seq = seq if seq is not None else last_seq
            except (NoReplyError, NotRunningError):
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > PATIENCE_S:
                    raise
            except ApiError as error:
                if error.code is not ErrorCode.STARTING:
                    raise
                lost_at = None  # it is there, and will answer
            time.sleep(0.2)


class UnixConnection(HTTPConnection):
    """An HTTP connection to a unix socket that is served by our own user or by root."""

    def __init__(self, socket_path: Path, timeout_s: float) -> None:
        super().__init__("conclave", timeout=timeout_s)
        self._socket_path = socket_path

    def connect(self) -> None:
        """Dial the socket; NotRunningError when nobody, or somebody else, is there."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(self.timeout)
        try:
            connected.connect(os.fspath(self._socket_path))
        except OSError as error:
            connected.close()
            raise NotRunningError(self._socket_path, error.strerror or str(error)) from error
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
        if os.geteuid() != 0 and uid not in (os.geteuid(), 0):  # an impostor would be told our messages
            connected.close()
            raise NotRunningError(self._socket_path, f"it belongs to user {uid}, not to us: not talking to it")
        self.sock = connected


def deadline_s(request: schema.Request) -> float:
    """How long an answer may take: the time the daemon itself may wait, and a margin."""
    if isinstance(request, schema.EventsRequest):
        return request.wait_s + MARGIN_S
    if isinstance(request, schema.ChangeRequest | contact_schema.JoinRequest) and request.wait:
        return request.timeout_s + MARGIN_S
    return MARGIN_S * 2  # dialling a peer is the slowest of the others


def encode(operation: op.Operation[Any, Any], request: schema.Request) -> tuple[str, bytes | None]:
    """The request target and body of an operation."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    path = operation.path
    for name in list(fields):
        slot = "{" + name + "}"
        if slot in path:
            value = str(fields.pop(name))
            if "/" in value or not value:
                raise ApiError(ErrorCode.BAD_REQUEST, f"{value!r} cannot name a {name.removesuffix('_id')}")
            path = path.replace(slot, quote(value, safe=""))
    fields = {name: value for name, value in fields.items() if value is not None}
    if operation.method == "POST":
        return path, msgspec.json.encode(fields)
    query = urlencode(
        {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
    )
    return (f"{path}?{query}" if query else path), None


def exchange(
    connection: UnixConnection, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
) -> HTTPResponse:
    """Send a request and read the head of the answer; an error answer is raised as ApiError."""
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        if response.status < 300:
            return response
        data = response.read(REPLY_SIZE_MAX)
    except TimeoutError as error:
        raise NoReplyError(f"the daemon on {connection._socket_path} did not answer in time") from error
    except (OSError, HTTPException) as error:
        raise NoReplyError(f"the daemon on {connection._socket_path} hung up ({type(error).__name__})") from error
    raise as_error(response.status, data)


def decode(response: HTTPResponse, kind: type[ReplyT]) -> ReplyT:
    """The typed reply in an answer's body."""
    try:
        return msgspec.json.decode(response.read(REPLY_SIZE_MAX), type=kind)
    except (OSError, HTTPException) as error:
        raise NoReplyError(f"the daemon hung up in the middle of its answer ({type(error).__name__})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(f"the daemon's answer is not understood: is it another version? ({error})") from error


def as_error(status: int, data: bytes) -> ApiError:
    """The daemon's refusal, or our own words where it has none (hypercorn answers broken HTTP by itself)."""
    try:
        problem = msgspec.json.decode(data, type=schema.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ApiError(ErrorCode.INTERNAL, f"the daemon answered with HTTP status {status} and no reason")
    known = problem.code in list(ErrorCode)  # a newer daemon may have others
    return ApiError(ErrorCode(problem.code) if known else ErrorCode.INTERNAL, problem.detail, problem.hint)


def frames(response: HTTPResponse) -> Iterator[tuple[int | None, bytes]]:
    """The frames of an event stream: (id, data), data empty for a frame that only moves the id."""
    seq: int | None = None
    kind = b""
    data = b""
    while True:
        try:
            line = response.readline()
        except (OSError, HTTPException) as error:
            raise NoReplyError(f"the event stream broke ({type(error).__name__})") from error
        if not line:
            return
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if name == b"id":
            seq = int(value)
        elif name == b"event":
            kind = value
        elif name == b"data":
            data += value
        elif not name and not value:
            if kind == b"error":
                raise as_error(0, data)
            yield seq, data
            kind = data = b""
