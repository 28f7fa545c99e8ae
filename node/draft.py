"""A commit of ours while it is being planned: what it carries so far, and whether more goes along with that."""

from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mls import Group, LeafNode, Proposal
from node.electorate import can_go_on, policy_of, voting_of
from node.peer_id import PeerId
from ordering import Policy

PROPOSALS_PER_COMMIT_MAX: Final = 128
PROPOSALS_SIZE_MAX: Final = 384 * 1024  # of one commit's wishes together, so that a bundle fits in a frame


class Fate(Enum):
    """What a rule says of an intent that no commit of this epoch is to carry."""

    ALREADY = 1  # it is so: done by somebody else, or before it was asked for
    WAITS = 2  # for a later epoch, or until nothing else in this commit touches the same


@dataclass(frozen=True, slots=True)
class Take:
    """What carries an intent out: proposals by value or reference, or a change of the committer's own leaf."""

    proposals: tuple[Proposal, ...] = ()
    references: tuple[bytes, ...] = ()
    touches: tuple[str, ...] = ()  # names that one change of a commit may touch; a second waits
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None  # the ordering policy from then on

    @property
    def cost(self) -> int:
        """How many proposals."""
        return len(self.proposals) + len(self.references) + (self.policy is not None)


@dataclass(slots=True)
class Draft:
    """The commit as planned so far, and the epoch it would end."""

    group: Group
    may_opt_in: bool
    members: dict[PeerId, tuple[int, LeafNode]]  # with the leaf index
    is_urgent: bool = False  # removals and bench entries only, so that the commit is of class 0
    proposals: list[Proposal] = field(default_factory=list)
    references: list[bytes] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    size: int = 0
    opt_in: bool = False
    opt_out: bool = False
    policy: Policy | None = None

    @property
    def own(self) -> LeafNode | None:
        """Our own leaf."""
        return self.group.public.leaf(self.group.own_leaf)

    def are_pinned(self, pins: Container[bytes], author: int) -> bool:
        """Whether we, and who wants something of us, have the rights of pinned members."""
        peers = (peer for peer, (leaf_index, _) in self.members.items() if leaf_index in (self.group.own_leaf, author))
        return all(peer.encode() in pins for peer in peers)

    @property
    def gone(self) -> frozenset[int]:
        """The members that are no more after it, as far as it is planned."""
        return frozenset(self.members[name][0] for name in self.touched if name in self.members)

    def can_lose(self, leaf_index: int) -> bool:
        """Whether somebody can vote without this member too."""
        public = self.group.public
        return can_go_on(public, voting_of(public), self.gone | {leaf_index})

    def has_room(self, change: Take, size: int) -> bool:
        """Whether the commit can hold it too, of an intent whose body is that long."""
        if not change.cost:
            return True
        count = len(self.proposals) + len(self.references) + change.cost
        is_full = count > PROPOSALS_PER_COMMIT_MAX or (self.size and self.size + size > PROPOSALS_SIZE_MAX)
        return not is_full

    def take(self, change: Take, size: int) -> None:
        """Carry a change with this commit."""
        self.proposals += change.proposals
        self.references += change.references
        self.touched.update(change.touches)
        self.size += size
        self.opt_in, self.opt_out = self.opt_in or change.opt_in, self.opt_out or change.opt_out
        self.policy = change.policy or self.policy

    @property
    def wanted_policy(self) -> Policy:
        """The ordering policy as far as it is planned; that of the epoch if nothing of it changes."""
        return self.policy or policy_of(self.group.public.extensions)

    @property
    def amends(self) -> bool:
        """Whether more of the policy than its bench is planned to change."""
        present = policy_of(self.group.public.extensions)
        return self.wanted_policy.benching(()) != present.benching(())
