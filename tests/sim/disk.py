"""What survives a crash of one member: rows, changed by whole transactions.

A transaction is written, then marked as whole; a sync makes it, and all before it, durable. Records (R12) and the
member's own bytes are synced at once. What else is written is not: a crash takes any tail of it, and with it the
transaction whose mark was not written yet, of which a part of the rows may be in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from ordering import BundleId, Candidate, Decision, Freeze, Guard, InstanceRecord, Record
from tests.sim.toy import GROUP_ID


class Disk:
    """Rows of one member, as its process sees them; `lose` makes of them what the next one finds."""

    def __init__(self) -> None:
        self.boots = 0
        self.guard = Guard.fresh(GROUP_ID)
        self.instances: dict[int, InstanceRecord] = {}  # by epoch
        self.decisions: dict[int, Decision] = {}
        self.freezes: dict[int, Freeze] = {}
        self.candidates: dict[BundleId, tuple[int, Candidate]] = {}  # with the epoch
        self.applied: list[BundleId] = []  # the decided bundle of every epoch that was left
        self._unsynced: list[list[BundleId]] = []  # transactions since the last sync: bytes of others, and only those

    def transaction(
        self,
        epoch: int,
        records: Iterable[Record],
        candidates: Iterable[tuple[BundleId, Candidate]] = (),
        applied: BundleId | None = None,
        *,
        sync: bool = True,
    ) -> None:
        """All of it or none of it; the caller crashes before or after, or `lose`s it."""
        written = []
        for record in records:
            if isinstance(record, InstanceRecord):
                self.instances[epoch] = record
            elif isinstance(record, Guard):
                self.guard = record
            elif isinstance(record, Decision):
                self.decisions[epoch] = record
            else:
                self.freezes[epoch] = record
            sync = True
        for id, candidate in candidates:
            if id not in self.candidates:
                self.candidates[id] = (epoch, candidate)
                written.append(id)
        if applied is not None and len(self.applied) == epoch:
            self.applied.append(applied)
            sync = True
        if sync:
            self._unsynced.clear()
        elif written:
            self._unsynced.append(written)

    def lose(self, chance: Random) -> int:
        """The machine lost power: some of the last transactions that were not synced are gone. How many."""
        kept = chance.randint(0, len(self._unsynced)) if self._unsynced else 0
        lost = self._unsynced[kept:]
        for ids in lost:
            for id in ids:
                del self.candidates[id]
        self._unsynced.clear()
        return len(lost)

    def records(self, epoch: int) -> list[Record]:
        """The rows of one instance, read back through their encodings."""
        rows: list[Record] = []
        if (record := self.instances.get(epoch)) is not None:
            rows.append(InstanceRecord.decode(record.encode()))
        rows.append(Guard.decode(self.guard.encode()))
        if (decision := self.decisions.get(epoch)) is not None:
            rows.append(Decision.decode(decision.encode()))
        if (freeze := self.freezes.get(epoch)) is not None:
            rows.append(Freeze.decode(freeze.encode()))
        return rows

    def bundles(self, epoch: int) -> list[BundleId]:
        """The candidates of an epoch whose bytes are here, in the order they came."""
        return [id for id, (of_epoch, _) in self.candidates.items() if of_epoch == epoch]

    def own(self, epoch: int, author: int, ordinal: int) -> Candidate | None:
        """The candidate this member made, if it was stored."""
        for of_epoch, candidate in self.candidates.values():
            if (of_epoch, candidate.author, candidate.ordinal) == (epoch, author, ordinal):
                return candidate
        return None
