"""The service over gRPC: requests to calls of `Client`, what it returns to responses, what it raises to statuses."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import Message

from mls import (
    DuplicateError,
    FutureEpochError,
    MalformedError,
    MisuseError,
    MlsError,
    StaleEpochError,
)
from mls.interop.answers import ExtensionValue, PreSharedKeyValue, ProposalDescription
from mls.interop.client import Client
from mls.interop.kept import RefusedError, UnknownError, UnsupportedError
from mls.interop.schema import METHODS, SERVICE, Method

MESSAGE_SIZE_MAX = 64 * 1024 * 1024

RULE_KEY = "mls-rule"
"""Trailing metadata: the id of the broken rule, where the engine names one. The status detail has it too."""

_VALUES: dict[str, Callable[..., Any]] = {
    "Extension": ExtensionValue,
    "PreSharedKey": PreSharedKeyValue,
    "ProposalDescription": ProposalDescription,
}

_STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (UnknownError, grpc.StatusCode.NOT_FOUND),
    (UnsupportedError, grpc.StatusCode.UNIMPLEMENTED),
    (RefusedError, grpc.StatusCode.FAILED_PRECONDITION),
    (MisuseError, grpc.StatusCode.FAILED_PRECONDITION),
    (DuplicateError, grpc.StatusCode.ALREADY_EXISTS),
    (StaleEpochError, grpc.StatusCode.OUT_OF_RANGE),
    (FutureEpochError, grpc.StatusCode.OUT_OF_RANGE),
    (MalformedError, grpc.StatusCode.INVALID_ARGUMENT),
    (MlsError, grpc.StatusCode.ABORTED),  # InvalidError, UnopenableError: well-formed, and refused
)


def serve(client: Client, address: str, *, workers: int = 4) -> tuple[grpc.Server, int]:
    """A started server and its port; `address` may end in `:0`. Raises OSError where the port is not to be had."""
    lock = threading.Lock()
    handlers = {each.name: _handler(each, getattr(client, each.python_name), lock) for each in METHODS}
    limits = [("grpc.max_receive_message_length", MESSAGE_SIZE_MAX), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(workers), options=limits)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error
    server.start()
    return server, port


def _handler(method: Method, call: Callable[..., Any], lock: threading.Lock) -> grpc.RpcMethodHandler:
    def answer(request: Message, context: grpc.ServicerContext) -> Message:
        try:
            with lock:
                result = call(**arguments(request))
        except tuple(kind for kind, _ in _STATUS) as error:
            rule = getattr(error, "rule", None)
            if rule is not None:
                context.set_trailing_metadata(((RULE_KEY, rule),))
            status = next(code for kind, code in _STATUS if isinstance(error, kind))
            context.abort(status, f"{method.name}: {type(error).__name__}: {error.args[0]}")
        return response(method, result)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=method.request.FromString, response_serializer=method.response.SerializeToString
    )


def arguments(request: Message) -> dict[str, Any]:
    """Every field of a message under its name, repeated ones as tuples, messages as the values of `answers`."""
    return {field.name: _field(request, field) for field in request.DESCRIPTOR.fields}


def _field(request: Message, field: Any) -> Any:
    value = getattr(request, field.name)
    kind = None if field.message_type is None else _VALUES[field.message_type.name]
    if field.is_repeated:
        return tuple(value if kind is None else (kind(**arguments(each)) for each in value))
    return value if kind is None else kind(**arguments(value))


def response(method: Method, result: Any) -> Message:
    """The response message of a method with a result's fields in it."""
    fields = method.response.DESCRIPTOR.fields
    return method.response(**{field.name: getattr(result, field.name) for field in fields})
