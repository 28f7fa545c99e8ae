"""NodeService: what the local API can ask of the running node, one method per operation.

It reads rows and sessions, hands changes to the group's session, and waits where the caller wants to. It owns nothing:
whoever gives up waiting takes no accepted change or message along.
"""

import os
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from mls import MlsError, supported_suites
from node import chain_file, feed, feed_views, intent_views, intents, views
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, matches, pick
from node.electorate import RuleError, voter_of
from node.holding import Extra
from node.intents import AddBody, RemoveBody
from node.names import Names
from node.peer_id import PeerId, PeerIdError, public_key_of
from node.policies import BenchBody, PolicyBody, amended
from node.returning import rejoin_mark
from node.session import Session
from node.store_reads import PAGE_SIZE_MAX
from node.store_rows import FeedRow, GroupRow, IntentRow, PeerRow
from node.version import VERSION
from ordering import BenchEntry, Model, OrderingError, Policy, PolicyKind

if TYPE_CHECKING:
    from node.daemon import Node

T = TypeVar("T")

ANSWER_S_MAX: Final = 30.0  # for a session to take a change or a message in; only one that has died takes longer
_FINAL: Final = (intents.DONE, intents.ALREADY, intents.FAILED)


class NodeService:
    """The Service of a running node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._context = node.context
        self._store = node.context.store

    # --- the node ---

    async def status(self, request: schema.Nothing) -> schema.NodeStatus:  # noqa: ARG002
        """The daemon at one glance."""
        config = self._context.config
        return schema.NodeStatus(
            version=VERSION,
            pid=os.getpid(),
            data_dir=os.fspath(config.data_dir),
            identity=self._identity(),
            uptime_s=self._context.now_s() - self._context.started_s,
            always_on=config.node.always_on,
            peers=self._peers(),
            groups=self._groups(),
        )

    async def identity(self, request: schema.Nothing) -> schema.Identity:  # noqa: ARG002
        """Who this node is, and where it can be dialled."""
        return self._identity()

    async def peers(self, request: schema.Nothing) -> schema.PeerList:  # noqa: ARG002
        """Everyone connected."""
        return schema.PeerList(peers=self._peers())

    async def connect(self, request: schema.ConnectRequest) -> schema.PeerInfo:
        """Dial a peer, and stay connected to it."""
        peer = await self._node.connect(request.address)
        return views.peer_info(self._context, peer, self._sessions(), self._names())

    async def peer_name(self, request: schema.PeerNameRequest) -> schema.PeerInfo:
        """Give a peer a name of our own, which no other peer has here; empty takes it away."""
        peer, taken = self._known_peer(request.peer), self._names().petnames
        if peer == self._context.identity.peer_id:
            raise ApiError(ErrorCode.BAD_REQUEST, "that is this node", "its name is the setting node.name")
        if any(name.casefold() == request.name.casefold() for other, name in taken.items() if other != peer):
            raise ApiError(ErrorCode.NAME_TAKEN, f"another peer is called {request.name!r} here", "choose another name")
        known = self._store.peer(peer)
        with self._store.transaction() as transaction:
            transaction.put_peer(PeerRow(peer, known.addresses if known else (), request.name))
        return views.peer_info(self._context, peer, self._sessions(), self._names())

    async def shutdown(self, request: schema.Nothing) -> schema.Done:  # noqa: ARG002
        """Begin a clean stop."""
        self._node.stop_event.set()
        return schema.Done()

    # --- groups ---

    async def group_list(self, request: schema.Nothing) -> schema.GroupList:  # noqa: ARG002
        """Every group, removed ones included."""
        return schema.GroupList(groups=self._groups())

    async def group_create(self, request: schema.GroupCreateRequest) -> schema.GroupDetail:
        """Found a group; its name is this node's word for it and has to be free."""
        config = self._context.config
        suite = config.group.suite if request.suite is None else request.suite
        if suite not in supported_suites():
            listed = ", ".join(str(int(each)) for each in supported_suites())
            raise ApiError(ErrorCode.UNSUPPORTED, f"there is no cipher suite {suite} here", f"there are {listed}")
        if any(row.name.casefold() == request.name.casefold() for row in self._store.groups() if not row.removed):
            raise ApiError(ErrorCode.NAME_TAKEN, f"there is a group {request.name!r} here already", "name it otherwise")
        founding = Policy(delta_ms=config.ordering.delta_ms)
        pins = (self._context.identity.peer_id, *self._pins(request.pins)) if request.policy == "pinned" else ()
        wish = policy_wish(request.policy, pins or request.pins, request.model, request.committee_max)
        policy = amended(founding, wish)
        session = await self._node.create_group(request.name, suite, policy)
        return self._detail(session.group_id)

    async def group_show(self, request: schema.GroupRequest) -> schema.GroupDetail:
        """Everything about one group."""
        return self._detail(self._row(request.group).group_id)

    # --- changes ---

    async def group_add(self, request: schema.GroupAddRequest) -> schema.IntentResult:
        """Add a peer: by its address, its id, or the name it has here."""
        session = self._live(request.group)
        peer = await self._peer(request.peer)
        group = session.holding.group
        if group is None:
            raise not_member()
        if peer in session.agreement.roster:
            return self._already(session, intents.ADD, f"{self._names().shown(peer)} is a member already")
        package = await self._node.key_package_of(peer, int(group.suite.id))
        return await self._change(session, intents.ADD, AddBody(peer, package).encode(), request)

    async def group_readd(self, request: schema.GroupAddRequest) -> schema.IntentResult:
        """Remove a member and add it anew in one commit: for one that cannot follow the group any more."""
        session = self._live(request.group)
        peer = await self._peer(request.peer)
        group = session.holding.group
        if group is None:
            raise not_member()
        if peer == self._context.identity.peer_id:
            raise ApiError(ErrorCode.REFUSED, "a member cannot commit its own removal", "ask another member")
        package = await self._node.key_package_of(peer, int(group.suite.id))
        return await self._change(session, intents.READD, AddBody(peer, package).encode(), request)

    async def group_rejoin(self, request: schema.GroupRequest) -> schema.Done:
        """The user takes the word of any one member this node knew about where the group stands."""
        session = self._live(request.group)
        if not session.catching_up.is_stranded:
            raise ApiError(ErrorCode.REFUSED, "this node can follow the group", "it needs nobody's word")
        with self._store.transaction() as transaction:
            transaction.put_meta(rejoin_mark(session.group_id), b"agreed")
        return schema.Done()

    async def group_remove(self, request: schema.GroupRemoveRequest) -> schema.IntentResult:
        """Remove a member: by its name here, its id, or its leaf."""
        session = self._live(request.group)
        peer = self._member(session, request.member).peer_id
        if peer == self._context.identity.peer_id:
            raise ApiError(
                ErrorCode.REFUSED, "a member cannot commit its own removal", "ask another member to remove this node"
            )
        return await self._change(session, intents.REMOVE, RemoveBody(peer).encode(), request)

    async def group_update(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Refresh our own keys."""
        return await self._change(self._live(request.group), intents.UPDATE, b"", request)

    async def group_opt_in(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Offer this node as a voter."""
        return await self._change(self._live(request.group), intents.OPT_IN, b"", request)

    async def group_opt_out(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Stop being a voter."""
        return await self._change(self._live(request.group), intents.OPT_OUT, b"", request)

    async def group_leave(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Leave the group: another member's commit takes us out."""
        return await self._change(self._live(request.group), intents.LEAVE, b"", request)

    async def group_policy(self, request: schema.GroupPolicyRequest) -> schema.IntentResult:
        """Change how the group elects its voters."""
        session = self._live(request.group)
        group = session.holding.group
        if group is None:
            raise not_member()
        wish = policy_wish(
            request.policy, self._pins(request.pins), request.model, request.committee_max, request.delta_ms
        )
        return await self._change(session, intents.POLICY, wish.encode(), request)

    async def group_bench(self, request: schema.GroupMemberRequest) -> schema.IntentResult:
        """Pass over a voter that is gone."""
        session = self._live(request.group)
        group = session.holding.group
        if group is None:
            raise not_member()
        leaf_index = self._member(session, request.member).leaf_index
        leaf = group.public.leaf(leaf_index)
        offer = None if leaf is None else voter_of(leaf)
        if offer is None:
            raise ApiError(ErrorCode.REFUSED, "that member does not vote", "`conclave group show` lists who does")
        body = BenchBody(BenchEntry(leaf_index, offer.since))
        return await self._change(session, intents.BENCH, body.encode(), request)

    def _member(self, session: Session, reference: str) -> schema.Member:
        """The member a person means: by its name here, its id, or its leaf."""
        listed = {one.peer_id: one for one in views.members(self._context, session, self._names())}
        named = [Named(one.peer_id, one.name, one.leaf_index) for one in listed.values()]
        return listed[pick("member", reference, named).id]

    def _pins(self, references: tuple[str, ...]) -> tuple[PeerId, ...]:
        return tuple(dict.fromkeys(self._known_peer(reference) for reference in references))

    async def group_intent(self, request: schema.IntentRequest) -> schema.IntentResult:
        """How an earlier change is doing."""
        row = self._row(request.group)
        rows = {each.intent_id.hex(): each for each in self._store.intents(row.group_id)}
        intent = rows[pick("intent", request.intent_id, [Named(id, "") for id in rows]).id]
        return await self._result(intent, self._session(row), request)

    async def _change(
        self, session: Session, kind: str, body: bytes, request: schema.ChangeRequest
    ) -> schema.IntentResult:
        accepted = await answered(session.submit(kind, body))
        return await self._result(accepted, session, request)

    async def _result(
        self, intent: IntentRow, session: Session | None, request: schema.ChangeRequest
    ) -> schema.IntentResult:
        """The end of an intent, if it comes in time."""
        if request.wait and session is not None and intent.state not in _FINAL:
            with trio.move_on_after(request.timeout_s):
                await session.intent_ended(intent.intent_id)
        return intent_views.intent_result(self._context, self._store.intent(intent.intent_id) or intent, session)

    def _already(self, session: Session, kind: schema.IntentKind, text: str) -> schema.IntentResult:
        """Nothing to do, so nothing was begun: there is no intent to ask after."""
        return schema.IntentResult(
            intent_id="",
            group_id=session.group_id.hex(),
            kind=kind,
            state="already",
            text=text,
            epoch=session.holding.epoch,
        )

    async def group_rescue(self, request: schema.GroupRescueRequest) -> schema.RescueResult:
        """Found a successor, follow another's, or withdraw; answers where that stands."""
        session = self._live(request.group)
        if request.withdraw:
            await answered(session.ask(session.rescuing.withdraw))
        elif request.follow is not None:
            reference = request.follow
            await answered(session.ask(lambda: session.rescuing.follow(reference)))
        else:
            named = [
                Named(member.peer_id, member.name, member.leaf_index)
                for member in views.members(self._context, session, self._names())
            ]
            lost = tuple(dict.fromkeys(pick("member", each, named).id for each in request.lost))
            await answered(self._node.rescue(session, lost))
        return rescue_result(session)

    # --- messages ---

    async def group_send(self, request: schema.GroupSendRequest) -> schema.SendResult:
        """Send a message."""
        sent = await answered(self._live(request.group).send(request.text))
        message_id = (sent.message_id or b"").hex()
        return schema.SendResult(message_id=message_id, seq=sent.seq, epoch=sent.epoch, is_waiting=not message_id)

    async def group_read(self, request: schema.GroupReadRequest) -> schema.MessagePage:
        """Messages, oldest first; what was read here does not count as unread any more.

        There is no checkpoint between the questions, and nobody else writes: they are of one moment.
        """
        group_id = self._row(request.group).group_id
        rows = self._store.feed_of_kind(group_id, feed.MESSAGE, request.after_seq, min(request.limit, PAGE_SIZE_MAX))
        more = self._store.feed_of_kind(group_id, feed.MESSAGE, rows[-1].seq, 1) if rows else ()
        last_seq = rows[-1].seq if more else max(self._store.feed_head(), request.after_seq)
        if rows and rows[-1].seq > views.read_to(self._context, group_id):
            with self._store.transaction() as transaction:
                transaction.put_meta(views.read_mark(group_id), str(rows[-1].seq).encode())
        names = self._names()
        messages = tuple(feed_views.message_item(row, names) for row in rows)
        return schema.MessagePage(messages=messages, last_seq=last_seq, has_more=bool(more))

    # --- the decided chain ---

    async def group_log(self, request: schema.GroupLogRequest) -> schema.LogPage:
        """Decisions, oldest first, as the feed tells them; what is decided and not entered yet is told in brief."""
        group_id = self._row(request.group).group_id
        rows = self._store.decisions(group_id, request.after_epoch, request.limit)
        if not rows:
            return schema.LogPage(group_id=group_id.hex(), entries=(), has_more=False)
        first, last = rows[0].epoch + 1, rows[-1].epoch + 1
        told = {row.epoch: row for row in self._store.feed_of_epochs(group_id, feed.DECISION, first, last)}
        names = self._names()
        entries = tuple(
            feed_views.log_entry(told[row.epoch + 1], names)
            if row.epoch + 1 in told
            else feed_views.bare_log_entry(row)
            for row in rows
        )
        more = bool(self._store.decisions(group_id, last, 1))
        return schema.LogPage(group_id=group_id.hex(), entries=entries, has_more=more)

    async def group_log_export(self, request: schema.GroupRequest) -> schema.LogExport:
        """The chain with its certificates, from where our knowledge of it begins."""
        row = self._row(request.group)
        try:
            anchor = Extra.decode(row.extra).anchor
            exported = chain_file.read_chain(self._store, anchor)
        except OrderingError as error:
            raise ApiError(
                ErrorCode.REFUSED, f"the stored chain cannot be read: {error}", "look with: conclave log verify"
            ) from error
        return schema.LogExport(
            version=chain_file.FILE_VERSION,
            group_id=row.group_id.hex(),
            first_epoch=anchor.epoch + min(1, len(exported.entries)),
            last_epoch=anchor.epoch + len(exported.entries),
            chain=exported.encode(),
        )

    # --- events ---

    async def events(self, request: schema.EventsRequest) -> schema.EventBatch:
        """What happened above a feed number; waits for the first of it."""
        group_id = None if request.group is None else self._row(request.group).group_id
        after = request.after_seq
        if after is None:
            return schema.EventBatch(events=(), last_seq=self._store.feed_head())
        if after > (head := self._store.feed_head()):  # another store's number, or a deleted group's
            gap = schema.Event(seq=head, kind="gap", at=self._context.now_ms() / 1000, text="read the state again")
            return schema.EventBatch(events=(gap,), last_seq=head)
        rows: tuple[FeedRow, ...] = ()
        deadline_s = self._context.now_s() + request.wait_s
        while True:
            rows = self._store.feed(after, request.limit, group_id)
            if rows:
                break
            after = max(after, self._store.feed_head())  # other groups' entries are behind us
            left_s = deadline_s - self._context.now_s()
            if left_s <= 0:
                break
            await self._context.feed.wait(after, left_s)
        more = bool(rows) and bool(self._store.feed(rows[-1].seq, 1, group_id))
        last_seq = rows[-1].seq if more else max(after, self._store.feed_head())
        names, sessions = self._names(), self._node.sessions
        happened = tuple(feed_views.event(self._context, row, sessions.get(row.group_id), names) for row in rows)
        return schema.EventBatch(events=happened, last_seq=last_seq)

    # --- finding things ---

    def _row(self, reference: str) -> GroupRow:
        """The group a person means; one we are in is meant before one we were removed from."""
        rows = {row.group_id.hex(): row for row in self._store.groups()}
        named = [Named(id, row.name) for id, row in rows.items()]
        live = [each for each in named if not rows[each.id].removed]
        return rows[pick("group", reference, live if len(matches(reference, live)) == 1 else named).id]

    def _live(self, reference: str) -> Session:
        """The session of a group that can be changed and talked in."""
        row = self._row(reference)
        if row.removed:
            raise not_member()
        session = self._session(row)
        if session is None:
            raise ApiError(ErrorCode.BUSY, "the group is being opened from the store", "try again in a moment")
        return session

    def _session(self, row: GroupRow) -> Session | None:
        """The session of a group that we are in."""
        return None if row.removed else self._node.sessions.get(row.group_id)

    async def _peer(self, reference: str) -> PeerId:
        """The peer a person means; an address is dialled, and so is a known one of a peer that is not connected."""
        if reference.startswith("/"):
            return await self._node.connect(reference)
        peer = self._known_peer(reference)
        known = self._store.peer(peer)
        if peer != self._context.identity.peer_id and peer not in self._context.transport.peers() and known is not None:
            for address in known.addresses:
                try:
                    return await self._node.connect(address)
                except ApiError:
                    continue  # the next address; the request for a key package says that none answered
        return peer

    def _known_peer(self, reference: str) -> PeerId:
        names = self._names()
        known = {*self._context.transport.peers(), *names.petnames, *(row.peer_id for row in self._store.peers())}
        found = matches(reference, [Named(peer, names.of_peer(peer)) for peer in sorted(known)])
        if len(found) == 1:
            return found[0].id
        try:
            public_key_of(reference)
        except PeerIdError as error:
            several = f"{reference!r} means {len(found)} peers" if found else f"no peer {reference!r} is known here"
            raise ApiError(ErrorCode.BAD_REQUEST, several, "give its whole peer id, or its address") from error
        return reference

    # --- showing things ---

    def _identity(self) -> schema.Identity:
        context = self._context
        return schema.Identity(
            peer_id=context.identity.peer_id, addresses=context.addresses(), name=context.config.node.name
        )

    def _sessions(self) -> tuple[Session, ...]:
        return tuple(session for session in self._node.sessions.values() if session.holding.group is not None)

    def _peers(self) -> tuple[schema.PeerInfo, ...]:
        names, sessions = self._names(), self._sessions()
        connected = sorted(self._context.transport.peers())
        return tuple(views.peer_info(self._context, peer, sessions, names) for peer in connected)

    def _groups(self) -> tuple[schema.GroupSummary, ...]:
        return tuple(views.group_summary(self._context, row, self._session(row)) for row in self._store.groups())

    def _detail(self, group_id: bytes) -> schema.GroupDetail:
        row = self._store.group(group_id)
        assert row is not None, "asked about a group that was just found"
        return views.group_detail(self._context, row, self._session(row))

    def _names(self) -> Names:
        return Names.of(self._context)


def rescue_result(session: Session) -> schema.RescueResult:
    """Where the rescue of a group stands."""
    rescuing = session.rescuing
    record, recognised = rescuing.record, rescuing.record.recognised is not None
    return schema.RescueResult(
        group_id=session.group_id.hex(),
        successor_id="" if record.endorsed is None else record.endorsed.successor.hex(),
        is_recognised=recognised,
        endorsed=rescuing.endorsed_count,
        needed=rescuing.needed,
        text=rescuing.describe(),
    )


async def answered(asked: Awaitable[T]) -> T:
    """What a group's session answers; `ApiError` when it refuses, or does not answer because it is being restarted."""
    with trio.move_on_after(ANSWER_S_MAX):
        try:
            return await asked
        except (MlsError, RuleError) as error:
            raise ApiError(ErrorCode.REFUSED, str(error)) from error
    raise ApiError(
        ErrorCode.BUSY, f"the group did not answer for {ANSWER_S_MAX:.0f} s", "see what became of it: group show"
    )


def policy_wish(
    kind: schema.PolicyKind | None,
    pins: tuple[str, ...],
    model: schema.Model | None,
    size_max: int | None,
    delta_ms: int | None = None,
) -> PolicyBody:
    """What is wanted of the policy; `ApiError` for what makes no sense."""
    models = {"crash": Model.CRASH, "byzantine": Model.BYZANTINE, None: None}
    try:
        wanted = None if kind is None else PolicyKind(kind)
        return PolicyBody(wanted, tuple(dict.fromkeys(pins)), models[model], size_max, delta_ms)
    except ValueError as error:
        raise ApiError(
            ErrorCode.BAD_REQUEST, str(error), "name the members that vote: --policy pinned --pin PEER ..."
        ) from error


def not_member() -> ApiError:
    """What is answered to changes and messages in a group we were removed from."""
    return ApiError(
        ErrorCode.NOT_MEMBER, "this node was removed from the group", "what was received can be read: group read"
    )
