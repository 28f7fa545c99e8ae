"""Sending a proposal on its own (RFC 9420 §12.1), for somebody's Commit to refer to."""

from dataclasses import replace

from mls.authentication import framed, sign_content
from mls.capabilities import check_own_leaf
from mls.crypto import HpkePrivateKey, Random, SignaturePrivateKey, sha256
from mls.errors import MisuseError
from mls.extensions import check_nothing_reserved
from mls.framing import Sender
from mls.handshake import protected
from mls.leaf_change import NO_CHANGE, LeafChange, renewed
from mls.proposal_list import ListedProposal
from mls.proposals import Add, GroupContextExtensions, Proposal, ReInit, SelfRemove, Update
from mls.registry import LeafNodeSource, WireFormat
from mls.state import GroupState, OwnProposal
from mls.validation.leaves import check_lifetime
from mls.validation.proposals import check_added, check_proposal, check_types_are_known


def propose(
    state: GroupState,
    proposal: Proposal,
    random: Random,
    now: int,
    wire_format: WireFormat,
    authenticated_data: bytes,
) -> tuple[GroupState, bytes]:
    """(state to keep, message). Raises InvalidError for what receivers would refuse, and we do not send (V035)."""
    if isinstance(proposal.body, Update):
        raise MisuseError("an Update is proposed with propose_update, which keeps its keys")
    if isinstance(proposal.body, SelfRemove):
        _check_leaving(state, wire_format)
    if isinstance(proposal.body, Add):
        check_lifetime(proposal.body.key_package.leaf_node, now, state.config.lifetime_max_s, rule="V070")
    if isinstance(proposal.body, GroupContextExtensions | ReInit):
        check_nothing_reserved(proposal.body.extensions)
    return _sent(state, proposal, random, wire_format, authenticated_data)


def _check_leaving(state: GroupState, wire_format: WireFormat) -> None:
    if wire_format is not WireFormat.MLS_PUBLIC_MESSAGE:
        raise MisuseError("a SelfRemove is for external joiners to read too: it goes as a PublicMessage")
    sent = (own.authenticated.content.content for own in state.own_proposals)
    if any(isinstance(each, Proposal) and isinstance(each.body, SelfRemove) for each in sent):
        raise MisuseError("we have proposed to leave in this epoch already")


def propose_update(
    state: GroupState, change: LeafChange | None, random: Random, wire_format: WireFormat, authenticated_data: bytes
) -> tuple[GroupState, bytes]:
    """(state that holds the new keys, message)."""
    change = change or NO_CHANGE
    key = state.suite.generate_hpke_key(random)
    leaf = renewed(state.own_leaf_node, LeafNodeSource.UPDATE, change, key.public)
    check_own_leaf(leaf, state.suite.id)
    signed = leaf.signed(state.suite, change.signer or state.signer, state.public.group_id, state.own_leaf)
    return _sent(
        state, Proposal.of(Update(signed)), random, wire_format, authenticated_data, key, change.signer or state.signer
    )


def _sent(
    state: GroupState,
    proposal: Proposal,
    random: Random,
    wire_format: WireFormat,
    authenticated_data: bytes,
    encryption_key: HpkePrivateKey | None = None,
    signer: SignaturePrivateKey | None = None,
) -> tuple[GroupState, bytes]:
    state.check_open()
    public, sender = state.public, Sender.member(state.own_leaf)
    listed = ListedProposal(proposal, sender)
    check_proposal(state.suite, public.context, public.tree, listed, state.config.validate_credential)
    check_added(state.suite, [listed])
    check_types_are_known(public.tree, [listed])
    content = framed(public.group_id, public.epoch, sender, proposal, authenticated_data)
    authenticated = sign_content(state.suite, state.signer, wire_format, content, public.context.encode())
    state, message = protected(state, authenticated, random)
    own = OwnProposal(sha256(message), authenticated, encryption_key, signer)
    return replace(state, own_proposals=(*state.own_proposals, own)), message
