"""Group: the engine's face. A frozen value; whatever changes it returns its successor and leaves it as it was.

So rival commits of one epoch can be staged side by side and one of the successors kept, and a crash or a refusal needs
no undoing. This file composes; what it composes decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from mls.config import GroupConfig
from mls.crypto import CipherSuite, Random, SignaturePrivateKey
from mls.extensions import Extensions
from mls.group_context import GroupContext
from mls.leaf_change import LeafChange
from mls.proposals import Proposal
from mls.public_group import PublicGroup, PublicStaged
from mls.registry import WireFormat
from mls.state import GroupState
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the present epoch."""

    leaf_index: int
    identity: bytes
    signature_key: bytes
    leaf: LeafNode


@dataclass(frozen=True, slots=True)
class ApplicationMessage:
    """An opened message, its signature verified: who said it, when in the group's life, and what."""

    sender_leaf: int
    sender_identity: bytes
    epoch: int
    generation: int
    authenticated_data: bytes
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnCommit:
    """A commit of ours, sent and adopted only when it is known to have won (V163, V165).

    `present` is the epoch it was made in; it differs from before only when the commit is a PrivateMessage, which uses
    up a key. Keep `successor`: nobody can process their own commit from the wire.
    """

    message: bytes
    welcome: bytes | None  # one for all newcomers; None when nobody is added
    successor: "Group"
    present: "Group"
    summary: PublicStaged


@dataclass(frozen=True, slots=True)
class Staged:
    """A received commit that passed every check. `successor` is None exactly when it removes us (V169)."""

    successor: "Group | None"
    summary: PublicStaged
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A member's group in one epoch."""

    state: GroupState

    @classmethod
    def create(
        cls,
        suite: int,
        group_id: bytes,
        signer: SignaturePrivateKey,
        credential: Credential,
        capabilities: Capabilities,
        leaf_extensions: Extensions,
        extensions: Extensions,
        random: Random,
        lifetime: Lifetime,
        config: GroupConfig = GroupConfig(),
    ) -> Self:
        """A group of one at epoch 0 (§11). `extensions` are the group context's. Raises MisuseError."""

    # --- what it is ---

    @property
    def public(self) -> PublicGroup: ...
    @property
    def suite(self) -> CipherSuite: ...
    @property
    def group_id(self) -> bytes: ...
    @property
    def epoch(self) -> int: ...
    @property
    def context(self) -> GroupContext: ...
    @property
    def extensions(self) -> Extensions: ...
    @property
    def own_leaf(self) -> int: ...
    def members(self) -> tuple[Member, ...]: ...
    @property
    def epoch_authenticator(self) -> bytes: ...
    def export(self, label: str, context: bytes, length: int) -> bytes:
        """A secret for the application, of this epoch (§8.5). Give each use a label of its own (V208)."""

    def tree_bytes(self) -> bytes:
        """The ratchet tree for a joiner, as `join(tree=...)` takes it."""

    def group_info(self, *, inline_tree: bool = True) -> bytes:
        """A signed GroupInfo of this epoch, as an MLSMessage (§12.4.3)."""

    # --- changing it ---

    def commit(
        self,
        random: Random,
        now: int,
        *,
        proposals: Sequence[Proposal] = (),
        references: Sequence[bytes] = (),
        force_path: bool = True,
        authenticated_data: bytes = b"",
        wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE,
        leaf: LeafChange | None = None,
        inline_tree: bool = True,
    ) -> OwnCommit:
        """A commit of ours on this epoch (§12.4.1).

        `proposals` go in by value, `references` are encoded proposal messages of this epoch. A path is made when
        `force_path` says so or the proposals need one; `leaf` changes our own leaf and forces it. Raises InvalidError
        for what the others would refuse, MisuseError for what we ourselves asked wrongly.
        """

    def stage(self, message: bytes, *, proposals: Sequence[bytes] = (), now: int) -> Staged:
        """Somebody else's commit on this epoch (§12.4.2), `proposals` being the messages it refers to.

        Raises MalformedError, InvalidError, and UnopenableError for one that everything public about it supports but
        that does not open for us (OwnCommitError when it is our own).
        """

    def propose(
        self,
        proposal: Proposal,
        random: Random,
        now: int,
        *,
        wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE,
        authenticated_data: bytes = b"",
    ) -> tuple[Self, bytes]:
        """(successor within the epoch, proposal message). Keep the successor."""

    def propose_update(
        self,
        random: Random,
        *,
        leaf: LeafChange | None = None,
        wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE,
        authenticated_data: bytes = b"",
    ) -> tuple[Self, bytes]:
        """An Update of our own leaf, whose new keys only the returned successor holds."""

    # --- talking in it ---

    def seal(self, plaintext: bytes, random: Random, authenticated_data: bytes = b"") -> tuple[Self, bytes]:
        """(successor within the epoch, PrivateMessage). The successor must be durable before the message leaves (V045)."""

    def open(self, message: bytes, now: int) -> tuple[Self, ApplicationMessage]:
        """An application message of this epoch or a retained one.

        Raises DuplicateError for a key already used, StaleEpochError and FutureEpochError for other epochs, and the
        usual ones. A handshake message is InvalidError (V032): stage it instead.
        """

    # --- keeping it ---

    def to_bytes(self) -> bytes:
        """A versioned snapshot with every secret in it; whoever keeps it encrypts it."""

    @classmethod
    def from_bytes(cls, data: bytes, config: GroupConfig = GroupConfig()) -> Self:
        """The group a snapshot holds. Raises SnapshotError for another version, MalformedError for what is none."""
