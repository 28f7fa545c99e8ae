"""Calls: every operation as a method of the client.

Made of the operation table by `python -m tests.api_pages`; not to be changed by hand.
"""

from abc import ABC, abstractmethod
from typing import Literal

from node.api import contact_operations, contact_schema, operations, schema, token_operations, token_schema
from node.api.operation import Operation, ReplyT, RequestT


class Calls(ABC):
    """What a daemon can be asked for. What has to be given comes first, the rest by keyword; errors as for `call`."""

    @abstractmethod
    def call(self, operation: Operation[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Do one operation."""

    def status(self) -> schema.NodeStatus:
        """What the node is doing: peers, groups, health."""
        return self.call(operations.STATUS, schema.Nothing())

    def identity(self) -> schema.Identity:
        """Who the node is and where it can be dialled."""
        return self.call(operations.IDENTITY, schema.Nothing())

    def peers(self) -> schema.PeerList:
        """The peers connected right now."""
        return self.call(operations.PEERS, schema.Nothing())

    def connect(self, address: str) -> schema.PeerInfo:
        """Dial a peer by its multiaddr."""
        return self.call(operations.CONNECT, schema.ConnectRequest(address=address))

    def peer_name(self, peer: str, name: Literal[""] | str) -> schema.PeerInfo:
        """Give a peer a name; it stays on this node."""
        return self.call(operations.PEER_NAME, schema.PeerNameRequest(peer=peer, name=name))

    def shutdown(self) -> schema.Done:
        """Stop the daemon cleanly."""
        return self.call(operations.SHUTDOWN, schema.Nothing())

    def group_list(self) -> schema.GroupList:
        """All groups of this node."""
        return self.call(operations.GROUP_LIST, schema.Nothing())

    def group_create(
        self,
        name: str,
        *,
        suite: int | None = None,
        policy: Literal["auto", "pinned", "all"] = "auto",
        pins: tuple[str, ...] = (),
        model: Literal["byzantine", "crash"] = "byzantine",
        committee_max: int = 7,
    ) -> schema.GroupDetail:
        """Found a group."""
        return self.call(
            operations.GROUP_CREATE,
            schema.GroupCreateRequest(
                name=name, suite=suite, policy=policy, pins=pins, model=model, committee_max=committee_max
            ),
        )

    def group_show(self, group: str) -> schema.GroupDetail:
        """Members, committee, epoch and health of one group."""
        return self.call(operations.GROUP_SHOW, schema.GroupRequest(group=group))

    def group_add(self, group: str, peer: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Add a peer; answers when the change is certified."""
        return self.call(
            operations.GROUP_ADD, schema.GroupAddRequest(group=group, peer=peer, wait=wait, timeout_s=timeout_s)
        )

    def group_add_many(
        self, group: str, peers: tuple[str, ...], *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.AddManyResult:
        """Add several peers in one change; who has no usable key package is named, and tried again by itself."""
        return self.call(
            operations.GROUP_ADD_MANY,
            schema.GroupAddManyRequest(group=group, peers=peers, wait=wait, timeout_s=timeout_s),
        )

    def group_adds(
        self, group: str, batch_id: str, *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.AddManyResult:
        """How an earlier add of several peers is doing."""
        return self.call(
            operations.GROUP_ADDS,
            schema.GroupAddsRequest(group=group, batch_id=batch_id, wait=wait, timeout_s=timeout_s),
        )

    def group_readd(self, group: str, peer: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Remove a member that lost its way and add it anew, in one change."""
        return self.call(
            operations.GROUP_READD, schema.GroupAddRequest(group=group, peer=peer, wait=wait, timeout_s=timeout_s)
        )

    def group_rejoin(self, group: str) -> schema.Done:
        """Let any member this node knew bring it back into a group it cannot follow any more."""
        return self.call(operations.GROUP_REJOIN, schema.GroupRequest(group=group))

    def group_remove(
        self, group: str, member: str, *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.IntentResult:
        """Remove a member; answers when the change is certified."""
        return self.call(
            operations.GROUP_REMOVE,
            schema.GroupRemoveRequest(group=group, member=member, wait=wait, timeout_s=timeout_s),
        )

    def group_update(self, group: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Refresh our own keys; answers when the change is certified."""
        return self.call(operations.GROUP_UPDATE, schema.ChangeRequest(group=group, wait=wait, timeout_s=timeout_s))

    def group_opt_in(self, group: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Offer this node as a voter."""
        return self.call(operations.GROUP_OPT_IN, schema.ChangeRequest(group=group, wait=wait, timeout_s=timeout_s))

    def group_opt_out(self, group: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Stop being a voter."""
        return self.call(operations.GROUP_OPT_OUT, schema.ChangeRequest(group=group, wait=wait, timeout_s=timeout_s))

    def group_leave(self, group: str, *, wait: bool = True, timeout_s: float = 30.0) -> schema.IntentResult:
        """Leave the group; answers when another member's commit has carried it."""
        return self.call(operations.GROUP_LEAVE, schema.ChangeRequest(group=group, wait=wait, timeout_s=timeout_s))

    def group_policy(
        self,
        group: str,
        *,
        wait: bool = True,
        timeout_s: float = 30.0,
        policy: Literal["auto", "pinned", "all"] | None = None,
        pins: tuple[str, ...] = (),
        model: Literal["byzantine", "crash"] | None = None,
        committee_max: int | None = None,
        delta_ms: int | None = None,
    ) -> schema.IntentResult:
        """Change how the group elects its voters."""
        return self.call(
            operations.GROUP_POLICY,
            schema.GroupPolicyRequest(
                group=group,
                wait=wait,
                timeout_s=timeout_s,
                policy=policy,
                pins=pins,
                model=model,
                committee_max=committee_max,
                delta_ms=delta_ms,
            ),
        )

    def group_bench(
        self, group: str, member: str, *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.IntentResult:
        """Pass over a voter that is gone, until it comes back."""
        return self.call(
            operations.GROUP_BENCH,
            schema.GroupMemberRequest(group=group, member=member, wait=wait, timeout_s=timeout_s),
        )

    def group_intent(
        self, group: str, intent_id: str, *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.IntentResult:
        """How a change asked for earlier is doing; waits for its end."""
        return self.call(
            operations.GROUP_INTENT,
            schema.IntentRequest(group=group, intent_id=intent_id, wait=wait, timeout_s=timeout_s),
        )

    def group_rescue(
        self, group: str, *, lost: tuple[str, ...] = (), follow: str | None = None, withdraw: bool = False
    ) -> schema.RescueResult:
        """Found the successor of a group whose quorum is lost, or take up the one another member has founded."""
        return self.call(
            operations.GROUP_RESCUE, schema.GroupRescueRequest(group=group, lost=lost, follow=follow, withdraw=withdraw)
        )

    def group_send(self, group: str, text: str) -> schema.SendResult:
        """Send a message to all members."""
        return self.call(operations.GROUP_SEND, schema.GroupSendRequest(group=group, text=text))

    def group_read(
        self,
        group: str,
        *,
        after_seq: int = 0,
        limit: int = 100,
        order: Literal["arrival", "shared"] = "arrival",
        after_place: str = "",
    ) -> schema.MessagePage:
        """Messages received and sent, oldest first."""
        return self.call(
            operations.GROUP_READ,
            schema.GroupReadRequest(
                group=group, after_seq=after_seq, limit=limit, order=order, after_place=after_place
            ),
        )

    def group_receipt(self, group: str, *, message: str | None = None) -> schema.MessageReceipt:
        """What has become of a message of this node's own: which mailboxes keep it, which members have it."""
        return self.call(operations.GROUP_RECEIPT, schema.GroupReceiptRequest(group=group, message=message))

    def group_log(self, group: str, *, after_epoch: int = 0, limit: int = 100) -> schema.LogPage:
        """The decided chain: one line per epoch, and who certified it."""
        return self.call(
            operations.GROUP_LOG, schema.GroupLogRequest(group=group, after_epoch=after_epoch, limit=limit)
        )

    def group_log_export(self, group: str) -> schema.LogExport:
        """The decided chain with its certificates, as one portable piece."""
        return self.call(operations.GROUP_LOG_EXPORT, schema.GroupRequest(group=group))

    def events(
        self, *, since: int | None = None, group: str | None = None, limit: int = 100, wait_s: float = 15.0
    ) -> schema.EventBatch:
        """What happens, as it happens (server-sent events; resumes by `since` or Last-Event-ID).

        One page of it; `follow` goes on for ever.
        """
        return self.call(operations.EVENTS, schema.EventsRequest(since=since, group=group, limit=limit, wait_s=wait_s))

    def contact_card(self) -> contact_schema.OwnCard:
        """This node's own card, to be given away."""
        return self.call(contact_operations.CONTACT_CARD, schema.Nothing())

    def contact_list(self) -> contact_schema.ContactList:
        """Everybody this user knows."""
        return self.call(contact_operations.CONTACT_LIST, schema.Nothing())

    def contact_add(self, card: str, *, name: str | None = None) -> contact_schema.Contact:
        """Take in somebody's card, or a newer one."""
        return self.call(contact_operations.CONTACT_ADD, contact_schema.ContactAddRequest(card=card, name=name))

    def contact_show(self, contact: str) -> contact_schema.Contact:
        """One contact, with the safety number to compare."""
        return self.call(contact_operations.CONTACT_SHOW, contact_schema.ContactRequest(contact=contact))

    def contact_verify(self, contact: str, *, code: str | None = None, matches: bool = False) -> contact_schema.Contact:
        """Compare safety numbers, and mark the contact as verified."""
        return self.call(
            contact_operations.CONTACT_VERIFY,
            contact_schema.ContactVerifyRequest(contact=contact, code=code, matches=matches),
        )

    def contact_rename(self, contact: str, name: str) -> contact_schema.Contact:
        """Give a contact another name; it stays on this node."""
        return self.call(
            contact_operations.CONTACT_RENAME, contact_schema.ContactRenameRequest(contact=contact, name=name)
        )

    def contact_block(self, contact: str) -> contact_schema.Contact:
        """Take nothing more from a contact, or from any peer."""
        return self.call(contact_operations.CONTACT_BLOCK, contact_schema.ContactRequest(contact=contact))

    def contact_unblock(self, contact: str) -> contact_schema.Contact:
        """Take back a block."""
        return self.call(contact_operations.CONTACT_UNBLOCK, contact_schema.ContactRequest(contact=contact))

    def contact_remove(self, contact: str) -> contact_schema.Contact:
        """Forget a contact, its verification too."""
        return self.call(contact_operations.CONTACT_REMOVE, contact_schema.ContactRequest(contact=contact))

    def group_invitations(self) -> contact_schema.InvitationList:
        """Groups that others have added this node to, and that wait for its user."""
        return self.call(contact_operations.GROUP_INVITATIONS, schema.Nothing())

    def group_accept(self, invitation: str) -> schema.GroupDetail:
        """Enter such a group."""
        return self.call(contact_operations.GROUP_ACCEPT, contact_schema.InvitationRequest(invitation=invitation))

    def group_decline(self, invitation: str) -> schema.Done:
        """Do not enter it; its members remove this node again."""
        return self.call(contact_operations.GROUP_DECLINE, contact_schema.InvitationRequest(invitation=invitation))

    def group_invite(
        self, group: str, *, uses: int = 1, lifetime_s: int = 604800, auto: bool = False
    ) -> contact_schema.Invite:
        """Make a link into a group."""
        return self.call(
            contact_operations.GROUP_INVITE,
            contact_schema.GroupInviteRequest(group=group, uses=uses, lifetime_s=lifetime_s, auto=auto),
        )

    def group_invites(self, group: str) -> contact_schema.InviteList:
        """The links given out."""
        return self.call(contact_operations.GROUP_INVITES, schema.GroupRequest(group=group))

    def group_uninvite(self, group: str, invite: str) -> schema.Done:
        """Take a link back; who waits by it is refused."""
        return self.call(contact_operations.GROUP_UNINVITE, contact_schema.InviteRequest(group=group, invite=invite))

    def group_requests(self, group: str) -> contact_schema.JoinerList:
        """Who asks to be let in by a link of this node's."""
        return self.call(contact_operations.GROUP_REQUESTS, schema.GroupRequest(group=group))

    def group_approve(
        self, group: str, request: str, *, wait: bool = True, timeout_s: float = 30.0
    ) -> schema.IntentResult:
        """Let somebody in; answers when the change is certified."""
        return self.call(
            contact_operations.GROUP_APPROVE,
            contact_schema.ApproveRequest(group=group, request=request, wait=wait, timeout_s=timeout_s),
        )

    def group_refuse(self, group: str, request: str) -> schema.Done:
        """Do not let somebody in."""
        return self.call(contact_operations.GROUP_REFUSE, contact_schema.JoinerRequest(group=group, request=request))

    def group_join(
        self, link: str, *, name: str | None = None, wait: bool = True, timeout_s: float = 30.0
    ) -> contact_schema.JoinResult:
        """Follow a link into a group; answers when this node is in, or refused."""
        return self.call(
            contact_operations.GROUP_JOIN,
            contact_schema.JoinRequest(link=link, name=name, wait=wait, timeout_s=timeout_s),
        )

    def group_joins(self) -> contact_schema.JoinList:
        """The links that are followed."""
        return self.call(contact_operations.GROUP_JOINS, schema.Nothing())

    def token_create(
        self, name: str, *, scope: Literal["read", "chat", "admin"] = "read", lifetime_s: int | None = None
    ) -> token_schema.Token:
        """Give a program a token for calls over HTTP."""
        return self.call(
            token_operations.TOKEN_CREATE,
            token_schema.TokenCreateRequest(name=name, scope=scope, lifetime_s=lifetime_s),
        )

    def token_list(self) -> token_schema.TokenList:
        """The tokens given out."""
        return self.call(token_operations.TOKEN_LIST, schema.Nothing())

    def token_revoke(self, token: str) -> token_schema.Token:
        """Take a token back; what it has opened ends now."""
        return self.call(token_operations.TOKEN_REVOKE, token_schema.TokenRequest(token=token))
