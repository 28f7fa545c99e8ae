"""ApiError: what the local API answers when it does not do what was asked.

A code is stable and for programs; the message says what is wrong and the hint what to do about it, both for people.
"""

import enum
from http import HTTPStatus


class ErrorCode(enum.StrEnum):
    """Every way a request can end badly. The HTTP status belongs to the code (`http_status`)."""

    BAD_REQUEST = "bad_request"  # the request itself: JSON, fields, values
    TOO_LARGE = "too_large"
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    WRONG_HOST = "wrong_host"  # over HTTP: the call names a host that is not us, as a rebound DNS name does
    WRONG_ORIGIN = "wrong_origin"  # over HTTP: a page from elsewhere
    UNAUTHORIZED = "unauthorized"  # over HTTP: none, or one that is not known, expired or revoked
    OUT_OF_SCOPE = "out_of_scope"  # the token's scope is not enough for this operation
    GROUP_NOT_FOUND = "group_not_found"
    GROUP_AMBIGUOUS = "group_ambiguous"
    MEMBER_NOT_FOUND = "member_not_found"
    MEMBER_AMBIGUOUS = "member_ambiguous"
    INTENT_NOT_FOUND = "intent_not_found"
    MESSAGE_NOT_FOUND = "message_not_found"  # or it is not of this node, which knows nothing of who has it
    CONTACT_NOT_FOUND = "contact_not_found"
    CONTACT_AMBIGUOUS = "contact_ambiguous"
    INVITATION_NOT_FOUND = "invitation_not_found"  # or a request to be let in, or an invite given out
    TOKEN_NOT_FOUND = "token_not_found"  # noqa: S105
    NAME_TAKEN = "name_taken"
    MISTYPED = "mistyped"  # a card or link whose checksum does not match: copy it again
    EXPIRED = "expired"  # a card or link that was good once
    MISMATCH = "mismatch"  # the safety numbers differ: one side has another's card
    BLOCKED = "blocked"  # our user wants nothing from this peer
    ALREADY_SO = "already_so"  # adding a member, opting in a voter: nothing to do
    REFUSED = "refused"  # the group's policy or our own state forbids it
    NOT_MEMBER = "not_member"  # we were removed: the group can be read, not written
    FROZEN = "frozen"  # R9: contradicting certificates were seen; membership does not change
    PEER_UNREACHABLE = "peer_unreachable"
    NO_KEY_PACKAGE = "no_key_package"  # the peer answered and has none for this suite
    UNSUPPORTED = "unsupported"
    BUSY = "busy"
    STARTING = "starting"  # the API answers before the node does: ask again in a moment
    SHUTTING_DOWN = "shutting_down"
    INTERNAL = "internal"


_STATUS = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.UNKNOWN_ROUTE: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.WRONG_HOST: HTTPStatus.MISDIRECTED_REQUEST,
    ErrorCode.WRONG_ORIGIN: HTTPStatus.FORBIDDEN,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.OUT_OF_SCOPE: HTTPStatus.FORBIDDEN,
    ErrorCode.GROUP_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.GROUP_AMBIGUOUS: HTTPStatus.CONFLICT,
    ErrorCode.MEMBER_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.MEMBER_AMBIGUOUS: HTTPStatus.CONFLICT,
    ErrorCode.INTENT_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.MESSAGE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONTACT_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONTACT_AMBIGUOUS: HTTPStatus.CONFLICT,
    ErrorCode.INVITATION_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.TOKEN_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.NAME_TAKEN: HTTPStatus.CONFLICT,
    ErrorCode.MISTYPED: HTTPStatus.BAD_REQUEST,
    ErrorCode.EXPIRED: HTTPStatus.GONE,
    ErrorCode.MISMATCH: HTTPStatus.CONFLICT,
    ErrorCode.BLOCKED: HTTPStatus.FORBIDDEN,
    ErrorCode.ALREADY_SO: HTTPStatus.CONFLICT,
    ErrorCode.REFUSED: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_MEMBER: HTTPStatus.FORBIDDEN,
    ErrorCode.FROZEN: HTTPStatus.LOCKED,
    ErrorCode.PEER_UNREACHABLE: HTTPStatus.BAD_GATEWAY,
    ErrorCode.NO_KEY_PACKAGE: HTTPStatus.BAD_GATEWAY,
    ErrorCode.UNSUPPORTED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.BUSY: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.STARTING: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def http_status(code: ErrorCode) -> int:
    """The HTTP status a code is answered with."""
    return int(_STATUS[code])


class ApiError(Exception):
    """A refusal with a stable code, a message, and a hint that may be empty. None of the three holds a secret."""

    def __init__(self, code: ErrorCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
