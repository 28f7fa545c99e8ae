"""What a committee survives, in numbers, and what more voters would change. The words are the node's."""

from __future__ import annotations

from dataclasses import dataclass

from ordering.limits import COMMITTEE_MAX
from ordering.policy import Model, fault_count, quorum_size


@dataclass(frozen=True, slots=True)
class Survival:
    """The committee of n voters under a model, as its users need to know it.

    `offline` voters may be away and the group still changes; `liars` may lie and it neither forks nor stops. A liar
    that keeps silent is away too, so the two are not added: `offline` >= `liars` covers both together.
    """

    voters: int
    quorum: int
    offline: int
    liars: int
    model: Model

    @property
    def forks_with(self) -> int:
        """The least number of dishonest voters that could fork the group: all that two quorums need share."""
        return 2 * self.quorum - self.voters

    @property
    def better_at(self) -> int | None:
        """The smallest larger committee that survives more of what this model is about; None at the largest."""
        for larger in range(self.voters + 1, COMMITTEE_MAX + 1):
            found = survival(larger, self.model)
            if larger == 2:
                continue  # the one to be removed would hold a veto; `elect` never seats two
            if found.liars > self.liars or (self.liars == 0 and found.offline > self.offline):
                return larger
        return None


def survival(voters: int, model: Model) -> Survival:
    """The numbers for a committee of this size."""
    quorum = quorum_size(voters, model)
    return Survival(voters, quorum, voters - quorum, fault_count(voters, model), model)
