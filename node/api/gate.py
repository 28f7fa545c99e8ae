"""The gate: who may call, and how much of the API.

The unix socket is its own gate: the kernel says who opened it. HTTP on loopback is open to every local process, and to
every web page that a local browser shows. So a call there passes three checks before anything of it is read:

1. its `Host` is a name of this machine's loopback with our port. A page of `evil.example` whose name was made to lead
   to 127.0.0.1 (DNS rebinding) still says `Host: evil.example`;
2. if a browser says from where it comes (`Origin`, `Sec-Fetch-Site`), it comes from ourselves. Other ports of
   `localhost` are the same *site* to a browser, and strangers to us;
3. it has a token that was given out here and has not ended. Cookies are not looked at, so no page can make a
   browser call for it.

What the token's scope is enough for is decided by the operation that is asked for. An application that was not
reached through a gate finds no grant, and answers nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from node.api import schema
from node.api.answers import refusal
from node.api.errors import ApiError, ErrorCode

GRANT: Final = "conclave.grant"
TOKEN_SIZE_MAX: Final = 128  # characters of an Authorization header's token that are looked at


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may do, until `ended`, and for `left_s` at most."""

    scope: schema.Scope
    ended: trio.Event | None = None  # the token is revoked
    left_s: float = float("inf")

    async def until_over(self) -> None:
        """Until it is no longer good."""
        with trio.move_on_after(self.left_s):
            await (trio.Event() if self.ended is None else self.ended).wait()


class Keyring(Protocol):
    """Knows the tokens that were given out."""

    def grant(self, token: str) -> Grant | None:
        """What a token is good for; None for one that is not known, or has ended."""


def grant_of(scope: Scope) -> Grant | None:
    """What the caller of a request may do, as its gate said."""
    found = scope.get(GRANT)
    return found if isinstance(found, Grant) else None


class Owner:
    """The gate of the unix socket: whoever has come so far owns the node."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, GRANT: Grant("admin")}, receive, send)


class Gate:
    """The gate of HTTP on loopback."""

    def __init__(self, app: ASGIApp, keyring: Keyring, hosts: Iterable[str]) -> None:
        """`hosts` are the values of `Host` that mean us, lower case, with the port."""
        self._app = app
        self._keyring = keyring
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass with its grant, or say why not."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            grant = self._grant(headers)
        except ApiError as error:
            asks = {"www-authenticate": 'Bearer realm="conclave"'} if error.code is ErrorCode.UNAUTHORIZED else None
            await refusal(error, asks)(scope, receive, send)
            return
        await self._app({**scope, GRANT: grant}, receive, send)

    def _grant(self, headers: Headers) -> Grant:
        named = headers.getlist("host")
        if len(named) != 1 or named[0].lower() not in self._hosts:
            raise ApiError(
                ErrorCode.WRONG_HOST, "this API goes by other names than the call's", "use its address as status says"
            )
        site, origins = headers.get("sec-fetch-site", "none"), headers.getlist("origin")
        if site not in ("none", "same-origin") or any(each.lower() != f"http://{named[0].lower()}" for each in origins):
            raise ApiError(ErrorCode.WRONG_ORIGIN, "pages from elsewhere may not call this API")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or len(headers.getlist("authorization")) != 1:
            raise ApiError(
                ErrorCode.UNAUTHORIZED,
                "a call over HTTP needs a token",
                "make one: conclave token create NAME; send it as: Authorization: Bearer TOKEN",
            )
        grant = self._keyring.grant(token.strip()) if len(token) <= TOKEN_SIZE_MAX else None
        if grant is None:
            raise ApiError(
                ErrorCode.UNAUTHORIZED,
                "this token is not known here, or has ended",
                "conclave token list says which there are; conclave token create NAME makes one",
            )
        return grant
