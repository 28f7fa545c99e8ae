"""JSON answers: a reply, or an error in the one shape all errors have (problem+json, RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import Response

from node.api.errors import ApiError, ErrorCode, http_status
from node.api.schema import Problem

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

FAILED: Final = ApiError(ErrorCode.INTERNAL, "the daemon failed to do this", "its log says why")
"""What a caller learns of a bug of ours."""


def reply(value: msgspec.Struct) -> Response:
    """A value as JSON. What it tells is for the caller alone, and of this moment."""
    return Response(msgspec.json.encode(value), media_type=JSON, headers={"cache-control": "no-store"})


def refusal(error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    """An error, with the status of its code."""
    body = msgspec.json.encode(problem(error))
    if error.code is ErrorCode.STARTING:
        headers = {"retry-after": "1"}
    return Response(body, status_code=http_status(error.code), media_type=PROBLEM, headers=headers)


def problem(error: ApiError) -> Problem:
    """An error as it is written down."""
    status = http_status(error.code)
    title = HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail=error.message, code=error.code.value, hint=error.hint)
