"""PublicGroup: an epoch as anyone sees it who knows its context and its tree, and no secret of it.

`check_commit` is all of a Commit's validity that such an observer can judge. It is pure: the same message and the same
epoch give the same answer on every member, with no clock and no secret, and the successor it computes is the public
half of what every member will enter. What it cannot see (the membership and confirmation tags, whether path secrets
open, lifetimes) is left to `mls.stage`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from mls.apply import Addition, Applied, apply_proposals
from mls.authentication import proposal_reference
from mls.codec import Opaque, Struct, struct
from mls.credentials import CredentialCheck, accept_all
from mls.crypto import CipherSuite, is_supported, sha256, suite
from mls.errors import InvalidError, MalformedError, SnapshotError
from mls.extensions import Extensions
from mls.framing import AuthenticatedContent, MLSMessage, PublicMessage, Sender
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal, resolve
from mls.proposals import Commit
from mls.registry import LeafNodeSource, ProposalType
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from mls.tree.kem import apply_path
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.commits import check_new_tree, check_path_presence, sets_extensions
from mls.validation.messages import check_commit_message, check_not_application, check_proposal_message
from mls.validation.proposals import check_added, check_carried_out, check_list, check_proposal, check_replacement
from mls.validation.signatures import Map

PUBLIC_FORMAT = 1


@dataclass(frozen=True, slots=True)
class PublicStaged:
    """What a Commit that passed would do, and the public half of the epoch it opens."""

    committer: int  # leaf index
    adds: tuple[Addition, ...]  # each with .leaf_index, .reference (KeyPackageRef) and .leaf
    removes: tuple[int, ...]
    updates: tuple[int, ...]  # leaves replaced by Update proposals; the committer's own is told by has_path
    extensions: Extensions  # of the new group context
    has_path: bool
    authenticated_data: bytes
    proposal_types: tuple[ProposalType, ...]  # in the Commit's order, as often as they occur
    proposals: tuple[ListedProposal, ...]  # likewise, each with its sender: who may do what is the application's (V130)
    successor: "PublicGroup"


@dataclass(frozen=True, slots=True)
class CheckedCommit:
    """A Commit that passed every public check, with what the private half needs to go on."""

    authenticated: AuthenticatedContent
    commit: Commit
    committer: int
    proposals: tuple[ListedProposal, ...]
    applied: Applied  # before the path is merged
    path_context: GroupContext  # what path secrets are sealed under (V158)
    successor: "PublicGroup"

    @property
    def summary(self) -> PublicStaged:
        return PublicStaged(
            self.committer,
            self.applied.adds,
            self.applied.removes,
            self.applied.updates,
            self.applied.extensions,
            self.commit.path is not None,
            self.authenticated.content.authenticated_data,
            tuple(each.proposal.proposal_type for each in self.proposals),
            self.proposals,
            self.successor,
        )


@struct
class _PublicBytes(Struct):
    context: GroupContext
    tree: Opaque
    interim_transcript_hash: Opaque


@dataclass(frozen=True, slots=True)
class PublicGroup:
    """One epoch's context, tree and interim transcript hash. Equal values are the same epoch of the same history."""

    context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes
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
        map_signatures: Map = map,
    ) -> PublicStaged:
        """Everything about a PublicMessage Commit that needs no secret; `proposals` are the messages it refers to.

        Raises MalformedError or InvalidError, and those for every member alike.
        """
        received = [self.receive_proposal(public_content(each)) for each in proposals]
        return self.check_content(public_content(message), received, accept, map_signatures).summary

    def receive_proposal(self, authenticated: AuthenticatedContent) -> ListedProposal:
        """A proposal message of this epoch, signature verified, under its reference (V093)."""
        proposal = check_proposal_message(self.suite, self.context, self.tree, authenticated)
        reference = proposal_reference(self.suite, authenticated)
        return ListedProposal(proposal, authenticated.content.sender, reference)

    def check_content(
        self,
        authenticated: AuthenticatedContent,
        received: Sequence[ListedProposal],
        accept: CredentialCheck,
        map_signatures: Map,
    ) -> CheckedCommit:
        """`check_commit` on content whose protection is off: the way of staging, PrivateMessages included."""
        commit = check_commit_message(self.suite, self.context, self.tree, authenticated)
        sender = authenticated.content.sender
        assert sender.leaf_index is not None
        proposals = resolve(commit, sender, received)
        applied = self.apply(sender, proposals, accept, map_signatures)
        check_path_presence(commit, proposals)
        tree = applied.tree
        if commit.path is not None:
            leaf = commit.path.leaf_node
            source = LeafNodeSource.COMMIT
            check_replacement(self.suite, self.context, self.tree, sender.leaf_index, leaf, source, accept)  # V151
            tree = apply_path(tree, sender.leaf_index, commit.path, applied.added_leaves)
        self.check_outcome(applied, tree, proposals, sender.leaf_index if commit.path is not None else None)
        path_context = self.next_context(applied, tree)
        successor = self.succeeded(path_context, tree, authenticated, authenticated.auth.confirmation_tag or b"")
        return CheckedCommit(authenticated, commit, sender.leaf_index, proposals, applied, path_context, successor)

    def apply(
        self, sender: Sender, proposals: Sequence[ListedProposal], accept: CredentialCheck, map_signatures: Map
    ) -> Applied:
        """The proposals of one Commit, checked one by one and together, then carried out (§12.2, §12.3)."""
        assert sender.leaf_index is not None
        check_list(self.tree, sender.leaf_index, proposals)
        for each in proposals:
            check_proposal(self.suite, self.context, self.tree, each, accept)
        check_added(self.suite, proposals, map_signatures)
        check_carried_out(proposals)
        return apply_proposals(self.tree, self.context.extensions, proposals)

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
        return replace(
            self.context, epoch=self.context.epoch + 1, tree_hash=tree.tree_hash(), extensions=applied.extensions
        )

    def succeeded(
        self,
        path_context: GroupContext,
        tree: RatchetTree,
        authenticated: AuthenticatedContent,
        confirmation_tag: bytes,
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
        return type(self)(replace(path_context, confirmed_transcript_hash=confirmed), tree, interim)

    def to_bytes(self) -> bytes:
        """A versioned form; there is no secret in it. Made once for the epoch, however often it is asked for."""
        if not self._bytes:
            kept = _PublicBytes(self.context, self.tree.encode(), self.interim_transcript_hash)
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
        return cls(kept.context, tree, kept.interim_transcript_hash)


def public_content(message: bytes) -> AuthenticatedContent:
    """The content of a handshake PublicMessage. A message of another wire format is refused (V034)."""
    body = MLSMessage.decode(message).body
    if not isinstance(body, PublicMessage):
        raise InvalidError("V034", "a message that is no PublicMessage, where everyone has to be able to check it")
    check_not_application(body.content)
    return body.authenticated
