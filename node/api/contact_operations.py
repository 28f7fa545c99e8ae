"""The operations about contacts and invitations; a part of the table in `node.api.operations`."""

from typing import Any

from node.api import contact_schema, schema
from node.api.operation import Operation

CONTACT_CARD = Operation(
    "contact_card",
    "GET",
    "/v1/card",
    schema.Nothing,
    contact_schema.OwnCard,
    "This node's own card, to be given away.",
    scope="read",
)
CONTACT_LIST = Operation(
    "contact_list",
    "GET",
    "/v1/contacts",
    schema.Nothing,
    contact_schema.ContactList,
    "Everybody this user knows.",
    scope="read",
)
CONTACT_ADD = Operation(
    "contact_add",
    "POST",
    "/v1/contacts",
    contact_schema.ContactAddRequest,
    contact_schema.Contact,
    "Take in somebody's card, or a newer one.",
)
CONTACT_SHOW = Operation(
    "contact_show",
    "GET",
    "/v1/contacts/{contact}",
    contact_schema.ContactRequest,
    contact_schema.Contact,
    "One contact, with the safety number to compare.",
    scope="read",
)
CONTACT_VERIFY = Operation(
    "contact_verify",
    "POST",
    "/v1/contacts/{contact}/verify",
    contact_schema.ContactVerifyRequest,
    contact_schema.Contact,
    "Compare safety numbers, and mark the contact as verified.",
)
CONTACT_RENAME = Operation(
    "contact_rename",
    "POST",
    "/v1/contacts/{contact}/rename",
    contact_schema.ContactRenameRequest,
    contact_schema.Contact,
    "Give a contact another name; it stays on this node.",
)
CONTACT_BLOCK = Operation(
    "contact_block",
    "POST",
    "/v1/contacts/{contact}/block",
    contact_schema.ContactRequest,
    contact_schema.Contact,
    "Take nothing more from a contact, or from any peer.",
)
CONTACT_UNBLOCK = Operation(
    "contact_unblock",
    "POST",
    "/v1/contacts/{contact}/unblock",
    contact_schema.ContactRequest,
    contact_schema.Contact,
    "Take back a block.",
)
CONTACT_REMOVE = Operation(
    "contact_remove",
    "POST",
    "/v1/contacts/{contact}/remove",
    contact_schema.ContactRequest,
    contact_schema.Contact,
    "Forget a contact, its verification too.",
)
GROUP_INVITATIONS = Operation(
    "group_invitations",
    "GET",
    "/v1/invitations",
    schema.Nothing,
    contact_schema.InvitationList,
    "Groups that others have added this node to, and that wait for its user.",
    scope="read",
)
GROUP_ACCEPT = Operation(
    "group_accept",
    "POST",
    "/v1/invitations/{invitation}/accept",
    contact_schema.InvitationRequest,
    schema.GroupDetail,
    "Enter such a group.",
)
GROUP_DECLINE = Operation(
    "group_decline",
    "POST",
    "/v1/invitations/{invitation}/decline",
    contact_schema.InvitationRequest,
    schema.Done,
    "Do not enter it; its members remove this node again.",
)
GROUP_INVITE = Operation(
    "group_invite",
    "POST",
    "/v1/groups/{group}/invite",
    contact_schema.GroupInviteRequest,
    contact_schema.Invite,
    "Make a link into a group.",
)
GROUP_INVITES = Operation(
    "group_invites",
    "GET",
    "/v1/groups/{group}/invites",
    schema.GroupRequest,
    contact_schema.InviteList,
    "The links given out.",
    scope="read",
)
GROUP_UNINVITE = Operation(
    "group_uninvite",
    "POST",
    "/v1/groups/{group}/uninvite",
    contact_schema.InviteRequest,
    schema.Done,
    "Take a link back; who waits by it is refused.",
)
GROUP_REQUESTS = Operation(
    "group_requests",
    "GET",
    "/v1/groups/{group}/requests",
    schema.GroupRequest,
    contact_schema.JoinerList,
    "Who asks to be let in by a link of this node's.",
    scope="read",
)
GROUP_APPROVE = Operation(
    "group_approve",
    "POST",
    "/v1/groups/{group}/approve",
    contact_schema.ApproveRequest,
    schema.IntentResult,
    "Let somebody in; answers when the change is certified.",
)
GROUP_REFUSE = Operation(
    "group_refuse",
    "POST",
    "/v1/groups/{group}/refuse",
    contact_schema.JoinerRequest,
    schema.Done,
    "Do not let somebody in.",
)
GROUP_JOIN = Operation(
    "group_join",
    "POST",
    "/v1/join",
    contact_schema.JoinRequest,
    contact_schema.JoinResult,
    "Follow a link into a group; answers when this node is in, or refused.",
)
GROUP_JOINS = Operation(
    "group_joins",
    "GET",
    "/v1/joins",
    schema.Nothing,
    contact_schema.JoinList,
    "The links that are followed.",
    scope="read",
)

CONTACT_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    CONTACT_CARD,
    CONTACT_LIST,
    CONTACT_ADD,
    CONTACT_SHOW,
    CONTACT_VERIFY,
    CONTACT_RENAME,
    CONTACT_BLOCK,
    CONTACT_UNBLOCK,
    CONTACT_REMOVE,
    GROUP_INVITATIONS,
    GROUP_ACCEPT,
    GROUP_DECLINE,
    GROUP_INVITE,
    GROUP_INVITES,
    GROUP_UNINVITE,
    GROUP_REQUESTS,
    GROUP_APPROVE,
    GROUP_REFUSE,
    GROUP_JOIN,
    GROUP_JOINS,
)
