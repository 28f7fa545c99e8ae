"""Proposals (RFC 9420 §12.1) and the Commit that lists them (§12.4), as they lie on the wire."""

from typing import Annotated, Self

from mls.codec import Opaque, Select, Struct, Uint16, Uint32, Vector, struct
from mls.crypto import Random, suite
from mls.errors import MisuseError
from mls.key_packages import KeyPackage
from mls.psks import PreSharedKeyID, PskName, psk_id
from mls.registry import PRIVATE_USE, CipherSuiteId, ProposalOrRefType, ProposalType, ProtocolVersion
from mls.tree.kem import UpdatePath
from mls.tree.nodes import Extension, LeafNode


@struct
class Add(Struct):
    """A new member, by its KeyPackage (§12.1.1)."""

    key_package: KeyPackage


@struct
class Update(Struct):
    """The sender's next leaf (§12.1.2)."""

    leaf_node: LeafNode


@struct
class Remove(Struct):
    """The leaf index of a member to remove (§12.1.3)."""

    removed: Uint32


@struct
class PreSharedKey(Struct):
    """A key to mix into the next epoch (§12.1.4)."""

    psk: PreSharedKeyID


@struct
class ReInit(Struct):
    """The end of this group, and the terms of the one that follows it (§12.1.5)."""

    group_id: Opaque
    version: Uint16  # any that is not lower (V103); whether we can follow is another question
    cipher_suite: CipherSuiteId
    extensions: Vector[Extension]


@struct
class ExternalInit(Struct):
    """The KEM output an external joiner starts the next epoch from (§12.1.6)."""

    kem_output: Opaque


@struct
class GroupContextExtensions(Struct):
    """The whole new list of group-context extensions (§12.1.7)."""

    extensions: Vector[Extension]


@struct
class SelfRemove(Struct):
    """The sender's leave-taking, which an external joiner may commit too (draft-ietf-mls-extensions)."""


@struct
class CustomProposal(Struct):
    """A proposal of an application's own type (§13.2): MLS orders and authenticates it, the application applies it."""

    data: Opaque


ProposalBody = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions | SelfRemove

BODIES: dict[int, type[Struct]] = {
    ProposalType.ADD: Add,
    ProposalType.UPDATE: Update,
    ProposalType.REMOVE: Remove,
    ProposalType.PSK: PreSharedKey,
    ProposalType.REINIT: ReInit,
    ProposalType.EXTERNAL_INIT: ExternalInit,
    ProposalType.GROUP_CONTEXT_EXTENSIONS: GroupContextExtensions,
    ProposalType.SELF_REMOVE: SelfRemove,
}
_TYPE_OF = {body: ProposalType(value) for value, body in BODIES.items()}


@struct
class Proposal(Struct):
    """One proposed change. A type without a body here has no known extent and is malformed (V210).

    Types of private use are taken to be an `opaque<V>`, as other engines do; whether anybody here knows such a type is
    told by capabilities (V112).
    """

    proposal_type: ProposalType
    body: Annotated[
        ProposalBody | CustomProposal, Select("proposal_type", BODIES, beyond=(PRIVATE_USE, CustomProposal))
    ]

    @classmethod
    def of(cls, body: ProposalBody) -> Self:
        """The proposal around a body, with the type that goes with it."""
        return cls(_TYPE_OF[type(body)], body)


@struct
class ProposalOrRef(Struct):
    """A proposal by value, or the ProposalRef of one that was sent before (§12.4)."""

    type: ProposalOrRefType
    body: Annotated[
        Proposal | bytes,
        Select("type", {ProposalOrRefType.PROPOSAL: Proposal, ProposalOrRefType.REFERENCE: Opaque}),
    ]

    @classmethod
    def by_value(cls, proposal: Proposal) -> Self:
        return cls(ProposalOrRefType.PROPOSAL, proposal)

    @classmethod
    def by_reference(cls, reference: bytes) -> Self:
        return cls(ProposalOrRefType.REFERENCE, reference)


@struct
class Commit(Struct):
    """What ends an epoch: the proposals to carry out, and fresh key material where they call for it (§12.4)."""

    proposals: Vector[ProposalOrRef]
    path: UpdatePath | None


def add(key_package: KeyPackage) -> Proposal:
    """Raises MisuseError for a bundle: its owner publishes the `key_package` in it, and keeps the rest."""
    if not isinstance(key_package, KeyPackage):
        raise MisuseError(f"a {type(key_package).__name__} is not added, but a KeyPackage")
    return Proposal.of(Add(key_package))


def remove(leaf_index: int) -> Proposal:
    return Proposal.of(Remove(leaf_index))


def group_context_extensions(extensions: tuple[Extension, ...]) -> Proposal:
    return Proposal.of(GroupContextExtensions(extensions))


def pre_shared_key(suite_id: int, name: PskName, random: Random) -> Proposal:
    """The key of that name mixed into a group of that suite, under a fresh nonce (V102)."""
    return Proposal.of(PreSharedKey(psk_id(name, random(suite(suite_id).hash_size))))


def reinit(group_id: bytes, suite_id: int, extensions: tuple[Extension, ...] = ()) -> Proposal:
    """The end of the group, to be followed by one of these terms (§11.2)."""
    return Proposal.of(ReInit(group_id, ProtocolVersion.MLS10, CipherSuiteId(suite_id), extensions))


def self_remove() -> Proposal:
    """To be proposed by whoever leaves; it cannot be committed by value."""
    return Proposal.of(SelfRemove())


def custom(proposal_type: int, data: bytes) -> Proposal:
    """A proposal of a type of the application's own, which the members list in their capabilities (§13.2).

    Raises MisuseError for a type that is not of private use.
    """
    if proposal_type not in PRIVATE_USE:
        shown = f"{proposal_type:#06x}" if isinstance(proposal_type, int) else repr(proposal_type)
        raise MisuseError(f"proposal type {shown} is not one of private use ({PRIVATE_USE.start:#06x} and up)")
    return Proposal(ProposalType(proposal_type), CustomProposal(data))
