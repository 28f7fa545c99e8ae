"""The decided log of a group: a chain that anyone with an anchor can check offline.

Each entry is a Decision, the hash of the decided bundle's body, and the descriptor that bundle announced. The
Decision's instance binds the previous bundle; the decided id binds body hash and announced descriptor. So the chain
holds together without the bundles, which may be gone, and with them the body hash is checked too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ordering.candidates import Bundle
from ordering.certificate import Decision
from ordering.errors import InvalidError
from ordering.limits import DECISION_SIZE_MAX, DESCRIPTOR_SIZE_MAX
from ordering.naming import bundle_id, genesis_prev
from ordering.policy import Descriptor
from ordering.votes import Verify
from ordering.wire import BundleId, Epoch, GroupId, Hash, Wire


class Anchor(Wire, frozen=True):
    """What a verifier trusts: which committee ends `epoch`, and after which bundle.

    A group's creation is one (`Anchor.genesis`), every verified entry yields the next, and an invite pins one by the
    hash of its descriptor.
    """

    SIZE_MAX: ClassVar[int] = DESCRIPTOR_SIZE_MAX + 512

    group_id: GroupId
    epoch: Epoch
    prev: Hash
    descriptor: Descriptor

    @classmethod
    def genesis(cls, group_id: bytes, tree_hash: bytes, descriptor: Descriptor) -> Anchor:
        """The anchor of a group's first epoch."""
        return cls(group_id, 0, genesis_prev(group_id, tree_hash), descriptor)

    @classmethod
    def before(cls, decision: Decision) -> Anchor:
        """The anchor a Decision claims to follow from: for who knows by other means that its descriptor is right.

        (An invite pins the group id and the descriptor's hash.)
        """
        return cls(decision.group_id, decision.epoch, decision.prev, decision.descriptor)


class LogEntry(Wire, frozen=True):
    """One decided epoch."""

    SIZE_MAX: ClassVar[int] = DECISION_SIZE_MAX + DESCRIPTOR_SIZE_MAX + 128

    decision: Decision
    body_hash: Hash
    announced: Descriptor  # the committee of the next epoch, as the decided bundle says

    @classmethod
    def of(cls, decision: Decision, bundle: Bundle) -> LogEntry:
        """The entry of a decision whose bundle is at hand."""
        return cls(decision, bundle.body_hash, bundle.descriptor)


@dataclass(frozen=True, slots=True)
class Fork:
    """Two Decisions of one instance for different bundles: more liars than the committee tolerates."""

    first: Decision
    second: Decision


def verify_entry(anchor: Anchor, entry: LogEntry, verify: Verify, bundle: Bundle | None = None) -> Anchor:
    """Check one entry against what is expected of its epoch; returns the anchor of the next.

    Raises `InvalidError` with rule "Log"; nothing is then known about the entry.
    """
    decision = entry.decision
    if decision.group_id != anchor.group_id:
        raise _broken(decision, "is of another group")
    if decision.epoch != anchor.epoch:
        raise _broken(decision, f"stands where epoch {anchor.epoch} belongs")
    if decision.prev != anchor.prev:
        raise _broken(decision, "does not follow the bundle decided before it")
    if decision.descriptor != anchor.descriptor:
        raise _broken(decision, "is by another committee than its predecessor announced")
    if bundle_id(decision.instance, entry.body_hash, entry.announced) != decision.id:
        raise _broken(decision, "decided another bundle than the entry describes")
    if bundle is not None and (bundle.body_hash, bundle.descriptor) != (entry.body_hash, entry.announced):
        raise _broken(decision, "comes with a bundle that was not decided")
    decision.check(verify)
    return Anchor(anchor.group_id, anchor.epoch + 1, decision.id, entry.announced)


def verify_chain(
    anchor: Anchor, entries: Iterable[LogEntry], verify: Verify, bundles: Mapping[BundleId, Bundle] | None = None
) -> Anchor:
    """Check consecutive entries from an anchor on; returns the anchor after the last.

    `bundles`, by id, are checked where given. Raises `InvalidError` at the first entry that does not hold.
    """
    for entry in entries:
        bundle = None if bundles is None else bundles.get(entry.decision.id)
        anchor = verify_entry(anchor, entry, verify, bundle)
    return anchor


def find_fork(known: Decision, other: Decision, verify: Verify) -> Fork | None:
    """R9, for an epoch already left: whether `other` is a valid Decision of the same instance for another bundle."""
    if other.instance != known.instance or other.id == known.id:
        return None
    try:
        other.check(verify)
    except InvalidError:
        return None
    return Fork(known, other)


def _broken(decision: Decision, detail: str) -> InvalidError:
    return InvalidError("Log", f"the Decision of epoch {decision.epoch} {detail}")
