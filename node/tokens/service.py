"""What the local API can ask about its tokens, one method per operation."""

from typing import TYPE_CHECKING, cast

from node.api import schema, token_schema
from node.tokens.tables import TokenRow

if TYPE_CHECKING:
    from node.daemon import Node


class TokenService:
    """A part of the Service of a running node."""

    _node: "Node"

    async def token_create(self, request: token_schema.TokenCreateRequest) -> token_schema.Token:
        """Give one out."""
        row, text = self._node.tokens.create(request.name, request.scope, request.lifetime_s)
        return self._token(row, text)

    async def token_list(self, request: schema.Nothing) -> token_schema.TokenList:  # noqa: ARG002
        """Those given out."""
        return token_schema.TokenList(tokens=tuple(map(self._token, self._node.tokens.all())))

    async def token_revoke(self, request: token_schema.TokenRequest) -> token_schema.Token:
        """Take one back."""
        return self._token(self._node.tokens.revoke(request.token))

    def _token(self, row: TokenRow, text: str = "") -> token_schema.Token:
        return token_schema.Token(
            token_id=row.id.hex(),
            name=row.name,
            scope=cast(schema.Scope, row.scope),
            text=text,
            created_at=row.created_ms / 1000,
            expires_at=None if row.expires_ms is None else row.expires_ms / 1000,
            is_expired=row.expires_ms is not None and row.expires_ms <= self._node.context.now_ms(),
        )
