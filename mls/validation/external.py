"""Rules for an external Commit (RFC 9420 §12.2, §12.4.3.2): what a newcomer may commit, and as whom."""

from collections.abc import Sequence

from mls.config import GroupConfig
from mls.credentials import CredentialUse, check_use
from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal
from mls.proposals import ExternalInit, PreSharedKey, Remove, SelfRemove
from mls.registry import LeafNodeSource
from mls.tree.nodes import LeafNode
from mls.validation.leaves import check_leaf_content, check_leaf_source
from mls.validation.proposals import check_one_change_per_leaf, check_psks_differ


def check_external_list(proposals: Sequence[ListedProposal]) -> None:
    """What stands in a newcomer's list, and how often."""
    for each in proposals:
        body = each.proposal.body
        if each.reference is not None and not isinstance(body, SelfRemove):
            raise InvalidError("V141", "an external Commit that refers to a proposal")
        if each.reference is None and not isinstance(body, ExternalInit | Remove | PreSharedKey):
            raise InvalidError("V139", f"a {each.proposal.proposal_type.name} in an external Commit")
    bodies = [each.proposal.body for each in proposals]
    if sum(isinstance(body, ExternalInit) for body in bodies) != 1:
        raise InvalidError("V136", "an external Commit without exactly one ExternalInit")
    if sum(isinstance(body, Remove) for body in bodies) > 1:
        raise InvalidError("V137", "an external Commit that removes two members")
    check_psks_differ(proposals)
    check_one_change_per_leaf(None, proposals)


def replaced_leaf(proposals: Sequence[ListedProposal]) -> int | None:
    """The leaf that the newcomer says was its own; None where it has none to remove."""
    return next((each.proposal.body.removed for each in proposals if isinstance(each.proposal.body, Remove)), None)


def check_joiner(
    suite: CipherSuite,
    context: GroupContext,
    leaf_index: int,
    leaf: LeafNode,
    former: LeafNode | None,
    config: GroupConfig,
) -> None:
    """The newcomer's leaf, to stand at `leaf_index`; `former` is the one it removes as its own (V145, V151).

    What the group asks of every leaf is judged with the tree that results.
    """
    check_leaf_source(leaf, LeafNodeSource.COMMIT)
    check_leaf_content(suite, leaf)
    if not leaf.verify(suite, context.group_id, leaf_index):
        raise InvalidError("V144", f"a newcomer's leaf that is not signed for leaf {leaf_index}")
    if former is not None:
        if config.policy.client_of(former) != config.policy.client_of(leaf):
            raise InvalidError("V137", "an external Commit that removes somebody else")
        if leaf.encryption_key == former.encryption_key:
            raise InvalidError("V138", "a newcomer with the encryption key of the leaf it replaces")
    check_use(config.validate_credential, CredentialUse(leaf.credential, leaf.signature_key, former), "V218")
