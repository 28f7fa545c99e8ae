"""The inviter's side: links given out, and who asks to be let in by them.

Whoever has a link may ask; our user approves, or has said beforehand that the link is enough (`auto`). Approval is an
ordinary intent to add the joiner. Everything is on disk before it is answered, and asking again changes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import trio

from node.api.errors import ApiError, ErrorCode
from node.contacts.book import Contacts
from node.contacts.invites import (
    REASON_SIZE_MAX,
    TOKEN_SIZE,
    USES_MAX,
    Invite,
    InviteError,
    JoinAnswer,
    JoinRequest,
    JoinState,
    has_token,
    make_invite,
    open_request,
)
from node.contacts.own import OwnCard
from node.contacts.rows import REQUEST_APPROVED, REQUEST_REFUSED, REQUEST_WAITING, InviteRow, RequestRow
from node.context import NodeContext
from node.electorate import RuleError
from node.feed import REQUEST, news
from node.intents import ADD, FAILED, AddBody
from node.logs import logger, short
from node.names import Names
from node.peer_id import PeerId
from node.session import Session
from node.store import Transaction
from node.store_rows import FeedRow, IntentRow
from node.transport import RefusedError
from ordering import OrderingError

JOIN_PROTOCOL: Final = "/conclave/join/1"
INVITES_PER_GROUP_MAX: Final = 64
"""Links that are open at once for one group."""
REQUESTS_PER_INVITE_MAX: Final = 32  # that wait by one link
REQUESTS_MAX: Final = 256  # that are remembered; what was decided longest ago gives way
KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""So long after it expired a link is still told from one that never was, and a request from nobody's."""
AUTO_RETRY_S: Final = 5.0

log = logger("inviting")


