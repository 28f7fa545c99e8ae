"""Every bound a peer could push against, by name."""

from __future__ import annotations

from typing import Final

COMMITTEE_MAX: Final = 31
VIEW_MAX: Final = 2**32 - 1
EPOCH_MAX: Final = 2**63 - 1
LEAF_MAX: Final = 2**32 - 1

GROUP_ID_SIZE_MAX: Final = 256
IDENTITY_SIZE_MAX: Final = 1024
SIGNATURE_SIZE_MAX: Final = 8 * 1024  # a leaf's, post-quantum ones included (ML-DSA-87: 4627); a vote's is exactly 64
LEAF_NODE_SIZE_MAX: Final = 64 * 1024
FINGERPRINT_SIZE_MAX: Final = 64
TRANSCRIPT_HASH_SIZE_MAX: Final = 64

PINS_MAX: Final = COMMITTEE_MAX
BENCH_MAX: Final = 256

STATUS_CANDIDATES_MAX: Final = 8
VIEWS_AHEAD_MAX: Final = 2  # R11: votes are kept up to view + 2
JUSTIFICATION_VIEWS_MAX: Final = 512  # consecutive nullified views one proof can span; the view after them has no end

# How many candidates an instance knows at once, and how many of one leaf and ordinal (the first, and rivals).
CANDIDATES_MAX: Final = 512
CANDIDATE_RIVALS_MAX: Final = 4
CANDIDATE_ORDINAL_MAX: Final = 1
OFFERING_MEMBERS_MAX: Final = 64  # members without a seat whose offers are remembered, the latest ones
OFFER_LISTS_MAX: Final = 8  # lists of offers taken from one sender in a Status period: each may cause fetches

# For the node: what may wait for an instance that is not open yet (R11, "the next epoch"), per peer.
# Three votes for each of views 0..2, a Propose, a proof and a Status, with room for repeats.
PARKED_MESSAGES_PER_PEER_MAX: Final = 24
PARKED_SIZE_PER_PEER_MAX: Final = 256 * 1024

PROPOSALS_MAX: Final = 1024
BUNDLE_EVIDENCE_MAX: Final = COMMITTEE_MAX

VOTE_SIZE_MAX: Final = 256
CERTIFICATE_SIZE_MAX: Final = 4 * 1024
JUSTIFICATION_SIZE_MAX: Final = 960 * 1024  # so many nullifications of 31 voters; a Propose with it fits in a frame
PROPOSE_SIZE_MAX: Final = JUSTIFICATION_SIZE_MAX + 1024
STATUS_SIZE_MAX: Final = SIGNATURE_SIZE_MAX + 2 * 1024
DESCRIPTOR_SIZE_MAX: Final = 2 * 1024
POLICY_SIZE_MAX: Final = 64 * 1024
DECISION_SIZE_MAX: Final = 8 * 1024
EVIDENCE_SIZE_MAX: Final = LEAF_NODE_SIZE_MAX + 1024
BUNDLE_SIZE_MAX: Final = 4 * 1024 * 1024
CANDIDATE_SIZE_MAX: Final = BUNDLE_SIZE_MAX + SIGNATURE_SIZE_MAX + 1024
CHAIN_ENTRIES_MAX: Final = 128
CHAIN_SIZE_MAX: Final = CHAIN_ENTRIES_MAX * (DECISION_SIZE_MAX + DESCRIPTOR_SIZE_MAX + 128)
JOIN_PROOF_SIZE_MAX: Final = CANDIDATE_SIZE_MAX + CHAIN_SIZE_MAX
RECORD_SIZE_MAX: Final = 3 * JUSTIFICATION_SIZE_MAX
