"""Operation: one thing the daemon can be asked to do."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from node.api import schema

RequestT = TypeVar("RequestT", bound=schema.Request)
ReplyT = TypeVar("ReplyT", bound=schema.Reply)


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ReplyT]):
    """`name` is also its method of the Service."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    request: type[RequestT]
    reply: type[ReplyT]
    doc: str
    is_stream: bool = False  # answers text/event-stream: one reply after another until the client leaves
