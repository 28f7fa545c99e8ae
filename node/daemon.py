"""The node as a process: start order, one supervised task per group, and the way in for everything from outside.

Start: data-directory lock, store, identity, network, groups from the disk, and the local API last. Stop: the API lets
calls under way end, then the groups, then the network. A group's task that fails is started again from its
disk, later and later if it keeps failing; the others do not notice.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

import trio

from node import logs
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.server import serve
from node.config import Config
from node.context import FeedSignal, NodeContext, group_config
from node.data_dir import DataDir
from node.directory import Directory
from node.errors import NodeError
from node.holding import Holding
from node.inbox import FrameIn, HintIn, PeerIn
from node.introductions import keep
from node.joining import REFUSALS, found_group, join_by_welcome
from node.logs import logger, short
from node.peer_id import PeerId
from node.peer_messages import (
    BUNDLE_PROTOCOL,
    CANDIDATE_PROTOCOL,
    CHAIN_PROTOCOL,
    GROUP_INFO_PROTOCOL,
    KEPT_PROTOCOL,
    KEY_PACKAGE_PROTOCOL,
    MESSAGES_PROTOCOL,
    RESCUE_PROTOCOL,
    SYNC_PROTOCOL,
    WELCOME_PROTOCOL,
    BundleRequest,
    CandidateRequest,
    ChainQuestion,
    Frame,
    GroupInfoRequest,
    KeptRequest,
    KeyPackageRequest,
    MessagesRequest,
    Sealed,
    SyncRequest,
    group_tag,
)
from node.rescue import RescueRequest
from node.returning import is_vouched_for
from node.serving import bundle_of, candidate_of, chain_of, group_info_of, kept_of
from node.session import Session
from node.setup import read_identity
from node.store import Store, open_store
from node.store_rows import PeerRow
from node.transport import (
    DialError,
    PeerConnected,
    RefusedError,
    RequestError,
    RequestFailure,
    Transport,
    TransportConfig,
    TransportError,
    peer_of,
)
from node.vault import StoreKey
from node.welcoming import ALREADY_IN, JOINED
from ordering import MalformedError, OrderingError, Policy

RESTART_MIN_S: Final = 0.5
RESTART_MAX_S: Final = 60.0
STEADY_S: Final = 60.0  # a group's task that ran this long starts with a clean record

_BOOT: Final = "boot"
log = logger("daemon")


class Started(Protocol):
    """What `nursery.start` hands to a task, to be told that it is under way."""

    def started(self) -> None: ...


class Node:
    """The running node: its groups, and the doors to them."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self.sessions: dict[bytes, Session] = {}
        self.stop_event = trio.Event()
        self.directory = Directory(context)
        self._by_tag: dict[bytes, bytes] = {}
        self._scopes: dict[bytes, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    # --- what the local API asks for ---

    async def create_group(self, name: str, suite: int, policy: Policy) -> Session:
        """Found a group and start its task."""
        holding = found_group(self.context, name, suite, policy)
        await self._start(holding.group_id)
        return self.sessions[holding.group_id]

    async def key_package_of(self, peer: PeerId, suite: int) -> bytes:
        """A key package of a connected peer; raises `ApiError` when it cannot be had."""
        try:
            return await self.context.transport.request(peer, KEY_PACKAGE_PROTOCOL, KeyPackageRequest(suite).encode())
        except RequestError as error:
            if error.kind is RequestFailure.REFUSED:
                raise ApiError(ErrorCode.NO_KEY_PACKAGE, f"the peer gives no key package: {error}") from error
            raise ApiError(
                ErrorCode.PEER_UNREACHABLE, f"peer {peer} cannot be asked: {error}", "is it running and connected?"
            ) from error

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
            peer_of(address)
        except DialError as error:
            example = "an address is like /ip4/192.0.2.7/tcp/4840/p2p/12D3KooW...; the peer's `conclave id` shows it"
            raise ApiError(ErrorCode.BAD_REQUEST, str(error), example) from error
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

    # --- groups ---

    async def run(self, nursery: trio.Nursery) -> None:
        """Start every group on the disk, and let the network in."""
        self._nursery = nursery
        self.context.start_group = lambda group_id: nursery.start_soon(self._start, group_id)
        transport = self.context.transport
        for protocol, handler in (
            (KEY_PACKAGE_PROTOCOL, self.directory.serve),
            (WELCOME_PROTOCOL, self._welcomed),
            (CANDIDATE_PROTOCOL, self._candidate),
            (BUNDLE_PROTOCOL, self._bundle),
            (CHAIN_PROTOCOL, self._chain),
            (GROUP_INFO_PROTOCOL, self._group_info),
            (SYNC_PROTOCOL, self._sync),
            (MESSAGES_PROTOCOL, self._messages),
            (RESCUE_PROTOCOL, self._rescue),
            (KEPT_PROTOCOL, self._kept),
        ):
            transport.handle(protocol, partial(_refusing, handler))
        for row in self.context.store.groups():
            if not row.removed:
                await self._start(row.group_id)
        nursery.start_soon(self._take_frames)
        nursery.start_soon(self._take_hints)
        nursery.start_soon(self._take_events)
        for address in self.context.config.network.peers:
            transport.keep(address)  # a mistake there is said at the start
        for peer in self.context.store.peers():
            keep(self.context, peer.addresses)

    async def _start(self, group_id: bytes) -> None:
        """Start a group's task, in place of an earlier one; returns when it runs, or has failed for the first time."""
        assert self._nursery is not None, "the node is not running"
        if group_id in self._scopes:
            self._scopes.pop(group_id).cancel()
        self._by_tag[group_tag(group_id)] = group_id
        await self._nursery.start(partial(self._supervise, group_id))

    async def _supervise(self, group_id: bytes, *, task_status: Started = trio.TASK_STATUS_IGNORED) -> None:
        """Run a group's task; after an error of our own, again from the disk."""
        pause_s = RESTART_MIN_S
        scope = self._scopes[group_id] = trio.CancelScope()
        with scope:
            while True:
                row = self.context.store.group(group_id)
                assert row is not None, "a group that was started is in the store"
                if row.removed:
                    return
                began_s = self.context.now_s()
                try:
                    session = Session(
                        self.context, Holding.load(self.context.store, row, group_config(self.context.config))
                    )
                    self.sessions[group_id] = session
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await session.run()
                    return
                except Exception:
                    # The supervisor's whole purpose: whatever a group's task dies of, it is logged and restarted.
                    log.exception("group task failed", group=short(group_id))
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                if self.context.now_s() - began_s > STEADY_S:
                    pause_s = RESTART_MIN_S
                await trio.sleep(pause_s)
                pause_s = min(RESTART_MAX_S, 2 * pause_s)

    def _session(self, tag: bytes, peer: PeerId) -> Session:
        """The group of a tag, for who is or was a member; `RefusedError`, in the same words, for all others."""
        session = self.sessions.get(self._by_tag.get(tag, b""))
        if session is None or session.agreement.is_over or not session.agreement.may_serve(peer, 0):
            raise RefusedError("no such group for you here")
        return session

    # --- from the network ---

    async def _take_frames(self) -> None:
        async for peer, payload in self.context.transport.inbox():
            try:
                frame = Frame.decode(payload)
            except OrderingError as error:
                log.info("frame dropped", peer=peer, reason=str(error))
                continue
            session = self.sessions.get(self._by_tag.get(frame.tag, b""))
            if session is not None:
                session.post(FrameIn(peer, frame))

    async def _take_hints(self) -> None:
        async for peer, _, payload in self.context.transport.gossip():
            try:
                sealed = Sealed.decode(payload)
            except OrderingError as error:
                log.info("hint dropped", peer=peer, reason=str(error))
                continue
            session = self.sessions.get(self._by_tag.get(sealed.tag, b""))
            if session is not None:
                session.post(HintIn(peer, sealed))

    async def _take_events(self) -> None:
        async for event in self.context.transport.events():
            if isinstance(event, PeerConnected):
                self.context.hear(event.peer)
                for session in list(self.sessions.values()):
                    session.post(PeerIn(event.peer))

    async def _welcomed(self, peer: PeerId, payload: bytes) -> bytes:
        """Somebody says we are in. Proof first; then the group is ours and its task starts."""
        try:
            vouched = await is_vouched_for(self.sessions, payload)
            holding = join_by_welcome(self.context, payload, is_vouched_for=vouched)
        except REFUSALS as error:
            log.warning("welcome refused", peer=peer, reason=str(error))
            raise RefusedError(str(error)) from error
        if holding is None:
            return ALREADY_IN
        self.context.up_to_date.discard(holding.group_id)
        log.info("joined", group=short(holding.group_id), epoch=holding.epoch)
        await self._start(holding.group_id)
        return JOINED

    async def _candidate(self, peer: PeerId, payload: bytes) -> bytes:
        request = CandidateRequest.decode(payload)
        return candidate_of(self._session(request.tag, peer), peer, request.id)

    async def _bundle(self, peer: PeerId, payload: bytes) -> bytes:
        request = BundleRequest.decode(payload)
        return bundle_of(self._session(request.tag, peer), peer, request.epoch)

    async def _group_info(self, peer: PeerId, payload: bytes) -> bytes:
        request = GroupInfoRequest.decode(payload)
        return group_info_of(self._session(request.tag, peer), peer, request.epoch)

    async def _chain(self, peer: PeerId, payload: bytes) -> bytes:
        question = ChainQuestion.decode(payload)
        return chain_of(self._session(question.tag, peer), peer, question.request)

    async def _sync(self, peer: PeerId, payload: bytes) -> bytes:
        request = SyncRequest.decode(payload)
        return self._session(request.tag, peer).conversation.answer_sync(peer, request).encode()

    async def _messages(self, peer: PeerId, payload: bytes) -> bytes:
        request = MessagesRequest.decode(payload)
        return self._session(request.tag, peer).conversation.answer_messages(peer, request).encode()

    async def _kept(self, peer: PeerId, payload: bytes) -> bytes:
        request = KeptRequest.decode(payload)
        return kept_of(self._session(request.tag, peer), peer).encode()

    async def _rescue(self, peer: PeerId, payload: bytes) -> bytes:
        request = RescueRequest.decode(payload)
        return self._session(request.tag, peer).rescuing.take(peer, request).encode()


async def _refusing(handler: Callable[[PeerId, bytes], object], peer: PeerId, payload: bytes) -> bytes:
    """A request that is no request is refused with the reason, not answered as a failure of ours."""
    try:
        return await handler(peer, payload)  # type: ignore[misc,no-any-return]
    except MalformedError as error:
        raise RefusedError(str(error)) from error


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
    async with trio.open_nursery() as nursery:
        node = Node(context)
        await node.run(nursery)
        yield node
        nursery.cancel_scope.cancel()


def run(config: Config, key: StoreKey, *, on_ready: Callable[[schema.Identity], None]) -> None:
    """Run the daemon until SIGINT, SIGTERM or the API's `shutdown`; `on_ready` is called once the API answers.

    Raises `NodeError` for what keeps it from running: directory in use, wrong key, address taken.
    """
    logs.setup(config.node.log_level, config.node.log_format)
    data_dir = DataDir(config.data_dir)
    with data_dir.locked(), open_store(data_dir.store_path, key.value) as store:
        try:
            trio.run(_main, config, store, on_ready)
        except BaseExceptionGroup as group:
            raise _the_reason(group) from group


def preload() -> None:
    """Import what a running node needs, so that a process that forks nodes pays for it once."""
    import node.transport_libp2p  # noqa: F401 - the whole point


async def _main(config: Config, store: Store, on_ready: Callable[[schema.Identity], None]) -> None:
    from node.service import NodeService
    from node.transport_libp2p import open_libp2p

    logs.adopt("libp2p")
    identity = read_identity(store)
    network = TransportConfig(listen=config.network.listen)
    async with (
        open_libp2p(network, identity.key.to_bytes()) as transport,
        open_node(config, store, transport) as node,
        trio.open_nursery() as nursery,
    ):
        watching = trio.CancelScope()
        nursery.start_soon(_watch_signals, node.stop_event, watching)
        service = NodeService(node)
        await nursery.start(partial(serve, service, config.socket_path, stop_event=node.stop_event))
        on_ready(await service.identity(schema.Nothing()))
        await node.stop_event.wait()
        watching.cancel()


async def _watch_signals(stop_event: trio.Event, watching: trio.CancelScope) -> None:
    with watching, trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop_event.set()


def _the_reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error a person can act on, out of the nests that nurseries make of it."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        named = leaf.subgroup(NodeError) or leaf.subgroup(TransportError) or leaf
        leaf = named.exceptions[0] if isinstance(named, BaseExceptionGroup) else named
    return NodeError(str(leaf)) if isinstance(leaf, TransportError) else leaf
