"""Who may change how a group decides: part of *hard* validity, judged by the policy of the epoch that ends.

Every member may add and remove members; that is what a group is. How it agrees is not every member's to change:

- the ordering policy is all that a commit may change in the group's context;
- a bench entry may be added by any member, for a leaf that is willing now; nobody takes one away: it is dropped once
  it names no offer of the tree any more, since the benched leaf has come back by its own commit or has left;
- anything else of the policy only by who decides already: a voter of the epoch, where identities are pinned a pinned
  one. What was proposed by reference counts as its proposer's, so that whoever carries it along lends it no right;
- a pinned identity is removed by a pinned one only, or for proven contradiction: else any member could take the
  committee apart, one by one;
- a commit that adds members leaves the policy alone: a newcomer re-checks the committee that let it in, by the policy
  it finds.
"""

from dataclasses import dataclass
from typing import Final

from mls import ProposalType, PublicGroup, PublicStaged, remove
from node.electorate import POLICY_EXTENSION, RuleError, Voting, peer_of, seats_of
from ordering import BenchEntry, Policy, PolicyKind


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What a commit does to the policy; falsy when nothing."""

    benched: tuple[BenchEntry, ...] = ()  # newly passed over
    dropped: tuple[BenchEntry, ...] = ()
    is_amended: bool = False  # anything but the bench

    def __bool__(self) -> bool:
        return bool(self.benched or self.dropped or self.is_amended)


UNCHANGED: Final = PolicyChange()


def check_policy(before: PublicGroup, voting: Voting, staged: PublicStaged, after: Voting) -> PolicyChange:
    """What the commit does to the policy, if its proposer may; raises `RuleError`."""
    _check_rest_of_context(before, staged)
    old, new = voting.policy, after.policy
    if new.rules != old.rules:
        raise RuleError("the version of the ordering rules does not change inside a group")
    change = policy_change(old, new)
    if not change:
        if ProposalType.GROUP_CONTEXT_EXTENSIONS in staged.proposal_types:
            raise RuleError("a change of the ordering policy that changes nothing")
        return change
    if staged.adds:
        raise RuleError("a commit that adds members leaves the ordering policy alone")
    willing = {BenchEntry(seat.leaf, seat.since) for seat in seats_of(staged.successor)}
    if not willing.issuperset(change.benched):
        raise RuleError("a bench entry for a leaf that is not willing, or since another epoch")
    if willing.intersection(change.dropped):
        raise RuleError("only the benched leaf itself takes its bench entry away, by a commit of its own")
    if change.is_amended and not may_amend(before, voting, _proposer(staged)):
        who = "a pinned member" if old.kind is PolicyKind.PINNED else "a voter"
        raise RuleError(f"only {who} may change the ordering policy")
    return change


def check_removals(before: PublicGroup, voting: Voting, staged: PublicStaged, convicted: frozenset[int]) -> None:
    """Under a pinned policy: who removes a pinned identity. `convicted` are leaves removed on proof; `RuleError`."""
    pins = frozenset(voting.policy.pins)
    for leaf_index in staged.removes if pins else ():
        if _identity(before, leaf_index) not in pins or leaf_index in convicted:
            continue
        for listed in staged.proposals:  # who leaves by itself is in no Remove
            if listed.proposal == remove(leaf_index) and _author(before, staged, listed.sender.leaf_index) not in pins:
                raise RuleError("only a pinned member may remove a pinned one")


def may_amend(public: PublicGroup, voting: Voting, leaf_index: int | None) -> bool:
    """Whether a leaf may change more of the policy than the bench."""
    if leaf_index is None:
        return False
    if voting.policy.kind is PolicyKind.PINNED:
        return _identity(public, leaf_index) in voting.policy.pins
    return voting.committee.voter_of_leaf(leaf_index) is not None


def policy_change(old: Policy, new: Policy) -> PolicyChange:
    """The difference between two policies."""
    before, after = set(old.bench), set(new.bench)
    return PolicyChange(
        benched=tuple(entry for entry in new.bench if entry not in before),
        dropped=tuple(entry for entry in old.bench if entry not in after),
        is_amended=old.benching(()) != new.benching(()),
    )


def _check_rest_of_context(before: PublicGroup, staged: PublicStaged) -> None:
    former, present = (
        [each for each in public.extensions if each.extension_type != POLICY_EXTENSION]
        for public in (before, staged.successor)
    )
    if former != present:
        raise RuleError("nothing of the group context but the ordering policy changes by ordered commits")


def _proposer(staged: PublicStaged) -> int | None:
    """The leaf that answers for the new policy; None when it is none of this group's."""
    for listed in staged.proposals:
        if listed.proposal.proposal_type is ProposalType.GROUP_CONTEXT_EXTENSIONS:
            return listed.sender.leaf_index
    return None


def _identity(public: PublicGroup, leaf_index: int) -> bytes | None:
    leaf = public.leaf(leaf_index)
    return None if leaf is None else peer_of(public, leaf).encode()


def _author(before: PublicGroup, staged: PublicStaged, sender: int | None) -> bytes | None:
    """The identity of a proposal's sender: a member's, or that of who comes back by an external commit."""
    if sender is not None:
        return _identity(before, sender)
    return _identity(staged.successor, staged.committer) if staged.is_external else None
