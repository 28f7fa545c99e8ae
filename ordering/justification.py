"""Justifications: why a view may be entered, and what may be proposed in it.

J for view v: a notarization of some view w < v (or none, w = -1) and a nullification of every view strictly
between w and v. It permits any value when w = -1, else only the notarized one. Safety rests on this: if x was
finalized in some view, no nullification of that view can exist, so every later J stops at or above it, at x.

The same structure with w <= v is the *proof* of view v (R2): a notarization of v itself also shows that v was reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from ordering.certificate import Certificate
from ordering.limits import JUSTIFICATION_SIZE_MAX, JUSTIFICATION_VIEWS_MAX
from ordering.votes import VoteKind
from ordering.wire import BundleId, Hash, InstanceId, View, Wire, digest


class Justification(Wire, frozen=True):
    """A notarization or none, and the nullifications of all views after it up to (not including) `view`, ascending.

    Complete by construction: one with a gap cannot be built or decoded.
    """

    SIZE_MAX: ClassVar[int] = JUSTIFICATION_SIZE_MAX

    instance: Hash
    view: View
    notarization: Certificate | None
    nullifications: Annotated[tuple[Certificate, ...], Meta(max_length=JUSTIFICATION_VIEWS_MAX)]

    def __post_init__(self) -> None:
        base = -1
        if self.notarization is not None:
            base = self.notarization.view
            if self.notarization.kind is not VoteKind.NOTARIZE or base > self.view:
                raise ValueError("not a notarization of this view or an earlier one")
        if len(self.nullifications) != max(0, self.view - base - 1):  # counted first: a sender names any view it likes
            raise ValueError("the nullifications leave a gap")
        if any(c.view != view for view, c in enumerate(self.nullifications, base + 1)):
            raise ValueError("the nullifications leave a gap")
        if any(c.kind is not VoteKind.NULLIFY for c in self.nullifications):
            raise ValueError("not a nullification")

    @property
    def constraint(self) -> BundleId | None:
        """The only value it permits, or None when it permits any."""
        return None if self.notarization is None else self.notarization.bundle

    @property
    def justifies_proposal(self) -> bool:
        """Whether it is a J for its view, not merely a proof that the view was reached."""
        return self.notarization is None or self.notarization.view < self.view

    def permits(self, id: bytes) -> bool:
        """J permits x iff w = -1 or x is the notarized value."""
        return self.justifies_proposal and self.constraint in (None, id)

    def certificates(self) -> Iterator[Certificate]:
        """All certificates inside, the notarization first."""
        if self.notarization is not None:
            yield self.notarization
        yield from self.nullifications

    @property
    def hash(self) -> bytes:
        """H(J), which the leader signs with its proposal."""
        return digest("conclave/justification/v1", self.encode())


def justify(
    instance: InstanceId, view: int, notarizations: Mapping[int, Certificate], nullifications: Mapping[int, Certificate]
) -> Justification | None:
    """The proof of `view` from these certificates, by the highest notarization they allow; None if there is a gap.

    A J for the view when there is one, else the notarization of the view itself.
    """
    between: list[Certificate] = []
    below = view - 1
    while below >= 0 and below not in notarizations:
        if below not in nullifications:
            own = notarizations.get(view)
            return None if own is None else Justification(instance, view, own, ())
        between.append(nullifications[below])
        below -= 1
    return Justification(instance, view, notarizations.get(below), tuple(reversed(between)))
