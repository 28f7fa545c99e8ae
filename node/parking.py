"""What peers send for an instance that is not open here yet: kept, within bounds, until its epoch is entered."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from node.peer_id import PeerId
from node.peer_messages import FrameKind
from ordering import PARKED_MESSAGES_PER_PEER_MAX, PARKED_SIZE_PER_PEER_MAX

PEERS_MAX: Final = 256
CLOSED_MAX: Final = 16  # instances left behind whose late messages are not worth keeping


@dataclass(slots=True)
class Parking:
    """Per peer a bounded queue, oldest dropped first. A peer can only push out what it sent itself."""

    queues: dict[PeerId, deque[tuple[bytes, FrameKind, bytes]]] = field(default_factory=dict)
    closed: deque[bytes] = field(default_factory=lambda: deque(maxlen=CLOSED_MAX))

    def park(self, peer: PeerId, instance: bytes, kind: FrameKind, body: bytes) -> None:
        """Keep a message of another instance, unless that instance is one we have left."""
        if instance in self.closed or len(body) > PARKED_SIZE_PER_PEER_MAX:
            return
        if peer not in self.queues and len(self.queues) >= PEERS_MAX:
            return
        queue = self.queues.setdefault(peer, deque())
        queue.append((instance, kind, body))
        size = sum(len(each) for _, _, each in queue)
        while len(queue) > PARKED_MESSAGES_PER_PEER_MAX or size > PARKED_SIZE_PER_PEER_MAX:
            size -= len(queue.popleft()[2])

    def close(self, instance: bytes) -> None:
        """An instance was left: what still arrives for it is late."""
        self.closed.append(instance)

    def take(self, instance: bytes) -> list[tuple[PeerId, FrameKind, bytes]]:
        """Everything kept for an instance that opens now; candidates first, since votes name them."""
        taken: list[tuple[PeerId, FrameKind, bytes]] = []
        for peer in list(self.queues):
            left: deque[tuple[bytes, FrameKind, bytes]] = deque()
            for entry in self.queues[peer]:
                if entry[0] == instance:
                    taken.append((peer, entry[1], entry[2]))
                else:
                    left.append(entry)
            if left:
                self.queues[peer] = left
            else:
                del self.queues[peer]
        return sorted(taken, key=lambda each: each[1] is not FrameKind.CANDIDATE)
