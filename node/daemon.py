"""The node: what it is made of, and the order in which that starts and stops; its process is `node.process`."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Final

import trio

from node import logs, process
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.server import serve_http
from node.config import Config
from node.contacts.book import Contacts
from node.contacts.consent import Consent
from node.contacts.exchange import CardExchange
from node.contacts.following import Following
from node.contacts.inviting import Inviting
from node.contacts.own import OwnCard
from node.context import FeedSignal, NodeContext
from node.data_dir import DataDir
from node.discovery.finding import Finding
from node.discovery.kinds import kinds_of, point_of, relay_for_others
from node.doors import Doors
from node.introductions import keep
from node.joining import Arrival, found_group
from node.key_packages.adding import Adding
from node.key_packages.checking import check_package
from node.key_packages.claiming import Claims, NoPackageError
from node.key_packages.hosting import open_replica_serving
from node.key_packages.pool import Pool
from node.key_packages.publishing import Publishing
from node.key_packages.quorum import ReplicaSet, replica_set
from node.logs import logger
from node.mailbox.hosting import open_serving
from node.mailbox.notes import NoteKind
from node.mailbox.places import own_places
from node.mailbox.post import Post
from node.peer_id import PeerId
from node.session import Session
from node.setup import read_identity
from node.store import Store, open_store
from node.store_rows import PeerRow
from node.supervision import Supervisor
from node.tokens.book import Tokens
from node.transport import (
    DialError,
    Transport,
    TransportConfig,
    TransportError,
    peer_of,
)
from node.trimming import keep_trimming
from node.vault import StoreKey
from ordering import Policy

_BOOT: Final = "boot"
log = logger("daemon")


class Node:
    """The running node: its groups, and the doors to them."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self.stop_event = trio.Event()
        self.tokens = Tokens(context.store, context.random, context.now_ms)
        self.http_address = ""  # where the API answers over HTTP, once it does
        self.contacts = Contacts(context)
        self.own_card = OwnCard(context)
        self.own_card.mailboxes = own_places(context.config.mailbox.use)
        self.own_card.replicas = own_places(context.config.key_packages.replicas)
        self.consent = Consent(context, self.contacts)
        self.cards = CardExchange(context, self.contacts, self.own_card)
        self._groups = Supervisor(context)
        self.inviting = Inviting(context, self._groups.sessions, self.own_card, self.contacts)
        self.following = Following(context, self._groups.sessions, self.own_card, self.contacts)
        self.packages = Pool(context, self._place, self._suites)
        self.publishing = Publishing(context, self.packages, self._replicas)
        self.claims = Claims(context)
        self.adding = Adding(context, self._groups.sessions, self.claims)
        self._doors = Doors(context, self.packages, self._groups, self.consent, self.cards, self.inviting)
        self.post = Post(context, lambda: self.own_card.inbox_key)
        self.post.handle(NoteKind.WELCOME, partial(self._doors.welcomed, ""))
        self.post.handle(NoteKind.JOIN_REQUEST, self.inviting.take)
        self.following.leave = lambda card, request: self.post.leave(card, NoteKind.JOIN_REQUEST, request)
        context.leave_note = self.post.leave_for
        self.finding = Finding(context, self.contacts, self._members, lambda: self.own_card.card)
        self.point = point_of(context, self.contacts)
        context.stir_packages = self.packages.stir
        context.add_anew = self._add_anew

    @property
    def sessions(self) -> dict[bytes, Session]:
        """The groups, by id."""
        return self._groups.sessions

    # --- what the local API asks for ---

    async def create_group(self, name: str, suite: int, policy: Policy) -> Session:
        """Found a group and start its task."""
        holding = found_group(self.context, name, suite, policy)
        await self._groups.start(holding.group_id)
        return self.sessions[holding.group_id]

    async def key_package_of(self, peer: PeerId, suite: int) -> bytes:
        """A key package of a peer, its own or from its replicas; raises `ApiError` when it cannot be had."""
        now_s = self.context.now_ms() // 1000
        try:
            claimed = await self.claims.claim(peer, suite, lambda data: check_package(data, peer, suite, now_s))
        except NoPackageError as error:
            if error.is_unreachable:
                text = f"peer {peer} cannot be asked for a key package: {error}"
                raise ApiError(ErrorCode.PEER_UNREACHABLE, text, "is it running and connected?") from error
            raise ApiError(ErrorCode.NO_KEY_PACKAGE, f"no key package of peer {peer}: {error}") from error
        return claimed.package

    async def rescue(self, session: Session, lost: tuple[PeerId, ...]) -> None:
        """Found a successor of a group with those of its members who are here; raises `ApiError`."""
        group = session.holding.group
        survivors = await session.ask(lambda: session.rescuing.survivors(lost))
        assert group is not None
        packages: list[bytes] = []

        async def fetch(peer: PeerId) -> None:
            try:
                packages.append(await self.key_package_of(peer, int(group.suite.id)))
            except ApiError as error:
                log.info("no key package for the successor", peer=peer, reason=error.message)

        async with trio.open_nursery() as nursery:
            for peer in survivors:
                nursery.start_soon(fetch, peer)
        await session.ask(lambda: session.rescuing.found(tuple(packages), lost))

    async def connect(self, address: str) -> PeerId:
        """Dial an address, stay connected to it, and remember it across restarts; raises `ApiError`."""
        try:
            wanted = peer_of(address)
        except DialError as error:
            example = "an address is like /ip4/192.0.2.7/tcp/4840/p2p/12D3KooW...; the peer's `conclave id` shows it"
            raise ApiError(ErrorCode.BAD_REQUEST, str(error), example) from error
        if wanted in self.context.blocked:
            raise ApiError(ErrorCode.BLOCKED, f"peer {wanted} is blocked here", "first: conclave contact unblock")
        try:
            peer = await self.context.transport.connect(address)
        except TransportError as error:
            raise ApiError(ErrorCode.PEER_UNREACHABLE, str(error)) from error
        keep(self.context, (address,))
        known = self.context.store.peer(peer)
        addresses = tuple(dict.fromkeys((address, *(known.addresses if known else ()))))[:8]
        with self.context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(peer, addresses, known.name if known else ""))
        return peer

    # --- key packages ---

    def _replicas(self) -> ReplicaSet | None:
        """Who keeps our key packages, as our card says."""
        return replica_set(self.context.identity.peer_id, self.own_card.replicas)

    def _place(self) -> bytes:
        replicas = self._replicas()
        return b"" if replicas is None else replicas.id

    def _suites(self) -> list[int]:
        """Those of the groups we are in."""
        publics = (session.holding.public for session in self.sessions.values())
        return [int(public.suite.id) for public in publics if public is not None]

    async def _add_anew(self, group_id: bytes, peer: PeerId) -> bool:
        session = self.sessions.get(group_id)
        return session is not None and await self.adding.add_anew(session, peer)

    # --- groups ---

    async def enter(self, arrival: Arrival) -> None:
        """Be in a group that we were let into: durable, and its task runs."""
        await self._doors.enter(arrival)

    async def run(self, nursery: trio.Nursery) -> None:
        """Start every group on the disk, and let the network in."""
        self._groups.nursery = nursery
        self.context.start_group = lambda group_id: nursery.start_soon(self._groups.start, group_id)
        self._doors.answer()
        for row in self.context.store.groups():
            if not row.removed:
                await self._groups.start(row.group_id)
        self._doors.listen(nursery)
        nursery.start_soon(keep_trimming, self.context)
        if self.point is not None:
            self.point.answer(self.context.transport, self._doors.guarded)
        relay_for_others(self.context, self.contacts)
        self.finding.use(*kinds_of(self.context, self.finding))
        parts = (self.cards, self.inviting, self.following, self.post, self.finding)
        for part in (*parts, self.packages, self.publishing, self.adding):
            nursery.start_soon(part.run)

    def _members(self) -> Iterator[PeerId]:
        """The other members of all groups."""
        for session in self.sessions.values():
            yield from session.agreement.roster.others


