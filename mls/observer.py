"""Observer: a group followed from outside, by its public messages alone; a delivery service or an auditor is one.

It starts from a GroupInfo and takes what members send: proposals, which it keeps for the Commit that refers to them,
and Commits, which lead it into the next epoch. It holds no secret, so a group whose handshake is sealed stays closed to
it. Nor can it check what only members can: membership tags, whether path secrets open, confirmation tags. So a member
could lead it into an epoch where nobody else is; the next GroupInfo that a member signs tells, when `confirms` it.
"""

from dataclasses import dataclass, field, replace
from typing import Self

from mls.checked_commit import PublicStaged
from mls.config import GroupConfig
from mls.observe import observe
from mls.proposal_list import ListedProposal
from mls.public_group import PublicGroup, public_content
from mls.registry import ContentType

_DEFAULTS = GroupConfig()


@dataclass(frozen=True, slots=True)
class Observer:
    """One epoch as its public messages show it. Frozen: what it takes leads to its successor."""

    public: PublicGroup
    proposals: tuple[bytes, ...] = ()  # messages of this epoch, in the order they came
    config: GroupConfig = field(default=_DEFAULTS, repr=False)

    @classmethod
    def start(cls, group_info: bytes, *, tree: bytes | None = None, config: GroupConfig = _DEFAULTS) -> Self:
        """From a GroupInfo message, with the tree inside it or beside it. Raises as `observe` does."""
        return cls(observe(group_info, tree=tree, config=config), config=config)

    def take(self, message: bytes) -> tuple[Self, ListedProposal | PublicStaged]:
        """(the observer after this proposal or Commit, what it says). A proposal that is here already changes nothing.

        Raises MalformedError or InvalidError, for a PrivateMessage too (V034); then the observer is what it was.
        """
        config = self.config
        if public_content(message).content.content_type is ContentType.PROPOSAL:
            listed = self.public.check_proposal(message, accept=config.validate_credential, policy=config.policy)
            kept = self.proposals if message in self.proposals else (*self.proposals, message)
            return replace(self, proposals=kept), listed
        staged = self.public.check_commit(
            message,
            self.proposals,
            accept=config.validate_credential,
            policy=config.policy,
            map_signatures=config.map_signatures,
        )
        return replace(self, public=staged.successor, proposals=()), staged

    def confirms(self, group_info: bytes, *, tree: bytes | None = None) -> bool:
        """Whether a member's GroupInfo is of this very epoch, of the same history. Raises as `observe` does."""
        return observe(group_info, tree=tree, config=self.config) == self.public
