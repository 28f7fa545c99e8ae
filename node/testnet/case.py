"""The case: a story and the evidence of every node, put together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.intents import ADD, REMOVE
from node.testnet.evidence import Began, Evidence
from node.testnet.story import Story


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, and what follows from it for several lines."""

    story: Story
    nodes: tuple[Evidence, ...]
    decided: Mapping[int, frozenset[bytes]]  # epoch ended → every id some node holds as decided
    began: Mapping[int, Began]  # epoch begun → its decision, as the first node that knows it tells
    members: Mapping[int, frozenset[str]]  # epoch → peer ids

    @property
    def epochs(self) -> int:
        """How many epochs were ended."""
        return len(self.decided)

    def name_of(self, peer_id: str) -> str:
        return next((node.name for node in self.nodes if node.peer_id == peer_id), peer_id)

    def rivals(self) -> tuple[int, int]:
        """How many commits competed with others for an epoch, and for how many epochs. Each node knows some of them."""
        known: dict[int, int] = defaultdict(int)
        for node in self.nodes:
            for entry in node.began:
                known[entry.epoch] = max(known[entry.epoch], entry.body.rivals)
        contested = [count for count in known.values() if count > 1]
        return sum(contested), len(contested)


def case_of(story: Story, nodes: Sequence[Evidence]) -> Case:
    """Put the chain together from what the nodes hold of it, and follow the membership along it."""
    decided: dict[int, set[bytes]] = defaultdict(set)
    began: dict[int, Began] = {}
    for node in nodes:
        for row in node.chain:
            decided[row.epoch].add(row.candidate_id)
        for entry in node.began:
            decided[entry.epoch - 1].add(entry.body.candidate_id)
            began.setdefault(entry.epoch, entry)
    present: frozenset[str] = frozenset({began[1].body.committer} if 1 in began else ())  # alone, it made the group
    members = {0: present}
    for epoch in range(1, max(began, default=0) + 1):
        changes = began[epoch].body.changes if epoch in began else ()
        present |= {change.peer for change in changes if change.kind == ADD}
        present -= {change.peer for change in changes if change.kind == REMOVE}
        members[epoch] = present
    return Case(story, tuple(nodes), {epoch: frozenset(ids) for epoch, ids in decided.items()}, began, members)
