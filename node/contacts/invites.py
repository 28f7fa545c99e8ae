"""Invites and the requests they lead to: what a link says, and how who has it proves that.

A link pins the group (its id, and the committee of the epoch it was made in), says whom to ask, and carries a token.
The token never travels back: who asks to be let in shows by a MAC, over who asks whom about which group with which key
package, that it has the link, and signs the whole as itself.
"""

import hmac
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta
from msgspec.structs import replace

from mls import MlsError, decode_key_package, ed25519_verify, key_package_reference, sha256
from node.contacts.cards import CARD_SIZE_MAX, TIME_S_MAX, Card, CardError, day, open_card
from node.contacts.text import from_text, to_text
from node.errors import NodeError
from node.identity import BindingError, Identity, verify_binding
from node.intents import KEY_PACKAGE_SIZE_MAX
from node.peer_messages import NAME_SIZE_MAX
from ordering import MalformedError, Wire, digest, framed

INVITE_LABEL: Final = "conclave/invite/v1"
INVITE_ID_LABEL: Final = "conclave/invite-id/v1"
PROOF_LABEL: Final = "conclave/join-proof/v1"
REQUEST_LABEL: Final = "conclave/join-request/v1"

TOKEN_SIZE: Final = 16
INVITE_ID_SIZE: Final = 8
USES_MAX: Final = 1000  # people whom one link lets in
GROUP_ID_SIZE_MAX: Final = 64  # of a group that a link leads to; ours have 32
INVITE_SIZE_MAX: Final = CARD_SIZE_MAX + 1024  # one link
REQUEST_SIZE_MAX: Final = KEY_PACKAGE_SIZE_MAX + CARD_SIZE_MAX + 1024  # one request to be let in
REASON_SIZE_MAX: Final = 200  # characters of an answer's words

