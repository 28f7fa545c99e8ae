"""Epochs that are over but whose late messages can still be read (RFC 9420 §15.3): kept for a while, then forgotten.

A past epoch does not keep its tree. It keeps the leaves that differ from the epoch after it, so that looking one up
walks from the epoch towards the present until some epoch says what stood there, and the present tree says the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mls.config import GroupConfig
from mls.errors import StaleEpochError
from mls.group_context import GroupContext
from mls.secret_tree import SecretTree
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from mls.tree.subtree import Subtree

Changes = Mapping[int, LeafNode | None]
"""By leaf index, what stood where the epoch after has something else; None for a blank leaf."""


@dataclass(frozen=True, slots=True)
class PastEpoch:
    """What it takes to open and verify messages of an epoch, and nothing that could make one."""

    context: GroupContext
    changes: Changes = field(repr=False)
    sender_data_secret: bytes = field(repr=False)
    secret_tree: SecretTree = field(repr=False)
    ended_at: int  # Unix seconds
    kept: "list[KeptEpoch]" = field(default_factory=list, init=False, repr=False, compare=False)  # by `mls.snapshot`

    def without_old_keys(self, before: int) -> "PastEpoch":
        """Its secret tree without the keys that were skipped before that moment (V048)."""
        secret_tree = self.secret_tree.without_old_keys(before)
        return self if secret_tree is self.secret_tree else replace(self, secret_tree=secret_tree)


@dataclass(frozen=True, slots=True)
class KeptEpoch:
    """A past epoch as a snapshot holds it: made once, however often it is asked for."""

    data: bytes = field(repr=False)
    digest: bytes  # SHA-256 of `data`


Past = tuple[PastEpoch, ...]
"""Newest first; without gaps, but for epochs that went by while we were outside (`GroupState.resuming`)."""


def retained(past: Past, now: int, config: GroupConfig) -> Past:
    """Those that are still kept: by rank, or by age up to a larger rank (V022, V050)."""
    kept = 0
    for rank, epoch in enumerate(past[: config.past_epoch_max]):
        if rank >= config.past_epoch_count and now - epoch.ended_at > config.past_epoch_age_s:
            break
        kept = rank + 1
    return past[:kept]


def rank_of(past: Past, epoch: int) -> int:
    """Where the kept epoch of that number stands; raises StaleEpochError (V022)."""
    for rank, each in enumerate(past):
        if each.context.epoch == epoch:
            return rank
    raise StaleEpochError(epoch)


def leaf_then(past: Past, rank: int, tree: RatchetTree, leaf_index: int) -> LeafNode | None:
    """The leaf at an index in the epoch of that rank; `tree` is the present one."""
    for each in reversed(past[: rank + 1]):
        if leaf_index in each.changes:
            return each.changes[leaf_index]
    return tree.leaf(leaf_index)


def leaves_then(past: Past, rank: int, tree: RatchetTree) -> tuple[LeafNode, ...]:
    """All members in the epoch of that rank; `tree` is the present one."""
    leaves: dict[int, LeafNode | None] = dict(tree.members())
    for each in past[: rank + 1]:
        leaves.update(each.changes)
    return tuple(leaf for _, leaf in sorted(leaves.items(), key=lambda item: item[0]) if leaf is not None)


def changes_between(before: RatchetTree, after: RatchetTree) -> dict[int, LeafNode | None]:
    """The leaves of `before` that `after` does not have in the same place. Subtrees that both share are passed over."""
    changes: dict[int, LeafNode | None] = {}
    _compare(before.root, after.root, changes)
    return changes


def _compare(before: Subtree, after: Subtree, changes: dict[int, LeafNode | None]) -> None:
    if before is after:
        return
    if before.height > after.height:  # truncated since
        left, right = before.halves
        _compare(left, after, changes)
        changes.update((each.leaf_index, each.leaf) for each in right.leaves())
    elif before.height < after.height:  # extended since
        left, right = after.halves
        _compare(before, left, changes)
        changes.update((each.leaf_index, None) for each in right.leaves())
    elif before.height == 0:
        if before.leaf != after.leaf:
            changes[before.leaf_index] = before.leaf
    else:
        for one, other in zip(before.halves, after.halves, strict=True):
            _compare(one, other, changes)
