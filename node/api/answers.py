"""JSON answers: a reply, or an error in the one shape all errors have."""

import msgspec
from starlette.responses import Response

from node.api.errors import ApiError, ErrorCode, http_status
from node.api.schema import ErrorBody, ErrorReply

FAILED = ApiError(ErrorCode.INTERNAL, "the daemon failed to do this", "its log says why")
"""What a caller learns of a bug of ours."""


def reply(value: msgspec.Struct, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def refusal(error: ApiError) -> Response:
    """An error, with the status of its code."""
    return reply(ErrorReply(error=error_body(error)), http_status(error.code))


def error_body(error: ApiError) -> ErrorBody:
    """An error as it is written down."""
    return ErrorBody(code=error.code.value, message=error.message, hint=error.hint)
