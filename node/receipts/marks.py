"""Marks: what a member says that it has, for members it is never awake together with; they lie at the mailboxes.

A mark lies in the topic of the epoch its member stood in when it made it, so whoever comes along finds it, and may tell
of many epochs. What it tells of one epoch is sealed under a key of that very epoch: who came later learns nothing of
what was said before. It is signed by the member's node key: a word about who said it, and about nobody else.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self

from msgspec import Meta

from mls import UnopenableError, aead_open, aead_seal, ed25519_verify, sha256
from node.identity import Identity
from node.receipts.ranges import RANGES_MAX, Ranges, tidied
from ordering import MalformedError, Wire, framed

MARK_SIZE_MAX: Final = 64 * 1024
SECTIONS_MAX: Final = 128  # epochs that one mark tells of
SENDERS_MAX: Final = 4096  # leaves that one section tells of
NONCE_SIZE: Final = 12
_MARK_LABEL: Final = "conclave/have-mark/v1"
_SECTION_LABEL: Final = "conclave/have-section/v1"

Generation = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Epoch = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Sender(Wire, frozen=True):
    """The messages of one leaf, by their generations."""

    leaf: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    generations: Annotated[tuple[tuple[Generation, Generation], ...], Meta(max_length=RANGES_MAX)]


class Section(Wire, frozen=True):
    """What is held of one epoch."""

    SIZE_MAX: ClassVar[int] = MARK_SIZE_MAX

    senders: Annotated[tuple[Sender, ...], Meta(max_length=SENDERS_MAX)]


class SealedSection(Wire, frozen=True):
    """The same, for who was a member in that epoch."""

    epoch: Epoch
    sealed: Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=MARK_SIZE_MAX)]


class Mark(Wire, frozen=True):
    """What a member says that it has."""

    SIZE_MAX: ClassVar[int] = MARK_SIZE_MAX

    member: Bytes32  # its node key
    sections: Annotated[tuple[SealedSection, ...], Meta(max_length=SECTIONS_MAX)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @classmethod
    def sign(cls, identity: Identity, group_id: bytes, epoch: int, sections: tuple[SealedSection, ...]) -> Self:
        """Ours, made while we stand in `epoch`."""
        said = _said(identity.public_key, group_id, epoch, sections)
        return cls(identity.public_key, sections, identity.sign(said))

    def is_signed(self, group_id: bytes, epoch: int) -> bool:
        """Whether the member itself said this, of this group and standing in this epoch."""
        return ed25519_verify(self.member, _said(self.member, group_id, epoch, self.sections), self.signature)


def seal_section(
    seal_key: bytes, group_id: bytes, epoch: int, member: bytes, held: Mapping[int, Ranges]
) -> SealedSection:
    """What is held of an epoch, under the key that its members share about their mailboxes."""
    senders = tuple(Sender(leaf, ranges) for leaf, ranges in sorted(held.items())[:SENDERS_MAX])
    plain, key = Section(senders).encode(), _key(seal_key)
    nonce = sha256(key + member + plain)[:NONCE_SIZE]
    return SealedSection(epoch, nonce + aead_seal(key, nonce, plain, _bound(group_id, epoch, member)))


def open_section(seal_key: bytes, group_id: bytes, section: SealedSection, member: bytes) -> dict[int, Ranges]:
    """By leaf, what the member says that it has; raises `MalformedError`."""
    nonce, ciphertext = section.sealed[:NONCE_SIZE], section.sealed[NONCE_SIZE:]
    try:
        plain = aead_open(_key(seal_key), nonce, ciphertext, _bound(group_id, section.epoch, member))
    except UnopenableError:
        raise MalformedError("a mark that the key of its epoch does not open") from None
    return {each.leaf: tidied(each.generations) for each in Section.decode(plain).senders}


def _key(seal_key: bytes) -> bytes:
    """A key of its own, since items at mailboxes are sealed under the other."""
    return hmac.digest(seal_key, _SECTION_LABEL.encode(), "sha256")


def _bound(group_id: bytes, epoch: int, member: bytes) -> bytes:
    return framed(_SECTION_LABEL, group_id, epoch, member)


def _said(member: bytes, group_id: bytes, epoch: int, sections: tuple[SealedSection, ...]) -> bytes:
    told: list[bytes | int] = []
    for each in sections:
        told += (each.epoch, each.sealed)
    return framed(_MARK_LABEL, group_id, epoch, member, *told)
