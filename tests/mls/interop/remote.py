"""Clients behind gRPC: the methods of `Client`, called over a channel."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc

from mls.interop import Client
from mls.interop.schema import METHODS, Method

METHOD_OF = {each.python_name: each for each in METHODS}


class Remote:
    """Whatever method of `Client` is called on it is a request; what comes back is the response message."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        method = METHOD_OF[name]
        call = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return lambda **fields: call(request(method, fields), timeout=120)


def request(method: Method, fields: dict[str, Any]) -> Any:
    return method.request(**{name: _plain(value) for name, value in fields.items()})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


@contextmanager
def connected(port: int) -> Iterator[Client]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", 1 << 26)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield cast(Client, Remote(channel))
