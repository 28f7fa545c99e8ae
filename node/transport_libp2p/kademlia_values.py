"""Values of a Kademlia table: those kept for others, and those being handed out."""

# mypy: allow-subclassing-any
from __future__ import annotations

import hashlib
import time
from typing import Any, Final

from libp2p.kad_dht.common import format_time_rfc3339
from libp2p.kad_dht.pb.kademlia_pb2 import Record
from libp2p.kad_dht.value_store import ValueStore
from libp2p.peer.id import ID

from node.transport_kademlia import Rank
from node.transport_libp2p.kademlia_host import TableHost

KEPT_S: Final = 24 * 3600.0


class NearestValues(ValueStore):
    """At most so many, and of more those whose keys are nearest to our own id: those others will look for here."""

    def __init__(self, host: TableHost, rank: Rank, records_max: int) -> None:
        super().__init__(host, host.get_id())
        self._rank = rank
        self._records_max = records_max
        self._own = _place(host.get_id().to_bytes())

    def take(self, key: bytes, value: bytes) -> None:
        """Keep a value that has been judged; nothing of it but the value itself."""
        if key not in self.store and len(self.store) >= self._records_max:
            self.cleanup_expired()
        if key not in self.store and len(self.store) >= self._records_max:
            furthest = max((*self.store, key), key=self._distance)
            if furthest == key:
                return
            del self.store[furthest]
        record = Record(key=key, value=value, timeReceived=format_time_rfc3339())
        self.store[key] = (record, time.time() + KEPT_S)

    def put_record(self, key: bytes, record: Record) -> None:
        self.take(key, record.value)

    def put(self, key: bytes, value: bytes, validity: float = 0.0) -> None:  # noqa: ARG002 - libp2p's signature
        self.take(key, value)

    def get(self, key: bytes) -> Record | None:
        """Only what is good still."""
        record: Record | None = super().get(key)
        if record is not None and self._rank(key.decode(), record.value) is None:
            del self.store[key]
            return None
        return record

    def _distance(self, key: bytes) -> int:
        return _place(key) ^ self._own


class ToldValues(ValueStore):
    """Counts who has taken a value."""

    told = 0

    async def _store_at_peer(self, peer_id: ID, key: bytes, value: bytes, record: Any = None) -> bool:
        taken: bool = await super()._store_at_peer(peer_id, key, value, record)
        self.told += taken
        return taken


def _place(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(key).digest(), "big")
