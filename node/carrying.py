"""Carrying out in the world what the steps of one group's task want done there, in order."""

from collections import deque

import trio

from node.agreement import Agreement
from node.hedging import first_good
from node.inbox import Answer, Inbox
from node.logs import logger, short
from node.outward import Ask, Outward, Publish, Tell
from node.peer_id import PeerId
from node.peer_messages import SYNC_PROTOCOL, Frame, topic_of
from node.round_trips import REPLY_SIZE_MAX
from node.sealing import seal
from node.transport import FRAME_SIZE_MAX, GOSSIP_SIZE_MAX, RequestError, RequestFailure, TransportError

log = logger("carrying")


class Carrier:
    """Of one group; what is asked is answered into the inbox of its task."""

    def __init__(self, agreement: Agreement, outward: deque[Outward], inbox: Inbox) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.outward = outward
        self.inbox = inbox

    async def flush(self, nursery: trio.Nursery) -> None:
        """Let everything out that waits; questions wait for their answers in the nursery."""
        while self.outward:
            match self.outward.popleft():
                case Tell(peers, frame):
                    await self._tell(peers, frame)
                case Publish(frame, epoch):
                    await self._publish(frame, epoch)
                case Ask() as ask:
                    nursery.start_soon(self._ask, ask)

    async def _tell(self, peers: tuple[PeerId, ...], frame: Frame) -> None:
        payload = frame.encode()
        if len(payload) > FRAME_SIZE_MAX:
            return  # named in our Status, and fetched by who misses it
        for peer in peers:
            await self.context.transport.send(peer, payload)

    async def _publish(self, frame: Frame, epoch: int) -> None:
        key = self.agreement.holding.extra.key_of(epoch)
        if key is None:
            return
        payload = seal(frame, epoch, key)
        if len(payload) <= GOSSIP_SIZE_MAX:  # what is larger is fetched by who misses it
            await self.context.transport.publish(topic_of(self.inbox.group_id), payload)

    async def _ask(self, ask: Ask) -> None:
        """Ask the peers, best first; the first good answer is taken in, in the session's own task."""

        async def good(peer: PeerId) -> bytes | None:
            if peer not in self.context.transport.peers():
                return None
            reply = await self._reply(peer, ask)
            if reply is None or ask.accepts(reply):
                return reply
            log.info("answer dropped", group=short(self.inbox.group_id), peer=peer, protocol=ask.protocol)
            return None

        found = await first_good(ask.peers, good, self.context.round_trips.usual_s)
        if found is None:
            await self.inbox.answer(Answer(ask.peers[0] if ask.peers else "", ask, None))
        else:
            peer, reply = found
            await self.inbox.answer(Answer(peer, ask, reply))

    async def _reply(self, peer: PeerId, ask: Ask) -> bytes | None:
        """What one peer says; how long it took is noted, where it tells how far away the peer is."""
        began_s = self.context.now_s()
        try:
            reply = await self.context.transport.request(peer, ask.protocol, ask.payload, timeout_s=ask.timeout_s)
        except TransportError as error:
            if isinstance(error, RequestError) and error.kind is RequestFailure.TIMEOUT:
                self.context.round_trips.note(peer, self.context.now_s() - began_s)
            log.debug("no answer", peer=peer, protocol=ask.protocol, reason=str(error))
            return None
        self.context.hear(peer)
        if ask.protocol == SYNC_PROTOCOL and len(reply) <= REPLY_SIZE_MAX:
            self.context.round_trips.note(peer, self.context.now_s() - began_s)
        return reply
