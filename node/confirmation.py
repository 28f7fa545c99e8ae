"""Unconfirmed → confirmed: a newcomer's live check that it stands where the group stands.

No static proof can show what is so *now*. A newcomer waits until enough members it elected from its own tree, other
than the one whose Welcome it followed, have sent a signed Status with its own epoch fingerprint.
"""

from dataclasses import dataclass, field

from ordering import Committee, Status

SMALL_COMMITTEE_MAX = 3
"""Up to here one liar could fork the group anyway, and one other member's word is all there can be."""


@dataclass(slots=True)
class Confirmation:
    """Who has confirmed one epoch to us."""

    committee: Committee
    member_count: int
    welcomed_by: int | None
    confirmed_by: set[int] = field(default_factory=set)

    def count(self, status: Status) -> bool:
        """Count a believed Status with our fingerprint; whether it is enough now.

        f+1 voters; in a committee of three or fewer one other member; in a group of two the one who added us.
        """
        if status.leaf == self.welcomed_by and self.member_count > 2:
            return False
        small = self.committee.size <= SMALL_COMMITTEE_MAX
        if not small and status.voter is None:
            return False
        self.confirmed_by.add(status.leaf)
        return len(self.confirmed_by) >= (1 if small else self.committee.faults + 1)
