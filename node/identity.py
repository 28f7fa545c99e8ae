"""Who this node is: one Ed25519 key, its libp2p peer id, and MLS credentials bound to it.

MLS lets a basic credential say anything. Here its identity bytes are a *binding*: the peer's public key and
that key's signature over the leaf's signature key and cipher suite. Whoever sees a leaf can so tell, offline
and without asking anybody, which peer it belongs to; and nobody can put another peer's name on a leaf.
"""

from dataclasses import dataclass, field
from typing import Final, Self

import msgspec
from nacl.bindings import crypto_core_ed25519_is_valid_point

from mls import Random, SignaturePrivateKey, ed25519_generate, ed25519_load, ed25519_sign, ed25519_verify
from node.errors import NodeError
from node.peer_id import PUBLIC_KEY_SIZE, PeerId, PeerIdError, peer_id_of

IDENTITY_VERSION: Final = 1
BINDING_VERSION: Final = 1
BINDING_SIZE_MAX: Final = 128  # 102 bytes in version 1
SEED_SIZE: Final = 32
_BINDING_DOMAIN: Final = b"conclave/credential-binding/v1\0"


class IdentityError(NodeError):
    """Stored identity bytes that this program cannot read."""


class BindingError(NodeError):
    """A credential that does not show which peer its leaf belongs to. The message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The node's own key. ``repr`` shows the peer id only."""

    peer_id: PeerId
    public_key: bytes = field(repr=False)  # 32 bytes
    key: SignaturePrivateKey = field(repr=False)

    @classmethod
    def generate(cls, random: Random) -> Self:
        return cls._of(ed25519_generate(random))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what ``to_bytes`` wrote; raises ``IdentityError``."""
        try:
            version, seed = msgspec.msgpack.decode(data, type=tuple[int, bytes])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise IdentityError("stored identity: damaged") from None  # the error might quote the key
        if version != IDENTITY_VERSION:
            raise IdentityError(f"stored identity has version {version}; this program reads {IDENTITY_VERSION}")
        if len(seed) != SEED_SIZE:
            raise IdentityError("stored identity: damaged")
        return cls._of(ed25519_load(seed))

    @classmethod
    def _of(cls, key: SignaturePrivateKey) -> Self:
        return cls(peer_id_of(key.public), key.public, key)

    def to_bytes(self) -> bytes:
        """The private key, versioned. A secret: for the encrypted store only."""
        return msgspec.msgpack.encode((IDENTITY_VERSION, self.key.to_bytes()))

    def sign(self, message: bytes) -> bytes:
        """Sign with the node key; the caller puts a domain label of its own in front."""
        return ed25519_sign(self.key, message)

    def bind(self, signature_key: bytes, suite: int) -> bytes:
        """The identity bytes of the basic credential for a leaf with this signature key and cipher suite."""
        signature = self.sign(_bound(signature_key, suite))
        return msgspec.msgpack.encode((BINDING_VERSION, self.public_key, signature))


def verify_binding(identity: bytes, signature_key: bytes, suite: int) -> PeerId:
    """The peer a leaf belongs to, by its credential's identity bytes, signature key and cipher suite.

    Raises ``BindingError`` unless the peer itself signed exactly this. One encoding only is accepted, so that equal
    peers have equal bytes.
    """
    if len(identity) > BINDING_SIZE_MAX:
        raise BindingError(f"credential: {len(identity)} bytes are too many for a binding")
    try:
        fields = msgspec.msgpack.decode(identity, type=list)
        version, public_key, signature = fields
    except (msgspec.MsgspecError, ValueError):
        raise BindingError("credential: not a binding of this program") from None
    if version != BINDING_VERSION:
        raise BindingError(f"credential: binding version {version!r}; this program reads {BINDING_VERSION}")
    if not (isinstance(public_key, bytes) and isinstance(signature, bytes)):
        raise BindingError("credential: peer key and signature must be bytes")
    if msgspec.msgpack.encode(fields) != identity or type(version) is not int:
        raise BindingError("credential: not the canonical encoding of its binding")
    if not valid_vote_key(public_key):
        raise BindingError("credential: the peer key is not a usable Ed25519 key")
    if not ed25519_verify(public_key, _bound(signature_key, suite), signature):
        raise BindingError("credential: the peer has not signed this signature key and cipher suite")
    return peer_id_of(public_key)


def claimed_peer(identity: bytes) -> PeerId:
    """The peer that identity bytes name, without checking their signature: for leaves that were verified before, or
    will be. Raises `BindingError` for bytes that name none."""
    try:
        _, public_key, _ = msgspec.msgpack.decode(identity, type=tuple[int, bytes, bytes])
        return peer_id_of(public_key)
    except (msgspec.MsgspecError, UnicodeDecodeError, PeerIdError):
        raise BindingError("credential: not a binding of this program") from None


def valid_vote_key(public_key: bytes) -> bool:
    """Whether an Ed25519 key is canonical, on the curve and of full order.

    Under a key of small order one signature fits many messages, and a key with two encodings would have two
    votes; both must be excluded before a signature is evidence.
    """
    return len(public_key) == PUBLIC_KEY_SIZE and bool(crypto_core_ed25519_is_valid_point(public_key))


def _bound(signature_key: bytes, suite: int) -> bytes:
    return _BINDING_DOMAIN + suite.to_bytes(2, "big") + signature_key
