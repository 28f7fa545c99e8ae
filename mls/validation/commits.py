"""Rules for a Commit once its proposals are applied (RFC 9420 §12.2, §12.4): the path, and the tree that comes out."""

from collections.abc import Sequence

from mls.apply import Applied
from mls.credentials import CredentialCheck
from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.extensions import Extensions, non_default, types_of
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, GroupContextExtensions
from mls.registry import PATH_REQUIRED_PROPOSAL_TYPES, LeafNodeSource
from mls.tree.kem import UpdatePath
from mls.tree.ratchet import RatchetTree
from mls.validation.keys import check_hpke_key, check_keys_are_unique
from mls.validation.leaves import check_credential_types, check_leaf_in_group
from mls.validation.proposals import check_replacement


def needs_path(proposals: Sequence[ListedProposal]) -> bool:
    """An empty list does, and any proposal whose type says so (§12.4)."""
    return not proposals or any(each.proposal.proposal_type in PATH_REQUIRED_PROPOSAL_TYPES for each in proposals)


def check_path_presence(commit: Commit, proposals: Sequence[ListedProposal]) -> None:
    """§12.4 governs, not the shorter list of §12.4.2 (V150)."""
    if commit.path is None and needs_path(proposals):
        raise InvalidError("V150", "a Commit without a path, where its proposals need one")


def check_path(
    suite: CipherSuite,
    context: GroupContext,
    before: RatchetTree,
    applied: Applied,
    committer: int,
    path: UpdatePath,
    accept: CredentialCheck,
) -> None:
    """The path's leaf (V151, V082), keys (V152) and shape (V154, V155); its parent hash is checked on merging (V156)."""
    check_replacement(suite, context, before, committer, path.leaf_node, LeafNodeSource.COMMIT, accept)
    for node in path.nodes:
        check_hpke_key(suite, node.encryption_key)
    keys = [path.leaf_node.encryption_key, *(node.encryption_key for node in path.nodes)]
    if len(set(keys)) != len(keys):
        raise InvalidError("V152", "a path with one key twice")
    if any(key in applied.tree.encryption_keys for key in keys):
        raise InvalidError("V152", "a path with a key that is in the tree already")
    steps, added = applied.tree.filtered_direct_path(committer), applied.added_leaves
    if len(path.nodes) != len(steps):
        raise InvalidError("V154", f"a path of {len(path.nodes)} nodes where the tree has {len(steps)}")
    for node, step in zip(path.nodes, steps, strict=True):
        recipients = [each for each in step.copath.resolution() if each.height or each.leaf_index not in added]
        if len(node.encrypted_path_secret) != len(recipients):
            raise InvalidError("V155", "a path node with another number of ciphertexts than it has recipients")


def check_new_tree(
    tree: RatchetTree, extensions: Extensions, changed: Sequence[int], *, extensions_changed: bool
) -> None:
    """Every leaf is right for the epoch that begins (V129).

    `tree` is the one with the path merged and `changed` its new and changed leaves; the others were right before and
    are asked again only about what has changed around them.
    """
    leaves = [leaf for index in changed if (leaf := tree.leaf(index)) is not None]
    for leaf in leaves:
        check_leaf_in_group(leaf, extensions)  # V063, V080, V095
    if extensions_changed:
        check_everyone_supports(tree, extensions)
    check_credential_types([leaf for _, leaf in tree.members()], leaves)
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
