"""Group: the engine's face. A frozen value; whatever changes it returns its successor and leaves it as it was.

So rival commits of one epoch can be staged side by side and one of the successors kept, and a crash or a refusal needs
no undoing. This file composes; what it composes decides. What can be read of a group is in `mls.group_view`, the ways
into one that others have made in `mls.entry`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from mls import application, choose, commit, continuation, snapshot, stage
from mls import propose as proposing
from mls.application import ApplicationMessage
from mls.checked_commit import PublicStaged
from mls.commit import CreatedCommit
from mls.config import GroupConfig
from mls.create import create_group
from mls.crypto import Random, SignaturePrivateKey
from mls.extensions import Extensions
from mls.group_view import GroupView
from mls.key_packages import KeyPackage
from mls.leaf_change import LeafChange
from mls.proposals import Proposal
from mls.psks import NO_PSKS, Psks
from mls.public_group import PublicGroup
from mls.registry import WireFormat
from mls.results import OwnCommit, Staged
from mls.tree.nodes import Capabilities, Credential, Lifetime

_DEFAULTS = GroupConfig()


@dataclass(frozen=True, slots=True)
class Group(GroupView):
    """A member's group in one epoch."""

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
        welcome_each: bool = False,
        psks: Psks = NO_PSKS,
    ) -> OwnCommit:
        """A commit of ours on this epoch (§12.4.1).

        `proposals` go in by value, `references` are encoded proposal messages of this epoch. A path is made when
        `force_path` says so or the proposals need one; `leaf` changes our own leaf and forces it. `welcome_each` makes
        a Welcome for every newcomer rather than one for all; `psks` are those at hand beside this group's own. Raises
        InvalidError for what the others would refuse, MisuseError for what we ourselves asked wrongly, UnopenableError
        for a PSK that is not at hand. `group_info_extensions` go into the GroupInfo that newcomers get.
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
            welcome_each,
            psks,
        )
        return self._own(commit.create_commit(self.state, request, random, now))

    def _own(self, made: CreatedCommit) -> OwnCommit:
        cls = type(self)
        return OwnCommit(made.message, made.welcomes, cls(made.successor), cls(made.present), made.summary)

    def stage(
        self,
        message: bytes,
        *,
        proposals: Sequence[bytes] = (),
        now: int,
        accepted: bool = False,
        psks: Psks = NO_PSKS,
        known: PublicStaged | None = None,
    ) -> Staged:
        """Somebody else's commit on this epoch (§12.4.2), `proposals` being the messages it may refer to.

        All that came in this epoch will do: what it does not refer to is left alone, whatever it is.

        Rivals can be staged side by side; which of them has won is the caller's to know (V164). Its successor is then
        the group to seal in (V167).

        With `accepted` it is one that the group follows already, perhaps for months: then the lifetimes of newcomers
        (V071), which were right when they were added, and our own settings about them say nothing any more.

        `known` is what `public.check_commit` has said of the same message and proposals, by the same policy: it saves
        half the work, and is passed over when it was said of anything else.

        Raises MalformedError, InvalidError, and UnopenableError for one that everything public about it supports but
        that does not open for us (OwnCommitError when it is our own), a PSK not being at hand among the causes (V149).
        """
        successor, checked = stage.stage_commit(
            self.state, message, proposals, now, psks=psks, accepted=accepted, known=known
        )
        if successor is None:
            return Staged(None, checked.summary, removed=True)
        return Staged(type(self)(successor), checked.summary)

    def choose(self, proposals: Sequence[bytes], now: int, *, psks: Psks = NO_PSKS) -> tuple[bytes, ...]:
        """Those of this epoch's proposal messages, oldest first, that a commit of ours can refer to (§12.2).

        All but those that are not right or not for us to carry out, and of rivals one: a removal rather than an Update,
        the newest Update, anything rather than a ReInit (V131). Together they are right, whatever each of them was; the
        policy of the group has its say when the commit is made.
        """
        return choose.choose(self.state, proposals, now, psks)

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

    # --- groups that continue it ---

    def reinitialize(
        self,
        key_packages: Sequence[KeyPackage],
        random: Random,
        now: int,
        *,
        lifetime: Lifetime,
        leaf: LeafChange | None = None,
        force_path: bool = True,
        inline_tree: bool = True,
        welcome_each: bool = False,
        config: GroupConfig | None = None,
    ) -> OwnCommit:
        """The group that follows this one after its ReInit (§11.2), with fresh key packages of all the others.

        Any one member makes it; the others enter with its Welcome: `join(..., predecessor=this)`. The commit's message
        is for nobody. `leaf` is what differs in our own leaf: another signer where the signature scheme changes.
        """
        made = commit.CommitRequest(force_path=force_path, inline_tree=inline_tree, welcome_each=welcome_each)
        request = continuation.ContinuationRequest(key_packages, lifetime, leaf, config, made)
        return self._own(continuation.reinitialize(self.state, request, random, now))

    def branch(
        self,
        key_packages: Sequence[KeyPackage],
        random: Random,
        now: int,
        *,
        lifetime: Lifetime,
        group_id: bytes | None = None,
        extensions: Extensions = (),
        leaf: LeafChange | None = None,
        force_path: bool = True,
        inline_tree: bool = True,
        welcome_each: bool = False,
        config: GroupConfig | None = None,
        authenticated_data: Callable[[PublicGroup], bytes] | None = None,
    ) -> OwnCommit:
        """Another group of some of this one's members, by fresh key packages of theirs (§11.3); this one goes on.

        They enter it with its Welcome: `join(..., predecessor=this)`. `extensions` are the new group context's.
        `authenticated_data` is asked for what its first Commit carries, given the group of one on which it is made.
        """
        made = commit.CommitRequest(force_path=force_path, inline_tree=inline_tree, welcome_each=welcome_each)
        request = continuation.ContinuationRequest(key_packages, lifetime, leaf, config, made, authenticated_data)
        return self._own(continuation.branch(self.state, group_id, extensions, request, random, now))

    # --- talking in it ---

    def seal(self, plaintext: bytes, random: Random, authenticated_data: bytes = b"") -> tuple[Self, bytes]:
        """(successor within the epoch, PrivateMessage). Keep the successor before the message leaves (V045)."""
        state, message = application.seal(self.state, plaintext, random, authenticated_data)
        return type(self)(state), message

    def skipping(self, count: int, now: int) -> Self:
        """Not to seal with our next `count` message keys, which a newer copy of this state may have used (V045).

        What was sealed with them opens, but for the last. Receivers follow over a gap of
        `GroupConfig.forward_distance_max`.
        """
        return type(self)(application.skipping(self.state, count, now))

    def open(self, message: bytes, now: int) -> tuple[Self, ApplicationMessage]:
        """An application message of this epoch or a retained one.

        Raises DuplicateError for a key already used (our own messages too); StaleEpochError for an epoch no longer kept
        (UnknownEpochError, where we were not in it), FutureEpochError for one to come; and the usual ones. A handshake
        message is InvalidError (V032): stage it instead.
        """
        state, opened = application.open_message(self.state, message, now)
        return type(self)(state), opened

    def pruned(self, now: int) -> Self:
        """Without the keys and past epochs that have left the windows of `GroupConfig` by now (V048, V050).

        Every message does the same for what it touches; a timer of the caller's does it where nothing comes. This very
        value where there is nothing to forget.
        """
        state = self.state.pruned(now)
        return self if state is self.state else replace(self, state=state)

    def following(self, present: "Group") -> Self:
        """This successor of `present`, with every message key counted as used that `present` has used by now.

        A commit is staged, or made, before it is known to win; meanwhile the epoch goes on talking.
        """
        return replace(self, state=self.state.following(present.state))

    def resuming(self, former: "Group", now: int) -> Self:
        """This group, entered anew by an external Commit, still opening what `former`, our last state of it, could.

        For who could not follow a Commit and came back: messages of the epochs in between stay closed to us.
        """
        return replace(self, state=self.state.resuming(former.state, now))

    # --- taking it out again ---

    @classmethod
    def from_bytes(cls, data: bytes, config: GroupConfig = _DEFAULTS) -> Self:
        """The group a snapshot holds. Raises SnapshotError for another version, MalformedError for what is none."""
        return cls(snapshot.from_bytes(data, config))

    @classmethod
    def from_parts(cls, parts: snapshot.Parts, config: GroupConfig = _DEFAULTS) -> Self:
        """As `from_bytes`; MalformedError for parts that were not made together."""
        return cls(snapshot.from_parts(parts, config))
