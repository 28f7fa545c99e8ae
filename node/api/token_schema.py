"""What the local API says and hears about its tokens."""

from typing import Annotated

from msgspec import Meta

from node.api.schema import Name, Reference, Reply, Request, Scope

LIFETIME_S_MAX = 366 * 24 * 3600


class TokenCreateRequest(Request, frozen=True, kw_only=True):
    """Give a token to a program."""

    name: Name  # unique; for whom it is
    scope: Scope = "read"
    lifetime_s: Annotated[int, Meta(ge=1, le=LIFETIME_S_MAX)] | None = None  # absent: until it is revoked


class TokenRequest(Request, frozen=True, kw_only=True):
    """One token, by its name or the beginning of its id."""

    token: Reference


class Token(Reply, frozen=True, kw_only=True):
    """A token that was given out."""

    token_id: str
    name: str
    scope: Scope
    text: str = ""  # what the program sends; said once, when it is made
    created_at: float
    expires_at: float | None
    is_expired: bool

    def __repr__(self) -> str:
        return f"Token({self.token_id}, {self.name!r})"  # who has its text may call


class TokenList(Reply, frozen=True, kw_only=True):
    """Those given out, oldest first."""

    tokens: tuple[Token, ...]
