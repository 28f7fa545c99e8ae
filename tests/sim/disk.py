"""What survives a crash of one member: rows, changed by whole transactions."""

from __future__ import annotations

from collections.abc import Iterable

from ordering import BundleId, Candidate, Decision, Freeze, Guard, InstanceRecord, Record
from tests.sim.toy import GROUP_ID


class Disk:
    """Rows of one member. What was not committed when the process ended never was."""

    def __init__(self) -> None:
        self.boots = 0
        self.guard = Guard.fresh(GROUP_ID)
        self.instances: dict[int, InstanceRecord] = {}  # by epoch
        self.decisions: dict[int, Decision] = {}
        self.freezes: dict[int, Freeze] = {}
        self.candidates: dict[BundleId, tuple[int, Candidate]] = {}  # with the epoch
        self.applied: list[BundleId] = []  # the decided bundle of every epoch that was left

    def transaction(
        self,
        epoch: int,
        records: Iterable[Record],
        candidates: Iterable[tuple[BundleId, Candidate]] = (),
        applied: BundleId | None = None,
    ) -> None:
        """All of it or none of it; the caller crashes before or after, never within."""
        for record in records:
            if isinstance(record, InstanceRecord):
                self.instances[epoch] = record
            elif isinstance(record, Guard):
                self.guard = record
            elif isinstance(record, Decision):
                self.decisions[epoch] = record
            else:
                self.freezes[epoch] = record
        for id, candidate in candidates:
            self.candidates.setdefault(id, (epoch, candidate))
        if applied is not None and len(self.applied) == epoch:
            self.applied.append(applied)

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
