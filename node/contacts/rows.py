"""What the store keeps about contacts, invitations and invites, as frozen values in the order of their columns."""

from dataclasses import dataclass, field
from typing import Final

INVITATION_WAITING: Final = "waiting"  # for this node's user
INVITATION_DECLINED: Final = "declined"  # kept so that whoever brings it again is told

REQUEST_WAITING: Final = "waiting"  # for this node's user
REQUEST_APPROVED: Final = "approved"  # an intent adds them
REQUEST_REFUSED: Final = "refused"

JOIN_ASKING: Final = "asking"  # the inviter has not been reached yet
JOIN_WAITING: Final = "waiting"  # it has our request, and somebody has to approve it
JOIN_APPROVED: Final = "approved"  # we are being added
JOIN_IN: Final = "in"  # we are a member; the link's committee is still to be compared with the chain
JOIN_OVER: Final = "over"  # refused, expired or given up; the reason says which
JOINS_OPEN: Final = (JOIN_ASKING, JOIN_WAITING, JOIN_APPROVED)


@dataclass(frozen=True, slots=True)
class ContactRow:
    """Somebody our user knows, or has blocked."""

    peer_id: str
    petname: str = field(repr=False)  # unique here; empty only of a stranger that is blocked
    card: bytes | None = field(repr=False)  # None of such a stranger
    verified_ms: int | None
    blocked: bool
    added_ms: int


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """A Welcome by somebody who may not bring us into groups without asking: it waits for our user."""

    id: bytes  # of the decided bundle
    group_id: bytes
    name: str = field(repr=False)  # what the adder calls the group
    adder: str
    epoch: int
    member_count: int
    payload: bytes = field(repr=False)  # the WelcomeDelivery
    bundle: bytes = field(repr=False)  # our key package that it is for, private keys included
    arrived_ms: int
    state: str = INVITATION_WAITING


@dataclass(frozen=True, slots=True)
class InviteRow:
    """A link that we gave out."""

    id: bytes
    group_id: bytes
    token: bytes = field(repr=False)
    uses_left: int
    is_auto: bool
    expires_ms: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class RequestRow:
    """Somebody with a link of ours asks to be let in."""

    id: bytes
    group_id: bytes
    invite_id: bytes
    peer_id: str
    body: bytes = field(repr=False)  # the JoinRequest
    state: str
    intent_id: bytes | None  # that adds them, once approved
    created_ms: int


@dataclass(frozen=True, slots=True)
class JoinRow:
    """A link that we follow."""

    group_id: bytes
    name: str = field(repr=False)  # what the group shall be called here
    link: bytes = field(repr=False)  # the Invite
    body: bytes = field(repr=False)  # our JoinRequest
    bundle: bytes = field(repr=False)  # the key package in it, private keys included
    state: str
    reason: str
    created_ms: int
