"""What the local API can ask about invites: links given out, who asks by them, and links that are followed."""

from typing import TYPE_CHECKING, Final, Literal

import trio

from node.api import contact_schema, schema
from node.api.select import Named, pick
from node.api.words import count
from node.changing import answered, outcome, with_consent
from node.contacts.invites import Invite, JoinRequest
from node.contacts.rows import JOIN_APPROVED, JOIN_ASKING, JOIN_OVER, JOIN_WAITING, InviteRow, JoinRow, RequestRow
from node.lookup import Lookup
from node.names import Names

if TYPE_CHECKING:
    from node.daemon import Node

CONFIRM_S_MAX: Final = 2.0  # for other members to confirm where we came in, before we say that they have not
POLL_S: Final = 0.05  # how often it is looked whether a link that is followed has led anywhere

State = Literal["asking", "waiting", "approved", "joined", "refused"]
STATES: Final[dict[str, State]] = {
    JOIN_ASKING: "asking",
    JOIN_WAITING: "waiting",
    JOIN_APPROVED: "approved",
    JOIN_OVER: "refused",
}


class InviteService:
    """A part of the Service of a running node."""

    _node: "Node"
    _lookup: Lookup

    async def group_invite(self, request: contact_schema.GroupInviteRequest) -> contact_schema.Invite:
        """Make a link."""
        session = self._lookup.live(request.group)
        made = self._node.inviting.create(
            session, uses=request.uses, lifetime_s=request.lifetime_s, is_auto=request.auto
        )
        row = self._node.context.store.invite(made.id)
        assert row is not None, "just stored"
        return self._invite(row, made.to_text())

    async def group_invites(self, request: schema.GroupRequest) -> contact_schema.InviteList:
        """The links given out."""
        rows = self._node.context.store.invites(self._lookup.row(request.group).group_id)
        return contact_schema.InviteList(invites=tuple(self._invite(row) for row in rows))

    async def group_uninvite(self, request: contact_schema.InviteRequest) -> schema.Done:
        """Take a link back."""
        rows = self._node.context.store.invites(self._lookup.row(request.group).group_id)
        by_id = {row.id.hex(): row for row in rows}
        self._node.inviting.withdraw(by_id[pick("invitation", request.invite, [Named(id_, "") for id_ in by_id]).id])
        return schema.Done()

    async def group_requests(self, request: schema.GroupRequest) -> contact_schema.JoinerList:
        """Who asks to be let in."""
        group_id, names = self._lookup.row(request.group).group_id, self._lookup.names()
        return contact_schema.JoinerList(
            requests=tuple(
                contact_schema.Joiner(
                    request_id=row.id.hex(),
                    group_id=row.group_id.hex(),
                    peer_id=row.peer_id,
                    name=called(row, names),
                    invite_id=row.invite_id.hex(),
                    asked_at=row.created_ms / 1000,
                )
                for row in self._node.inviting.waiting(group_id)
            )
        )

    async def group_approve(self, request: contact_schema.ApproveRequest) -> schema.IntentResult:
        """Let somebody in."""
        session = self._lookup.live(request.group)
        row = self._request(session.group_id, request.request)
        intent = await answered(self._node.inviting.approve(session, row))
        context = self._node.context
        return await with_consent(context, row.peer_id, await outcome(context, intent, session, request), request)

    async def group_refuse(self, request: contact_schema.JoinerRequest) -> schema.Done:
        """Let somebody not in."""
        group_id = self._lookup.row(request.group).group_id
        self._node.inviting.refuse(self._request(group_id, request.request))
        return schema.Done()

    async def group_join(self, request: contact_schema.JoinRequest) -> contact_schema.JoinResult:
        """Follow a link."""
        row = self._node.following.begin(request.link, request.name)
        result = self._join(row)
        if request.wait:
            with trio.move_on_after(request.timeout_s):
                while result.state not in ("joined", "refused"):
                    await trio.sleep(POLL_S)
                    result = self._join(self._node.context.store.join(row.group_id) or row)
                with trio.move_on_after(CONFIRM_S_MAX):  # mostly it is a matter of a moment
                    while result.is_confirmed is False:
                        await trio.sleep(POLL_S)
                        result = self._join(row)
        return result

    async def group_joins(self, request: schema.Nothing) -> contact_schema.JoinList:  # noqa: ARG002
        """The links that are followed."""
        joins = (self._join(row) for row in self._node.context.store.joins())
        return contact_schema.JoinList(joins=tuple(one for one in joins if one.state != "joined"))

    def _invite(self, row: InviteRow, link: str = "") -> contact_schema.Invite:
        return contact_schema.Invite(
            invite_id=row.id.hex(),
            group_id=row.group_id.hex(),
            link=link,
            uses_left=row.uses_left,
            is_auto=row.is_auto,
            is_expired=self._node.context.now_ms() >= row.expires_ms,
            expires_at=row.expires_ms / 1000,
            created_at=row.created_ms / 1000,
        )

    def _request(self, group_id: bytes, reference: str) -> RequestRow:
        names = self._lookup.names()
        by_id = {row.id.hex(): row for row in self._node.inviting.waiting(group_id)}
        by_peer = {row.peer_id: id_ for id_, row in by_id.items()}
        named = [Named(id_, called(row, names)) for id_, row in by_id.items()]
        return by_id[by_peer.get(reference) or pick("request", reference, named).id]

    def _join(self, row: JoinRow) -> contact_schema.JoinResult:
        """A link as it is doing; joined as soon as the group is here."""
        context, invite = self._node.context, Invite.decode(row.link)
        inviter = invite.card.peer_id
        who = self._lookup.names().shown(inviter)
        group, session = context.store.group(row.group_id), self._node.sessions.get(row.group_id)
        public = None if session is None else session.holding.public
        if group is not None and not group.removed and session is not None and public is not None:
            members = sum(1 for _ in public.leaves())
            return contact_schema.JoinResult(
                group_id=row.group_id.hex(),
                name=group.name,
                inviter=inviter,
                inviter_name=who,
                state="joined",
                text=f"joined {group.name} (epoch {session.holding.epoch}, {count(members, 'member')})",
                epoch=session.holding.epoch,
                member_count=members,
                is_confirmed=not session.holding.unconfirmed,
            )
        state = STATES.get(row.state, "approved")
        where = f" ({row.reason})" if row.reason else ""
        words = {
            "asking": f"{who} is being asked to let this node into {row.name}{where}",
            "waiting": f"{who} has to approve: waiting to be let into {row.name}",
            "approved": f"{who} has approved: being added to {row.name}",
            "refused": f"not let into {row.name}: {row.reason}",
        }
        return contact_schema.JoinResult(
            group_id=row.group_id.hex(),
            name=row.name,
            inviter=inviter,
            inviter_name=who,
            state=state,
            text=words[state],
        )


def called(row: RequestRow, names: Names) -> str:
    """Who asks: our user's own word, or what they call themselves."""
    return names.of_peer(row.peer_id) or f"~{JoinRequest.decode(row.body).joiner.name}".rstrip("~")
