"""A member who breaks one rule and is right in all else: its messages are signed, tagged and confirmed properly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from mls.apply import Applied, apply_proposals
from mls.authentication import framed, proposal_reference, sign
from mls.commit import entry
from mls.crypto import CipherSuite, SignaturePrivateKey, suite
from mls.errors import InvalidError, UnopenableError
from mls.framing import AuthenticatedContent, FramedContent, FramedContentAuthData, Sender, frame
from mls.group import Group
from mls.key_packages import KEY_PACKAGE_LABEL, KeyPackage
from mls.key_schedule import joiner_secret, start_epoch, zero_secret
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, Proposal, ProposalBody, ProposalOrRef
from mls.psks import NO_PSKS, Psks, secret_of
from mls.public_group import public_content
from mls.public_protection import protect
from mls.registry import WireFormat
from mls.tree.kem import UpdatePath, create_path
from mls.tree.nodes import LeafNode
from tests.mls.world import NOW, Client, Dice


@dataclass
class Forger:
    """Makes messages of one member without asking whether anybody should take them."""

    group: Group
    random: Dice

    def signed(
        self, content: FramedContent, signer: SignaturePrivateKey | None = None, tag: bytes | None = None
    ) -> AuthenticatedContent:
        signature = sign(
            self.group.suite,
            signer or self.group.state.signer,
            WireFormat.MLS_PUBLIC_MESSAGE,
            content,
            self.group.context.encode(),
        )
        return AuthenticatedContent(WireFormat.MLS_PUBLIC_MESSAGE, content, FramedContentAuthData(signature, tag))

    def framed(self, content: Proposal | Commit, sender: Sender | None = None) -> FramedContent:
        sender = sender or Sender.member(self.group.own_leaf)
        return framed(self.group.group_id, self.group.epoch, sender, content, b"")

    def message(self, signed: AuthenticatedContent) -> bytes:
        secrets = self.group.state.secrets
        return frame(protect(self.group.suite, signed, secrets.membership_key, self.group.context.encode()))

    def proposal(
        self, body: ProposalBody | Proposal, sender: Sender | None = None, signer: SignaturePrivateKey | None = None
    ) -> bytes:
        return self.message(self.signed(self.framed(proposal_of(body), sender), signer))

    def commit(
        self,
        *bodies: ProposalBody | Proposal,
        references: Sequence[bytes] = (),
        path: bool = True,
        edit_leaf: Callable[[LeafNode], LeafNode] = lambda leaf: leaf,
        edit_path: Callable[[UpdatePath], UpdatePath] = lambda path: path,
        edit_content: Callable[[FramedContent], FramedContent] = lambda content: content,
        edit_signed: Callable[[AuthenticatedContent], AuthenticatedContent] = lambda signed: signed,
        seal_under: bytes | None = None,
        commit_secret: bytes | None = None,
        signer: SignaturePrivateKey | None = None,
        leaf_signer: SignaturePrivateKey | None = None,
        psks: Psks = NO_PSKS,
    ) -> bytes:
        """A commit of these proposals by value, then those referred to.

        `edit_leaf` works before the path's leaf is signed, `edit_path` on the finished path, `edit_content` before the
        message is signed, `edit_signed` before its tags are made. `seal_under` is a group context for the path's
        secrets in place of the right one, `commit_secret` likewise. PSKs that are not at hand are left out.
        """
        group, state = self.group, self.group.state
        sender = Sender.member(group.own_leaf)
        received = [received_by(group, each) for each in references]
        listed = [*(ListedProposal(proposal_of(body), sender) for body in bodies), *received]
        applied = apply_proposals(group.public.tree, group.extensions, listed)
        tree, made, secret = applied.tree, None, zero_secret(group.suite)
        if path:
            leaf = edit_leaf(state.own_leaf_node)
            key = leaf_signer or state.signer
            fresh = create_path(tree, group.own_leaf, leaf, key, group.group_id, self.random, state.keys)
            tree, secret = fresh.tree, fresh.commit_secret
            context = seal_under or group.public.next_context(applied, tree).encode()
            made = edit_path(fresh.seal(context, self.random, applied.added_leaves))
        content = edit_content(self.framed(Commit(tuple(entry(each) for each in listed), made)))
        signed = edit_signed(self.signed(content, signer, b""))
        after = group.public.succeeded(group.public.next_context(applied, tree), tree, signed, b"").context
        joiner = joiner_secret(group.suite, state.secrets.init_secret, commit_secret or secret, after.encode())
        psk = psk_secret_of(group.suite, applied, (state.resumption_psks, psks))
        start = start_epoch(group.suite, joiner, psk, after.encode())
        tag = start.secrets.confirmation_tag(group.suite, after.confirmed_transcript_hash)
        return self.message(replace(signed, auth=replace(signed.auth, confirmation_tag=tag)))

    def resigned(self, leaf: LeafNode, signer: SignaturePrivateKey | None = None) -> LeafNode:
        """The leaf under a fresh signature for this member's place."""
        key = signer or self.group.state.signer
        return leaf.signed(self.group.suite, key, self.group.group_id, self.group.own_leaf)


