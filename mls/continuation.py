"""Groups that continue another (RFC 9420 §11.2, §11.3): its successor after a ReInit, and a branch of some members.

Both are a new group of one whose first Commit adds the others and takes in a resumption PSK of the old group, so that
nobody enters who was not in that one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from mls.commit import CommitRequest, CreatedCommit, create_commit
from mls.config import GroupConfig
from mls.create import create_group
from mls.crypto import Random, suite
from mls.errors import InvalidError, MisuseError
from mls.extensions import Extensions
from mls.key_packages import KeyPackage
from mls.leaf_change import NO_CHANGE, LeafChange
from mls.proposals import PreSharedKey, Proposal, add
from mls.psks import ResumptionPsk, psk_id
from mls.public_group import PublicGroup
from mls.registry import ProtocolVersion, ResumptionPSKUsage
from mls.state import GroupState
from mls.tree.nodes import Lifetime
from mls.validation.resumption import check_all_known


@dataclass(frozen=True, slots=True)
class ContinuationRequest:
    """Who is to be in the new group beside us, and what of our own leaf differs in it."""

    key_packages: Sequence[KeyPackage]
    lifetime: Lifetime
    leaf: LeafChange | None = None
    config: GroupConfig | None = None  # the old group's, unless given
    commit: CommitRequest = field(default_factory=CommitRequest)  # its proposals and PSKs are put in here
    authenticated_data: Callable[[PublicGroup], bytes] | None = None  # of that Commit, from the group it is made on


def reinitialize(state: GroupState, request: ContinuationRequest, random: Random, now: int) -> CreatedCommit:
    """The group that the ReInit describes, of the same members (V225). Raises MisuseError where it cannot be."""
    terms = state.public.reinit
    if terms is None:
        raise MisuseError("no ReInit has ended this group")
    if terms.version != ProtocolVersion.MLS10:
        raise MisuseError(f"a successor group of version {terms.version}, which we do not have")
    policy = state.config.policy
    others = Counter(policy.client_of(leaf) for _, leaf in state.public.tree.members())
    others.subtract((policy.client_of(state.own_leaf_node),))
    if +others != Counter(policy.client_of(each.leaf_node) for each in request.key_packages):
        raise MisuseError("a successor group has the old one's members, all of them and nobody else (V225)")
    return _continue(
        state, ResumptionPSKUsage.REINIT, terms.group_id, terms.cipher_suite, terms.extensions, request, random, now
    )


def branch(
    state: GroupState,
    group_id: bytes | None,
    extensions: Extensions,
    request: ContinuationRequest,
    random: Random,
    now: int,
) -> CreatedCommit:
    """A group of some of this one's members, of the same suite (V229). Raises MisuseError where it cannot be."""
    state.check_open()
    members = [leaf for _, leaf in state.public.tree.members()]
    leaves = [each.leaf_node for each in request.key_packages]
    try:
        check_all_known(leaves, members, state.config.policy)
    except InvalidError as error:
        raise MisuseError(f"{error.detail} (V229)") from error
    if any(leaf.encryption_key in state.public.tree.encryption_keys for leaf in leaves):
        raise MisuseError("a branch has key packages of its own (V209)")
    group_id = random(state.suite.hash_size) if group_id is None else group_id  # V203
    return _continue(state, ResumptionPSKUsage.BRANCH, group_id, state.suite.id, extensions, request, random, now)


def _continue(
    state: GroupState,
    usage: ResumptionPSKUsage,
    group_id: bytes,
    suite_id: int,
    extensions: Extensions,
    request: ContinuationRequest,
    random: Random,
    now: int,
) -> CreatedCommit:
    own, change, config = state.own_leaf_node, request.leaf or NO_CHANGE, request.config or state.config
    row = suite(suite_id)
    signer = change.signer or state.signer
    if change.signer is None and row.signature is not state.suite.signature:
        raise MisuseError("a group of another signature scheme takes another signer")
    founded = create_group(
        suite_id,
        group_id,
        signer,
        change.credential or own.credential,
        change.capabilities or own.capabilities,
        own.extensions if change.extensions is None else change.extensions,
        extensions,
        random,
        request.lifetime,
        config,
    )
    name = ResumptionPsk(usage, state.public.group_id, state.public.epoch)
    proposals = (*_adds(request.key_packages), Proposal.of(PreSharedKey(psk_id(name, random(row.hash_size)))))
    data = request.commit.authenticated_data
    if request.authenticated_data is not None:
        data = request.authenticated_data(founded.public)
    wanted = replace(
        request.commit,
        proposals=proposals,
        references=(),
        psks=state.resumption_psks,
        continues=True,
        authenticated_data=data,
    )
    return create_commit(founded, wanted, random, now)


def _adds(key_packages: Iterable[KeyPackage]) -> list[Proposal]:
    return [add(each) for each in key_packages]
