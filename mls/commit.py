"""Making a Commit (RFC 9420 §12.4.1): by the rules a receiver will check, and without changing the present epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mls.apply import Applied
from mls.authentication import framed
from mls.capabilities import check_own_leaf, check_suite_listed
from mls.checked_commit import CheckedCommit, PublicStaged
from mls.confirm import CommitSecrets, confirm
from mls.crypto import Random
from mls.errors import MisuseError
from mls.extensions import Extensions, check_nothing_reserved, check_own_group_info_extensions
from mls.framing import Sender, frame
from mls.group_info import GroupInfo, external_pub_extension, sign_group_info, tree_extension
from mls.handshake import protected, received_proposals
from mls.key_schedule import zero_secret
from mls.leaf_change import NO_CHANGE, LeafChange, renewed
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, GroupContextExtensions, PreSharedKey, Proposal, ProposalOrRef, ReInit
from mls.psks import NO_PSKS, Psks
from mls.registry import LeafNodeSource, ResumptionPSKUsage, WireFormat
from mls.state import GroupState
from mls.tree.kem import FreshPath, create_path
from mls.validation.commits import needs_path
from mls.validation.leaves import check_lifetime
from mls.welcome import JoinerPsks, Newcomer, seal_welcome


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
    welcome_each: bool = False  # a Welcome for every newcomer, rather than one for all
    psks: Psks = field(default_factory=lambda: NO_PSKS, repr=False)
    continues: bool = False  # the first Commit of a group that follows another (§11.2, §11.3)


@dataclass(frozen=True, slots=True)
class CreatedCommit:
    """A Commit of ours, what it leads to, and the present state after it was sealed."""

    message: bytes
    welcomes: tuple[bytes, ...]  # one for all newcomers, or one for each in their order
    successor: GroupState
    present: GroupState
    summary: PublicStaged


def create_commit(state: GroupState, request: CommitRequest, random: Random, now: int) -> CreatedCommit:
    """Raises InvalidError for what receivers would refuse, MisuseError for what only a sender can do wrong, and
    UnopenableError for a PSK that is not at hand (V149)."""
    state.check_open()
    public, suite = state.public, state.suite
    present, listed = _listed(state, request)
    sender = Sender.member(state.own_leaf)
    applied, _ = public.apply(sender, listed, state.config)
    _check_outgoing(state, applied, listed, request, now)
    psk_secret = state.psk_secret(applied.psks, request.psks)

    change = request.leaf or NO_CHANGE
    fresh = None
    if request.force_path or request.leaf is not None or needs_path(listed, state.config.policy):
        fresh = _fresh_path(state, applied, change, random)
    tree = applied.tree if fresh is None else fresh.tree
    public.check_outcome(applied, tree, listed, None if fresh is None else state.own_leaf)
    path_context = public.next_context(applied, tree)
    path = None if fresh is None else fresh.seal(path_context.encode(), random, applied.added_leaves)

    # Signed with the key of this epoch's leaf, whatever the path makes of it (V153).
    commit = Commit(tuple(entry(each) for each in listed), path)
    content = framed(public.group_id, public.epoch, sender, commit, request.authenticated_data)
    commit_secret = zero_secret(suite) if fresh is None else fresh.commit_secret  # V159
    secrets = CommitSecrets(state.secrets.init_secret, commit_secret, psk_secret)
    made = confirm(public, state.signer, request.wire_format, content, path_context, tree, secrets, applied.reinit)
    checked = CheckedCommit(made.authenticated, commit, state.own_leaf, listed, applied, path_context, made.public)
    public.check_allowed(checked, state.config)
    present, message = protected(present, made.authenticated, random)

    keys = state.keys if fresh is None else fresh.keys
    signer, tag = change.signer or state.signer, made.confirmation_tag
    successor = present.entered(made.public, signer, keys, made.start, tag, now)
    welcomes = _welcomes(successor, applied, fresh, made.joiner_secret, psk_secret, request, random)
    return CreatedCommit(message, welcomes, successor, present, checked.summary)


def group_info(
    state: GroupState, *, inline_tree: bool, external_pub: bool = False, extensions: Extensions = ()
) -> GroupInfo:
    """This epoch's GroupInfo, signed with the key of our leaf in it (V153).

    `external_pub` opens the group to external Commits; `extensions` are the application's own, or reserved values
    (V215).
    """
    check_own_group_info_extensions(extensions)
    if inline_tree:
        extensions = (tree_extension(state.public.tree), *extensions)
    if external_pub:
        state.check_open()
        extensions = (*extensions, external_pub_extension(state.secrets.external_key(state.suite).public))
    return sign_group_info(
        state.suite, state.signer, state.public.context, extensions, state.confirmation_tag, state.own_leaf
    )


def entry(listed: ListedProposal) -> ProposalOrRef:
    """How a proposal stands in the Commit."""
    if listed.reference is None:
        return ProposalOrRef.by_value(listed.proposal)
    return ProposalOrRef.by_reference(listed.reference)


def _listed(state: GroupState, request: CommitRequest) -> tuple[GroupState, tuple[ListedProposal, ...]]:
    """The list in the order it will have: by value, then by reference."""
    present, received = received_proposals(state, request.references)
    own = Sender.member(state.own_leaf)
    return present, (*(ListedProposal(each, own) for each in request.proposals), *received)


def _check_outgoing(
    state: GroupState, applied: Applied, listed: Sequence[ListedProposal], request: CommitRequest, now: int
) -> None:
    """What only a sender is asked: lifetimes by its clock (V070, V072), and no reserved values (V108, V113)."""
    for each in applied.adds:
        check_lifetime(each.leaf, now, state.config.lifetime_max_s, rule="V070")
        if state.config.check_suite_listed:
            check_suite_listed(each.leaf, state.suite.id)
    for proposal in listed:
        body = proposal.proposal.body
        if isinstance(body, GroupContextExtensions | ReInit):
            check_nothing_reserved(body.extensions)
        is_ordinary = not isinstance(body, PreSharedKey) or body.psk.usage in (None, ResumptionPSKUsage.APPLICATION)
        if not is_ordinary and not request.continues:
            raise MisuseError("such a PSK is for the first Commit of a group that follows another (V100, V101)")


def _fresh_path(state: GroupState, applied: Applied, change: LeafChange, random: Random) -> FreshPath:
    leaf = renewed(state.own_leaf_node, LeafNodeSource.COMMIT, change, b"")
    check_own_leaf(leaf, state.suite.id)
    signer, group_id = change.signer or state.signer, state.public.group_id
    return create_path(applied.tree, state.own_leaf, leaf, signer, group_id, random, state.keys)


def _welcomes(
    successor: GroupState,
    applied: Applied,
    fresh: FreshPath | None,
    joiner_secret: bytes,
    psk_secret: bytes,
    request: CommitRequest,
    random: Random,
) -> tuple[bytes, ...]:
    """Together they cover every newcomer (V201)."""
    if not applied.adds:
        return ()
    newcomers = [
        Newcomer(each.key_package, None if fresh is None else fresh.path_secret_for(each.leaf_index))  # V224
        for each in applied.adds
    ]
    info = group_info(successor, inline_tree=request.inline_tree, extensions=request.group_info_extensions)
    psks = JoinerPsks(applied.psks, psk_secret)
    audiences = [[each] for each in newcomers] if request.welcome_each else [newcomers]
    return tuple(
        frame(seal_welcome(successor.suite, info, joiner_secret, audience, psks, random)) for audience in audiences
    )
