"""Who votes in a group, read out of its public MLS state.

Two private-use extensions carry it: `ordering_policy` in the GroupContext, and `voter` in the leaf of a member that
is willing. `ordering.elect` does the electing; this file turns leaves into seats and checks, as part of *hard*
validity, what a commit may do to them. Everything here is a pure function of public state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mls import Extension, ExtensionType, LeafNode, LeafNodeSource, PublicGroup, PublicStaged, ed25519_verify, find
from node.errors import NodeError
from node.identity import BindingError, valid_vote_key, verify_binding
from node.peer_id import PeerId
from ordering import BenchEntry, Committee, OrderingError, Policy, Seat, VoterExtension, elect, possession_bytes

POLICY_EXTENSION: Final = 0xF0C0
VOTER_EXTENSION: Final = 0xF0C1
PRIVATE_EXTENSIONS: Final = (POLICY_EXTENSION, VOTER_EXTENSION)
"""Extension types of the private range (RFC 9420 §17.3) that every member's capabilities list."""

BINDINGS_CACHED: Final = 4096
OFFERS_CACHED: Final = 4096  # a few hundred bytes each; every leaf's is asked for several times in an epoch
POLICIES_CACHED: Final = 64

LEAF_SIZE_MAX: Final = 16 * 1024
"""One leaf of the tree: a post-quantum one has half of it. Every Welcome carries them all, and evidence one."""


class RuleError(NodeError):
    """A commit breaks a rule of this layer: it is *hard*-invalid at every member. The message says which."""


@dataclass(frozen=True, slots=True)
class Voting:
    """The policy of an epoch and the committee it elects from the tree."""

    policy: Policy
    committee: Committee


def policy_extension(policy: Policy) -> Extension:
    """The policy as the GroupContext carries it."""
    return Extension(ExtensionType(POLICY_EXTENSION), policy.encode())


def voter_extension(voter: VoterExtension) -> Extension:
    """A willing leaf's offer as the leaf carries it."""
    return Extension(ExtensionType(VOTER_EXTENSION), voter.encode())


def policy_of(extensions: Iterable[Extension]) -> Policy:
    """The group's ordering policy; `RuleError` when it is missing or cannot be read."""
    data = find(tuple(extensions), POLICY_EXTENSION)
    if data is None:
        raise RuleError("the group has no ordering policy")
    try:
        return _read_policy(data)
    except OrderingError as error:
        raise RuleError(f"ordering policy: {error}") from error


def voter_of(leaf: LeafNode) -> VoterExtension | None:
    """A leaf's offer to vote, or None; `RuleError` when there is one that cannot be read."""
    data = find(leaf.extensions, VOTER_EXTENSION)
    if data is None:
        return None
    try:
        return _read_voter(data)
    except OrderingError as error:
        raise RuleError(f"voter extension: {error}") from error


@lru_cache(maxsize=OFFERS_CACHED)
def _read_voter(data: bytes) -> VoterExtension:
    return VoterExtension.decode(data)


@lru_cache(maxsize=POLICIES_CACHED)
def _read_policy(data: bytes) -> Policy:
    return Policy.decode(data)


def peer_of(public: PublicGroup, leaf: LeafNode) -> PeerId:
    """The peer a leaf belongs to; `RuleError` when its credential does not show it."""
    try:
        return _peer_of(leaf.credential.identity, leaf.signature_key, public.suite.id)
    except BindingError as error:
        raise RuleError(str(error)) from error


@lru_cache(maxsize=BINDINGS_CACHED)
def _peer_of(identity: bytes, signature_key: bytes, suite: int) -> PeerId:
    """Whole trees are asked about at every epoch, and a binding's signature never changes its mind."""
    return verify_binding(identity, signature_key, suite)


def leaf_of_peer(public: PublicGroup, peer: PeerId) -> int | None:
    """Where a peer stands in the tree."""
    return next((index for index, leaf in public.leaves() if peer_of(public, leaf) == peer), None)


def is_eligible(public: PublicGroup, leaf: LeafNode) -> bool:
    """Willing, and in the group by its own act. Who was just added by KeyPackage may not have joined yet."""
    if voter_of(leaf) is None:
        return False
    return leaf.leaf_node_source is not LeafNodeSource.KEY_PACKAGE or public.epoch == 0


def seats_of(public: PublicGroup) -> tuple[Seat, ...]:
    """Every willing leaf as a neutral seat, by leaf index. The identity of a seat is the peer's."""
    seats = []
    for leaf_index, leaf in public.leaves():
        voter = voter_of(leaf)
        if voter is not None:
            identity = peer_of(public, leaf).encode()
            seats.append(Seat(leaf_index, identity, voter.vote_key, voter.since, is_eligible(public, leaf)))
    return tuple(seats)


