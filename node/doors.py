"""The way in for everything from outside: frames, hints, connections, and what peers ask."""

from collections.abc import Callable
from functools import partial

import trio

from node.context import NodeContext
from node.directory import Directory
from node.inbox import FrameIn, HintIn, PeerIn
from node.joining import REFUSALS, join_by_welcome
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
    MessagesRequest,
    Sealed,
    SyncRequest,
)
from node.rescue import RescueRequest
from node.returning import is_vouched_for
from node.serving import bundle_of, candidate_of, chain_of, group_info_of, kept_of
from node.supervision import Supervisor
from node.transport import PeerConnected, RefusedError
from node.welcoming import ALREADY_IN, JOINED
from ordering import MalformedError, OrderingError

log = logger("doors")


class Doors:
    """Of a running node: what comes in is handed to the group that it is for."""

    def __init__(self, context: NodeContext, directory: Directory, groups: Supervisor) -> None:
        self._context = context
        self._directory = directory
        self._groups = groups

    def answer(self) -> None:
        """From now on peers' questions are answered."""
        for protocol, handler in (
            (KEY_PACKAGE_PROTOCOL, self._directory.serve),
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
            self._context.transport.handle(protocol, partial(_refusing, handler))

    def listen(self, nursery: trio.Nursery) -> None:
        """From now on what arrives reaches the groups."""
        nursery.start_soon(self._take_frames)
        nursery.start_soon(self._take_hints)
        nursery.start_soon(self._take_events)

    async def _take_frames(self) -> None:
        async for peer, payload in self._context.transport.inbox():
            try:
                frame = Frame.decode(payload)
            except OrderingError as error:
                log.info("frame dropped", peer=peer, reason=str(error))
                continue
            session = self._groups.of_tag(frame.tag)
            if session is not None:
                session.post(FrameIn(peer, frame))

    async def _take_hints(self) -> None:
        async for peer, _, payload in self._context.transport.gossip():
            try:
                sealed = Sealed.decode(payload)
            except OrderingError as error:
                log.info("hint dropped", peer=peer, reason=str(error))
                continue
            session = self._groups.of_tag(sealed.tag)
            if session is not None:
                session.post(HintIn(peer, sealed))

    async def _take_events(self) -> None:
        async for event in self._context.transport.events():
            if isinstance(event, PeerConnected):
                self._context.hear(event.peer)
                for session in list(self._groups.sessions.values()):
                    session.post(PeerIn(event.peer))

    async def _welcomed(self, peer: PeerId, payload: bytes) -> bytes:
        """Somebody says we are in. Proof first; then the group is ours and its task starts."""
        try:
            vouched = await is_vouched_for(self._groups.sessions, payload)
            holding = join_by_welcome(self._context, payload, is_vouched_for=vouched)
        except REFUSALS as error:
            log.warning("welcome refused", peer=peer, reason=str(error))
            raise RefusedError(str(error)) from error
        if holding is None:
            return ALREADY_IN
        self._context.up_to_date.discard(holding.group_id)
        log.info("joined", group=short(holding.group_id), epoch=holding.epoch)
        await self._groups.start(holding.group_id)
        return JOINED

    async def _candidate(self, peer: PeerId, payload: bytes) -> bytes:
        request = CandidateRequest.decode(payload)
        return candidate_of(self._groups.serving(request.tag, peer), peer, request.id)

    async def _bundle(self, peer: PeerId, payload: bytes) -> bytes:
        request = BundleRequest.decode(payload)
        return bundle_of(self._groups.serving(request.tag, peer), peer, request.epoch)

    async def _group_info(self, peer: PeerId, payload: bytes) -> bytes:
        request = GroupInfoRequest.decode(payload)
        return group_info_of(self._groups.serving(request.tag, peer), peer, request.epoch)

    async def _chain(self, peer: PeerId, payload: bytes) -> bytes:
        question = ChainQuestion.decode(payload)
        return chain_of(self._groups.serving(question.tag, peer), peer, question.request)

    async def _sync(self, peer: PeerId, payload: bytes) -> bytes:
        request = SyncRequest.decode(payload)
        return self._groups.serving(request.tag, peer).conversation.answer_sync(peer, request).encode()

    async def _messages(self, peer: PeerId, payload: bytes) -> bytes:
        request = MessagesRequest.decode(payload)
        return self._groups.serving(request.tag, peer).conversation.answer_messages(peer, request).encode()

    async def _kept(self, peer: PeerId, payload: bytes) -> bytes:
        request = KeptRequest.decode(payload)
        return kept_of(self._groups.serving(request.tag, peer), peer).encode()

    async def _rescue(self, peer: PeerId, payload: bytes) -> bytes:
        request = RescueRequest.decode(payload)
        return self._groups.serving(request.tag, peer).rescuing.take(peer, request).encode()


async def _refusing(handler: Callable[[PeerId, bytes], object], peer: PeerId, payload: bytes) -> bytes:
    """A request that is no request is refused with the reason, not answered as a failure of ours."""
    try:
        return await handler(peer, payload)  # type: ignore[misc,no-any-return]
    except MalformedError as error:
        raise RefusedError(str(error)) from error
