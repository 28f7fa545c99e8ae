"""What two nodes say to each other about a group, besides the agreement itself.

Every structure is a versioned msgpack array with exactly one encoding (`ordering.Wire`). Frames travel on kept
streams and name their group by a *tag*, a hash that tells an outsider nothing; hints on a topic carry the same
frame, sealed under a key of the epoch (`node.sealing`).
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import sha256
from node.transport import FRAME_SIZE_MAX, GOSSIP_SIZE_MAX, RESPONSE_SIZE_MAX
from ordering import JOIN_PROOF_SIZE_MAX, Wire

TAG_SIZE: Final = 16
MESSAGE_ID_SIZE: Final = 32
EPOCHS_PER_SYNC_MAX: Final = 24  # epochs one sync answer speaks of: the retained past and the present
MESSAGE_IDS_PER_SYNC_MAX: Final = 65_536  # in one answer, 2 MiB of them
MESSAGES_PER_PULL_MAX: Final = 256
PULL_SIZE_MAX: Final = RESPONSE_SIZE_MAX - 4096
NAME_SIZE_MAX: Final = 64

KEY_PACKAGE_PROTOCOL: Final = "/conclave/key-package/1"
WELCOME_PROTOCOL: Final = "/conclave/welcome/1"
CANDIDATE_PROTOCOL: Final = "/conclave/candidate/1"
SYNC_PROTOCOL: Final = "/conclave/sync/1"
MESSAGES_PROTOCOL: Final = "/conclave/messages/1"
CHAIN_PROTOCOL: Final = "/conclave/chain/1"
BUNDLE_PROTOCOL: Final = "/conclave/bundle/1"
KEPT_PROTOCOL: Final = "/conclave/reach/1"
RESCUE_PROTOCOL: Final = "/conclave/rescue/1"
GROUP_INFO_PROTOCOL: Final = "/conclave/group-info/1"

Tag = Annotated[bytes, Meta(min_length=TAG_SIZE, max_length=TAG_SIZE)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Epoch = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def group_tag(group_id: bytes) -> bytes:
    """The name of a group on the wire, `TAG_SIZE` bytes: who does not know the group id cannot tell which it is."""
    return sha256(b"conclave/tag/v1" + group_id)[:TAG_SIZE]


def topic_of(group_id: bytes) -> str:
    """The gossip topic of a group."""
    return f"conclave/1/{group_tag(group_id).hex()}"


class FrameKind(IntEnum):
    """What a frame carries."""

    ORDERING = 1  # an ordering message: vote, propose, proof, status, decision
    CANDIDATE = 2  # an encoded ordering.Candidate
    MESSAGE = 3  # an MLS PrivateMessage with application data
    INTRODUCTIONS = 4  # where members can be reached
    EVIDENCE = 5  # an encoded ordering.Evidence
    INTENTS = 6  # an encoded node.folding.Offer: what a member wants others to carry along
    HOLDS = 7  # an encoded Holds: which messages a member has


class Frame(Wire, frozen=True):
    """One thing said to a peer, or to a topic, about one group."""

    SIZE_MAX: ClassVar[int] = FRAME_SIZE_MAX

    tag: Tag
    kind: FrameKind
    body: Annotated[bytes, Meta(max_length=FRAME_SIZE_MAX)]


class Sealed(Wire, frozen=True):
    """A frame on a topic, under the key of one epoch of one group."""

    SIZE_MAX: ClassVar[int] = GOSSIP_SIZE_MAX

    tag: Tag
    epoch: Epoch
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]
    ciphertext: Annotated[bytes, Meta(max_length=GOSSIP_SIZE_MAX)]


class KeyPackageRequest(Wire, frozen=True):
    """May I have a key package of yours for this suite?"""

    SIZE_MAX: ClassVar[int] = 64

    suite: Annotated[int, Meta(ge=0, le=0xFFFF)]


class WelcomeDelivery(Wire, frozen=True):
    """You are in: the proof that you were added, with the Welcome inside, and how we call the group."""

    SIZE_MAX: ClassVar[int] = JOIN_PROOF_SIZE_MAX + 1024

    join_proof: Annotated[bytes, Meta(max_length=JOIN_PROOF_SIZE_MAX)]
    name: Annotated[str, Meta(max_length=NAME_SIZE_MAX)]


class CandidateRequest(Wire, frozen=True):
    """The bytes of one candidate of the present epoch, or of a decided bundle."""

    SIZE_MAX: ClassVar[int] = 128

    tag: Tag
    id: Hash


class ChainQuestion(Wire, frozen=True):
    """The decided log from an epoch on, please."""

    SIZE_MAX: ClassVar[int] = 1024

    tag: Tag
    request: Annotated[bytes, Meta(max_length=512)]  # an ordering.ChainRequest


class KeptRequest(Wire, frozen=True):
    """From which epoch on do you keep what was decided?"""

    SIZE_MAX: ClassVar[int] = 64

    tag: Tag


class Kept(Wire, frozen=True):
    """From `first` to `epoch` a node can lead a laggard."""

    SIZE_MAX: ClassVar[int] = 64

    first: Epoch
    epoch: Epoch


class BundleRequest(Wire, frozen=True):
    """The candidate that ended this epoch, please."""

    SIZE_MAX: ClassVar[int] = 128

    tag: Tag
    epoch: Epoch


class GroupInfoRequest(Wire, frozen=True):
    """The GroupInfo of this epoch with its external key, please; its tree I have. The answer is an MLSMessage."""

    SIZE_MAX: ClassVar[int] = 128

    tag: Tag
    epoch: Epoch


class EpochDigest(Wire, frozen=True):
    """The messages of one epoch that a node holds, as one hash."""

    epoch: Epoch
    digest: Hash


class SyncRequest(Wire, frozen=True):
    """I am in this epoch and hold these messages; what do I lack?"""

    SIZE_MAX: ClassVar[int] = 4096

    tag: Tag
    epoch: Epoch
    digests: Annotated[tuple[EpochDigest, ...], Meta(max_length=EPOCHS_PER_SYNC_MAX)]


class Holds(Wire, frozen=True):
    """I am in `epoch`, and this is the hash of the messages of it, and of the epochs since `first`, that I hold."""

    SIZE_MAX: ClassVar[int] = 128

    first: Epoch
    epoch: Epoch
    digest: Hash
    is_answer: bool  # to another's, and not answered again


class EpochMessages(Wire, frozen=True):
    """The ids of the messages of one epoch that a node holds."""

    epoch: Epoch
    ids: Annotated[tuple[Hash, ...], Meta(max_length=MESSAGE_IDS_PER_SYNC_MAX)]


class SyncReply(Wire, frozen=True):
    """Where the answering node stands, and its message ids of the epochs where the asker's set differs."""

    SIZE_MAX: ClassVar[int] = RESPONSE_SIZE_MAX

    epoch: Epoch
    messages: Annotated[tuple[EpochMessages, ...], Meta(max_length=EPOCHS_PER_SYNC_MAX)]


class MessagesRequest(Wire, frozen=True):
    """These messages of a group, please."""

    SIZE_MAX: ClassVar[int] = 64 * 1024

    tag: Tag
    ids: Annotated[tuple[Hash, ...], Meta(max_length=MESSAGES_PER_PULL_MAX)]


class MessagesReply(Wire, frozen=True):
    """Those of the messages asked for that are here and fit."""

    SIZE_MAX: ClassVar[int] = RESPONSE_SIZE_MAX

    payloads: Annotated[tuple[bytes, ...], Meta(max_length=MESSAGES_PER_PULL_MAX)]
