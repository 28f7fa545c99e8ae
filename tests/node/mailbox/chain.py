"""A decided chain without a group: voters, and the entries they certify. For whoever only sees certificates."""

from dataclasses import dataclass, field
from random import Random

from mls import SignaturePrivateKey, ed25519_generate, ed25519_sign
from ordering import (
    Certificate,
    Decision,
    Descriptor,
    LogEntry,
    Model,
    VoteKind,
    genesis_prev,
    instance_id,
    quorum_size,
    vote_bytes,
)
from ordering.naming import bundle_id


@dataclass
class MadeChain:
    """Entries one after the other, as a committee of so many would decide them."""

    seed: int = 1
    voters: int = 4
    group_id: bytes = b""
    keys: list[SignaturePrivateKey] = field(default_factory=list)
    prev: bytes = b""
    epoch: int = 0

    def __post_init__(self) -> None:
        chance = Random(self.seed)
        self.group_id = self.group_id or chance.randbytes(32)
        self.keys = [ed25519_generate(chance.randbytes) for _ in range(self.voters)]
        self.prev = self.prev or genesis_prev(self.group_id, bytes(32))

    @property
    def descriptor(self) -> Descriptor:
        keys = tuple(key.public for key in self.keys)
        return Descriptor(1, Model.BYZANTINE, quorum_size(len(keys), Model.BYZANTINE), keys)

    def entry(self) -> LogEntry:
        """How the next epoch ends."""
        instance = instance_id(self.group_id, self.epoch, self.descriptor, self.prev)
        body = self.epoch.to_bytes(32, "big")
        decided = bundle_id(instance, body, self.descriptor)
        signatures = tuple(
            (voter, ed25519_sign(self.keys[voter], vote_bytes(instance, VoteKind.FINALIZE, 0, voter, decided)))
            for voter in range(self.descriptor.quorum)
        )
        certificate = Certificate(instance, VoteKind.FINALIZE, 0, decided, signatures)
        decision = Decision(self.group_id, self.epoch, self.prev, self.descriptor, certificate)
        self.epoch, self.prev = self.epoch + 1, decided
        return LogEntry(decision, body, self.descriptor)
