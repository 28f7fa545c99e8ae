"""Group: the engine's face. A frozen value; whatever changes it returns its successor and leaves it as it was.

So rival commits of one epoch can be staged side by side and one of the successors kept, and a crash or a refusal needs
no undoing. This file composes; what it composes decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

from mls import application, commit, snapshot, stage
from mls import propose as proposing
from mls.application import ApplicationMessage
from mls.config import GroupConfig
from mls.create import create_group
from mls.crypto import CipherSuite, Random, SignaturePrivateKey
from mls.extensions import Extensions
from mls.framing import frame
from mls.group_context import GroupContext
from mls.join import join_by_welcome
from mls.key_packages import KeyPackageBundle
from mls.leaf_change import LeafChange
from mls.proposals import Proposal
from mls.public_group import PublicGroup, PublicStaged
from mls.registry import ContentType, WireFormat
from mls.state import GroupState
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime

_DEFAULTS = GroupConfig()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the present epoch."""

    leaf_index: int
    identity: bytes
    signature_key: bytes
    leaf: LeafNode


@dataclass(frozen=True, slots=True)
class OwnCommit:
    """A commit of ours, sent and adopted only when it is known to have won (V163, V165).

    `present` is the epoch it was made in; it differs from before only when messages of this epoch were PrivateMessages,
    which use up keys: keep it before the message leaves. Keep `successor` too: nobody can process their own commit.
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
class Joined:
    """A group entered by Welcome: who signed its GroupInfo, and the bundle it used up (delete it, V091)."""

    group: "Group"
    signer_leaf: int
    bundle: KeyPackageBundle


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
        config: GroupConfig = _DEFAULTS,
    ) -> Self:
        """A group of one at epoch 0 (§11). `extensions` are the group context's. Raises MisuseError."""
        return cls(
            create_group(
                suite,
                group_id,
                signer,
                credential,
                capabilities,
                leaf_extensions,
                extensions,
                random,
                lifetime,
                config,
            )
        )

    # --- what it is ---

    @property
    def public(self) -> PublicGroup:
        """What an observer of this epoch knows."""
        return self.state.public

    @property
    def suite(self) -> CipherSuite:
        return self.state.suite

    @property
    def group_id(self) -> bytes:
        return self.state.public.group_id

    @property
    def epoch(self) -> int:
        return self.state.public.epoch

    @property
    def context(self) -> GroupContext:
        return self.state.public.context

    @property
    def extensions(self) -> Extensions:
        """Those of the group context."""
        return self.state.public.context.extensions

    @property
    def own_leaf(self) -> int:
        """Our leaf index."""
        return self.state.own_leaf

    def members(self) -> tuple[Member, ...]:
        """In the order of their leaves."""
        return tuple(
            Member(index, leaf.credential.identity, leaf.signature_key, leaf)
            for index, leaf in self.state.public.tree.members()
        )

    @property
    def epoch_authenticator(self) -> bytes:
        """Equal among members exactly when they are in the same epoch of the same history (§8.7)."""
        return self.state.secrets.epoch_authenticator

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """A secret for the application, of this epoch (§8.5). Give each use a label of its own (V208)."""
        return self.state.secrets.export(self.suite, label, context, length)

    def tree_bytes(self) -> bytes:
        """The ratchet tree for a joiner, as `join(tree=...)` takes it."""
        return self.state.public.tree.encode()

    def group_info(self, *, inline_tree: bool = True, extensions: Extensions = ()) -> bytes:
        """A signed GroupInfo of this epoch, as an MLSMessage (§12.4.3); `extensions` are the application's own."""
        return frame(commit.group_info(self.state, inline_tree=inline_tree, extensions=extensions))

    def sign(self, label: str, content: bytes) -> bytes:
        """A signature by our own leaf key, under a label of the application's (§5.1.2). Choose one that MLS has not."""
        return self.suite.sign_with_label(self.state.signer, label, content)

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
        group_info_extensions: Extensions = (),
    ) -> OwnCommit:
        """A commit of ours on this epoch (§12.4.1).

        `proposals` go in by value, `references` are encoded proposal messages of this epoch. A path is made when
        `force_path` says so or the proposals need one; `leaf` changes our own leaf and forces it.
        `group_info_extensions` go into the GroupInfo that newcomers get. Raises InvalidError for what the others would
        refuse, MisuseError for what we ourselves asked wrongly.
        """
        request = commit.CommitRequest(
            proposals,
            references,
            force_path,
            authenticated_data,
            wire_format,
            leaf,
            inline_tree,
            group_info_extensions,
        )
        made = commit.create_commit(self.state, request, random, now)
        cls = type(self)
        return OwnCommit(made.message, made.welcome, cls(made.successor), cls(made.present), made.summary)

    def stage(self, message: bytes, *, proposals: Sequence[bytes] = (), now: int, accepted: bool = False) -> Staged:
        """Somebody else's commit on this epoch (§12.4.2), `proposals` being the messages it refers to.

        Rivals can be staged side by side; which of them has won is the caller's to know (V164). Its successor is then
        the group to seal in (V167).

        With `accepted` it is one that the group follows already, perhaps for months: then the lifetimes of newcomers
        (V071), which were right when they were added, and our own settings about them say nothing any more.

        Raises MalformedError, InvalidError, and UnopenableError for one that everything public about it supports but
        that does not open for us (OwnCommitError when it is our own).
        """
        successor, checked = stage.stage_commit(self.state, message, proposals, now, accepted=accepted)
        if successor is None:
            return Staged(None, checked.summary, removed=True)
        return Staged(type(self)(successor), checked.summary)

    def propose(
        self,
        proposal: Proposal,
        random: Random,
        now: int,
        *,
        wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE,
        authenticated_data: bytes = b"",
    ) -> tuple[Self, bytes]:
        """(successor within the epoch, proposal message). Keep the successor before the message leaves."""
        state, message = proposing.propose(self.state, proposal, random, now, wire_format, authenticated_data)
        return type(self)(state), message

    def propose_update(
        self,
        random: Random,
        *,
        leaf: LeafChange | None = None,
        wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE,
        authenticated_data: bytes = b"",
    ) -> tuple[Self, bytes]:
        """An Update of our own leaf, whose new keys only the returned successor holds."""
        state, message = proposing.propose_update(self.state, leaf, random, wire_format, authenticated_data)
        return type(self)(state), message

    # --- talking in it ---

    def seal(self, plaintext: bytes, random: Random, authenticated_data: bytes = b"") -> tuple[Self, bytes]:
        """(successor within the epoch, PrivateMessage). Keep the successor before the message leaves (V045)."""
        state, message = application.seal(self.state, plaintext, random, authenticated_data)
        return type(self)(state), message

    def open(self, message: bytes, now: int) -> tuple[Self, ApplicationMessage]:
        """An application message of this epoch or a retained one.

        Raises DuplicateError for a key already used (our own messages too), StaleEpochError and FutureEpochError for
        other epochs, and the usual ones. A handshake message is InvalidError (V032): stage it instead.
        """
        state, opened = application.open_message(self.state, message, now)
        return type(self)(state), opened

    def following(self, present: "Group") -> Self:
        """This successor of `present`, with every message key counted as used that `present` has used by now.

        A commit is staged, or made, before it is known to win; meanwhile the epoch goes on talking.
        """
        return replace(self, state=self.state.following(present.state))

    @property
    def next_generation(self) -> int:
        """The generation that our next application message of this epoch will have."""
        return self.state.secret_tree.generation(self.own_leaf, ContentType.APPLICATION)

    # --- keeping it ---

    def to_bytes(self) -> bytes:
        """A versioned snapshot with every secret in it; whoever keeps it encrypts it."""
        return snapshot.to_bytes(self.state)

    @classmethod
    def from_bytes(cls, data: bytes, config: GroupConfig = _DEFAULTS) -> Self:
        """The group a snapshot holds. Raises SnapshotError for another version, MalformedError for what is none."""
        return cls(snapshot.from_bytes(data, config))

    def to_parts(self) -> snapshot.Parts:
        """The snapshot by how often its pieces change: write those that differ from what was written, at once."""
        return snapshot.to_parts(self.state)

    @classmethod
    def from_parts(cls, parts: snapshot.Parts, config: GroupConfig = _DEFAULTS) -> Self:
        """As `from_bytes`; MalformedError for parts that were not made together."""
        return cls(snapshot.from_parts(parts, config))


def join(
    welcome: bytes,
    bundles: Sequence[KeyPackageBundle],
    *,
    tree: bytes | None,
    now: int,
    config: GroupConfig = _DEFAULTS,
    known_group_ids: Collection[bytes] = (),
) -> Group:
    """The group a Welcome leads into (§12.4.3.1); `tree` is needed where it is not inside."""
    return open_welcome(welcome, bundles, tree=tree, now=now, config=config, known_group_ids=known_group_ids).group


def open_welcome(
    welcome: bytes,
    bundles: Sequence[KeyPackageBundle],
    *,
    tree: bytes | None,
    now: int,
    config: GroupConfig = _DEFAULTS,
    known_group_ids: Collection[bytes] = (),
) -> Joined:
    """`join`, with who signed the GroupInfo and which bundle was used up."""
    joined = join_by_welcome(welcome, bundles, tree, now, config, known_group_ids)
    return Joined(Group(joined.state), joined.signer_leaf, joined.bundle)
