"""The way in for everything from outside: frames, hints, connections, and what peers ask."""

from collections.abc import Callable, Set
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from node.contacts.consent import Consent, Verdict
from node.contacts.exchange import CARD_PROTOCOL, CardExchange
from node.contacts.inviting import JOIN_PROTOCOL, Inviting
from node.context import NodeContext
from node.inbox import FrameIn, HintIn, PeerIn
from node.joining import REFUSALS, Arrival, NoKeysError, enter, read_welcome
from node.key_packages.pool import Pool
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
from node.transport import Handler, PeerConnected, RefusedError
from node.welcoming import ALREADY_IN, DECLINED, JOINED, NO_KEYS, WAITING
from ordering import MalformedError, OrderingError

AT_ONCE_MAX: Final = 32  # frames handed to their groups before these take them in

log = logger("doors")

REPLIES: Final = {Verdict.ENTER: JOINED, Verdict.WAIT: WAITING, Verdict.REFUSE: DECLINED}
"""What who brings a Welcome is told."""


class Doors:
    """Of a running node: what comes in is handed to the group that it is for."""

    def __init__(
        self,
        context: NodeContext,
        packages: Pool,
        groups: Supervisor,
        consent: Consent,
        cards: CardExchange,
        inviting: Inviting,
    ) -> None:
        self._inviting = inviting
        self._context = context
        self._consent = consent
        self._cards = cards
        self._packages = packages
        self._groups = groups

    def answer(self) -> None:
        """From now on peers' questions are answered."""
        for protocol, handler in (
            (KEY_PACKAGE_PROTOCOL, self._packages.serve),
            (WELCOME_PROTOCOL, self.welcomed),
            (CANDIDATE_PROTOCOL, self._candidate),
            (BUNDLE_PROTOCOL, self._bundle),
            (CHAIN_PROTOCOL, self._chain),
            (GROUP_INFO_PROTOCOL, self._group_info),
            (SYNC_PROTOCOL, self._sync),
            (MESSAGES_PROTOCOL, self._messages),
            (RESCUE_PROTOCOL, self._rescue),
            (KEPT_PROTOCOL, self._kept),
            (CARD_PROTOCOL, self._cards.serve),
            (JOIN_PROTOCOL, self._inviting.serve),
        ):
            self._context.transport.handle(protocol, self.guarded(handler))

    def guarded(self, handler: Handler) -> Handler:
        """A handler as it serves everybody but those whom our user has blocked."""
        return partial(_refusing, self._context.blocked, handler)

    def listen(self, nursery: trio.Nursery) -> None:
        """From now on what arrives reaches the groups."""
        nursery.start_soon(self._take_frames)
        nursery.start_soon(self._take_hints)
        nursery.start_soon(self._take_events, nursery)

    async def _take_frames(self) -> None:
        """All that lie here at once, so that a group takes together what came together."""
        inbox = self._context.transport.inbox()
        async for peer, payload in inbox:
            self._take_frame(peer, payload)
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                for _ in range(AT_ONCE_MAX - 1):
                    self._take_frame(*inbox.receive_nowait())

    def _take_frame(self, peer: PeerId, payload: bytes) -> None:
        if peer in self._context.blocked:
            return
        try:
            frame = Frame.decode(payload)
        except OrderingError as error:
            log.info("frame dropped", peer=peer, reason=str(error))
            return
        session = self._groups.of_tag(frame.tag)
        if session is not None:
            session.post(FrameIn(peer, frame))

    async def _take_hints(self) -> None:
        async for peer, _, payload in self._context.transport.gossip():
            if peer in self._context.blocked:
                continue
            try:
                sealed = Sealed.decode(payload)
            except OrderingError as error:
                log.info("hint dropped", peer=peer, reason=str(error))
                continue
            session = self._groups.of_tag(sealed.tag)
            if session is not None:
                session.post(HintIn(peer, sealed))

    async def _take_events(self, nursery: trio.Nursery) -> None:
        async for event in self._context.transport.events():
            if not isinstance(event, PeerConnected):
                continue
            if event.peer in self._context.blocked:
                self._context.transport.counters["peers_blocked"] += 1
                nursery.start_soon(self._context.transport.disconnect, event.peer)
            else:
                self._context.hear(event.peer)
                nursery.start_soon(self._cards.exchange, event.peer)
                for session in list(self._groups.sessions.values()):
                    session.post(PeerIn(event.peer))

    async def welcomed(self, peer: PeerId, payload: bytes) -> bytes:
        """Somebody says we are in. Proof first; then the group is ours and its task starts."""
        try:
            verdict = self._consent.known(payload)
            if verdict is None:
                vouched = await is_vouched_for(self._groups.sessions, payload)
                arrival = read_welcome(self._context, payload, is_vouched_for=vouched)
                if arrival is None:
                    return ALREADY_IN
                verdict = self._consent.judge(arrival)
                if verdict is Verdict.ENTER:
                    await self.enter(arrival)
                elif verdict is Verdict.WAIT:
                    self._consent.keep(arrival)
                else:
                    log.info("welcome declined", peer=peer, adder=arrival.adder)
        except NoKeysError as error:
            log.warning("welcome of no use", peer=peer, reason=str(error))
            return NO_KEYS
        except REFUSALS as error:
            log.warning("welcome refused", peer=peer, reason=str(error))
            raise RefusedError(str(error)) from error
        return REPLIES[verdict]

    async def enter(self, arrival: Arrival) -> None:
        """Be in a group: durable, and its task runs."""
        holding = enter(self._context, arrival)
        self._context.up_to_date.discard(holding.group_id)
        log.info("joined", group=short(holding.group_id), epoch=holding.epoch)
        await self._groups.start(holding.group_id)

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


async def _refusing(
    blocked: Set[PeerId], handler: Callable[[PeerId, bytes], object], peer: PeerId, payload: bytes
) -> bytes:
    """A request that is no request is refused with the reason, not answered as a failure of ours."""
    if peer in blocked:
        raise RefusedError("not for you")
    try:
        return await handler(peer, payload)  # type: ignore[misc,no-any-return]
    except MalformedError as error:
        raise RefusedError(str(error)) from error
