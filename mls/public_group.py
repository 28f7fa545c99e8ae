"""PublicGroup: an epoch as anyone sees it who knows its context and its tree, and no secret of it.

`check_commit` is all of a Commit's validity that such an observer can judge. It is pure: the same message and the same
epoch give the same answer on every member, with no clock and no secret, and the successor it computes is the public
half of what every member will enter. What it cannot see (the membership and confirmation tags, whether path secrets
open, lifetimes) is left to `mls.stage`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from mls.apply import Applied, apply_proposals
from mls.authentication import proposal_reference
from mls.checked_commit import CheckedCommit, Judge, PublicStaged
from mls.codec import Opaque, Struct, struct
from mls.config import GroupConfig
from mls.credentials import CredentialCheck, accept_all
from mls.crypto import CipherSuite, is_supported, sha256, suite
from mls.errors import InvalidError, MalformedError, MlsError, SnapshotError
from mls.extensions import Extensions
from mls.framing import AuthenticatedContent, MLSMessage, PublicMessage, Sender
from mls.group_context import GroupContext
from mls.policy import OPEN_POLICY, Policy
from mls.proposal_list import Given, ListedProposal, references_of, resolve
from mls.proposals import Commit, ReInit
from mls.registry import LeafNodeSource, SenderType
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from mls.tree.kem import apply_path
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.commits import check_new_tree, check_path_presence, sets_extensions
from mls.validation.external import check_external_list, check_joiner, replaced_leaf
from mls.validation.messages import check_commit_message, check_not_application, check_proposal_message
from mls.validation.proposals import (
    check_added,
    check_external_type,
    check_list,
    check_proposal,
    check_replacement,
    check_types_are_known,
)
from mls.validation.signatures import Map, over_cores

PUBLIC_FORMAT = 2
EPOCH_MAX = (1 << 64) - 1

_OUTSIDE = frozenset((SenderType.EXTERNAL, SenderType.NEW_MEMBER_PROPOSAL))


@struct
class _PublicBytes(Struct):
    context: GroupContext
    tree: Opaque
    interim_transcript_hash: Opaque
    reinit: ReInit | None


@dataclass(frozen=True, slots=True)
class PublicGroup:
    """One epoch's context, tree and interim transcript hash. Equal values are the same epoch of the same history."""

    context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes
    reinit: ReInit | None = None  # of the Commit that began this epoch: the group is at its end (V168)
    _bytes: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)
    """`to_bytes` and its digest, once made."""

    @property
    def suite(self) -> CipherSuite:
        return self.tree.suite

    @property
    def group_id(self) -> bytes:
        return self.context.group_id

    @property
    def epoch(self) -> int:
        return self.context.epoch

    @property
    def extensions(self) -> Extensions:
        """Those of the group context."""
        return self.context.extensions

    def leaf(self, leaf_index: int) -> LeafNode | None:
        """The leaf at an index; None where it is blank or beyond the tree."""
        return self.tree.leaf(leaf_index)

    def leaves(self) -> Iterator[tuple[int, LeafNode]]:
        """Every member's (leaf index, leaf), left to right."""
        return self.tree.members()

    def check_commit(
        self,
        message: bytes,
        proposals: Sequence[bytes] = (),
        *,
        accept: CredentialCheck = accept_all,
        policy: Policy = OPEN_POLICY,
        map_signatures: Map = over_cores,
    ) -> PublicStaged:
        """Everything about a PublicMessage Commit that needs no secret; `proposals` are the messages it may refer to.

        A newcomer's external Commit is judged too. Raises MalformedError or InvalidError, and those for every member
        alike.
        """
        config = GroupConfig(validate_credential=accept, policy=policy, map_signatures=map_signatures)
        authenticated = public_content(message)
        received = self.referred(authenticated, _given(proposals))
        return self.check_content(authenticated, received, config).summary

    def check_proposal(
        self, message: bytes, *, accept: CredentialCheck = accept_all, policy: Policy = OPEN_POLICY
    ) -> ListedProposal:
        """A PublicMessage proposal as it arrives: all that can be said of it before it stands beside others.

        Raises MalformedError or InvalidError, and those for every member alike.
        """
        listed = self.receive_proposal(public_content(message))
        self._check_single(listed, GroupConfig(validate_credential=accept, policy=policy))
        check_added(self.suite, [listed])
        return listed

    def receive_proposal(self, authenticated: AuthenticatedContent) -> ListedProposal:
        """A proposal message of this epoch, signature verified, under its reference (V093)."""
        self.check_open()
        proposal = check_proposal_message(self.suite, self.context, self.tree, authenticated)
        reference = proposal_reference(self.suite, authenticated)
        return ListedProposal(proposal, authenticated.content.sender, reference)

    def referred(self, commit: AuthenticatedContent, given: Given) -> list[ListedProposal]:
        """Those of the given proposals that a Commit refers to, received; the others are left alone (V115).

        Whatever is wrong with them: anybody can send such a thing, and the Commit's author is not to blame for it.
        """
        wanted = references_of(commit.content.content) if isinstance(commit.content.content, Commit) else frozenset()
        if not wanted:
            return []
        named = [each for each in given.contents if proposal_reference(self.suite, each) in wanted]
        if given.unread is not None and len(named) < len(wanted):
            raise given.unread
        return [self.receive_proposal(each) for each in named]

    def check_open(self) -> None:
        """Whoever honestly is in an epoch that a ReInit began sends nothing in it (V168)."""
        if self.reinit is not None:
            raise InvalidError("V168", "a message of an epoch in which the group has ended")

    def check_content(
        self, authenticated: AuthenticatedContent, received: Sequence[ListedProposal], config: GroupConfig
    ) -> CheckedCommit:
        """`check_commit` on content whose protection is off: the way of staging, PrivateMessages included.

        Of the settings only the application's word counts here (credentials, policy), and whose threads to use.
        """
        self.check_open()
        commit = check_commit_message(self.suite, self.context, self.tree, authenticated)
        sender = authenticated.content.sender
        proposals = resolve(commit, sender, received)
        applied, committer = self.apply(sender, proposals, config)
        check_path_presence(commit, proposals, config.policy)
        tree = applied.tree
        if commit.path is not None:
            self._check_path_leaf(sender, committer, commit.path.leaf_node, proposals, config)
            tree = apply_path(tree, committer, commit.path, applied.added_leaves)
        self.check_outcome(applied, tree, proposals, committer if commit.path is not None else None)
        path_context = self.next_context(applied, tree)
        tag = authenticated.auth.confirmation_tag or b""
        successor = self.succeeded(path_context, tree, authenticated, tag, applied.reinit)
        judge = Judge(self, config.validate_credential, config.policy)
        checked = CheckedCommit(authenticated, commit, committer, proposals, applied, path_context, successor, judge)
        self.check_allowed(checked, config)
        return checked

    def apply(self, sender: Sender, proposals: Sequence[ListedProposal], config: GroupConfig) -> tuple[Applied, int]:
        """The proposals of one Commit, checked one by one and together, then carried out (§12.2, §12.3).

        (what came of them, the committer's leaf index). A newcomer is given the leftmost blank leaf (V144).
        """
        if sender.leaf_index is None:
            check_external_list(proposals)
        else:
            check_list(self.tree, sender.leaf_index, proposals)
        check_types_are_known(self.tree, proposals)
        for each in proposals:
            self._check_single(each, config)
        check_added(self.suite, proposals, config.map_signatures)
        applied = apply_proposals(self.tree, self.context.extensions, proposals)
        if sender.leaf_index is not None:
            return applied, sender.leaf_index
        tree, leaf_index = applied.tree.with_room()
        return replace(applied, tree=tree), leaf_index

    def _check_single(self, listed: ListedProposal, config: GroupConfig) -> None:
        check_proposal(self.suite, self.context, self.tree, listed, config.validate_credential)
        check_external_type(listed, config.policy)
        if listed.sender.sender_type in _OUTSIDE and not config.policy.allows_proposal(self, listed):
            raise InvalidError("V111", "a proposal from outside that the application does not allow")

    def check_allowed(self, checked: CheckedCommit, config: GroupConfig) -> None:
        """The application's word on a Commit that is right in all else (V130, V147)."""
        if checked.is_external:
            assert checked.commit.path is not None
            index = replaced_leaf(checked.proposals)
            former = None if index is None else self.tree.leaf(index)
            if not config.policy.allows_external_commit(self, checked.commit.path.leaf_node, former):
                raise InvalidError("V147", "an external Commit that the application does not allow")
        if not config.policy.allows_commit(self, checked.summary):
            raise InvalidError("V130", "a Commit that the application does not allow")

    def _check_path_leaf(
        self,
        sender: Sender,
        committer: int,
        leaf: LeafNode,
        proposals: Sequence[ListedProposal],
        config: GroupConfig,
    ) -> None:
        if sender.leaf_index is None:
            index = replaced_leaf(proposals)
            former = None if index is None else self.tree.leaf(index)
            check_joiner(self.suite, self.context, committer, leaf, former, config)
            return
        accept = config.validate_credential
        check_replacement(self.suite, self.context, self.tree, committer, leaf, LeafNodeSource.COMMIT, accept)  # V151

    def check_outcome(
        self,
        applied: Applied,
        tree: RatchetTree,
        proposals: Sequence[ListedProposal],
        renewed: int | None,
    ) -> None:
        """The tree after proposals and path is one that the next epoch may have; `renewed` is the path's leaf."""
        added = [each.leaf_index for each in applied.adds]
        changed = [*applied.updates, *added, *(() if renewed is None else (renewed,))]
        check_new_tree(tree, applied.extensions, changed, extensions_changed=sets_extensions(proposals))

    def next_context(self, applied: Applied, tree: RatchetTree) -> GroupContext:
        """The next epoch's context, still with this epoch's confirmed transcript hash (V158, V172)."""
        if self.context.epoch == EPOCH_MAX:
            raise InvalidError("V172", "a Commit in the last epoch that a group can have")
        return replace(
            self.context, epoch=self.context.epoch + 1, tree_hash=tree.tree_hash(), extensions=applied.extensions
        )

    def succeeded(
        self,
        path_context: GroupContext,
        tree: RatchetTree,
        authenticated: AuthenticatedContent,
        confirmation_tag: bytes,
        reinit: ReInit | None = None,
    ) -> Self:
        """The next epoch, its transcript hashes made from the Commit and the tag it claims (§8.2, V161)."""
        confirmed = confirmed_transcript_hash(
            self.suite,
            self.interim_transcript_hash,
            authenticated.wire_format,
            authenticated.content.encode(),
            authenticated.auth.signature,
        )
        interim = interim_transcript_hash(self.suite, confirmed, confirmation_tag)
        return type(self)(replace(path_context, confirmed_transcript_hash=confirmed), tree, interim, reinit)

    def to_bytes(self) -> bytes:
        """A versioned form; there is no secret in it. Made once for the epoch, however often it is asked for."""
        if not self._bytes:
            kept = _PublicBytes(self.context, self.tree.encode(), self.interim_transcript_hash, self.reinit)
            data = PUBLIC_FORMAT.to_bytes(2, "big") + kept.encode()
            self._bytes.extend((data, sha256(data)))
        return self._bytes[0]

    def digest(self) -> bytes:
        """SHA-256 of `to_bytes`."""
        self.to_bytes()
        return self._bytes[1]

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises SnapshotError for another version, MalformedError for bytes that are no public group."""
        version = int.from_bytes(data[:2], "big")
        if version != PUBLIC_FORMAT:
            raise SnapshotError("a public group", version, PUBLIC_FORMAT)
        kept = _PublicBytes.decode(data[2:])
        if not is_supported(kept.context.cipher_suite):
            raise MalformedError("a public group of a cipher suite that this engine does not have")
        tree = RatchetTree.decode(suite(kept.context.cipher_suite), kept.tree)
        if tree.tree_hash() != kept.context.tree_hash:
            raise MalformedError("a public group whose tree is not the one its context names")
        return cls(kept.context, tree, kept.interim_transcript_hash, kept.reinit)


def _given(messages: Sequence[bytes]) -> Given:
    contents: list[AuthenticatedContent] = []
    unread: MlsError | None = None
    for message in dict.fromkeys(messages):
        try:
            contents.append(public_content(message))
        except MlsError as error:
            unread = unread or error
    return Given(contents, unread)


def public_content(message: bytes) -> AuthenticatedContent:
    """The content of a handshake PublicMessage. A message of another wire format is refused (V034)."""
    body = MLSMessage.decode(message).body
    if not isinstance(body, PublicMessage):
        raise InvalidError("V034", "a message that is no PublicMessage, where everyone has to be able to check it")
    check_not_application(body.content)
    return body.authenticated
