"""The bundles of one member: which are here, which were asked for, and what is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ordering import BundleId, Candidate, CandidateFacts

if TYPE_CHECKING:
    from tests.sim.node import Node


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the bytes of a bundle."""

    id: BundleId


@dataclass(frozen=True, slots=True)
class Bytes:
    """The bytes of a bundle."""

    id: BundleId
    candidate: Candidate


class Bundles:
    """In memory: what came and is not durable yet (`staged`), and what is being fetched. The rest is on the disk."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.staged: dict[BundleId, Candidate] = {}
        self._wanted: dict[BundleId, tuple[int, Counter[int]]] = {}  # id -> (epoch, whom we asked how often)

    def holds(self, id: BundleId) -> bool:
        """Whether the bytes are durable, or become so with the step in hand."""
        return id in self._node.disk.candidates or id in self.staged

    def facts(self, epoch: int, id: BundleId, soft: bool | None) -> CandidateFacts:
        """What this member knows of a bundle whose bytes are here."""
        verdict = self._node.sim.group.verdicts[id]
        of_this = (
            verdict.candidate.instance == self._node.instances[epoch].config.instance
        )  # hard too: no other epoch's
        return CandidateFacts(
            id,
            verdict.candidate.author,
            verdict.candidate.ordinal,
            verdict.proposal_class,
            last_won=self._last_won(verdict.candidate.author, epoch),
            hard=verdict.hard and of_this,
            soft=soft,
            available=True,
            resync=verdict.resync,
        )

    def _last_won(self, author: int, epoch: int) -> int:
        verdicts, applied = self._node.sim.group.verdicts, self._node.disk.applied
        for before in range(min(epoch, len(applied)) - 1, -1, -1):
            if verdicts[applied[before]].candidate.author == author:
                return before
        return -1

    def ask(self, epoch: int, id: BundleId, holders: tuple[int, ...], peers: tuple[str, ...]) -> None:
        """Ask the first holder; the next time another. The machine repeats itself until the bytes are here."""
        node = self._node
        _, asked = self._wanted.setdefault(id, (epoch, Counter()))
        seats = node.sim.group.seats(epoch)
        others = [*(seats[index] for index in holders), *map(int, peers)]
        others = others or [member for member in range(node.sim.group.members) if member != node.member]
        target = min(others, key=asked.__getitem__)
        asked[target] += 1
        node.post(target, Want(id), 0.0)

    def serve(self, source: int, id: BundleId) -> None:
        """Give the bytes, if they are durable."""
        node = self._node
        held = node.disk.candidates.get(id)
        if held is not None and node.sim.may_serve(node, source, id):
            node.post(source, Bytes(id, held[1]), node.sim.group.verdicts[id].bytes_s)

    def _authentic(self, epoch: int, payload: Bytes) -> bool:
        """Whether these are the bytes asked for, as their author signed them."""
        group, candidate = self._node.sim.group, payload.candidate
        if candidate is group.verdicts[payload.id].candidate:  # untouched
            return True
        if candidate.instance != self._node.instances[epoch].config.instance or candidate.id != payload.id:
            return False
        return group.verify_member(candidate.author, candidate.signed_bytes, candidate.signature)

    def take(self, payload: Bytes) -> int | None:
        """Bytes came; the epoch they were asked for, None if they were not. False ones are no answer."""
        wanted = self._wanted.get(payload.id)
        if wanted is None or not self._authentic(wanted[0], payload):
            return None
        del self._wanted[payload.id]
        self.staged[payload.id] = payload.candidate
        return wanted[0]
