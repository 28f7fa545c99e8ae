"""The operations about tokens; a part of the table in `node.api.operations`."""

from typing import Any

from node.api import schema, token_schema
from node.api.operation import Operation

TOKEN_CREATE = Operation(
    "token_create",
    "POST",
    "/v1/tokens",
    token_schema.TokenCreateRequest,
    token_schema.Token,
    "Give a program a token for calls over HTTP.",
)
TOKEN_LIST = Operation(
    "token_list", "GET", "/v1/tokens", schema.Nothing, token_schema.TokenList, "The tokens given out.", scope="admin"
)
TOKEN_REVOKE = Operation(
    "token_revoke",
    "POST",
    "/v1/tokens/{token}/revoke",
    token_schema.TokenRequest,
    token_schema.Token,
    "Take a token back; what it has opened ends now.",
)

TOKEN_OPERATIONS: tuple[Operation[Any, Any], ...] = (TOKEN_CREATE, TOKEN_LIST, TOKEN_REVOKE)