@asynccontextmanager
async def open_node(config: Config, store: Store, transport: Transport) -> AsyncIterator[Node]:
    """A running node over an open store and network, for as long as the block lasts. No API: that is `run`'s."""
    identity = read_identity(store)
    with store.transaction() as transaction:
        boot = int.from_bytes(transaction.meta(_BOOT) or b"\0", "big") + 1
        transaction.put_meta(_BOOT, boot.to_bytes(8, "big"))
    context = NodeContext(
        config, identity, store, transport, os.urandom, boot, trio.current_time(), FeedSignal(store.feed_head)
    )
    for row in store.groups():
        context.silence.restore(store, row.group_id)
    context.blocked.update(store.blocked_peers())
    async with trio.open_nursery() as nursery:
        node = Node(context)
        await node.run(nursery)
        async with open_serving(context, nursery), open_replica_serving(context, nursery):
            yield node
        nursery.cancel_scope.cancel()


def run(config: Config, key: StoreKey, *, on_ready: Callable[[schema.Identity], None]) -> None:
    """`node.process.run` for who has the store's key at hand."""
    process.run(config, lambda: key, on_ready=on_ready)


def preload() -> None:
    """Import what a running node needs, so that a process that forks nodes pays for it once."""
    import node.service
    import node.transport_libp2p  # noqa: F401 - the whole point


async def serve_node(
    config: Config, key: StoreKey, entry: "process.Entry", on_ready: Callable[[schema.Identity], None]
) -> None:
    """Open the node on libp2p and let it answer behind the entry, until that is closed."""
    from node.service import NodeService
    from node.transport_libp2p import open_libp2p

    logs.adopt("libp2p")
    data_dir = DataDir(config.data_dir)
    with open_store(data_dir.store_path, key.value) as store:
        identity = read_identity(store)
        async with (
            open_libp2p(TransportConfig(listen=config.network.listen), identity.key.to_bytes()) as transport,
            open_node(config, store, transport) as node,
            trio.open_nursery() as nursery,
        ):
            node.stop_event = entry.stop_event
            service = NodeService(node)
            if config.http_place is not None:
                at = partial(serve_http, service, node.tokens, config.http_place, stop_event=node.stop_event)
                node.http_address = await nursery.start(at)
            with node.tokens.of_this_run(data_dir.token_path) if config.http_place else nullcontext():
                entry.service = service
                on_ready(await service.identity(schema.Nothing()))
                await entry.closed.wait()
