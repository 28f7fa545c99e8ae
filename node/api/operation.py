"""Operation: one thing the daemon can be asked to do, and everything that is made of it.

A line of the table is a route of the server, a path of `openapi.json`, a method of the Service and of the client, a
verb of the command line and a part of docs/api.md. Tests fail where one of them differs.
"""

from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from node.api import schema

RequestT = TypeVar("RequestT", bound=schema.Request)
ReplyT = TypeVar("ReplyT", bound=schema.Reply)

SCOPES: Final[tuple[schema.Scope, ...]] = ("read", "chat", "admin")
"""What a token may do, each including those before it: look; send messages; everything."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ReplyT]):
    """`name` is also its method of the Service and of the client."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    request: type[RequestT]
    reply: type[ReplyT]
    doc: str
    is_stream: bool = False  # answers text/event-stream: one reply after another until the client leaves
    scope: schema.Scope = "admin"  # the least that a token needs; whoever may open the unix socket may do everything
    command: str = ""  # its words after `conclave`, where they are not the name's: "group_add" is "group add"

    @property
    def words(self) -> str:
        """Its verb on the command line."""
        noun, _, verb = self.name.partition("_")
        return self.command or f"{noun} {verb.replace('_', '-')}".strip()

    @property
    def constant(self) -> str:
        """What the table calls it."""
        return self.name.upper()

    def allows(self, scope: schema.Scope) -> bool:
        """Whether a token of this scope is enough."""
        return SCOPES.index(scope) >= SCOPES.index(self.scope)
