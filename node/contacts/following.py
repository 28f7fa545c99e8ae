"""The joiner's side: a link is followed until we are in its group, refused, or out of time.

The request is on disk, with the key package it offers, before it leaves, and asked again until there is an end. A
Welcome into that group is taken whoever made the commit; the committee that the link names is held against it.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

import trio

from mls import frame
from node.api.errors import ApiError, ErrorCode
from node.contacts.book import Contacts, name_holder
from node.contacts.cards import Card
from node.contacts.invites import (
    Invite,
    InviteError,
    JoinAnswer,
    JoinState,
    expired_words,
    invite_from_text,
    make_request,
)
from node.contacts.inviting import JOIN_PROTOCOL
from node.contacts.own import OwnCard
from node.contacts.pins import Verdict, compare_chain, warning
from node.contacts.rows import JOIN_APPROVED, JOIN_ASKING, JOIN_IN, JOIN_OVER, JOIN_WAITING, JOINS_OPEN, JoinRow
from node.contacts.text import MistypedError, TextError
from node.context import NodeContext
from node.directory import new_key_package
from node.feed import HEALTH, NoticeBody
from node.logs import logger, short
from node.session import Session
from node.store_rows import FeedRow
from node.transport import TransportError
from ordering import MalformedError

JOINS_MAX: Final = 64
"""Links that are followed at once, and ends of earlier ones that are remembered."""
ASK_MIN_S: Final = 1.0  # between attempts to reach the inviter, growing
ASK_MAX_S: Final = 60.0
WAITING_S: Final = 5.0  # between questions how it is doing
LEAVE_S: Final = 6 * 3600.0  # between two copies of a request left at the mailboxes of an inviter who is not there
GIVE_UP_MS: Final = 30 * 24 * 3600 * 1000
"""After so long nobody will answer any more."""
COMPARE_S: Final = 5.0  # between attempts to have the decided chain from the link's epoch on
COMPARE_TRIES_MAX: Final = 720  # such attempts: an hour
DOUBT_TRIES_MAX: Final = 12  # in which a member shows another chain, and nobody the right one

Leave = Callable[[Card, bytes], Awaitable[int]]
"""Leaves a sealed request at the mailboxes that a card names, and says at how many."""

log = logger("following")


async def _nowhere(_card: Card, _request: bytes) -> int:
    return 0


class Following:
    """Of a running node."""

    def __init__(
        self, context: NodeContext, sessions: Mapping[bytes, Session], own: OwnCard, contacts: Contacts
    ) -> None:
        self._context = context
        self._sessions = sessions
        self._own = own
        self._contacts = contacts
        self.leave: Leave = _nowhere  # set by the daemon: a request to who is not there goes to its mailboxes
        self._left_s: dict[bytes, float] = {}  # when that was last done, by group
        self._begin, self._begun = trio.open_memory_channel[bytes](JOINS_MAX)

    # --- our user ---

    def begin(self, text: str, name: str | None) -> JoinRow:
        """Follow a link from now on; durable when this returns. Raises `ApiError` for what is wrong with it."""
        invite = read_invite(text)
        self._check(invite)
        context, store = self._context, self._context.store
        present = store.join(invite.group_id)
        if present is not None and present.state in JOINS_OPEN and Invite.decode(present.link) == invite:
            return present
        called = self._free(name or invite.name)
        bundle = new_key_package(context, invite.suite)
        request = make_request(context.identity, invite, self._own.card, frame(bundle.key_package))
        row = JoinRow(
            invite.group_id,
            called,
            invite.encode(),
            request.encode(),
            bundle.to_bytes(),
            JOIN_ASKING,
            "",
            context.now_ms(),
        )
        with store.transaction() as transaction:
            ended = [each for each in transaction.joins() if each.state == JOIN_OVER]
            open_count = sum(each.state in JOINS_OPEN for each in transaction.joins())
            if open_count >= JOINS_MAX:
                raise ApiError(ErrorCode.BUSY, f"{JOINS_MAX} links are followed already", "decline one of them")
            for each in ended[: max(0, open_count + len(ended) + 1 - JOINS_MAX)]:
                transaction.delete_join(each.group_id)
            transaction.put_join(row)
        self._left_s.pop(invite.group_id, None)
        self._contacts.acquaint(invite.card)
        with suppress(trio.WouldBlock):
            self._begin.send_nowait(invite.group_id)
        return row

    def give_up(self, row: JoinRow) -> None:
        """Our user does not want in any more."""
        with self._context.store.transaction() as transaction:
            transaction.delete_join(row.group_id)

    # --- the work ---

    async def run(self) -> None:
        """Follow what is open on the disk, and what begins later."""
        async with trio.open_nursery() as nursery:
            for row in self._context.store.joins():
                nursery.start_soon(self._follow, row.group_id)
            async for group_id in self._begun:
                nursery.start_soon(self._follow, group_id)

    async def _follow(self, group_id: bytes) -> None:
        """One link, to its end. A link given up, or followed anew, ends the task that followed it."""
        store, pause_s = self._context.store, ASK_MIN_S
        first = store.join(group_id)
        while first is not None and (row := store.join(group_id)) is not None and row.link == first.link:
            if row.state == JOIN_IN:
                await self._compare(row)
                return
            if row.state not in JOINS_OPEN:
                return
            reached = await self._ask(row)
            pause_s = WAITING_S if reached else min(ASK_MAX_S, 2 * pause_s)
            await trio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - so that not all ask at once

    async def _ask(self, row: JoinRow) -> bool:
        """Ask once; whether the inviter has answered."""
        invite = Invite.decode(row.link)
        now_ms = self._context.now_ms()
        try:
            await self._reach(invite)
            reply = await self._context.transport.request(invite.card.peer_id, JOIN_PROTOCOL, row.body)
            answer = JoinAnswer.decode(reply)
        except (TransportError, MalformedError) as error:
            log.info("inviter not reached", group=short(row.group_id), reason=str(error))
            await self._leave(row, invite)
            if row.state == JOIN_ASKING and now_ms >= 1000 * invite.expires_s:
                self._set(row, JOIN_OVER, f"the inviter was not reached, and {expired_words(invite)}")
            elif now_ms - row.created_ms > GIVE_UP_MS:
                self._set(row, JOIN_OVER, "nobody has answered for a month")
            return False
        match answer.state:
            case JoinState.WAITING:
                self._set(row, JOIN_WAITING, "")
            case JoinState.APPROVED | JoinState.MEMBER:
                self._set(row, JOIN_APPROVED, "")
            case JoinState.REFUSED:
                self._set(row, JOIN_OVER, "".join(filter(str.isprintable, answer.reason)) or "the inviter has refused")
        return True

    async def _leave(self, row: JoinRow, invite: Invite) -> None:
        """Leave the request at the inviter's mailboxes, now and then until it is reached."""
        now_s = self._context.now_s()
        if not invite.card.mailboxes or now_s - self._left_s.get(row.group_id, float("-inf")) < LEAVE_S:
            return
        count = await self.leave(invite.card, row.body)
        if count:
            self._left_s[row.group_id] = now_s
            self._set(row, row.state, f"asked at {count} of its mailboxes")

    async def _reach(self, invite: Invite) -> None:
        """Be connected to the inviter; raises `TransportError`."""
        transport, card = self._context.transport, invite.card
        if card.peer_id in transport.peers():
            return
        known = self._context.store.peer(card.peer_id)
        failed: TransportError | None = None
        for address in dict.fromkeys((*card.dial, *(known.addresses if known else ()))):
            try:
                await transport.connect(address)
            except TransportError as error:
                failed = error
            else:
                return
        if failed is not None:
            raise failed

    def _set(self, row: JoinRow, state: str, reason: str) -> None:
        """Note how it is doing, unless it has ended meanwhile."""
        with self._context.store.transaction() as transaction:
            present = transaction.join(row.group_id)
            if present is not None and present.link == row.link and present.state in JOINS_OPEN:
                over = state == JOIN_OVER
                kept = replace(present, body=b"", bundle=b"") if over else present
                transaction.put_join(replace(kept, state=state, reason=reason))

    async def _compare(self, row: JoinRow) -> None:
        """Hold the link's committee against the chain that led to where we came in, as soon as a member shows it."""
        invite = Invite.decode(row.link)
        tries = {Verdict.UNKNOWN: COMPARE_TRIES_MAX, Verdict.OTHER: DOUBT_TRIES_MAX}
        while True:
            group, session = self._context.store.group(row.group_id), self._sessions.get(row.group_id)
            if group is None or group.removed:
                return
            verdict = Verdict.UNKNOWN if session is None else await compare_chain(session, invite)
            tries[verdict] = tries.get(verdict, 0) - 1
            if tries[verdict] <= 0:
                break
            await trio.sleep(COMPARE_S)
        self._compared(row, warning(verdict))

    def _compared(self, row: JoinRow, text: str) -> None:
        """The link is done with; our user is told what is wrong, if anything is."""
        session = self._sessions.get(row.group_id)
        with self._context.store.transaction() as transaction:
            present = transaction.join(row.group_id)
            if present is None or present.link != row.link:
                return
            transaction.delete_join(row.group_id)
            if text and session is not None:
                body, epoch = NoticeBody(text).encode(), session.holding.epoch
                transaction.append_feed(FeedRow(row.group_id, HEALTH, epoch, None, None, body, self._context.now_ms()))
        self._context.feed.grew()

    def _check(self, invite: Invite) -> None:
        context, card = self._context, invite.card
        if card.peer_id == context.identity.peer_id:
            raise ApiError(ErrorCode.BAD_REQUEST, "this invite is this node's own", "give it to somebody else")
        if card.peer_id in context.blocked:
            raise ApiError(ErrorCode.BLOCKED, "the inviter is blocked here", "first: conclave contact unblock")
        present = context.store.group(invite.group_id)
        if present is not None and not present.removed:
            raise ApiError(ErrorCode.ALREADY_SO, f"this node is in that group already: {present.name}")
        if context.now_ms() >= 1000 * invite.expires_s:
            raise ApiError(ErrorCode.EXPIRED, expired_words(invite))

    def _free(self, name: str) -> str:
        """What the group shall be called here, which no group that we are in is called."""
        taken = {row.group_id.hex(): row.name for row in self._context.store.groups() if not row.removed}
        if not name:
            raise ApiError(ErrorCode.BAD_REQUEST, "the invite gives the group no name", "name it: --name NAME")
        if name_holder(name, taken) is not None:
            raise ApiError(ErrorCode.NAME_TAKEN, f"there is a group {name!r} here already", "name it: --name NAME")
        return name


def read_invite(text: str) -> Invite:
    """A link that a person pasted; `ApiError` says what is wrong with it."""
    try:
        return invite_from_text(text)
    except MistypedError as error:
        raise ApiError(ErrorCode.MISTYPED, str(error)) from error
    except (TextError, InviteError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, str(error), "`conclave group invite` prints one") from error
