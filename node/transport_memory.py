"""The in-memory network: the transport port without sockets, for simulation under trio's MockClock.

It has the traits of the real thing that a program must survive: delay, loss, hints that are lost or
repeated, queues that fill, peers that hang without closing, partitions that look like hanging, caps
on size. Given the same seed, the same calls at the same (virtual) times get the same treatment.

A connection between two nodes that cannot reach each other stalls: what was sent waits, in order.
If that lasts longer than the heartbeat timeout both ends see the other disconnect and what waited
is lost; if it ends sooner, everything arrives late.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from heapq import heappop, heappush

import trio

from node.transport import PeerId, TransportConfig
from node.transport_memory_node import Connection, MemoryTransport
from node.transport_scope import open_background


@asynccontextmanager
async def open_memory_network(seed: int = 0, conditions: Conditions | None = None) -> AsyncIterator[MemoryNetwork]:
    """A network that lives as long as the block; nodes enter by `add` and need no closing."""
    async with open_background() as nursery:
        network = MemoryNetwork(nursery, seed, conditions or Conditions())
        nursery.start_soon(network.run)
        yield network


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the network treats what is sent; probabilities between 0 and 1."""

    delay_s: tuple[float, float] = (0.001, 0.002)  # one way, uniform between the two
    frame_loss: float = 0.0  # of `send`; harsher than TCP, for whoever claims to survive it
    gossip_loss: float = 0.0  # of each copy of a hint
    gossip_duplicate: float = 0.0  # of each copy of a hint: handed over again, past the seen-window
    request_loss: float = 0.0  # of each question and of each answer


