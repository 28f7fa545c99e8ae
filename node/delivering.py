"""Delivering Welcomes: each row of the outbox is tried in its turn until the newcomer says that it is in."""

import trio

from node.context import NodeContext
from node.logs import logger, short
from node.peer_id import PeerId
from node.peer_messages import WELCOME_PROTOCOL
from node.transport import RequestError
from node.welcoming import ALREADY_IN, GIVE_UP_MS, JOINED, RETRY_MS, WELCOME_KIND

log = logger("delivering")


class Deliveries:
    """Of one group."""

    def __init__(self, context: NodeContext, group_id: bytes) -> None:
        self.context = context
        self.group_id = group_id
        self._under_way: set[int] = set()  # outbox rows

    def start(self, nursery: trio.Nursery) -> None:
        """Start a delivery for each Welcome whose turn has come."""
        now_ms = self.context.now_ms()
        for row in self.context.store.outbox(self.group_id):
            if row.kind == WELCOME_KIND and row.id not in self._under_way and row.created_ms <= now_ms:
                assert row.recipient is not None
                self._under_way.add(row.id)
                expired = now_ms - row.created_ms > GIVE_UP_MS
                nursery.start_soon(self._deliver, row.id, row.recipient, row.payload, expired)

    async def _deliver(self, row_id: int, peer: PeerId, payload: bytes, expired: bool) -> None:
        """One attempt; the row stays until the newcomer says that it is in."""
        settled = expired
        try:
            if peer in self.context.transport.peers():
                reply = await self.context.transport.request(peer, WELCOME_PROTOCOL, payload)
                settled = settled or reply in (JOINED, ALREADY_IN)
        except RequestError as error:
            log.info("welcome not delivered", group=short(self.group_id), peer=peer, reason=str(error))
        if settled:
            with self.context.store.transaction() as transaction:
                transaction.delete_outbox([row_id])
        else:
            await trio.sleep(RETRY_MS / 1000)
        self._under_way.discard(row_id)
