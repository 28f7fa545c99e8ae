"""Who signed both of two contradicting Decisions: evidence about an epoch that was left.

While an epoch runs, its instance finds contradicting votes itself. Later only the two certificates are left, and a
voter in both has signed Finalize for two bundles. Of one view that is Evidence. Of two views it is none: who finalized
in one may have been shown, in all honesty, that it was nullified.

Evidence needs a LeafNode that its voter signed, with the vote key in it. Any one will do, since the key is the voter's
for as long as it is in the group: that of the present tree, or, of who has left or came back with other keys, one that
a kept commit put there.
"""

from collections.abc import Iterator
from typing import Final

from mls import LeafNode, MlsError, PublicGroup, path_leaf
from node.electorate import RuleError, voter_of
from node.store_reads import StoreReads
from ordering import Candidate, Decision, Evidence, Fork, OrderingError, SignedVote, Vote, VoteKind

LEAF_SEARCH_EPOCHS_MAX: Final = 256  # kept commits that are looked through for the leaf of who has gone
_ROWS_AT_ONCE: Final = 8


def contradictions(store: StoreReads, public: PublicGroup, fork: Fork, own_key: bytes) -> Iterator[Evidence]:
    """The evidence in two Decisions of one epoch against all others whose leaf is still known.

    `public` is the present epoch; `own_key` is our vote key: nobody accuses itself.
    """
    if fork.first.view != fork.second.view:
        return
    seconds = dict(fork.second.certificate.signatures)
    for voter, signature in fork.first.certificate.signatures:
        vote_key = fork.first.descriptor.vote_keys[voter]
        if voter not in seconds or vote_key == own_key:
            continue
        found = _in_tree(public, vote_key) or _in_commits(store, fork.first, vote_key)
        if found is not None:
            leaf_index, leaf = found
            first = _finalize(fork.first, voter, signature)
            second = _finalize(fork.second, voter, seconds[voter])
            yield Evidence(first, second, leaf.encode(), leaf_index)


def _finalize(decision: Decision, voter: int, signature: bytes) -> SignedVote:
    return Vote(VoteKind.FINALIZE, decision.view, voter, decision.id, signature).signed(decision.instance)


def _in_tree(public: PublicGroup, vote_key: bytes) -> tuple[int, LeafNode] | None:
    return next(((index, leaf) for index, leaf in public.leaves() if _has(leaf, vote_key)), None)


def _in_commits(store: StoreReads, decision: Decision, vote_key: bytes) -> tuple[int, LeafNode] | None:
    """Where the voter's own commit put its leaf, before it had a seat or while it had one."""
    epoch, found = max(0, decision.epoch - LEAF_SEARCH_EPOCHS_MAX), None
    while rows := store.decisions(decision.group_id, epoch, _ROWS_AT_ONCE):
        for row in rows:
            if row.epoch > decision.epoch:
                return found
            placed = None if row.candidate is None else _placed(row.candidate)
            if placed is not None and _has(placed[1], vote_key):
                found = placed
        epoch = rows[-1].epoch + 1
    return found


def _placed(candidate: bytes) -> tuple[int, LeafNode] | None:
    try:
        return path_leaf(Candidate.decode(candidate).bundle.commit)
    except (MlsError, OrderingError):
        return None  # such a row has nothing to say


def _has(leaf: LeafNode, vote_key: bytes) -> bool:
    try:
        offer = voter_of(leaf)
    except RuleError:
        return False
    return offer is not None and offer.vote_key == vote_key
