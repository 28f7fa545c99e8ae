"""A group without MLS: members with toy keys, opaque commits, and an oracle that knows whom a commit opens for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from mls import SignaturePrivateKey, ed25519_load, ed25519_sign, ed25519_verify
from ordering import (
    Anchor,
    Bundle,
    BundleId,
    Candidate,
    Committee,
    Model,
    Policy,
    ProposalClass,
    Seat,
    candidate_bytes,
    elect,
)

GROUP_ID = b"simulated group"
TREE_HASH = bytes(32)


class Keys:
    """A keyed hash for a signature; whoever verifies looks the secret up in this registry."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}

    def generate(self, name: str) -> bytes:
        """A public key by this name."""
        public = blake2b(name.encode(), digest_size=32).digest()
        self._secrets[public] = blake2b(public, digest_size=32, person=b"secret").digest()
        return public

    def signer(self, public: bytes) -> Callable[[bytes], bytes]:
        """Signs as the holder of this key."""
        secret = self._secrets[public]
        return lambda message: blake2b(message, key=secret, digest_size=64).digest()

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the holder of this key signed this."""
        secret = self._secrets.get(public)
        return secret is not None and blake2b(message, key=secret, digest_size=64).digest() == signature


class TrueKeys(Keys):
    """Ed25519, as in the product."""

    def __init__(self) -> None:
        super().__init__()
        self._private: dict[bytes, SignaturePrivateKey] = {}

    def hold(self, key: SignaturePrivateKey) -> None:
        """One made elsewhere."""
        self._private[key.public] = key

    def generate(self, name: str) -> bytes:
        """A public key by this name."""
        key = ed25519_load(blake2b(name.encode(), digest_size=32, person=b"seed").digest())
        self._private[key.public] = key
        return key.public

    def signer(self, public: bytes) -> Callable[[bytes], bytes]:
        """Signs as the holder of this key."""
        return partial(ed25519_sign, self._private[public])

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the holder of this key signed this."""
        return ed25519_verify(public, message, signature)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The truth about one bundle, the same at every member but for whom it opens."""

    name: str
    epoch: int
    candidate: Candidate
    hard: bool
    opens_for: tuple[int, ...] | None  # members; None: everyone
    proposal_class: ProposalClass
    bytes_s: float  # what a transfer takes on top of the link's delay

    @property
    def resync(self) -> bool:
        """Whether a member comes back by it; the toy has no such."""
        return False

    def soft(self, member: int) -> bool | None:
        """Whether this member can open it."""
        return self.opens_for is None or member in self.opens_for


class Group:
    """Members 0..m-1, of which n are seated; every bundle ever made, by id.

    With `rotate` the seats of epoch e go to members e, e+1, … of the circle, so that voters come and go.
    """

    def __init__(
        self, members: int, seated: int, model: Model, *, rotate: bool = False, keys: Keys | None = None
    ) -> None:
        self.members = members
        self.seated = seated
        self.model = model
        self.rotate = rotate
        self.keys = keys or Keys()
        self.vote_keys = tuple(self.keys.generate(f"vote {member}") for member in range(members))
        self.leaf_keys = tuple(self.keys.generate(f"leaf {member}") for member in range(members))
        self.verdicts: dict[BundleId, Verdict] = {}
        self.bytes_s = 0.0  # what every transfer takes at least
        self._committees: dict[int, Committee] = {}

    @property
    def anchor(self) -> Anchor:
        """Where a verifier of the decided chain starts."""
        return Anchor.genesis(GROUP_ID, TREE_HASH, self.committee(0).descriptor)

    def committee(self, epoch: int) -> Committee:
        """The committee that ends this epoch, by the product's own election."""
        if epoch not in self._committees:
            first = epoch if self.rotate else 0
            order = [(first + place) % self.members for place in range(self.members)]
            seats = [
                Seat(member, b"member %d" % member, self.vote_keys[member], since=place)
                for place, member in enumerate(order[: self.seated])
            ]
            policy = Policy(model=self.model, size_max=self.seated, pins=tuple(seat.identity for seat in seats))
            self._committees[epoch] = elect(policy, seats)
        return self._committees[epoch]

    def seats(self, epoch: int) -> tuple[int, ...]:
        """The members seated in this epoch, by voter index."""
        return tuple(seat.leaf for seat in self.committee(epoch).seats)

    def verify_member(self, leaf: int, message: bytes, signature: bytes) -> bool:
        """Whether this member signed this with its leaf key."""
        return leaf < self.members and self.keys.verify(self.leaf_keys[leaf], message, signature)

    def make(
        self,
        instance: bytes,
        epoch: int,
        author: int,
        ordinal: int,
        *,
        nonce: str = "",
        hard: bool = True,
        opens_for: tuple[int, ...] | None = None,
        proposal_class: ProposalClass = ProposalClass.ORDINARY,
        bytes_s: float = 0.0,
    ) -> Candidate:
        """A new commit of this member, and the truth about it."""
        name = f"c{author}.{ordinal}{nonce}@{epoch}"
        bundle = Bundle(name.encode(), (), b"", self.committee(epoch + 1).descriptor)
        id = bundle.id(instance)
        signature = self.keys.signer(self.leaf_keys[author])(candidate_bytes(id, ordinal))
        candidate = Candidate(instance, author, ordinal, bundle, signature)
        verdict = Verdict(name, epoch, candidate, hard, opens_for, proposal_class, max(bytes_s, self.bytes_s))
        self.verdicts.setdefault(id, verdict)
        return candidate

    def reads(self, member: int, epoch: int) -> bool:
        """Whether this member could open the commit that led to this epoch; in the toy everyone can."""
        return True

    def applied(self, epoch: int, id: BundleId) -> None:
        """A member has left an epoch by this bundle."""

    def name(self, id: bytes) -> str:
        """A bundle's readable name."""
        verdict = self.verdicts.get(BundleId(id))
        return id.hex()[:6] if verdict is None else verdict.name