class MemoryNetwork:
    """The hub: who is there, who can reach whom, and everything that is under way."""

    def __init__(self, nursery: trio.Nursery, seed: int, conditions: Conditions) -> None:
        self.conditions = conditions
        self.seed = seed
        self._nursery = nursery
        self._rng = random.Random(seed)  # noqa: S311 (a simulation)
        self._nodes: dict[PeerId, MemoryTransport] = {}
        self._links: dict[frozenset[PeerId], Conditions] = {}
        self._hung: set[PeerId] = set()
        self._island: dict[PeerId, int] = {}
        self._connections: dict[frozenset[PeerId], Connection] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._agenda_changed = trio.Event()

    def add(self, peer: PeerId, config: TransportConfig | None = None) -> MemoryTransport:
        """A node of this name enters, unconnected. After `remove` the same name may enter again."""
        if peer in self._nodes:
            raise ValueError(f"{peer} is in the network already")
        if not peer or "/" in peer:
            raise ValueError("a name is not empty and has no slash")
        node = self._nodes[peer] = MemoryTransport(self, peer, config or TransportConfig())
        return node

    def remove(self, peer: PeerId) -> None:
        """The node's process ends: its channels end, its peers see it disconnect."""
        node = self._nodes.pop(peer)
        self._hung.discard(peer)
        for connection in list(node.connections.values()):
            self.cut(connection, "closed by the peer")
        node.close()

    @asynccontextmanager
    async def unnamed(self, persona: bytes) -> AsyncIterator[MemoryTransport]:
        """A node under a throw-away identity, for as long as the block lasts."""
        peer = f"unnamed-{sha256(persona).hexdigest()[:16]}"
        node = self.add(peer)
        try:
            yield node
        finally:
            self.remove(peer)

    async def connect_all(self) -> None:
        """Connect every pair of nodes, in order of their names."""
        nodes = [self._nodes[name] for name in sorted(self._nodes)]
        for index, node in enumerate(nodes):
            for other in nodes[index + 1 :]:
                await node.connect(other.addresses[0])

    def partition(self, *islands: Iterable[PeerId]) -> None:
        """Only nodes of one island reach each other; nodes named nowhere form an island together."""
        self._island = {peer: number for number, island in enumerate(islands, 1) for peer in island}
        self._reachability_changed()

    def heal(self) -> None:
        self.partition()

    def hang(self, peer: PeerId) -> None:
        """The process is stopped, its connections stay open: nothing comes in or out."""
        self._hung.add(peer)
        self._reachability_changed()

    def resume(self, peer: PeerId) -> None:
        self._hung.discard(peer)
        self._reachability_changed()

    def set_link(self, a: PeerId, b: PeerId, conditions: Conditions | None) -> None:
        """Conditions of one pair, both ways; None for those of the network."""
        if conditions is None:
            self._links.pop(frozenset((a, b)), None)
        else:
            self._links[frozenset((a, b))] = conditions

    def reaches(self, a: PeerId, b: PeerId) -> bool:
        return not {a, b} & self._hung and self._island.get(a, 0) == self._island.get(b, 0)

    # What follows is for `MemoryTransport`.

    def node(self, peer: PeerId) -> MemoryTransport | None:
        return self._nodes.get(peer)

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(task)

    def chance(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def link(self, a: PeerId, b: PeerId) -> Conditions:
        return self._links.get(frozenset((a, b)), self.conditions)

    def rng(self, peer: PeerId) -> random.Random:
        return random.Random(f"{self.seed}/{peer}")  # noqa: S311 (a simulation)

    def delay_s(self, a: PeerId, b: PeerId) -> float:
        return self._rng.uniform(*self.link(a, b).delay_s)

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heappush(self._agenda, (time_s, self._sequence, action))
        self._agenda_changed.set()

    def join(self, a: MemoryTransport, b: MemoryTransport) -> Connection:
        connection = Connection(a, b)
        self._connections[frozenset((a.peer_id, b.peer_id))] = connection
        a.connected(b.peer_id, connection)
        b.connected(a.peer_id, connection)
        a.announcement_arrived(b.peer_id, frozenset(b.topics), b.peers() - {a.peer_id})
        b.announcement_arrived(a.peer_id, frozenset(a.topics), a.peers() - {b.peer_id})
        return connection

    def cut(self, connection: Connection, reason: str) -> None:
        if connection.cut:
            return
        connection.cut = True
        a, b = connection.ends
        self._connections.pop(frozenset((a.peer_id, b.peer_id)), None)
        for notify in list(connection.on_cut.values()):
            notify()
        a.disconnected(b.peer_id, reason)
        b.disconnected(a.peer_id, reason)

    def carry(self, connection: Connection, sender: PeerId, arrive: Callable[[], None], *, ordered: bool) -> None:
        """Run `arrive` at the other end after the link's delay, unless the connection is cut before."""
        direction = connection.directions[sender]
        receiver = connection.other(sender).peer_id
        time_s = trio.current_time() + self.delay_s(sender, receiver)
        if ordered:
            time_s = direction.not_before_s = max(time_s, direction.not_before_s)

        def deliver() -> None:
            if connection.cut:
                return
            if self.reaches(sender, receiver) and not direction.stalled:
                arrive()
            else:
                direction.stalled.append(arrive)
                self._watch(connection)

        self.at(time_s, deliver)

    async def run(self) -> None:
        """Do what is on the agenda, each thing at its time."""
        while True:
            now_s = trio.current_time()
            while self._agenda and self._agenda[0][0] <= now_s:
                heappop(self._agenda)[2]()
            self._agenda_changed = trio.Event()
            wait_s = self._agenda[0][0] - now_s if self._agenda else float("inf")
            with trio.move_on_after(wait_s):
                await self._agenda_changed.wait()

    def _reachability_changed(self) -> None:
        for connection in list(self._connections.values()):
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Let a connection that works again flow; give one that does not the heartbeat timeout."""
        a, b = connection.ends
        if self.reaches(a.peer_id, b.peer_id):
            connection.stalled_since_s = None
            for direction in connection.directions.values():
                while direction.stalled and not connection.cut:
                    direction.stalled.popleft()()
        elif connection.stalled_since_s is None:
            since_s = connection.stalled_since_s = trio.current_time()

            def give_up() -> None:
                if connection.stalled_since_s == since_s:
                    for node in connection.ends:
                        node.counters["peers_hung"] += 1
                    self.cut(connection, "no heartbeat")

            self.at(since_s + min(a.config.heartbeat_timeout_s, b.config.heartbeat_timeout_s), give_up)
