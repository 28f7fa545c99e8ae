"""NodeService: what the local API can ask of the running node, one method per operation.

It reads rows and sessions, hands changes to the group's session, and waits where the caller wants to. It owns nothing:
whoever gives up waiting takes no accepted change or message along.
"""

import os
from typing import TYPE_CHECKING

from mls import supported_suites
from node import intents, views
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, pick
from node.changing import already, answered, change, outcome, policy_wish, rescue_result, with_consent
from node.contacts.invite_service import InviteService
from node.contacts.service import ContactService
from node.electorate import voter_of
from node.intents import AddBody, RemoveBody
from node.key_packages.service import AddingService
from node.lookup import Lookup, group_of
from node.mailbox.standing import node_mailboxes
from node.policies import BenchBody, amended
from node.reading import Reading
from node.receipts.showing import message_receipt
from node.returning import rejoin_mark
from node.store_rows import PeerRow
from node.tokens.service import TokenService
from node.version import VERSION
from ordering import BenchEntry, Policy

if TYPE_CHECKING:
    from node.daemon import Node


class NodeService(ContactService, InviteService, TokenService, AddingService):
    """The Service of a running node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._context = node.context
        self._store = node.context.store
        self._lookup = Lookup(node)
        self._reading = Reading(node)

    # --- the node ---

    async def status(self, request: schema.Nothing) -> schema.NodeStatus:  # noqa: ARG002
        """The daemon at one glance."""
        config, since_s = self._context.config, self._context.unclean_since_s
        return schema.NodeStatus(
            version=VERSION,
            pid=os.getpid(),
            data_dir=os.fspath(config.data_dir),
            identity=self._identity(),
            uptime_s=self._context.now_s() - self._context.started_s,
            always_on=config.node.always_on,
            http=self._node.http_address,
            peers=self._peers(),
            groups=self._groups(),
            mailboxes=node_mailboxes(self._context, self._lookup.sessions()),
            unclean_s=None if since_s is None else self._context.now_s() - since_s,
            invitation_count=len(self._node.consent.waiting()),
            request_count=len(self._node.inviting.waiting()),
            packages=self._node.packages.status(),
            replicas=self._node.publishing.status(),
            finding=tuple(map(views.finding_kind, self._node.finding.tallies)),
            rendezvous_count=None if self._node.point is None else len(self._node.point),
            relaying=views.relaying(self._context.transport.relays),
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
        return views.peer_info(self._context, peer, self._lookup.sessions(), self._lookup.names())

    async def peer_name(self, request: schema.PeerNameRequest) -> schema.PeerInfo:
        """Give a peer a name of our own, which no other peer has here; empty takes it away."""
        peer, taken = self._lookup.known_peer(request.peer), self._lookup.names().petnames
        if peer == self._context.identity.peer_id:
            raise ApiError(ErrorCode.BAD_REQUEST, "that is this node", "its name is the setting node.name")
        if self._store.contact(peer) is not None and request.name:
            self._node.contacts.rename(peer, request.name)
            return views.peer_info(self._context, peer, self._lookup.sessions(), self._lookup.names())
        if any(name.casefold() == request.name.casefold() for other, name in taken.items() if other != peer):
            raise ApiError(ErrorCode.NAME_TAKEN, f"another peer is called {request.name!r} here", "choose another name")
        known = self._store.peer(peer)
        with self._store.transaction() as transaction:
            transaction.put_peer(PeerRow(peer, known.addresses if known else (), request.name))
        return views.peer_info(self._context, peer, self._lookup.sessions(), self._lookup.names())

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
        pins = (self._context.identity.peer_id, *self._lookup.pins(request.pins)) if request.policy == "pinned" else ()
        wish = policy_wish(request.policy, pins or request.pins, request.model, request.committee_max)
        policy = amended(founding, wish)
        session = await self._node.create_group(request.name, suite, policy)
        return self._detail(session.group_id)

    async def group_show(self, request: schema.GroupRequest) -> schema.GroupDetail:
        """Everything about one group."""
        return self._detail(self._lookup.row(request.group).group_id)

    # --- changes ---

    async def group_add(self, request: schema.GroupAddRequest) -> schema.IntentResult:
        """Add a peer: by its address, its id, or the name it has here."""
        session = self._lookup.live(request.group)
        peer = await self._lookup.peer(request.peer)
        group = group_of(session)
        if peer in session.agreement.roster:
            return already(session, intents.ADD, f"{self._lookup.names().shown(peer)} is a member already")
        package = await self._node.key_package_of(peer, int(group.suite.id))
        result = await change(session, intents.ADD, AddBody(peer, package).encode(), request)
        return await with_consent(self._context, peer, result, request)

    async def group_readd(self, request: schema.GroupAddRequest) -> schema.IntentResult:
        """Remove a member and add it anew in one commit: for one that cannot follow the group any more."""
        session = self._lookup.live(request.group)
        peer = await self._lookup.peer(request.peer)
        group = group_of(session)
        if peer == self._context.identity.peer_id:
            raise ApiError(ErrorCode.REFUSED, "a member cannot commit its own removal", "ask another member")
        package = await self._node.key_package_of(peer, int(group.suite.id))
        return await change(session, intents.READD, AddBody(peer, package).encode(), request)

    async def group_rejoin(self, request: schema.GroupRequest) -> schema.Done:
        """The user takes the word of any one member this node knew about where the group stands."""
        session = self._lookup.live(request.group)
        if not session.catching_up.is_stranded:
            raise ApiError(ErrorCode.REFUSED, "this node can follow the group", "it needs nobody's word")
        with self._store.transaction() as transaction:
            transaction.put_meta(rejoin_mark(session.group_id), b"agreed")
        return schema.Done()

    async def group_remove(self, request: schema.GroupRemoveRequest) -> schema.IntentResult:
        """Remove a member: by its name here, its id, or its leaf."""
        session = self._lookup.live(request.group)
        peer = self._lookup.member(session, request.member).peer_id
        if peer == self._context.identity.peer_id:
            raise ApiError(
                ErrorCode.REFUSED, "a member cannot commit its own removal", "ask another member to remove this node"
            )
        return await change(session, intents.REMOVE, RemoveBody(peer).encode(), request)

    async def group_update(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Refresh our own keys."""
        return await change(self._lookup.live(request.group), intents.UPDATE, b"", request)

    async def group_opt_in(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Offer this node as a voter."""
        return await change(self._lookup.live(request.group), intents.OPT_IN, b"", request)

    async def group_opt_out(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Stop being a voter."""
        return await change(self._lookup.live(request.group), intents.OPT_OUT, b"", request)

    async def group_leave(self, request: schema.ChangeRequest) -> schema.IntentResult:
        """Leave the group: another member's commit takes us out."""
        return await change(self._lookup.live(request.group), intents.LEAVE, b"", request)

    async def group_policy(self, request: schema.GroupPolicyRequest) -> schema.IntentResult:
        """Change how the group elects its voters."""
        session = self._lookup.live(request.group)
        group_of(session)
        wish = policy_wish(
            request.policy, self._lookup.pins(request.pins), request.model, request.committee_max, request.delta_ms
        )
        return await change(session, intents.POLICY, wish.encode(), request)

    async def group_bench(self, request: schema.GroupMemberRequest) -> schema.IntentResult:
        """Pass over a voter that is gone."""
        session = self._lookup.live(request.group)
        group = group_of(session)
        leaf_index = self._lookup.member(session, request.member).leaf_index
        leaf = group.public.leaf(leaf_index)
        offer = None if leaf is None else voter_of(leaf)
        if offer is None:
            raise ApiError(ErrorCode.REFUSED, "that member does not vote", "`conclave group show` lists who does")
        body = BenchBody(BenchEntry(leaf_index, offer.since))
        return await change(session, intents.BENCH, body.encode(), request)

    async def group_intent(self, request: schema.IntentRequest) -> schema.IntentResult:
        """How an earlier change is doing."""
        row = self._lookup.row(request.group)
        rows = {each.intent_id.hex(): each for each in self._store.intents(row.group_id)}
        intent = rows[pick("intent", request.intent_id, [Named(id, "") for id in rows]).id]
        return await outcome(self._context, intent, self._lookup.session(row), request)

    async def group_rescue(self, request: schema.GroupRescueRequest) -> schema.RescueResult:
        """Found a successor, follow another's, or withdraw; answers where that stands."""
        session = self._lookup.live(request.group)
        if request.withdraw:
            await answered(session.ask(session.rescuing.withdraw))
        elif request.follow is not None:
            reference = request.follow
            await answered(session.ask(lambda: session.rescuing.follow(reference)))
        else:
            lost = self._lookup.members(session, request.lost)
            await answered(self._node.rescue(session, tuple(each.peer_id for each in lost)))
        return rescue_result(session)

    # --- messages ---

    async def group_send(self, request: schema.GroupSendRequest) -> schema.SendResult:
        """Send a message."""
        sent = await answered(self._lookup.live(request.group).send(request.text))
        message_id = (sent.message_id or b"").hex()
        return schema.SendResult(message_id=message_id, seq=sent.seq, epoch=sent.epoch, is_waiting=not message_id)

    async def group_read(self, request: schema.GroupReadRequest) -> schema.MessagePage:
        """Messages, oldest first; what was read here does not count as unread any more."""
        return self._reading.messages(self._lookup.row(request.group).group_id, request)

    async def group_receipt(self, request: schema.GroupReceiptRequest) -> schema.MessageReceipt:
        """What has become of a message of ours."""
        row = self._lookup.row(request.group)
        message = self._lookup.own_message(row.group_id, request.message)
        return message_receipt(self._context, self._lookup.session(row), message)

    # --- the decided chain ---

    async def group_log(self, request: schema.GroupLogRequest) -> schema.LogPage:
        """Decisions, oldest first."""
        return self._reading.log(self._lookup.row(request.group).group_id, request)

    async def group_log_export(self, request: schema.GroupRequest) -> schema.LogExport:
        """The chain with its certificates, from where our knowledge of it begins."""
        return self._reading.chain(self._lookup.row(request.group))

    # --- events ---

    async def events(self, request: schema.EventsRequest) -> schema.EventBatch:
        """What happened above a feed number; waits for the first of it."""
        group_id = None if request.group is None else self._lookup.row(request.group).group_id
        return await self._reading.events(group_id, request)

    # --- showing things ---

    def _identity(self) -> schema.Identity:
        context = self._context
        return schema.Identity(
            peer_id=context.identity.peer_id, addresses=context.addresses(), name=context.config.node.name
        )

    def _peers(self) -> tuple[schema.PeerInfo, ...]:
        names, sessions = self._lookup.names(), self._lookup.sessions()
        connected = sorted(self._context.transport.peers())
        return tuple(views.peer_info(self._context, peer, sessions, names) for peer in connected)

    def _groups(self) -> tuple[schema.GroupSummary, ...]:
        return tuple(views.group_summary(self._context, row, self._lookup.session(row)) for row in self._store.groups())

    def _detail(self, group_id: bytes) -> schema.GroupDetail:
        row = self._store.group(group_id)
        assert row is not None, "asked about a group that was just found"
        return views.group_detail(self._context, row, self._lookup.session(row))
