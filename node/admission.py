"""Who may commit itself into a group: a member that lost the epoch's secrets, as itself, and nobody else.

Such a commit is a *resync*: an external commit (RFC 9420 §12.4.3.2) that removes the member's old leaf and puts a new
one of the same peer into the tree. The engine asks the policy below, so the answer is the same on every path by which a
commit reaches it; what else a resync has to be is checked here, as part of *hard* validity.
"""

from collections.abc import Hashable
from typing import Final

from mls import LeafNode, Policy, ProposalType, PublicGroup, PublicStaged, external_joiner
from node.electorate import RuleError, peer_of
from node.identity import BindingError, claimed_peer

RESYNC: Final = frozenset((ProposalType.EXTERNAL_INIT, ProposalType.REMOVE))
"""What a resync consists of: no PSK, which others might not have, and nobody else's proposals."""


class Admission(Policy):
    """The engine's policy for the groups of this node."""

    def client_of(self, leaf: LeafNode) -> Hashable:
        """The peer it names. A leaf with new keys has a new credential, so equal credentials would ask too much.

        That the peer really signed the leaf's key is checked wherever leaves enter (`electorate.check_leaves`).
        """
        try:
            return claimed_peer(leaf.credential.identity)
        except BindingError:
            return leaf.credential

    def allows_external_commit(self, group: PublicGroup, joiner: LeafNode, replaced: LeafNode | None) -> bool:
        """A member that replaces its own leaf."""
        try:
            return replaced is not None and peer_of(group, joiner) == peer_of(group, replaced)
        except RuleError:
            return False


ADMISSION: Final = Admission()


def comes_back(public: PublicGroup, commit: bytes) -> tuple[int, LeafNode] | None:
    """Of a resync the leaf that it replaces, and the new one; None for a member's own commit.

    Raises `RuleError` for an external commit that is nobody's resync, an `MlsError` for what is no public commit. That
    the joiner is the peer it says is verified; nothing else is.
    """
    joiner = external_joiner(commit)
    if joiner is None:
        return None
    replaced = None if joiner.replaces is None else public.leaf(joiner.replaces)
    if joiner.replaces is None or replaced is None:
        raise RuleError("who is no member is added by one: nobody commits itself in")
    if peer_of(public, joiner.leaf) != peer_of(public, replaced):
        raise RuleError(f"a commit from outside that removes another's leaf, {joiner.replaces}")
    return joiner.replaces, joiner.leaf


def place_of(public: PublicGroup, replaced: int) -> int:
    """The leaf index that a resync of this leaf creates: the leftmost that is free once it is gone (§12.4.3.2)."""
    return next((index for index in range(replaced) if public.leaf(index) is None), replaced)


def check_resync(staged: PublicStaged, replaced: int) -> None:
    """That an external commit is a resync and no more; raises `RuleError`."""
    if set(staged.proposal_types) != RESYNC or len(staged.proposal_types) != len(RESYNC):
        raise RuleError("a commit from outside does more than to bring its member back")
    if staged.removes != (replaced,):
        raise RuleError("a commit from outside removes somebody else")
