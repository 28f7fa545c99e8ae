"""Making a Commit (RFC 9420 §12.4.1): by the rules a receiver will check, and without changing the present epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mls.apply import Applied
from mls.authentication import framed, sign
from mls.capabilities import check_own_leaf, check_suite_listed
from mls.crypto import Random
from mls.extensions import Extensions, check_nothing_reserved, check_own_group_info_extensions
from mls.framing import AuthenticatedContent, FramedContentAuthData, Sender, frame
from mls.group_info import GroupInfo, sign_group_info, tree_extension
from mls.handshake import protected, received_proposals
from mls.key_schedule import zero_secret
from mls.leaf_change import NO_CHANGE, LeafChange, renewed
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, GroupContextExtensions, Proposal, ProposalOrRef, ReInit
from mls.public_group import CheckedCommit, PublicStaged
from mls.registry import LeafNodeSource, WireFormat
from mls.stage import start_after
from mls.state import GroupState
from mls.tree.kem import FreshPath, create_path
from mls.validation.commits import needs_path
from mls.validation.leaves import check_lifetime
from mls.welcome import Newcomer, seal_welcome


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What a Commit is to carry."""

    proposals: Sequence[Proposal] = ()
    references: Sequence[bytes] = ()
    force_path: bool = True
    authenticated_data: bytes = b""
    wire_format: WireFormat = WireFormat.MLS_PUBLIC_MESSAGE
    leaf: LeafChange | None = None
    inline_tree: bool = True
    group_info_extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class CreatedCommit:
    """A Commit of ours, what it leads to, and the present state after it was sealed."""

    message: bytes
    welcome: bytes | None
    successor: GroupState
    present: GroupState
    summary: PublicStaged


def create_commit(state: GroupState, request: CommitRequest, random: Random, now: int) -> CreatedCommit:
    """Raises InvalidError for what receivers would refuse, MisuseError for what only a sender can do wrong."""
    public, suite = state.public, state.suite
    present, listed = _listed(state, request)
    sender = Sender.member(state.own_leaf)
    applied = public.apply(sender, listed, state.config.validate_credential, state.config.map_signatures)
    _check_outgoing(state, applied, listed, now)

    change = request.leaf or NO_CHANGE
    fresh = None
    if request.force_path or request.leaf is not None or needs_path(listed):
        fresh = _fresh_path(state, applied, change, random)
    tree = applied.tree if fresh is None else fresh.tree
    public.check_outcome(applied, tree, listed, None if fresh is None else state.own_leaf)
    path_context = public.next_context(applied, tree)
    path = None if fresh is None else fresh.seal(path_context.encode(), random, applied.added_leaves)

    # Signed with the key of this epoch's leaf, whatever the path makes of it (V153).
    commit = Commit(tuple(_entry(each) for each in listed), path)
    content = framed(public.group_id, public.epoch, sender, commit, request.authenticated_data)
    signature = sign(suite, state.signer, request.wire_format, content, public.context.encode())
    unconfirmed = AuthenticatedContent(request.wire_format, content, FramedContentAuthData(signature, b""))
    context = public.succeeded(path_context, tree, unconfirmed, b"").context

    commit_secret = zero_secret(suite) if fresh is None else fresh.commit_secret  # V159
    joiner, start = start_after(state, commit_secret, context.encode())
    tag = start.secrets.confirmation_tag(suite, context.confirmed_transcript_hash)
    authenticated = replace(unconfirmed, auth=FramedContentAuthData(signature, tag))
    present, message = protected(present, authenticated, random)

    new_public = public.succeeded(path_context, tree, authenticated, tag)
    keys = state.keys if fresh is None else fresh.keys
    successor = present.entered(new_public, change.signer or state.signer, keys, start, tag, now)
    checked = CheckedCommit(authenticated, commit, state.own_leaf, listed, applied, path_context, new_public)
    welcome = _welcome(successor, applied, fresh, joiner, request, random)
    return CreatedCommit(message, welcome, successor, present, checked.summary)


def group_info(state: GroupState, *, inline_tree: bool, extensions: Extensions = ()) -> GroupInfo:
    """This epoch's GroupInfo, signed with the key of our leaf in it (V153), with the application's extensions."""
    check_own_group_info_extensions(extensions)
    extensions = (*((tree_extension(state.public.tree),) if inline_tree else ()), *extensions)
    return sign_group_info(
        state.suite, state.signer, state.public.context, extensions, state.confirmation_tag, state.own_leaf
    )


def _listed(state: GroupState, request: CommitRequest) -> tuple[GroupState, tuple[ListedProposal, ...]]:
    """The list in the order it will have: by value, then by reference."""
    present, received = received_proposals(state, request.references)
    own = Sender.member(state.own_leaf)
    return present, (*(ListedProposal(each, own) for each in request.proposals), *received)


def _entry(listed: ListedProposal) -> ProposalOrRef:
    if listed.reference is None:
        return ProposalOrRef.by_value(listed.proposal)
    return ProposalOrRef.by_reference(listed.reference)


def _check_outgoing(state: GroupState, applied: Applied, listed: Sequence[ListedProposal], now: int) -> None:
    """What only a sender is asked: lifetimes by its clock (V070, V072), and no reserved values (V108, V113)."""
    for each in applied.adds:
        check_lifetime(each.leaf, now, state.config.lifetime_max_s, rule="V070")
        if state.config.check_suite_listed:
            check_suite_listed(each.leaf, state.suite.id)
    for proposal in listed:
        if isinstance(proposal.proposal.body, GroupContextExtensions | ReInit):
            check_nothing_reserved(proposal.proposal.body.extensions)


def _fresh_path(state: GroupState, applied: Applied, change: LeafChange, random: Random) -> FreshPath:
    leaf = renewed(state.own_leaf_node, LeafNodeSource.COMMIT, change, b"")
    check_own_leaf(leaf, state.suite.id)
    signer, group_id = change.signer or state.signer, state.public.group_id
    return create_path(applied.tree, state.own_leaf, leaf, signer, group_id, random, state.keys)


def _welcome(
    successor: GroupState,
    applied: Applied,
    fresh: FreshPath | None,
    joiner: bytes,
    request: CommitRequest,
    random: Random,
) -> bytes | None:
    if not applied.adds:
        return None
    newcomers = [
        Newcomer(each.key_package, None if fresh is None else fresh.path_secret_for(each.leaf_index))  # V224
        for each in applied.adds
    ]
    info = group_info(successor, inline_tree=request.inline_tree, extensions=request.group_info_extensions)
    return frame(seal_welcome(successor.suite, info, joiner, newcomers, random))
