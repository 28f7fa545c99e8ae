"""Rules for a Commit's outcome (RFC 9420 §12.2, §12.4). Those of the path itself are in `mls.tree.kem`."""

from collections.abc import Sequence

from mls.errors import InvalidError
from mls.extensions import Extensions, non_default, types_of
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, CustomProposal, GroupContextExtensions, Proposal
from mls.registry import PATH_REQUIRED_PROPOSAL_TYPES
from mls.tree.ratchet import RatchetTree
from mls.validation.keys import check_keys_are_unique
from mls.validation.leaves import check_credential_types, check_leaf_in_group


def needs_path(proposals: Sequence[ListedProposal], policy: Policy) -> bool:
    """An empty list does, and any proposal whose type says so (§12.4)."""
    return not proposals or any(_requires_path(each.proposal, policy) for each in proposals)


def _requires_path(proposal: Proposal, policy: Policy) -> bool:
    if isinstance(proposal.body, CustomProposal):
        return policy.requires_path(proposal.proposal_type)
    return proposal.proposal_type in PATH_REQUIRED_PROPOSAL_TYPES


def check_path_presence(commit: Commit, proposals: Sequence[ListedProposal], policy: Policy) -> None:
    """§12.4 governs, not the shorter list of §12.4.2 (V150)."""
    if commit.path is None and needs_path(proposals, policy):
        raise InvalidError("V150", "a Commit without a path, where its proposals need one")


def check_new_tree(
    tree: RatchetTree, extensions: Extensions, changed: Sequence[int], *, extensions_changed: bool
) -> None:
    """Every leaf is right for the epoch that begins (V129).

    `tree` is the one with the path merged and `changed` its new and changed leaves; the others were right before and
    are asked again only about what has changed around them.
    """
    leaves = [leaf for index in changed if (leaf := tree.leaf(index)) is not None]
    if extensions_changed:
        check_everyone_supports(tree, extensions)
    else:
        for leaf in leaves:
            check_leaf_in_group(leaf, extensions)  # V063, V080, V095
    check_credential_types(tree, leaves)
    check_keys_are_unique(tree, leaves)


def check_everyone_supports(tree: RatchetTree, extensions: Extensions) -> None:
    """A new list of group context extensions suits every member after the Commit (V106, V107)."""
    present = non_default(types_of(extensions))
    for leaf_index, leaf in tree.members():
        if missing := present.difference(leaf.capabilities.extensions):
            raise InvalidError("V107", f"leaf {leaf_index} lacks group context extensions {sorted(missing)}")
        try:
            check_leaf_in_group(leaf, extensions, f"leaf {leaf_index}")
        except InvalidError as error:
            raise InvalidError("V106", error.detail) from error


def sets_extensions(proposals: Sequence[ListedProposal]) -> bool:
    return any(isinstance(each.proposal.body, GroupContextExtensions) for each in proposals)
