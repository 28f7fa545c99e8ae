"""Policy: the application's own rules about who may change a group (RFC 9420 §12.2, §12.1.8, §12.4.3.2)."""

# ruff: noqa: ARG002 (arguments are for what overrides these)

from collections.abc import Hashable
from typing import TYPE_CHECKING

from mls.proposal_list import ListedProposal
from mls.tree.nodes import LeafNode

if TYPE_CHECKING:
    from mls.checked_commit import PublicStaged
    from mls.public_group import PublicGroup


class Policy:
    """Allows everything; override what an application restricts.

    Each answer decides whether a message is valid, so it has to be the same on every member: ask nothing but the
    arguments.
    """

    def allows_proposal(self, group: "PublicGroup", proposal: ListedProposal) -> bool:
        """A proposal from outside, of an external sender or of a newcomer that asks to be added (V111)."""
        return True

    def allows_external_commit(self, group: "PublicGroup", joiner: LeafNode, replaced: LeafNode | None) -> bool:
        """A joiner by external Commit; `replaced` is the leaf it says was its own (V147)."""
        return True

    def allows_commit(self, group: "PublicGroup", commit: "PublicStaged") -> bool:
        """A Commit that is right in all else (V130)."""
        return True

    def requires_path(self, proposal_type: int) -> bool:
        """Whether a Commit with a proposal of this type, one of the application's own, has a path (§17.4, V150)."""
        return True

    def allows_external_sender(self, proposal_type: int) -> bool:
        """Whether an external sender may propose this type, one of the application's own (§17.4, V110)."""
        return False

    def client_of(self, leaf: LeafNode) -> Hashable:
        """Equal for leaves of one client: when it rejoins, and in the groups of §11.2 and §11.3 (V137, V198, V199).

        Its credential, unless the application knows better.
        """
        return leaf.credential


OPEN_POLICY = Policy()
