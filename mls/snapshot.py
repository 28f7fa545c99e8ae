"""A group as versioned bytes and back, exactly: what a restart continues from. Every secret is in it.

A snapshot is as large as the group, and every message sent or received calls for one (V045, V217). So it also comes in
*parts*: what stays the same while the epoch lasts (its public half), what changes when a late message opens (each past
epoch by itself), and what changes with every message. Whoever keeps them writes only those that are not what it last
wrote, all in one transaction. The last part names the others by digest: a mixture of two moments, which could bring a
used key back, is refused.
"""

from dataclasses import dataclass, field

from mls.codec import Opaque, Struct, Uint32, Uint64, Vector, struct
from mls.config import GroupConfig
from mls.crypto import CipherSuite, sha256
from mls.errors import MalformedError, SnapshotError
from mls.framing import AuthenticatedContent
from mls.group_context import GroupContext
from mls.key_schedule import EpochSecrets
from mls.past_epochs import KeptEpoch, Past, PastEpoch
from mls.public_group import PublicGroup
from mls.secret_tree import SecretTree
from mls.state import GroupState, OwnProposal
from mls.tree.nodes import LeafNode
from mls.tree.private import TreeKeys

SNAPSHOT_FORMAT = 4
PARTS_FORMAT = 3


@struct
class _StoredProposal(Struct):
    digest: Opaque
    authenticated: AuthenticatedContent
    encryption_key: Opaque  # empty unless an Update of ours
    signer: Opaque  # likewise


@struct
class _StoredChange(Struct):
    leaf_index: Uint32
    leaf: LeafNode | None


@struct
class _StoredPast(Struct):
    context: GroupContext
    changes: Vector[_StoredChange]
    sender_data_secret: Opaque
    secret_tree: Opaque
    ended_at: Uint64


@struct
class _StoredResumption(Struct):
    epoch: Uint64
    psk: Opaque


@struct
class _StoredPresent(Struct):
    public_digest: Opaque
    past_digests: Vector[Opaque]
    signer: Opaque
    keys: Opaque
    secrets: EpochSecrets
    secret_tree: Opaque
    confirmation_tag: Opaque
    own_proposals: Vector[_StoredProposal]
    resumption: Vector[_StoredResumption]
    first_epoch: Uint64


@struct
class _Snapshot(Struct):
    public: Opaque
    past: Vector[Opaque]
    present: Opaque


@dataclass(frozen=True, slots=True)
class Parts:
    """A snapshot by how often its pieces change. All but `public` are secret."""

    public: bytes = field(repr=False)  # the same object throughout an epoch
    past: tuple[bytes, ...] = field(repr=False)  # the newest epoch first; each the same object until a late message
    present: bytes = field(repr=False)


def to_bytes(state: GroupState) -> bytes:
    """The snapshot in one piece; the settings are not in it."""
    parts = to_parts(state)
    return SNAPSHOT_FORMAT.to_bytes(2, "big") + _Snapshot(parts.public, parts.past, parts.present).encode()


def from_bytes(data: bytes, config: GroupConfig) -> GroupState:
    """Raises SnapshotError for another format, MalformedError or MisuseError for bytes that are no snapshot."""
    found = int.from_bytes(data[:2], "big")
    if found != SNAPSHOT_FORMAT:
        raise SnapshotError("a group snapshot", found, SNAPSHOT_FORMAT)
    stored = _Snapshot.decode(data[2:])
    return from_parts(Parts(stored.public, stored.past, stored.present), config)


def to_parts(state: GroupState) -> Parts:
    """The snapshot in parts; the settings are in none of them."""
    past = tuple(_kept(each) for each in state.past)
    stored = _StoredPresent(
        state.public.digest(),
        tuple(each.digest for each in past),
        state.signer.to_bytes(),
        state.keys.to_bytes(),
        state.secrets,
        state.secret_tree.to_bytes(),
        state.confirmation_tag,
        tuple(_store_proposal(each) for each in state.own_proposals),
        tuple(_StoredResumption(epoch, psk) for epoch, psk in state.resumption),
        state.first_epoch,
    )
    present = PARTS_FORMAT.to_bytes(2, "big") + stored.encode()
    return Parts(state.public.to_bytes(), tuple(each.data for each in past), present)


def from_parts(parts: Parts, config: GroupConfig) -> GroupState:
    """Raises as `from_bytes` does, and MalformedError for parts that were not made together."""
    found = int.from_bytes(parts.present[:2], "big")
    if found != PARTS_FORMAT:
        raise SnapshotError("the present part of a group snapshot", found, PARTS_FORMAT)
    stored = _StoredPresent.decode(parts.present[2:])
    digests = tuple(sha256(each) for each in parts.past)
    if (stored.public_digest, stored.past_digests) != (sha256(parts.public), digests):
        raise MalformedError("parts of two different snapshots")
    public = PublicGroup.from_bytes(parts.public)
    row = public.suite
    return GroupState(
        public=public,
        signer=row.load_signature_key(stored.signer),
        keys=TreeKeys.from_bytes(row, stored.keys),
        secrets=stored.secrets,
        secret_tree=SecretTree.from_bytes(row, stored.secret_tree),
        confirmation_tag=stored.confirmation_tag,
        own_proposals=tuple(
            OwnProposal(
                each.digest,
                each.authenticated,
                row.load_hpke_key(each.encryption_key) if each.encryption_key else None,
                row.load_signature_key(each.signer) if each.signer else None,
            )
            for each in stored.own_proposals
        ),
        past=_read_past(row, parts.past),
        resumption=tuple((each.epoch, each.psk) for each in stored.resumption),
        first_epoch=stored.first_epoch,
        config=config,
    )


def _store_proposal(own: OwnProposal) -> _StoredProposal:
    return _StoredProposal(
        own.digest,
        own.authenticated,
        b"" if own.encryption_key is None else own.encryption_key.to_bytes(),
        b"" if own.signer is None else own.signer.to_bytes(),
    )


def _read_past(row: CipherSuite, parts: tuple[bytes, ...]) -> Past:
    return tuple(
        PastEpoch(
            stored.context,
            {change.leaf_index: change.leaf for change in stored.changes},
            stored.sender_data_secret,
            SecretTree.from_bytes(row, stored.secret_tree),
            stored.ended_at,
        )
        for stored in map(_StoredPast.decode, parts)
    )


def _kept(epoch: PastEpoch) -> KeptEpoch:
    if not epoch.kept:
        data = _store_past(epoch).encode()
        epoch.kept.append(KeptEpoch(data, sha256(data)))
    return epoch.kept[0]


def _store_past(epoch: PastEpoch) -> _StoredPast:
    return _StoredPast(
        epoch.context,
        tuple(_StoredChange(index, leaf) for index, leaf in sorted(epoch.changes.items(), key=lambda item: item[0])),
        epoch.sender_data_secret,
        epoch.secret_tree.to_bytes(),
        epoch.ended_at,
    )
