"""Carrying out a Commit's proposals on the tree and the extensions (RFC 9420 §12.3); rules are checked elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from mls.extensions import Extensions
from mls.key_packages import KeyPackage
from mls.proposal_list import ListedProposal
from mls.proposals import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ReInit, Remove, SelfRemove, Update
from mls.psks import PreSharedKeyID
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree


@dataclass(frozen=True, slots=True)
class Addition:
    """A newcomer and the leaf it was given."""

    leaf_index: int
    key_package: KeyPackage

    @property
    def reference(self) -> bytes:
        return self.key_package.reference

    @property
    def leaf(self) -> LeafNode:
        return self.key_package.leaf_node


@dataclass(frozen=True, slots=True)
class Applied:
    """The tree and extensions after a list of proposals, before any path is merged; what changed, in list order.

    Of an external Commit the tree has room for the newcomer.
    """

    tree: RatchetTree
    extensions: Extensions
    adds: tuple[Addition, ...] = ()
    removes: tuple[int, ...] = ()
    updates: tuple[int, ...] = ()
    psks: tuple[PreSharedKeyID, ...] = ()
    kem_output: bytes | None = None  # of an ExternalInit
    reinit: ReInit | None = None

    @property
    def added_leaves(self) -> frozenset[int]:
        return frozenset(each.leaf_index for each in self.adds)


def apply_proposals(tree: RatchetTree, extensions: Extensions, proposals: Sequence[ListedProposal]) -> Applied:
    """Group context extensions first, then Updates, Removes and Adds, each in list order (§12.3, V133).

    A SelfRemove comes before the Removes (draft-ietf-mls-extensions).
    """
    adds, removes, updates = [], [], []
    for each in proposals:
        if isinstance(each.proposal.body, GroupContextExtensions):
            extensions = each.proposal.body.extensions
    for each in proposals:
        if isinstance(each.proposal.body, Update):
            assert each.sender.leaf_index is not None
            tree = tree.update(each.sender.leaf_index, each.proposal.body.leaf_node)
            updates.append(each.sender.leaf_index)
    for removed in removed_leaves(proposals):
        tree = tree.remove(removed)
        removes.append(removed)
    for each in proposals:
        if isinstance(each.proposal.body, Add):
            tree, leaf_index = tree.add(each.proposal.body.key_package.leaf_node)
            adds.append(Addition(leaf_index, each.proposal.body.key_package))
    bodies = [each.proposal.body for each in proposals]
    return Applied(
        tree,
        extensions,
        tuple(adds),
        tuple(removes),
        tuple(updates),
        tuple(body.psk for body in bodies if isinstance(body, PreSharedKey)),
        next((body.kem_output for body in bodies if isinstance(body, ExternalInit)), None),
        next((body for body in bodies if isinstance(body, ReInit)), None),
    )


def removed_leaves(proposals: Sequence[ListedProposal]) -> list[int]:
    """The leaves that the list blanks, in the order in which it does."""
    leaving = [each.sender.leaf_index for each in proposals if isinstance(each.proposal.body, SelfRemove)]
    removed = [each.proposal.body.removed for each in proposals if isinstance(each.proposal.body, Remove)]
    return [*(leaf_index for leaf_index in leaving if leaf_index is not None), *removed]
