"""What peers send for an instance that is not open here yet: kept, within bounds, until its epoch is entered."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from node.peer_id import PeerId
from node.peer_messages import FrameKind
from ordering import PARKED_MESSAGES_PER_PEER_MAX, PARKED_SIZE_PER_PEER_MAX

SHARES_MAX: Final = 1024
CLOSED_MAX: Final = 16  # instances left behind whose late messages are not worth keeping


@dataclass(slots=True)
class Parking:
    """A bounded queue per share, oldest dropped first: a member pushes out only what it sent itself."""

    queues: dict[str, deque[tuple[PeerId, bytes, FrameKind, bytes]]] = field(default_factory=dict)
    closed: deque[bytes] = field(default_factory=lambda: deque(maxlen=CLOSED_MAX))

    def park(self, share: str, peer: PeerId, instance: bytes, kind: FrameKind, body: bytes) -> None:
        """Keep a message of another instance, unless that instance is one we have left."""
        if instance in self.closed or len(body) > PARKED_SIZE_PER_PEER_MAX:
            return
        if share not in self.queues and len(self.queues) >= SHARES_MAX:
            return
        queue = self.queues.setdefault(share, deque())
        queue.append((peer, instance, kind, body))
        size = sum(len(each) for *_, each in queue)
        while len(queue) > PARKED_MESSAGES_PER_PEER_MAX or size > PARKED_SIZE_PER_PEER_MAX:
            size -= len(queue.popleft()[3])

    def close(self, instance: bytes) -> None:
        """An instance was left: what still arrives for it is late."""
        self.closed.append(instance)

    def take(self, instance: bytes) -> list[tuple[PeerId, FrameKind, bytes]]:
        """Everything kept for an instance that opens now; candidates first, since votes name them."""
        taken: list[tuple[PeerId, FrameKind, bytes]] = []
        for share, queue in list(self.queues.items()):
            left = deque(entry for entry in queue if entry[1] != instance)
            taken += [(peer, kind, body) for peer, of, kind, body in queue if of == instance]
            if left:
                self.queues[share] = left
            else:
                del self.queues[share]
        return sorted(taken, key=lambda each: each[1] is not FrameKind.CANDIDATE)
