"""Every bound a peer could push against, by name."""

from __future__ import annotations

from typing import Final

COMMITTEE_MAX: Final = 31  # voters
VOTES_TO_ALL_MAX: Final = 13  # voters; in a larger committee votes may go through the leader (R16)
VIEW_MAX: Final = 2**32 - 1  # on the wire
EPOCH_MAX: Final = 2**63 - 1  # on the wire
LEAF_MAX: Final = 2**32 - 1  # on the wire

GROUP_ID_SIZE_MAX: Final = 256  # a group's name
IDENTITY_SIZE_MAX: Final = 1024  # what a seat is given to
SIGNATURE_SIZE_MAX: Final = 8 * 1024  # a leaf's, post-quantum ones included (ML-DSA-87: 4627); a vote's is exactly 64
LEAF_NODE_SIZE_MAX: Final = 64 * 1024  # the leaf in Evidence
FINGERPRINT_SIZE_MAX: Final = 64  # of an epoch, in a Status
TRANSCRIPT_HASH_SIZE_MAX: Final = 64  # in a JoinProof

PINS_MAX: Final = COMMITTEE_MAX  # identities that a policy pins
BENCH_MAX: Final = 256  # seats that a policy passes over

STATUS_CANDIDATES_MAX: Final = 8  # candidates that a Status offers
VIEWS_AHEAD_MAX: Final = 2  # R11: votes are kept up to view + 2
JUSTIFICATION_VIEWS_MAX: Final = 512  # consecutive nullified views one proof can span; the view after them has no end

# How many candidates an instance knows at once, and how many of one leaf and ordinal (the first, and rivals).
CANDIDATES_MAX: Final = 512  # candidates that an instance knows at once; those of voters, and its own, come on top
CANDIDATE_RIVALS_MAX: Final = 4  # of one leaf and ordinal: the first, and rivals
CANDIDATE_ORDINAL_MAX: Final = 1  # a leaf has two live candidates at most
OFFERING_MEMBERS_MAX: Final = 64  # members without a seat whose offers are remembered, the latest ones
OFFER_LISTS_MAX: Final = 8  # lists of offers taken from one sender in a Status period: each may cause fetches

# For the node: what may wait for an instance that is not open yet (R11, "the next epoch"), per peer.
# Three votes for each of views 0..2, a Propose, a proof and a Status, with room for repeats.
PARKED_MESSAGES_PER_PEER_MAX: Final = 24  # waiting for an instance that is not open yet
PARKED_SIZE_PER_PEER_MAX: Final = 256 * 1024  # likewise

PROPOSALS_MAX: Final = 1024  # in a commit, and in the bundle beside it: what it did fits in an entry of the feed
BUNDLE_EVIDENCE_MAX: Final = COMMITTEE_MAX  # contradictions that a bundle evicts for

VOTE_SIZE_MAX: Final = 256  # one vote
CERTIFICATE_SIZE_MAX: Final = 4 * 1024  # q votes for one thing
JUSTIFICATION_SIZE_MAX: Final = 960 * 1024  # so many nullifications of 31 voters; a Propose with it fits in a frame
PROPOSE_SIZE_MAX: Final = JUSTIFICATION_SIZE_MAX + 1024  # a leader's proposal with its J
STATUS_SIZE_MAX: Final = SIGNATURE_SIZE_MAX + 2 * 1024  # where a member stands
DESCRIPTOR_SIZE_MAX: Final = 2 * 1024  # a committee without its tree
POLICY_SIZE_MAX: Final = 64 * 1024  # in the group context
DECISION_SIZE_MAX: Final = 8 * 1024  # how an epoch ended
EVIDENCE_SIZE_MAX: Final = LEAF_NODE_SIZE_MAX + 1024  # a contradiction with its leaf
BUNDLE_SIZE_MAX: Final = 4 * 1024 * 1024  # a commit and all that goes with it
CANDIDATE_SIZE_MAX: Final = BUNDLE_SIZE_MAX + SIGNATURE_SIZE_MAX + 1024  # a bundle and its author's signature
CHAIN_ENTRIES_MAX: Final = 128  # decisions in one answer
CHAIN_SIZE_MAX: Final = CHAIN_ENTRIES_MAX * (DECISION_SIZE_MAX + DESCRIPTOR_SIZE_MAX + 128)  # one answer of catching up
JOIN_PROOF_SIZE_MAX: Final = CANDIDATE_SIZE_MAX + CHAIN_SIZE_MAX  # what a newcomer is given
RECORD_SIZE_MAX: Final = 3 * JUSTIFICATION_SIZE_MAX  # an undecided instance on disk