def repackaged(client: Client, package: KeyPackage, **fields: object) -> KeyPackage:
    """The KeyPackage with some fields as given, under a fresh signature."""
    changed: KeyPackage = replace(package, **fields)  # type: ignore[arg-type]
    row = suite(client.suite_id)
    return replace(changed, signature=row.sign_with_label(client.signer, KEY_PACKAGE_LABEL, changed.to_be_signed()))


def resigned_package(client: Client, package: KeyPackage, leaf: LeafNode) -> KeyPackage:
    """The KeyPackage around another leaf, both under fresh signatures."""
    return repackaged(client, package, leaf_node=leaf.signed(suite(client.suite_id), client.signer, b"", 0))


def psk_secret_of(suite: CipherSuite, applied: Applied, at_hand: Sequence[Psks]) -> bytes:
    """The PSK secret, or that of none where one is missing: somebody refuses the commit before it matters."""
    try:
        return secret_of(suite, applied.psks, at_hand, "V149")
    except UnopenableError:
        return zero_secret(suite)


def received_by(group: Group, message: bytes) -> ListedProposal:
    authenticated = public_content(message)
    content = authenticated.content
    assert isinstance(content.content, Proposal)
    return ListedProposal(content.content, content.sender, proposal_reference(group.suite, authenticated))


def instead(*bodies: ProposalBody | Proposal) -> Callable[[FramedContent], FramedContent]:
    """Put these in place of the commit's own proposals, where the forger itself could not carry them out."""
    return _listing(*(ProposalOrRef.by_value(proposal_of(body)) for body in bodies))


def referring(group: Group, *messages: bytes) -> Callable[[FramedContent], FramedContent]:
    """Refer to these proposal messages in place of the commit's own proposals."""
    references = (received_by(group, each).reference or b"" for each in messages)
    return _listing(*(ProposalOrRef.by_reference(each) for each in references))


def proposal_of(body: ProposalBody | Proposal) -> Proposal:
    return body if isinstance(body, Proposal) else Proposal.of(body)


def _listing(*entries: ProposalOrRef) -> Callable[[FramedContent], FramedContent]:
    def edit(content: FramedContent) -> FramedContent:
        assert isinstance(content.content, Commit)
        return replace(content, content=replace(content.content, proposals=entries))

    return edit


def refused(group: Group, rule: str, message: bytes, proposals: Sequence[bytes] = ()) -> None:
    """The commit breaks that rule for an observer and for the member alike, and changes nothing."""
    before = group.to_bytes()
    with pytest.raises(InvalidError) as by_anyone:
        group.public.check_commit(message, proposals)
    with pytest.raises(InvalidError) as by_member:
        group.stage(message, proposals=proposals, now=NOW)
    assert (by_anyone.value.rule, by_member.value.rule) == (rule, rule), by_anyone.value
    assert group.to_bytes() == before
