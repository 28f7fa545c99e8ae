"""Evidence as the group's members see it: whom two contradicting votes convict. Part of *hard* validity.

The chain of keys goes from the member to the votes, and the accuser can invent no link of it: the peer's own key signs
the leaf's signature key (the credential), that key signs the LeafNode in which the vote key stands, the vote key signs
for this group and this leaf key (proof of possession), and the vote key signs both votes. A voter's guard signs no two
votes of one instance and view that contradict each other, so whoever holds the key lied, or runs twice.

Not asked is whether the instance was one of this group's, since the public state of an epoch does not know past ones,
and hard validity may know no more: a vote key is of one group only, and its honest holder contradicts itself in no
instance, real or invented. Nor does a new leaf key help the accused, since it is known by its peer.
"""

from collections.abc import Sequence

from mls import LeafNode, MlsError, ProposalType, PublicGroup, PublicStaged, ed25519_verify
from node.electorate import RuleError, check_offer, leaf_of_peer, peer_of, voter_of
from node.peer_id import PeerId
from ordering import Evidence, OrderingError


def attached(public: PublicGroup, leaf_index: int, evidence: Evidence) -> Evidence:
    """The same, with the LeafNode that carries the vote key as it stands in the tree of that epoch."""
    leaf = public.leaf(leaf_index)
    assert leaf is not None, "a voter has a leaf"
    return Evidence(evidence.first, evidence.second, leaf.encode(), leaf_index)


def accused(public: PublicGroup, evidence: Evidence) -> PeerId:
    """The peer that it proves to have contradicted itself in this group; raises `RuleError`."""
    try:
        leaf = LeafNode.decode(evidence.leaf_node)
    except MlsError as error:
        raise RuleError(f"evidence without a leaf: {error}") from error
    peer, offer = peer_of(public, leaf), voter_of(leaf)
    if offer is None:
        raise RuleError("evidence with a leaf that never offered to vote")
    if not leaf.verify(public.suite, public.group_id, evidence.leaf):
        raise RuleError("evidence with a leaf that the accused did not sign")
    check_offer(public, evidence.leaf, leaf, offer)
    try:
        evidence.check(offer.vote_key, ed25519_verify)
    except OrderingError as error:
        raise RuleError(str(error)) from error
    return peer


def check_eviction(public: PublicGroup, evidence: Sequence[Evidence], staged: PublicStaged) -> frozenset[int]:
    """The leaves that a bundle with evidence convicts; raises `RuleError` unless all of them go, and nothing else is.

    What others proposed is left out too: whoever evicts answers for all of it.
    """
    if set(staged.proposal_types) != {ProposalType.REMOVE} or any(each.reference for each in staged.proposals):
        raise RuleError("a commit that evicts by evidence does nothing but remove")
    leaves = [leaf_of_peer(public, accused(public, each)) for each in evidence]
    if len(set(leaves)) != len(leaves):
        raise RuleError("a member is accused twice")
    convicted = frozenset(leaf for leaf in leaves if leaf is not None)
    if len(convicted) != len(leaves) or not convicted.issubset(staged.removes):
        raise RuleError("a member is accused that the commit does not remove")
    return convicted
