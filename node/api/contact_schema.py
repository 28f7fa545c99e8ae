"""What the local API says and hears about contacts and invitations; the rest is in `node.api.schema`."""

from typing import Annotated, Literal

from msgspec import Meta

from node.api.schema import ChangeRequest, GroupRequest, Name, Reference, Reply, Request, WaitS

PASTED_SIZE_MAX = 16 * 1024  # characters of a card or link
CODE_SIZE_MAX = 1024  # characters of a safety number
USES_MAX = 1000  # people whom one link lets in
LIFETIME_S_MAX = 366 * 24 * 3600  # of a link

Pasted = Annotated[str, Meta(min_length=1, max_length=PASTED_SIZE_MAX)]


# Requests


class ContactAddRequest(Request, frozen=True, kw_only=True):
    """Take in a card; without a name the contact is called what it calls itself."""

    card: Pasted
    name: Name | None = None


class ContactRequest(Request, frozen=True, kw_only=True):
    """One contact, by its name here or the beginning or end of its peer id."""

    contact: Reference


class ContactVerifyRequest(ContactRequest, frozen=True, kw_only=True):
    """Compare safety numbers: a code that was read out or scanned, or the user's word that they are equal."""

    code: Annotated[str, Meta(max_length=CODE_SIZE_MAX)] | None = None
    matches: bool = False


class ContactRenameRequest(ContactRequest, frozen=True, kw_only=True):
    """Another name of this node's own."""

    name: Name


class InvitationRequest(Request, frozen=True, kw_only=True):
    """One invitation, by the beginning of its id."""

    invitation: Reference


class GroupInviteRequest(GroupRequest, frozen=True, kw_only=True):
    """Make a link into a group."""

    uses: Annotated[int, Meta(ge=1, le=USES_MAX)] = 1
    lifetime_s: Annotated[int, Meta(ge=60, le=LIFETIME_S_MAX)] = 7 * 24 * 3600
    auto: bool = False  # whoever has the link is let in without being asked about


class InviteRequest(GroupRequest, frozen=True, kw_only=True):
    """One link that was given out, by the beginning of its id."""

    invite: Reference


class JoinerRequest(GroupRequest, frozen=True, kw_only=True):
    """One who asks to be let in, by name or the beginning of the request's or the peer's id."""

    request: Reference


class ApproveRequest(ChangeRequest, frozen=True, kw_only=True):
    """Let somebody in who asks; like any change it is answered when it is certified."""

    request: Reference


class JoinRequest(Request, frozen=True, kw_only=True):
    """Follow a link. The reply comes when we are in, or refused, or after `timeout_s`, or at once."""

    link: Pasted
    name: Name | None = None  # what the group shall be called here
    wait: bool = True
    timeout_s: WaitS = 30.0

    def __repr__(self) -> str:
        return "JoinRequest()"  # likewise


# Replies


class OwnCard(Reply, frozen=True, kw_only=True):
    """This node's card."""

    card: str  # conclave:card:..., to be given to others
    peer_id: str
    name: str
    addresses: tuple[str, ...]
    mailboxes: tuple[str, ...]  # peer ids
    serial: int
    expires_at: float


class Contact(Reply, frozen=True, kw_only=True):
    """Somebody this node's user knows, or a stranger they have blocked."""

    peer_id: str
    name: str  # the user's own word; empty of a stranger
    claimed_name: str  # what it calls itself, which proves nothing
    is_verified: bool
    verified_at: float | None
    is_blocked: bool
    is_connected: bool
    added_at: float
    is_expired: bool  # the card is too old; a new one is taken when it connects
    expires_at: float | None
    serial: int
    addresses: tuple[str, ...]
    mailboxes: tuple[str, ...]  # peer ids
    safety_number: str  # twelve groups of five digits, the same at both ends
    safety_words: str
    card: str  # to be passed on
    groups: tuple[str, ...]  # ids of the groups we share


class ContactList(Reply, frozen=True, kw_only=True):
    """Everybody, in the order they came."""

    contacts: tuple[Contact, ...]


class Invitation(Reply, frozen=True, kw_only=True):
    """A group that somebody has added this node to, and that waits for the user."""

    invitation_id: str
    group_id: str
    name: str  # as the adder calls the group
    adder: str  # peer id
    adder_name: str
    member_count: int
    arrived_at: float


class Invite(Reply, frozen=True, kw_only=True):
    """A link that was given out."""

    invite_id: str
    group_id: str
    link: str = ""  # conclave:invite:..., said once, when it is made
    uses_left: int
    is_auto: bool
    is_expired: bool
    expires_at: float
    created_at: float

    def __repr__(self) -> str:
        return f"Invite({self.invite_id})"  # who has the link may come in


class InviteList(Reply, frozen=True, kw_only=True):
    """The links into one group, oldest first."""

    invites: tuple[Invite, ...]


class Joiner(Reply, frozen=True, kw_only=True):
    """Somebody with a link who asks to be let in."""

    request_id: str
    group_id: str
    peer_id: str
    name: str  # the user's own word, or ~ and what they call themselves
    invite_id: str
    asked_at: float


class JoinerList(Reply, frozen=True, kw_only=True):
    """Those that wait, oldest first."""

    requests: tuple[Joiner, ...]


class JoinResult(Reply, frozen=True, kw_only=True):
    """How following a link is doing."""

    group_id: str
    name: str  # of the group, here
    inviter: str  # peer id
    inviter_name: str
    state: Literal["asking", "waiting", "approved", "joined", "refused"]
    text: str
    epoch: int | None = None  # once joined, as what follows
    member_count: int | None = None
    is_confirmed: bool | None = None


class JoinList(Reply, frozen=True, kw_only=True):
    """The links that are followed, and those that ended without success, oldest first."""

    joins: tuple[JoinResult, ...]


class InvitationList(Reply, frozen=True, kw_only=True):
    """Those that wait, oldest first."""

    invitations: tuple[Invitation, ...]
