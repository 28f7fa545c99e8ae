"""What the local API says and hears about contacts and invitations; the rest is in `node.api.schema`."""

from typing import Annotated

from msgspec import Meta

from node.api.schema import Name, Reference, Reply, Request

PASTED_SIZE_MAX = 16 * 1024  # characters of a card or link
CODE_SIZE_MAX = 1024  # characters of a safety number

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


class InvitationList(Reply, frozen=True, kw_only=True):
    """Those that wait, oldest first."""

    invitations: tuple[Invitation, ...]