def voting_of(public: PublicGroup) -> Voting:
    """Policy and committee of an epoch; `RuleError` when nobody can be seated."""
    policy = policy_of(public.extensions)
    try:
        return Voting(policy, elect(policy, seats_of(public)))
    except OrderingError as error:
        raise RuleError(str(error)) from error


def due_since(before: PublicGroup, leaf_index: int, former: LeafNode | None) -> int:
    """The epoch since when a leaf that is renewed in this one counts as willing.

    What it had, if it was eligible; else this one. So a benched leaf comes back by any commit or Update of its own:
    its entry does not name it any more, and it has gone to the end of the order. `former` is the leaf it continues,
    at `leaf_index` of `before`; None for a newcomer.
    """
    offer = None if former is None or not is_eligible(before, former) else voter_of(former)
    if offer is None or BenchEntry(leaf_index, offer.since) in policy_of(before.extensions).bench:
        return before.epoch
    return offer.since


def is_benched(public: PublicGroup, leaf_index: int) -> bool:
    """Whether a willing leaf is passed over."""
    leaf = public.leaf(leaf_index)
    offer = None if leaf is None else voter_of(leaf)
    return offer is not None and BenchEntry(leaf_index, offer.since) in policy_of(public.extensions).bench


def can_go_on(public: PublicGroup, voting: Voting, without: frozenset[int]) -> bool:
    """Whether somebody can be elected once these leaves are gone."""
    try:
        elect(voting.policy, [seat for seat in seats_of(public) if seat.leaf not in without])
    except OrderingError:
        return False
    return True


def check_leaves(before: PublicGroup, staged: PublicStaged) -> None:
    """What a commit may do to leaves and their offers to vote (hard validity); raises `RuleError`.

    Every touched leaf names its peer and is small, no peer has two leaves, vote keys are sound and distinct in the
    tree, `since` is inherited by who was eligible and else the epoch that ends, and the key's holder shows that it
    means this leaf.
    """
    after = staged.successor
    touched = {addition.leaf_index for addition in staged.adds} | set(staged.updates)
    if staged.has_path:
        touched.add(staged.committer)
    former = dict(before.leaves())
    for leaf_index, leaf in after.leaves():
        if leaf_index in touched:
            comes_back = staged.is_external and leaf_index == staged.committer
            added = any(addition.leaf_index == leaf_index for addition in staged.adds)
            continued = staged.removes[0] if comes_back and staged.removes else leaf_index
            _check_leaf(before, continued, leaf, None if added else former.get(continued))
    _check_distinct(after)


def check_tree(public: PublicGroup) -> None:
    """The same of every leaf, for who comes into a group and has nothing but its tree; raises `RuleError`."""
    for leaf_index, leaf in public.leaves():
        _check_size(leaf_index, leaf)
        voter = voter_of(leaf)
        if voter is not None:
            check_offer(public, leaf_index, leaf, voter)
    _check_distinct(public)


def _check_size(leaf_index: int, leaf: LeafNode) -> None:
    if len(leaf.encode()) > LEAF_SIZE_MAX:
        raise RuleError(f"leaf {leaf_index} is larger than {LEAF_SIZE_MAX} bytes")


def _check_distinct(public: PublicGroup) -> None:
    peers = [peer_of(public, leaf) for _, leaf in public.leaves()]
    if len(set(peers)) != len(peers):
        raise RuleError("a peer has two leaves in the tree")
    keys = [seat.vote_key for seat in seats_of(public)]
    if len(set(keys)) != len(keys):
        raise RuleError("two leaves share a vote key")


def _check_leaf(before: PublicGroup, leaf_index: int, leaf: LeafNode, former: LeafNode | None) -> None:
    if former is not None and peer_of(before, leaf) != peer_of(before, former):
        raise RuleError(f"leaf {leaf_index} would pass to another peer")
    _check_size(leaf_index, leaf)
    voter = voter_of(leaf)
    if voter is None:
        return
    if former is None or former.signature_key != leaf.signature_key or voter_of(former) != voter:
        check_offer(before, leaf_index, leaf, voter)  # an offer that stays as it was has been checked
    expected = due_since(before, leaf_index, former)
    if voter.since != expected:
        raise RuleError(f"leaf {leaf_index}: willing since epoch {voter.since}, where {expected} is due")


def check_offer(public: PublicGroup, leaf_index: int, leaf: LeafNode, voter: VoterExtension) -> None:
    """The vote key is sound, and its holder means this leaf of this group; raises `RuleError`."""
    if not valid_vote_key(voter.vote_key):
        raise RuleError(f"leaf {leaf_index}: the vote key is not canonical and of full order")
    possession = possession_bytes(public.group_id, leaf.signature_key, voter.since)
    if not ed25519_verify(voter.vote_key, possession, voter.pop):
        raise RuleError(f"leaf {leaf_index}: the vote key's holder has not signed this leaf and epoch")