GroupId = Annotated[bytes, Meta(min_length=1, max_length=GROUP_ID_SIZE_MAX)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
CardBytes = Annotated[bytes, Meta(max_length=CARD_SIZE_MAX)]
InviteId = Annotated[bytes, Meta(min_length=INVITE_ID_SIZE, max_length=INVITE_ID_SIZE)]


class InviteError(NodeError):
    """No invite or request that can be used; the message says what is wrong with it."""


class Invite(Wire, frozen=True):
    """A link into a group. `make_invite` and `open_invite` give verified ones; `decode` only looks at the form."""

    SIZE_MAX: ClassVar[int] = INVITE_SIZE_MAX

    group_id: GroupId
    name: Annotated[str, Meta(max_length=NAME_SIZE_MAX)]  # what the inviter calls the group
    suite: Annotated[int, Meta(ge=1, le=0xFFFF)]
    epoch: Annotated[int, Meta(ge=0, le=2**63 - 1)]  # in which it was made
    descriptor_hash: Hash  # of the committee of that epoch
    inviter: CardBytes
    token: Annotated[bytes, Meta(min_length=TOKEN_SIZE, max_length=TOKEN_SIZE)]
    uses: Annotated[int, Meta(ge=1, le=USES_MAX)]
    expires_s: Annotated[int, Meta(ge=0, le=TIME_S_MAX)]
    signature: Signature  # the inviter's node key's

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            raise ValueError("a group's name is printable")

    def __repr__(self) -> str:
        return f"Invite({self.id.hex()})"  # who has the token may come in

    @property
    def id(self) -> bytes:
        """How the inviter finds it again; says nothing about the token."""
        return digest(INVITE_ID_LABEL, self.token)[:INVITE_ID_SIZE]

    @property
    def card(self) -> Card:
        """The inviter's card, verified with the invite."""
        return Card.decode(self.inviter)

    def to_text(self) -> str:
        """One word to paste, `conclave:invite:...`."""
        return to_text("invite", self.encode())


class JoinRequest(Wire, frozen=True):
    """May I come in? Somebody with a link, to the one who gave it out."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    group_id: GroupId
    invite_id: InviteId
    card: CardBytes
    key_package: Annotated[bytes, Meta(max_length=KEY_PACKAGE_SIZE_MAX)]
    proof: Hash  # a MAC under the link's token
    signature: Signature  # the joiner's node key's

    @property
    def id(self) -> bytes:
        """Of this very request."""
        return sha256(self.encode())

    @property
    def joiner(self) -> Card:
        """The card of who asks, verified with the request."""
        return Card.decode(self.card)


class JoinState(IntEnum):
    """How a request to be let in is doing."""

    WAITING = 1  # somebody has to approve it
    APPROVED = 2  # the joiner is being added
    REFUSED = 3  # and that is the end of it
    MEMBER = 4  # the joiner is in the group already


class JoinAnswer(Wire, frozen=True):
    """What the inviter says to a request; to the same request again, how it is doing now."""

    SIZE_MAX: ClassVar[int] = 1024

    state: JoinState
    reason: Annotated[str, Meta(max_length=REASON_SIZE_MAX)] = ""  # for people


def make_invite(
    identity: Identity,
    *,
    group_id: bytes,
    name: str,
    suite: int,
    epoch: int,
    descriptor_hash: bytes,
    card: Card,
    token: bytes,
    uses: int,
    expires_s: int,
) -> Invite:
    """A signed link; the card is the inviter's own."""
    draft = Invite(group_id, name, suite, epoch, descriptor_hash, card.encode(), token, uses, expires_s, bytes(64))
    return replace(draft, signature=identity.sign(_invite_bytes(draft)))


def open_invite(data: bytes) -> Invite:
    """A link from its bytes, its card and signature verified; raises `InviteError`. Its age is not looked at."""
    try:
        invite = Invite.decode(data)
        card = open_card(invite.inviter)
    except MalformedError as error:
        raise InviteError(f"not an invite: {error}") from error
    except CardError as error:
        raise InviteError(f"invite: {error}") from error
    if not ed25519_verify(card.public_key, _invite_bytes(invite), invite.signature):
        raise InviteError("invite: who it says it is from has not signed it")
    return invite


def invite_from_text(text: str) -> Invite:
    """The same from its text form; raises `InviteError` or `TextError`."""
    return open_invite(from_text("invite", text))


def expired_words(invite: Invite) -> str:
    """What to say of a link that is too old."""
    who = invite.card.name or invite.card.peer_id
    return f"the invite expired on {day(invite.expires_s)}; ask {who} for a new one"


def make_request(identity: Identity, invite: Invite, card: Card, key_package: bytes) -> JoinRequest:
    """Ask to be let in by a link; `key_package` is an MLSMessage, the card our own."""
    draft = JoinRequest(invite.group_id, invite.id, card.encode(), key_package, bytes(32), bytes(64))
    inviter = invite.card.public_key
    draft = replace(draft, proof=_proof(invite.token, inviter, identity.public_key, draft))
    return replace(draft, signature=identity.sign(_request_bytes(draft, inviter)))


def open_request(data: bytes, inviter: bytes) -> JoinRequest:
    """A request to this inviter, signed by its joiner and with a key package that is the joiner's.

    Raises `InviteError`. Whether the joiner has the link is for `has_token`, since that takes the link.
    """
    try:
        request = JoinRequest.decode(data)
        card = open_card(request.card)
    except MalformedError as error:
        raise InviteError(f"not a request to join: {error}") from error
    except CardError as error:
        raise InviteError(f"request to join: {error}") from error
    if not ed25519_verify(card.public_key, _request_bytes(request, inviter), request.signature):
        raise InviteError("request to join: who asks has not signed it")
    try:
        package = decode_key_package(request.key_package)
        leaf = package.leaf_node
        owner = verify_binding(leaf.credential.identity, leaf.signature_key, int(package.cipher_suite))
    except (MlsError, BindingError) as error:
        raise InviteError(f"request to join: the key package: {error}") from error
    if owner != card.peer_id:
        raise InviteError("request to join: the key package is another peer's")
    return request


def has_token(request: JoinRequest, inviter: bytes, token: bytes) -> bool:
    """Whether who asks has the link with this token."""
    return hmac.compare_digest(request.proof, _proof(token, inviter, request.joiner.public_key, request))


def package_reference(request: JoinRequest) -> bytes:
    """What a Welcome calls the key package."""
    return key_package_reference(request.key_package)


def _proof(token: bytes, inviter: bytes, joiner: bytes, request: JoinRequest) -> bytes:
    content = framed(PROOF_LABEL, inviter, joiner, request.group_id, request.invite_id, sha256(request.key_package))
    return hmac.digest(token, content, "sha256")


def _invite_bytes(invite: Invite) -> bytes:
    return framed(
        INVITE_LABEL,
        invite.group_id,
        invite.name.encode(),
        invite.suite,
        invite.epoch,
        invite.descriptor_hash,
        sha256(invite.inviter),
        invite.token,
        invite.uses,
        invite.expires_s,
    )


def _request_bytes(request: JoinRequest, inviter: bytes) -> bytes:
    return framed(
        REQUEST_LABEL,
        inviter,
        request.group_id,
        request.invite_id,
        sha256(request.card),
        sha256(request.key_package),
        request.proof,
    )
