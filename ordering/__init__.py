"""Agreement on one commit per epoch: single-shot Simplex, sans-I/O. The protocol as built is `docs/ordering.md`.

The machine, per (group, epoch)::

    config = InstanceConfig(group_id, epoch, prev, committee, own_voter, own_leaf, sign, verify, ...)
    state = create(config, guard)                      # or restore(config, guard, records)
    transition = step(state, Open(now_s))              # then Received, Learned, Heard, Tick
    # one transaction: every Persist of transition.effects (and Decided, if there); only then the rest, in order
    state = transition.state                           # a Tick is due at state.wake_at_s

`own_voter=None` makes a follower: the same machine without votes. Messages are framed by `encode_message` and
`decode_message`; all but `Candidate`, `ChainRequest` and `Chain` go into `Received`. Messages of an instance that is
not open yet are parked by the caller, at most `PARKED_MESSAGES_PER_PEER_MAX` of a peer.
"""

from ordering.candidates import (
    INTENT_ORDINAL,
    PLAIN_ORDINAL,
    Bundle,
    Candidate,
    CandidateFacts,
    ProposalClass,
    candidate_bytes,
)
from ordering.certificate import Certificate, Decision
from ordering.committee import Committee, Seat, elect, ranked
from ordering.errors import GuardRefusal, InvalidError, MalformedError, MisuseError, OrderingError
from ordering.events import (
    Abstained,
    Broadcast,
    BuildOwn,
    Decided,
    Effect,
    EvidenceFound,
    Fetch,
    Frozen,
    Heard,
    Input,
    Learned,
    Open,
    Persist,
    Received,
    Send,
    Speak,
    Tick,
)
from ordering.evidence import Evidence
from ordering.guard import Guard
from ordering.instance import create, restore, step
from ordering.join_proof import JoinProof, check_join_proof, known_voters
from ordering.justification import Justification
from ordering.limits import (
    BUNDLE_SIZE_MAX,
    CANDIDATE_SIZE_MAX,
    CHAIN_ENTRIES_MAX,
    COMMITTEE_MAX,
    JOIN_PROOF_SIZE_MAX,
    PARKED_MESSAGES_PER_PEER_MAX,
    PARKED_SIZE_PER_PEER_MAX,
    STATUS_CANDIDATES_MAX,
)
from ordering.log import Anchor, Fork, LogEntry, find_fork, verify_chain, verify_entry
from ordering.messages import (
    MESSAGE_SIZE_MAX,
    InstanceMessage,
    Message,
    MessageKind,
    Propose,
    Status,
    decode_message,
    encode_message,
    is_instance_message,
)
from ordering.naming import genesis_prev, instance_id, permutation
from ordering.policy import (
    RULES_VERSION,
    BenchEntry,
    Descriptor,
    Model,
    Policy,
    PolicyKind,
    VoterExtension,
    fault_count,
    possession_bytes,
    quorum_size,
)
from ordering.records import Freeze, FreezeReason, InstanceRecord, Record
from ordering.state import InstanceConfig, InstanceState, Timing, Transition
from ordering.survival import Survival, survival
from ordering.sync import (
    Apply,
    BlamePeer,
    BundleHeld,
    CatchUp,
    CatchUpEffect,
    CatchUpInput,
    CatchUpTick,
    Chain,
    ChainArrived,
    ChainRequest,
    EpochEntered,
    FetchBundle,
    PeerAhead,
    RequestChain,
    answer,
)
from ordering.votes import SignedVote, Verify, Vote, VoteKind, vote_bytes
from ordering.wire import BundleId, InstanceId, LeafIndex, LeafSignature, Wire, digest, framed

__all__ = [
    "BUNDLE_SIZE_MAX",
    "CANDIDATE_SIZE_MAX",
    "CHAIN_ENTRIES_MAX",
    "COMMITTEE_MAX",
    "INTENT_ORDINAL",
    "JOIN_PROOF_SIZE_MAX",
    "MESSAGE_SIZE_MAX",
    "PARKED_MESSAGES_PER_PEER_MAX",
    "PARKED_SIZE_PER_PEER_MAX",
    "PLAIN_ORDINAL",
    "RULES_VERSION",
    "STATUS_CANDIDATES_MAX",
    "Abstained",
    "Anchor",
    "Apply",
    "BenchEntry",
    "BlamePeer",
    "Broadcast",
    "BuildOwn",
    "Bundle",
    "BundleHeld",
    "BundleId",
    "Candidate",
    "CandidateFacts",
    "CatchUp",
    "CatchUpEffect",
    "CatchUpInput",
    "CatchUpTick",
    "Certificate",
    "Chain",
    "ChainArrived",
    "ChainRequest",
    "Committee",
    "Decided",
    "Decision",
    "Descriptor",
    "Effect",
    "EpochEntered",
    "Evidence",
    "EvidenceFound",
    "Fetch",
    "FetchBundle",
    "Fork",
    "Freeze",
    "FreezeReason",
    "Frozen",
    "Guard",
    "GuardRefusal",
    "Heard",
    "Input",
    "InstanceConfig",
    "InstanceId",
    "InstanceMessage",
    "InstanceRecord",
    "InstanceState",
    "InvalidError",
    "JoinProof",
    "Justification",
    "LeafIndex",
    "LeafSignature",
    "Learned",
    "LogEntry",
    "MalformedError",
    "Message",
    "MessageKind",
    "MisuseError",
    "Model",
    "Open",
    "OrderingError",
    "PeerAhead",
    "Persist",
    "Policy",
    "PolicyKind",
    "ProposalClass",
    "Propose",
    "Received",
    "Record",
    "RequestChain",
    "Seat",
    "Send",
    "SignedVote",
    "Speak",
    "Status",
    "Survival",
    "Tick",
    "Timing",
    "Transition",
    "Verify",
    "Vote",
    "VoteKind",
    "VoterExtension",
    "Wire",
    "answer",
    "candidate_bytes",
    "check_join_proof",
    "create",
    "decode_message",
    "digest",
    "elect",
    "encode_message",
    "fault_count",
    "find_fork",
    "framed",
    "genesis_prev",
    "instance_id",
    "is_instance_message",
    "known_voters",
    "permutation",
    "possession_bytes",
    "quorum_size",
    "ranked",
    "restore",
    "step",
    "survival",
    "verify_chain",
    "verify_entry",
    "vote_bytes",
]
