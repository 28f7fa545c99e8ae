"""PublicGroup: an epoch as anyone sees it who knows its context and its tree, and no secret of it.

`check_commit` is all of a Commit's validity that such an observer can judge. It is pure: the same message and the same
epoch give the same answer on every member, with no clock and no secret, and the successor it computes is the public
half of what every member will enter. What it cannot see (the membership and confirmation tags, whether path secrets
open, lifetimes) is left to `mls.stage`.
"""

from dataclasses import dataclass

from mls.apply import Addition, Applied
from mls.extensions import Extensions
from mls.framing import AuthenticatedContent
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal
from mls.proposals import Commit
from mls.registry import ProposalType
from mls.tree.ratchet import RatchetTree


@dataclass(frozen=True, slots=True)
class PublicStaged:
    """What a Commit that passed would do, and the public half of the epoch it opens."""

    committer: int
    adds: tuple[Addition, ...]  # each with .leaf_index, .reference and .leaf
    removes: tuple[int, ...]
    updates: tuple[int, ...]  # leaves replaced by Update proposals; the committer's own is told by has_path
    extensions: Extensions
    has_path: bool
    authenticated_data: bytes
    proposal_types: tuple[ProposalType, ...]  # in the Commit's order, as often as they occur
    successor: "PublicGroup"


@dataclass(frozen=True, slots=True)
class CheckedCommit:
    """A Commit that passed every public check, with what the private half needs to go on."""

    authenticated: AuthenticatedContent
    commit: Commit
    committer: int
    proposals: tuple[ListedProposal, ...]
    applied: Applied
    path_context: GroupContext  # what path secrets are sealed under (V158)
    successor: "PublicGroup"

    @property
    def summary(self) -> PublicStaged:
        return PublicStaged(
            self.committer,
            self.applied.adds,
            self.applied.removes,
            self.applied.updates,
            self.applied.extensions,
            self.commit.path is not None,
            self.authenticated.content.authenticated_data,
            tuple(each.proposal.proposal_type for each in self.proposals),
            self.successor,
        )


@dataclass(frozen=True, slots=True)
class PublicGroup:
    """One epoch's context, tree and interim transcript hash."""

    context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes
