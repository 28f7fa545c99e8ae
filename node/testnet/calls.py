"""Calls: requests to several daemons at once, without threads.

All requests are sent before any reply is read. So the daemons work on them at the same time: that is how rival changes
come to be of the same epoch.
"""

import select
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from node.api import schema
from node.api.errors import ApiError
from node.api.operations import Operation
from node.client import (
    JSON,
    REPLY_SIZE_MAX,
    ClientError,
    NoReplyError,
    UnixConnection,
    as_error,
    deadline_s,
    decode,
    encode,
)

RequestT = TypeVar("RequestT", bound=schema.Request)
ReplyT = TypeVar("ReplyT", bound=schema.Reply)

TICK_S: Final = 0.25


class Call(Generic[ReplyT]):
    """One request that was sent; its reply is still to be read."""

    def __init__(self, socket_path: Path, operation: Operation[RequestT, ReplyT], request: RequestT) -> None:
        """Connect and send. What goes wrong is told when the reply is asked for."""
        self._kind = operation.reply
        self._limit_s = time.monotonic() + deadline_s(request)
        self._connection = UnixConnection(socket_path, deadline_s(request))
        self._failure: ClientError | None = None
        target, body = encode(operation, request)
        try:
            self._connection.request(operation.method, target, body, JSON)
        except ClientError as error:
            self._failure = error
        except (OSError, HTTPException) as error:
            self._failure = NoReplyError(f"the daemon hung up ({type(error).__name__})")

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be waited for: the request failed, or the time is up."""
        return self._failure is not None or time.monotonic() > self._limit_s

    def fileno(self) -> int:
        """What becomes readable with the reply."""
        return int(self._connection.sock.fileno())

    def reply(self) -> ReplyT:
        """The reply, once there is something to read. Raises ApiError and ClientError."""
        try:
            if self._failure is not None:
                raise self._failure
            if self.is_over:
                raise NoReplyError("the daemon did not answer in time")
            response = self._connection.getresponse()
            if response.status >= 300:
                raise as_error(response.status, response.read(REPLY_SIZE_MAX))
            return decode(response, self._kind)
        except TimeoutError as error:
            raise NoReplyError("the daemon did not answer in time") from error
        except (OSError, HTTPException) as error:
            raise NoReplyError(f"the daemon hung up ({type(error).__name__})") from error
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back, with or without a reply."""
        self._connection.close()


def gather(calls: Sequence[Call[Any]], tick: Callable[[], None] | None = None) -> list[Any]:
    """The answer of each call, in their order: a reply, or the error in its place.

    While it waits, `tick` is called now and then. If that raises, the calls are closed.
    """
    answers: list[Any] = [None] * len(calls)
    waiting = dict(enumerate(calls))
    try:
        while waiting:
            over = [index for index, call in waiting.items() if call.is_over]
            if not over:
                readable, _, _ = select.select(list(waiting.values()), [], [], TICK_S)
                over = [index for index, call in waiting.items() if call in readable]
            for index in over:
                answers[index] = _answer(waiting.pop(index))
            if not over and tick is not None:
                tick()
    finally:
        for call in waiting.values():
            call.close()
    return answers


def _answer(call: Call[ReplyT]) -> ReplyT | ApiError | ClientError:
    try:
        return call.reply()
    except (ApiError, ClientError) as error:
        return error
