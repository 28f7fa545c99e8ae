"""How fast one connection, and all together, may use a mailbox: who is too fast waits its turn, bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from node.peer_id import PeerId
from node.transport import MIB, RefusedError

REQUESTS_PER_S: Final = 100.0  # of one connection
REQUESTS_BURST_MAX: Final = 400  # of one connection, before the rate counts
BYTES_PER_S: Final = 4.0 * MIB  # of one connection, deposited
BYTES_BURST_MAX: Final = 16 * MIB  # of one connection, before the rate counts
ALL_BYTES_PER_S: Final = 32.0 * MIB  # of all together
ALL_BYTES_BURST_MAX: Final = 64 * MIB  # of all together, before the rate counts
WAIT_S_MAX: Final = 2.0  # for one's turn; who would have to wait longer is refused
PEERS_MAX: Final = 4096  # connections whose use is remembered, the latest; identities cost a stranger nothing


@dataclass(slots=True)
class Bucket:
    """So much at once, and so much a second after that."""

    per_s: float
    burst: float
    owed: float = 0.0  # used and not yet made up for
    at_s: float = 0.0

    def wait_s(self, amount: float, now_s: float) -> float:
        """How long to wait before an amount may be used. Nothing is used by asking."""
        self.owed = max(0.0, self.owed - (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        return max(0.0, (self.owed + amount - self.burst) / self.per_s)


class Rates:
    """Of one mailbox."""

    def __init__(self, now_s: Callable[[], float] = trio.current_time) -> None:
        self._now_s = now_s
        self._requests: dict[PeerId, Bucket] = {}
        self._bytes: dict[PeerId, Bucket] = {}
        self._all = Bucket(ALL_BYTES_PER_S, ALL_BYTES_BURST_MAX)

    async def turn(self, peer: PeerId, size: int) -> None:
        """Wait until a request that brings so many bytes may be served; raises `RefusedError` when that is too long."""
        now_s = self._now_s()
        uses = [
            (_of(self._requests, peer, REQUESTS_PER_S, REQUESTS_BURST_MAX), 1.0),
            (_of(self._bytes, peer, BYTES_PER_S, BYTES_BURST_MAX), float(size)),
            (self._all, float(size)),
        ]
        wait_s = max(bucket.wait_s(amount, now_s) for bucket, amount in uses)
        if wait_s > WAIT_S_MAX:
            raise RefusedError("too fast")
        for bucket, amount in uses:
            bucket.owed += amount
        if wait_s > 0:
            await trio.sleep(wait_s)


def _of(buckets: dict[PeerId, Bucket], peer: PeerId, per_s: float, burst: float) -> Bucket:
    bucket = buckets.pop(peer, None) or Bucket(per_s, burst)
    buckets[peer] = bucket  # the latest last
    if len(buckets) > PEERS_MAX:
        del buckets[next(iter(buckets))]
    return bucket
