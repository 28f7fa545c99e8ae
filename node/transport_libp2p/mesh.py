"""Gossipsub: hints among many, guarded and bounded."""

# mypy: allow-subclassing-any
from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import libp2p.pubsub.pubsub as pubsub_module
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue

from node.transport import GOSSIP_SIZE_MAX, KIB, TOPICS_MAX, PeerId
from node.transport_gossip import SeenWindow, content_id
from node.transport_libp2p.faults import Faults
from node.transport_libp2p.stream import STREAM_ERRORS, Stream

MESH_PROTOCOL = TProtocol("/meshsub/1.1.0")
MESH_RPC_SIZE_MAX = 512 * KIB
MESH_QUEUE_MAX = 1024  # libp2p: 32, and silence beyond
MESH_PUBLISH_MAX = 1024  # own publishes waiting for gossipsub
MESH_TASKS_MAX = 2048  # messages being checked; one RPC can carry tens of thousands


class Mesh:
    """Gossipsub of one node. What it is told to do is done in turn, by `run`."""

    def __init__(self, faults: Faults, arrived: Callable[[PeerId, str, bytes], None], host: BasicHost) -> None:
        self._faults = faults
        self._orders, self._work = trio.open_memory_channel[Callable[[], Awaitable[object]]](MESH_PUBLISH_MAX)
        self._router = Router(
            protocols=[MESH_PROTOCOL],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            do_px=False,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            max_pending_messages_per_peer=4,
        )
        self._pubsub = GuardedPubsub(faults, arrived, host, self._router)

    @property
    def services(self) -> tuple[Any, Any]:
        """To be run, each by a manager."""
        return self._pubsub, self._router

    async def wait_until_ready(self) -> None:
        await self._pubsub.wait_until_ready()

    def subscribe(self, topic: str, wanted: bool) -> None:
        change = self._pubsub.subscribe if wanted else self._pubsub.unsubscribe
        self._order(lambda: change(topic))

    def publish(self, topic: str, payload: bytes) -> None:
        self._order(lambda: self._pubsub.publish(topic, payload))

    def peers(self, topic: str) -> frozenset[PeerId]:
        return frozenset(peer.to_base58() for peer in self._pubsub.peer_topics.get(topic, ()))

    async def run(self) -> None:
        async for work in self._work:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - gossipsub's state is not worth the node
                self._faults.caught("gossipsub", error)

    def _order(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            self._orders.send_nowait(work)
        except trio.WouldBlock:
            self._faults.counters["mesh_dropped"] += 1


class Router(GossipSub):
    """Gossipsub that does not remember every publish for ever, and keeps the mesh it has."""

    async def _maintain_mesh_quality(self, topic: str) -> None:
        """libp2p would swap a peer for another each second, among equals too, until some are in hardly any mesh."""

    async def publish(self, msg_forwarder: ID, pubsub_msg: Any) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()


_forwarder: ContextVar[str] = ContextVar("forwarder", default="")


class GuardedPubsub(Pubsub):
    """Gossipsub's inbound side, guarded: a malformed RPC costs its sender the stream and nobody else anything."""

    def __init__(
        self, faults: Faults, arrived: Callable[[PeerId, str, bytes], None], host: BasicHost, router: GossipSub
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            msg_id_constructor=_message_id,
            max_subscriptions_per_rpc=TOPICS_MAX,
            max_subscriptions_per_peer=TOPICS_MAX,
            max_inbound_rpc_size=MESH_RPC_SIZE_MAX,
        )
        self._faults = faults
        self._arrived = arrived
        pubsub: Any = self
        pubsub.seen_messages.stop()  # a thread, and no bound
        pubsub.seen_messages = _Seen()

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        try:
            await super().continuously_read_stream(stream)
        except STREAM_ERRORS:
            await Stream(stream).reset()
        except Exception as error:  # noqa: BLE001 - undecodable bytes raise whatever the decoder raises
            self._faults.caught("gossipsub rpc", error, peer.to_base58())
            self._forget_all_subscriptions(peer)
            await Stream(stream).reset()

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """As libp2p does, and repeat what was subscribed while its greeting was on the way: it forgets that."""
        before = set(self.topic_ids)
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is not None:
            for topic in before ^ set(self.topic_ids):
                queue.push(self._build_announce_rpc(topic, topic in self.topic_ids)[0])

    def _is_subscribed_to_msg(self, msg: Any) -> bool:
        """Asked before each message of an RPC gets its task."""
        if len(self.manager._root_tasks) >= MESH_TASKS_MAX:
            self._faults.counters["hints_dropped"] += 1
            return False
        subscribed: bool = super()._is_subscribed_to_msg(msg)
        return subscribed

    async def push_msg(self, msg_forwarder: ID, msg: Any) -> None:
        if len(msg.topicIDs) != 1 or len(msg.data) > GOSSIP_SIZE_MAX:
            self._faults.counters["hints_malformed"] += 1
            return
        _forwarder.set(msg_forwarder.to_base58())
        try:
            await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # noqa: BLE001 - an undecodable key, an unusable author
            self._faults.caught("gossipsub message", error, msg_forwarder.to_base58())

    def notify_subscriptions(self, publish_message: Any) -> None:
        forwarder = _forwarder.get()
        if forwarder != self.my_id.to_base58():
            self._arrived(forwarder, publish_message.topicIDs[0], publish_message.data)


class _Seen:
    """libp2p's cache of seen message ids, as a bounded window without a thread."""

    def __init__(self) -> None:
        self._window = SeenWindow()

    def has(self, key: bytes) -> bool:
        return self._window.has(key, trio.current_time())

    def add(self, key: bytes) -> bool:
        return self._window.first(key, trio.current_time())


class _LongQueue(RpcQueue):
    def __init__(self) -> None:
        super().__init__(max_size=MESH_QUEUE_MAX)


pubsub_module.RpcQueue = _LongQueue


def _message_id(message: Any) -> bytes:
    return content_id(message.topicIDs[0] if message.topicIDs else "", message.data)
