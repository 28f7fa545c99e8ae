"""The policy of a group, a leaf's offer to vote, and the descriptor of one committee.

`Policy` is the data of the GroupContext extension `ordering_policy`, `VoterExtension` that of the LeafNode
extension `voter`. `Descriptor` is what someone without the tree needs in order to check certificates.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta
from msgspec.structs import replace

from ordering.limits import (
    BENCH_MAX,
    COMMITTEE_MAX,
    DESCRIPTOR_SIZE_MAX,
    IDENTITY_SIZE_MAX,
    PINS_MAX,
    POLICY_SIZE_MAX,
)
from ordering.wire import Epoch, LeafIndex, VoteKey, VoteSignature, Wire, digest, framed

RULES_VERSION: Final = 2
"""The version of R1-R16, the election and hard validity that this node runs; a group on others is refused by name.

Raised whenever one of them changes: nodes that judge a commit differently would fork the group.
"""

Identity = Annotated[bytes, Meta(max_length=IDENTITY_SIZE_MAX)]


class Model(IntEnum):
    """Which faults a committee is built to survive."""

    BYZANTINE = 1  # voters may lie: n = 3f + 1
    CRASH = 2  # voters may only stop: n = 2 * offline + 1


def fault_count(committee_size: int, model: Model) -> int:
    """f, the number of liars a committee of this size tolerates."""
    return (committee_size - 1) // 3 if model is Model.BYZANTINE else 0


def quorum_size(committee_size: int, model: Model) -> int:
    """q = floor((n + f) / 2) + 1: any two quorums share a voter that tells the truth."""
    return (committee_size + fault_count(committee_size, model)) // 2 + 1


class PolicyKind(StrEnum):
    """How a policy fills the seats."""

    AUTO = "auto"  # the eldest willing, as many as make a good size
    PINNED = "pinned"  # named identities only
    ALL = "all"  # everyone willing


class BenchEntry(Wire, frozen=True):
    """A seat that is passed over: this leaf, as long as it has been willing since this epoch."""

    leaf: LeafIndex
    since: Epoch


class Policy(Wire, frozen=True):
    """How a group elects and what its timers start from."""

    SIZE_MAX: ClassVar[int] = POLICY_SIZE_MAX

    rules: Annotated[int, Meta(ge=1, le=255)] = RULES_VERSION
    model: Model = Model.BYZANTINE
    size_max: Annotated[int, Meta(ge=1, le=COMMITTEE_MAX)] = 7
    delta_ms: Annotated[int, Meta(ge=1, le=60_000)] = 500  # Δ₀
    pins: Annotated[tuple[Identity, ...], Meta(max_length=PINS_MAX)] = ()  # identities; not empty means `pinned`
    bench: Annotated[tuple[BenchEntry, ...], Meta(max_length=BENCH_MAX)] = ()
    everyone: bool = False  # `all`: whoever is eligible is seated, up to the largest size

    def __post_init__(self) -> None:
        if len(set(self.pins)) != len(self.pins):
            raise ValueError("an identity is pinned twice")
        if self.pins and self.everyone:
            raise ValueError("the policy seats either the pinned or everyone")
        if list(self.bench) != sorted(set(self.bench), key=_bench_order):
            raise ValueError("bench entries are not in ascending order, or one is repeated")

    @property
    def kind(self) -> PolicyKind:
        """How seats are filled."""
        if self.pins:
            return PolicyKind.PINNED
        return PolicyKind.ALL if self.everyone else PolicyKind.AUTO

    def with_bench(self, *entries: BenchEntry) -> Policy:
        """The same policy with more seats passed over."""
        return self.benching((*self.bench, *entries))

    def benching(self, entries: Iterable[BenchEntry]) -> Policy:
        """The same policy with exactly these seats passed over."""
        return replace(self, bench=tuple(sorted(set(entries), key=_bench_order)))


def _bench_order(entry: BenchEntry) -> tuple[int, int]:
    return (entry.leaf, entry.since)


class VoterExtension(Wire, frozen=True):
    """A leaf's offer to vote: its Ed25519 vote key, the epoch it is willing since, and proof that it holds the key."""

    SIZE_MAX: ClassVar[int] = 256

    vote_key: VoteKey
    since: Epoch
    pop: VoteSignature  # by the vote key, over `possession_bytes`


def possession_bytes(group_id: bytes, leaf_signature_key: bytes, since: int) -> bytes:
    """What a vote key signs to show that its holder means this leaf of this group, from this epoch."""
    return framed("conclave/voter/v1", group_id, leaf_signature_key, since)


class Descriptor(Wire, frozen=True):
    """One committee as relays, removed members and joiners see it: who may sign, and how many must."""

    SIZE_MAX: ClassVar[int] = DESCRIPTOR_SIZE_MAX

    rules: Annotated[int, Meta(ge=1, le=255)]
    model: Model
    quorum: Annotated[int, Meta(ge=1, le=COMMITTEE_MAX)]
    vote_keys: Annotated[tuple[VoteKey, ...], Meta(min_length=1, max_length=COMMITTEE_MAX)]  # in committee order

    def __post_init__(self) -> None:
        if len(set(self.vote_keys)) != len(self.vote_keys):
            raise ValueError("two seats share a vote key")
        if self.quorum != quorum_size(len(self.vote_keys), self.model):
            raise ValueError(f"quorum {self.quorum} is not that of {len(self.vote_keys)} voters")

    @property
    def size(self) -> int:
        """n, the number of voters."""
        return len(self.vote_keys)

    @property
    def faults(self) -> int:
        """f, the number of liars tolerated."""
        return fault_count(self.size, self.model)

    @property
    def hash(self) -> bytes:
        """What an invite pins; 32 bytes."""
        return digest("conclave/descriptor/v1", self.encode())
