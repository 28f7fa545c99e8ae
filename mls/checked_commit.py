"""What is known of a Commit that passed: to everyone (`PublicStaged`), and to a member (`CheckedCommit`)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mls.apply import Addition, Applied
from mls.credentials import CredentialCheck
from mls.extensions import Extensions
from mls.framing import AuthenticatedContent
from mls.group_context import GroupContext
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, CustomProposal, ReInit
from mls.registry import ProposalType, SenderType

if TYPE_CHECKING:
    from mls.public_group import PublicGroup


@dataclass(frozen=True, slots=True)
class PublicStaged:
    """What a Commit that passed would do, and the public half of the epoch it opens."""

    committer: int  # leaf index; that of the newcomer where it is an external Commit
    adds: tuple[Addition, ...]  # each with .leaf_index, .reference (KeyPackageRef) and .leaf
    removes: tuple[int, ...]  # members that leave by themselves (SelfRemove) among them
    updates: tuple[int, ...]  # leaves replaced by Update proposals; the committer's own is told by has_path
    extensions: Extensions  # of the new group context
    has_path: bool
    authenticated_data: bytes
    proposal_types: tuple[ProposalType, ...]  # in the Commit's order, as often as they occur
    proposals: tuple[ListedProposal, ...]  # likewise, each with its sender: who may do what is the application's (V130)
    successor: "PublicGroup"
    is_external: bool = False  # the committer joins by it
    reinit: ReInit | None = None  # the group ends with it, to be followed by one of these terms
    checked: "CheckedCommit | None" = field(default=None, repr=False, compare=False)  # for `Group.stage`

    @property
    def custom(self) -> tuple[ListedProposal, ...]:
        """Those of `proposals` that are for the application to apply, once the Commit has been adopted."""
        return tuple(each for each in self.proposals if isinstance(each.proposal.body, CustomProposal))


@dataclass(frozen=True, slots=True)
class Judge:
    """By what a Commit was judged: the epoch, and the application's word."""

    public: "PublicGroup"
    accept: CredentialCheck
    policy: Policy

    def is_same(self, public: "PublicGroup", accept: CredentialCheck, policy: Policy) -> bool:
        """Whether this very value of the epoch, and the same words, would judge."""
        return self.public is public and self.accept == accept and self.policy == policy


@dataclass(frozen=True, slots=True)
class CheckedCommit:
    """A Commit that passed every public check, with what the private half needs to go on."""

    authenticated: AuthenticatedContent
    commit: Commit
    committer: int
    proposals: tuple[ListedProposal, ...]
    applied: Applied  # before the path is merged
    path_context: GroupContext  # what path secrets are sealed under (V158)
    successor: "PublicGroup"
    judge: "Judge | None" = field(default=None, repr=False, compare=False)

    @property
    def is_external(self) -> bool:
        return self.authenticated.content.sender.sender_type is SenderType.NEW_MEMBER_COMMIT

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
            self.proposals,
            self.successor,
            self.is_external,
            self.applied.reinit,
            self,
        )
