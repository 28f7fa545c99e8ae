"""Joining by an external Commit (RFC 9420 §12.4.3.2): a newcomer lets itself in, with nothing but a GroupInfo."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from mls.authentication import framed
from mls.capabilities import check_own_leaf
from mls.checked_commit import PublicStaged
from mls.commit import entry
from mls.config import GroupConfig
from mls.confirm import CommitSecrets, confirm
from mls.crypto import Random, SignaturePrivateKey
from mls.errors import InvalidError
from mls.extensions import Extensions, ExternalPub, decode_known, find
from mls.framing import PublicMessage, Sender, frame
from mls.key_schedule import external_init
from mls.observe import check_tree_lifetimes, observed
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, ExternalInit, PreSharedKey, Proposal, Remove
from mls.psks import NO_PSKS, PskName, Psks, psk_id, secret_of
from mls.public_group import PublicGroup, public_content
from mls.registry import ExtensionType, LeafNodeSource, SenderType, WireFormat
from mls.state import GroupState
from mls.tree.kem import create_path
from mls.tree.nodes import Capabilities, Credential, LeafNode
from mls.validation.leaves import check_leaf_in_group

JOINER = Sender(SenderType.NEW_MEMBER_COMMIT)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The leaf we want, its keys apart."""

    signer: SignaturePrivateKey
    credential: Credential
    capabilities: Capabilities
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class ExternalRequest:
    """How we want to come in."""

    replaces: int | None = None  # the leaf that was ours, to be removed
    inject: Sequence[PskName] = ()  # keys to mix in
    psks: Psks = field(default_factory=lambda: NO_PSKS, repr=False)
    references: Sequence[bytes] = ()  # SelfRemove messages of this epoch
    authenticated_data: bytes = b""
    known_group_ids: Collection[bytes] = ()


@dataclass(frozen=True, slots=True)
class CreatedJoin:
    """The Commit to send, and the state we are in once it is accepted."""

    message: bytes
    state: GroupState
    summary: PublicStaged


def join_by_commit(
    group_info: bytes,
    tree: bytes | None,
    newcomer: Newcomer,
    request: ExternalRequest,
    random: Random,
    now: int,
    config: GroupConfig,
) -> CreatedJoin:
    """Raises MalformedError and InvalidError for a GroupInfo that does not let us in (V146), MisuseError for a request
    that members would refuse, UnopenableError for a PSK that is not at hand (V149)."""
    seen = observed(group_info, tree, config)
    public, suite = seen.public, seen.public.suite
    if public.group_id in request.known_group_ids and request.replaces is None:
        raise InvalidError("V189", "a GroupInfo of a group that we are in")
    check_tree_lifetimes(public.tree, now, config)
    given = find(seen.info.extensions, ExtensionType.EXTERNAL_PUB)
    if given is None:
        raise InvalidError("V146", "a GroupInfo without the key for external Commits")
    kem_output, init_secret = external_init(suite, decode_known(given, ExternalPub).external_pub, random)

    listed = _listed(public, kem_output, request, random)
    applied, leaf_index = public.apply(JOINER, listed, config)
    psk_secret = secret_of(suite, applied.psks, (request.psks,), "V149")
    leaf = _leaf(public, newcomer)
    fresh = create_path(applied.tree, leaf_index, leaf, newcomer.signer, public.group_id, random)
    path_context = public.next_context(applied, fresh.tree)
    commit = Commit(tuple(entry(each) for each in listed), fresh.seal(path_context.encode(), random))
    content = framed(public.group_id, public.epoch, JOINER, commit, request.authenticated_data)
    secrets = CommitSecrets(init_secret, fresh.commit_secret, psk_secret)
    wire_format = WireFormat.MLS_PUBLIC_MESSAGE  # V142
    made = confirm(public, newcomer.signer, wire_format, content, path_context, fresh.tree, secrets)
    checked = public.check_content(made.authenticated, [each for each in listed if each.reference], config)
    state = GroupState.begun(made.public, newcomer.signer, fresh.keys, made.start, made.confirmation_tag, config)
    return CreatedJoin(frame(PublicMessage(content, made.authenticated.auth)), state, checked.summary)


def _listed(
    public: PublicGroup, kem_output: bytes, request: ExternalRequest, random: Random
) -> tuple[ListedProposal, ...]:
    own = [Proposal.of(ExternalInit(kem_output))]
    if request.replaces is not None:
        own.append(Proposal.of(Remove(request.replaces)))
    own += [Proposal.of(PreSharedKey(psk_id(name, random(public.suite.hash_size)))) for name in request.inject]
    received = [public.receive_proposal(public_content(each)) for each in request.references]
    return (*(ListedProposal(each, JOINER) for each in own), *received)


def _leaf(public: PublicGroup, newcomer: Newcomer) -> LeafNode:
    """What our leaf is to claim; its keys and signature are the path's to make."""
    leaf = LeafNode(
        encryption_key=b"",
        signature_key=newcomer.signer.public,
        credential=newcomer.credential,
        capabilities=newcomer.capabilities,
        leaf_node_source=LeafNodeSource.COMMIT,
        lifetime=None,
        parent_hash=b"",
        extensions=newcomer.extensions,
    )
    check_own_leaf(leaf, public.suite.id)
    try:
        check_leaf_in_group(leaf, public.extensions, "our leaf")
    except InvalidError as error:
        raise InvalidError("V146", error.detail) from error
    return leaf