class Inviting:
    """Of a running node."""

    def __init__(
        self, context: NodeContext, sessions: Mapping[bytes, Session], own: OwnCard, contacts: Contacts
    ) -> None:
        self._context = context
        self._sessions = sessions
        self._own = own
        self._contacts = contacts

    # --- our user ---

    def create(self, session: Session, *, uses: int, lifetime_s: int, is_auto: bool) -> Invite:
        """A link into a group of ours; durable when this returns. Raises `ApiError`."""
        context, public = self._context, session.holding.public
        if public is None or session.holding.removed:
            raise ApiError(ErrorCode.NOT_MEMBER, "this node was removed from the group")
        assert 1 <= uses <= USES_MAX
        now_ms = context.now_ms()
        invite = make_invite(
            context.identity,
            group_id=session.group_id,
            name=session.holding.name,
            suite=int(public.suite.id),
            epoch=session.holding.epoch,
            descriptor_hash=session.agreement.epoch.voting.committee.descriptor.hash,
            card=self._own.card,
            token=context.random(TOKEN_SIZE),
            uses=uses,
            expires_s=now_ms // 1000 + lifetime_s,
        )
        row = InviteRow(invite.id, session.group_id, invite.token, uses, is_auto, 1000 * invite.expires_s, now_ms)
        with context.store.transaction() as transaction:
            self._prune(transaction)
            if sum(is_open(each, now_ms) for each in transaction.invites(session.group_id)) >= INVITES_PER_GROUP_MAX:
                raise ApiError(
                    ErrorCode.BUSY,
                    f"{INVITES_PER_GROUP_MAX} invites into this group are open",
                    "take one back: conclave group uninvite",
                )
            transaction.put_invite(row)
        return invite

    def withdraw(self, row: InviteRow) -> None:
        """The link lets nobody in any more; who asked by it and waits is refused."""
        with self._context.store.transaction() as transaction:
            transaction.delete_invite(row.id)
            for request in transaction.requests(row.group_id):
                if request.invite_id == row.id and request.state == REQUEST_WAITING:
                    transaction.put_request(replace(request, state=REQUEST_REFUSED))

    def waiting(self, group_id: bytes | None = None) -> tuple[RequestRow, ...]:
        """Who asks to be let in, into one group or any, oldest first."""
        return tuple(row for row in self._context.store.requests(group_id) if row.state == REQUEST_WAITING)

    async def approve(self, session: Session, row: RequestRow) -> IntentRow:
        """Add who asks. The use of the link is taken first, and given back if the group cannot take the change now.

        Raises what `Session.submit` does, and `ApiError` when the request is decided already.
        """
        self._take_use(row)
        request = JoinRequest.decode(row.body)
        try:
            intent = await session.submit(ADD, AddBody(row.peer_id, request.key_package).encode())
        except BaseException:
            self._give_back(row, REQUEST_WAITING)
            raise
        with self._context.store.transaction() as transaction:
            transaction.put_request(replace(row, state=REQUEST_APPROVED, intent_id=intent.intent_id))
        self._contacts.acquaint(request.joiner)
        return intent

    def refuse(self, row: RequestRow) -> None:
        """Let them not in. The link is not used up by it."""
        with self._context.store.transaction() as transaction:
            transaction.put_request(replace(row, state=REQUEST_REFUSED))

    # --- who asks ---

    async def serve(self, peer: PeerId, payload: bytes) -> bytes:
        """A request from a connected peer."""
        answer = await self.take(payload, peer)
        return answer.encode()

    async def take(self, payload: bytes, peer: PeerId | None = None) -> JoinAnswer:
        """A request, from `peer` itself where that is known; raises `RefusedError` for what is none to us.

        What costs little is looked at first: who has no link of ours makes us verify no signature.
        """
        inviter = self._context.identity.public_key
        try:
            claimed = JoinRequest.decode(payload)
            invite = self._context.store.invite(claimed.invite_id)
            if invite is None or invite.group_id != claimed.group_id:
                known = self._context.store.request(claimed.id)
                if known is not None and peer in (None, known.peer_id):  # the link was taken back since
                    return self._answer(known)
                return refusal("the invite is not known here any more; ask for a new one")
            if not has_token(claimed, inviter, invite.token):
                raise InviteError("who asks does not have the link")
            request = open_request(payload, inviter)
        except (OrderingError, InviteError) as error:
            raise RefusedError(str(error)) from error
        joiner = request.joiner.peer_id
        if peer is not None and peer != joiner:
            raise RefusedError("a request in another's name")
        if joiner in self._context.blocked:
            raise RefusedError("not for you")
        row = self._context.store.request(request.id)
        if row is None:
            answer = self._admit(request, invite)
            if answer is not None:
                return answer
            row = self._context.store.request(request.id)
            assert row is not None, "just stored"
        if row.state == REQUEST_WAITING and invite.is_auto:
            row = await self._accept(row)
        return self._answer(row)

    async def run(self) -> None:
        """Let in those whose link is enough, where it could not be done at once.

        What was approved without its intent, before a crash, was not begun.
        """
        for row in self._context.store.requests():
            if row.state == REQUEST_APPROVED and row.intent_id is None:
                self._give_back(row, REQUEST_WAITING)
        while True:
            for row in self._context.store.requests():
                invite = self._context.store.invite(row.invite_id)
                if row.state == REQUEST_WAITING and invite is not None and invite.is_auto and invite.uses_left > 0:
                    await self._accept(row)
            await trio.sleep(AUTO_RETRY_S)

    def _admit(self, request: JoinRequest, invite: InviteRow) -> JoinAnswer | None:
        """Take in a new request; the answer if it goes no further."""
        context, session = self._context, self._sessions.get(request.group_id)
        joiner, now_ms = request.joiner.peer_id, context.now_ms()
        if session is None or session.holding.public is None:
            return refusal("the inviter is not in this group any more")
        if joiner in session.agreement.roster:
            return JoinAnswer(JoinState.MEMBER)
        if now_ms >= invite.expires_ms:
            return refusal("the invite has expired; ask for a new one")
        if invite.uses_left <= 0:
            return refusal("the invite has been used already; ask for a new one")
        row = RequestRow(
            request.id, request.group_id, invite.id, joiner, request.encode(), REQUEST_WAITING, None, now_ms
        )
        with context.store.transaction() as transaction:
            self._prune(transaction)
            earlier = [each for each in transaction.requests(request.group_id) if each.peer_id == joiner]
            for each in earlier:
                transaction.delete_request(each.id)
            waiting = [each for each in transaction.requests() if each.state == REQUEST_WAITING]
            if sum(each.invite_id == invite.id for each in waiting) >= REQUESTS_PER_INVITE_MAX:
                return refusal("too many wait by this invite; ask again later, or for an invite of your own")
            if len(waiting) >= REQUESTS_MAX:
                return refusal("too many wait already; ask again later")
            transaction.put_request(row)
            if not earlier and not invite.is_auto:
                transaction.append_feed(self._news(session, request))
        context.feed.grew()
        log.info("asks to join", group=short(request.group_id), peer=joiner)
        return None

    def _take_use(self, row: RequestRow) -> None:
        with self._context.store.transaction() as transaction:
            present, invite = transaction.request(row.id), transaction.invite(row.invite_id)
            if present is None or present.state != REQUEST_WAITING:
                raise ApiError(ErrorCode.ALREADY_SO, "this request is decided already")
            if invite is not None and invite.is_auto and invite.uses_left <= 0:
                raise ApiError(ErrorCode.REFUSED, "the invite has been used already")
            transaction.put_request(replace(row, state=REQUEST_APPROVED, intent_id=None))
            if invite is not None:
                transaction.put_invite(replace(invite, uses_left=max(0, invite.uses_left - 1)))

    def _give_back(self, row: RequestRow, state: str) -> None:
        with self._context.store.transaction() as transaction:
            transaction.put_request(replace(row, state=state, intent_id=None))
            invite = transaction.invite(row.invite_id)
            if invite is not None:
                transaction.put_invite(replace(invite, uses_left=min(USES_MAX, invite.uses_left + 1)))

    async def _accept(self, row: RequestRow) -> RequestRow:
        session, invite = self._sessions.get(row.group_id), self._context.store.invite(row.invite_id)
        if session is None or invite is None or invite.uses_left <= 0:
            return row
        try:
            await self.approve(session, row)
        except (ApiError, RuleError) as error:
            log.info("not let in yet", group=short(row.group_id), peer=row.peer_id, reason=str(error))
        return self._context.store.request(row.id) or row

    def _answer(self, row: RequestRow) -> JoinAnswer:
        """How a request is doing; what could not be added ends refused, and its use of the link is given back."""
        if row.state == REQUEST_REFUSED:
            return refusal("the inviter has refused")
        if row.state == REQUEST_WAITING:
            return JoinAnswer(JoinState.WAITING)
        intent = None if row.intent_id is None else self._context.store.intent(row.intent_id)
        if intent is not None and intent.state == FAILED:
            self._give_back(row, REQUEST_REFUSED)
            return refusal(f"it could not be added: {intent.error or 'no reason was kept'}")
        session = self._sessions.get(row.group_id)
        if session is not None and row.peer_id in session.agreement.roster:
            return JoinAnswer(JoinState.MEMBER)
        return JoinAnswer(JoinState.APPROVED)

    def _news(self, session: Session, request: JoinRequest) -> FeedRow:
        card = request.joiner
        who = Names.of(self._context).petnames.get(card.peer_id) or card.name or card.peer_id
        text = f"{who} asks to be let in: conclave group requests"
        now_ms, epoch = self._context.now_ms(), session.holding.epoch
        return news(REQUEST, text, now_ms, group_id=session.group_id, epoch=epoch, peer=card.peer_id)

    def _prune(self, transaction: Transaction) -> None:
        """Forget links that expired long ago, requests decided long ago, and the oldest of too many of those."""
        oldest = self._context.now_ms() - KEPT_MS
        for invite in transaction.invites():
            if invite.expires_ms < oldest:
                transaction.delete_invite(invite.id)
        decided = [row for row in transaction.requests() if row.state != REQUEST_WAITING]
        excess = len(decided) - REQUESTS_MAX
        for place, row in enumerate(decided):
            if place < excess or row.created_ms < oldest:
                transaction.delete_request(row.id)
        for row in transaction.requests():
            if row.created_ms < oldest:
                transaction.delete_request(row.id)


def is_open(invite: InviteRow, now_ms: int) -> bool:
    """Whether a link lets anybody in any more."""
    return invite.uses_left > 0 and invite.expires_ms > now_ms


def refusal(reason: str) -> JoinAnswer:
    """No, and why."""
    return JoinAnswer(JoinState.REFUSED, reason[:REASON_SIZE_MAX])
