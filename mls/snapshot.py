"""A group as versioned bytes and back, exactly: what a restart continues from. Every secret is in it."""

from mls.codec import Opaque, Struct, Uint32, Uint64, Vector, struct
from mls.config import GroupConfig
from mls.errors import SnapshotError
from mls.framing import AuthenticatedContent
from mls.group_context import GroupContext
from mls.key_schedule import EpochSecrets
from mls.past_epochs import PastEpoch
from mls.public_group import PublicGroup
from mls.secret_tree import SecretTree
from mls.state import GroupState, OwnProposal
from mls.tree.nodes import LeafNode
from mls.tree.private import TreeKeys

SNAPSHOT_FORMAT = 1


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
class _Snapshot(Struct):
    public: Opaque
    signer: Opaque
    keys: Opaque
    secrets: EpochSecrets
    secret_tree: Opaque
    confirmation_tag: Opaque
    own_proposals: Vector[_StoredProposal]
    past: Vector[_StoredPast]


def to_bytes(state: GroupState) -> bytes:
    """The snapshot; the settings are not in it."""
    stored = _Snapshot(
        state.public.to_bytes(),
        state.signer.to_bytes(),
        state.keys.to_bytes(),
        state.secrets,
        state.secret_tree.to_bytes(),
        state.confirmation_tag,
        tuple(_store_proposal(each) for each in state.own_proposals),
        tuple(_store_past(each) for each in state.past),
    )
    return SNAPSHOT_FORMAT.to_bytes(2, "big") + stored.encode()


def from_bytes(data: bytes, config: GroupConfig) -> GroupState:
    """Raises SnapshotError for another format, MalformedError or MisuseError for bytes that are no snapshot."""
    found = int.from_bytes(data[:2], "big")
    if found != SNAPSHOT_FORMAT:
        raise SnapshotError("a group snapshot", found, SNAPSHOT_FORMAT)
    stored = _Snapshot.decode(data[2:])
    public = PublicGroup.from_bytes(stored.public)
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
        past=tuple(
            PastEpoch(
                each.context,
                {change.leaf_index: change.leaf for change in each.changes},
                each.sender_data_secret,
                SecretTree.from_bytes(row, each.secret_tree),
                each.ended_at,
            )
            for each in stored.past
        ),
        config=config,
    )


def _store_proposal(own: OwnProposal) -> _StoredProposal:
    return _StoredProposal(
        own.digest,
        own.authenticated,
        b"" if own.encryption_key is None else own.encryption_key.to_bytes(),
        b"" if own.signer is None else own.signer.to_bytes(),
    )


def _store_past(epoch: PastEpoch) -> _StoredPast:
    return _StoredPast(
        epoch.context,
        tuple(_StoredChange(index, leaf) for index, leaf in sorted(epoch.changes.items(), key=lambda item: item[0])),
        epoch.sender_data_secret,
        epoch.secret_tree.to_bytes(),
        epoch.ended_at,
    )
