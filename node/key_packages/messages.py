"""What owners, claimers and replicas say to each other: versioned msgpack arrays with one encoding each.

All of it goes to the replica under throw-away identities (`Transport.request_unnamed`). An owner shows itself by the
signature of its manifest; a claimer by nothing but a nonce, drawn for this one claim.
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import ed25519_verify, sha256
from node.identity import Identity
from node.transport import KIB
from ordering import Wire, framed

PUBLISH_PROTOCOL: Final = "/conclave/packages/publish/1"
PUT_PROTOCOL: Final = "/conclave/packages/put/1"
ASK_PROTOCOL: Final = "/conclave/packages/ask/1"
CLAIM_PROTOCOL: Final = "/conclave/packages/claim/1"

NONCE_SIZE: Final = 16
ENTRIES_MAX: Final = 768  # packages that one owner publishes at a replica: the largest pools, for all suites
PACKAGE_SIZE_MAX: Final = 24 * KIB  # one of them
PUT_MAX: Final = 64  # of them brought at once
PUT_SIZE_MAX: Final = 512 * KIB  # bytes of them together; one always fits
OFFERED_MAX: Final = 8  # one-time packages that a claimer is told of

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
Suite = Annotated[int, Meta(ge=1, le=0xFFFF)]
Package = Annotated[bytes, Meta(max_length=PACKAGE_SIZE_MAX)]
Digests = Annotated[tuple[Hash, ...], Meta(max_length=ENTRIES_MAX)]


def digest_of(package: bytes) -> bytes:
    """What a package, an encoded MLSMessage, is called between owner, replica and claimer."""
    return sha256(b"conclave/key-package/v1\0" + package)


class Entry(Wire, frozen=True):
    """One package of a manifest."""

    digest: Hash
    suite: Suite
    is_last_resort: bool
    expires_s: Annotated[int, Meta(ge=0, le=2**40)]


class Manifest(Wire, frozen=True):
    """Everything that an owner publishes at a set of replicas; it replaces what the owner said before."""

    SIZE_MAX: ClassVar[int] = 64 * KIB

    owner: Key
    replicas: Hash  # the id of the set (`quorum.ReplicaSet`)
    serial: Annotated[int, Meta(ge=1, le=2**62)]  # grows; what is older than the last one counts for nothing
    entries: Annotated[tuple[Entry, ...], Meta(max_length=ENTRIES_MAX)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @classmethod
    def sign(cls, identity: Identity, replicas: bytes, serial: int, entries: tuple[Entry, ...]) -> "Manifest":
        """By the owner's node key."""
        signature = identity.sign(_manifest_bytes(identity.public_key, replicas, serial, entries))
        return cls(identity.public_key, replicas, serial, entries, signature)

    @property
    def is_signed(self) -> bool:
        """Whether its owner has said it."""
        said = _manifest_bytes(self.owner, self.replicas, self.serial, self.entries)
        return ed25519_verify(self.owner, said, self.signature)


def _manifest_bytes(owner: bytes, replicas: bytes, serial: int, entries: tuple[Entry, ...]) -> bytes:
    fields: list[bytes | int] = []
    for each in entries:
        fields += (each.digest, each.suite, int(each.is_last_resort), each.expires_s)
    return framed("conclave/key-package-manifest/v1", owner, replicas, serial, len(entries), *fields)


class Published(Wire, frozen=True):
    """Which packages of a manifest the replica lacks, and which it has granted."""

    SIZE_MAX: ClassVar[int] = 64 * KIB

    missing: Digests
    granted: Digests


class Put(Wire, frozen=True):
    """Packages that the owner's manifest names, whoever brings them."""

    SIZE_MAX: ClassVar[int] = PUT_SIZE_MAX + PACKAGE_SIZE_MAX + KIB

    owner: Key
    packages: Annotated[tuple[Package, ...], Meta(min_length=1, max_length=PUT_MAX)]


class PutReply(Wire, frozen=True):
    """How many of them are kept now; durable."""

    SIZE_MAX: ClassVar[int] = 16

    kept: Annotated[int, Meta(ge=0, le=PUT_MAX)]


class Ask(Wire, frozen=True):
    """Which packages of this owner are there to be claimed?"""

    SIZE_MAX: ClassVar[int] = 128

    owner: Key
    replicas: Hash
    suite: Suite
    nonce: Nonce


class Offered(Wire, frozen=True):
    """Some one-time packages that nobody has been granted, in the claim's own order; and the last resort."""

    SIZE_MAX: ClassVar[int] = PACKAGE_SIZE_MAX + KIB

    digests: Annotated[tuple[Hash, ...], Meta(max_length=OFFERED_MAX)]
    last_resort: Package  # empty: none


class Claim(Wire, frozen=True):
    """This one, for whoever knows the nonce."""

    SIZE_MAX: ClassVar[int] = 256

    owner: Key
    replicas: Hash
    suite: Suite
    nonce: Nonce
    digest: Hash


class Outcome(IntEnum):
    """What came of a claim."""

    GRANTED = 0  # to this claim, and to no other ever
    TAKEN = 1  # granted to another claim
    UNKNOWN = 2  # no such package here
    LATER = 3  # this requester, or all together, have had too many of this owner's


class Grant(Wire, frozen=True):
    """The package, if it was granted; durable then."""

    SIZE_MAX: ClassVar[int] = PACKAGE_SIZE_MAX + KIB

    outcome: Outcome
    package: Package
