"""A member's commit that opens for those it chooses: signed, tagged and confirmed properly, path secrets spoilt."""

import os
from collections.abc import Collection
from dataclasses import replace

from mls import Group, Random
from mls.apply import apply_proposals
from mls.authentication import framed, sign
from mls.commit import entry
from mls.crypto import HPKECiphertext
from mls.framing import AuthenticatedContent, FramedContentAuthData, Sender, frame
from mls.key_schedule import joiner_secret, start_epoch, zero_secret
from mls.proposal_list import ListedProposal
from mls.proposals import Commit, Proposal
from mls.public_protection import protect
from mls.registry import WireFormat
from mls.tree.kem import FreshPath, UpdatePath, create_path, reached
from mls.tree.parent_hash import path_parents
from mls.tree.subtree import Subtree
from node.building import Built
from node.electorate import voting_of
from node.judgement import CANDIDATE_LABEL
from ordering import INTENT_ORDINAL, Bundle, Candidate, candidate_bytes
from tests.node.world import Member

PUBLIC = WireFormat.MLS_PUBLIC_MESSAGE


def opens_for_some(
    group: Group,
    instance: bytes,
    closed: Collection[int],
    now: int,
    proposals: Collection[Proposal] = (),
    random: Random = os.urandom,
    leaf_key: bytes = b"",
) -> Built:
    """A commit, and what it leads its author to, that the leaves in `closed` cannot open, nor who shares a key with
    them only. With `leaf_key` that is what others are to seal to, whether or not it is a key."""
    state, suite = group.state, group.suite
    listed = [ListedProposal(each, Sender.member(group.own_leaf)) for each in proposals]
    applied = apply_proposals(group.public.tree, group.extensions, listed)
    fresh = create_path(
        applied.tree,
        group.own_leaf,
        state.own_leaf_node,
        state.signer,
        group.group_id,
        random,
        state.keys,
    )
    if leaf_key:
        fresh = with_leaf_key(fresh, leaf_key, group)
    path_context = group.public.next_context(applied, fresh.tree)
    path = spoilt(fresh, fresh.seal(path_context.encode(), random), closed)
    commit = Commit(tuple(entry(each) for each in listed), path)
    content = framed(group.group_id, group.epoch, Sender.member(group.own_leaf), commit, instance)
    signature = sign(suite, state.signer, PUBLIC, content, group.context.encode())
    signed = AuthenticatedContent(PUBLIC, content, FramedContentAuthData(signature, b""))
    after = group.public.succeeded(path_context, fresh.tree, signed, b"").context
    joiner = joiner_secret(suite, state.secrets.init_secret, fresh.commit_secret, after.encode())
    start = start_epoch(suite, joiner, zero_secret(suite), after.encode())
    tag = start.secrets.confirmation_tag(suite, after.confirmed_transcript_hash)
    signed = replace(signed, auth=replace(signed.auth, confirmation_tag=tag))
    public = group.public.succeeded(path_context, fresh.tree, signed, tag)
    successor = Group(state.entered(public, state.signer, fresh.keys, start, tag, now))
    message = frame(protect(suite, signed, state.secrets.membership_key, group.context.encode()))
    return signed_by(group, instance, message, successor)


def with_leaf_key(fresh: FreshPath, key: bytes, group: Group) -> FreshPath:
    """The same path from a leaf with that key."""
    leaf = replace(fresh.leaf, encryption_key=key).signed(
        fresh.suite, group.state.signer, group.group_id, group.own_leaf
    )
    direct = group.public.tree.filtered_direct_path(group.own_leaf)
    parents, _ = path_parents(fresh.suite, direct, [step.encryption_key for step in fresh.steps])
    return replace(fresh, leaf=leaf, tree=group.public.tree.with_path(group.own_leaf, leaf, parents))


def signed_by(group: Group, instance: bytes, message: bytes, successor: Group) -> Built:
    """The candidate around a commit."""
    bundle = Bundle(message, (), b"", voting_of(successor.public).committee.descriptor)
    id = bundle.id(instance)
    signature = group.sign(CANDIDATE_LABEL, candidate_bytes(id, INTENT_ORDINAL))
    return Built(Candidate(instance, group.own_leaf, INTENT_ORDINAL, bundle, signature), id, successor, ())


def spoilt(fresh: FreshPath, path: UpdatePath, closed: Collection[int]) -> UpdatePath:
    nodes = []
    for step, node in zip(fresh.steps, path.nodes, strict=True):
        reachable = zip(reached(step.copath, ()), node.encrypted_path_secret, strict=True)
        sealed = tuple(garbled(each) if under(subtree) <= set(closed) else each for subtree, each in reachable)
        nodes.append(replace(node, encrypted_path_secret=sealed))
    return replace(path, nodes=tuple(nodes))


def garbled(sealed: bytes) -> bytes:
    """A ciphertext that opens for nobody."""
    whole = HPKECiphertext.decode(sealed)
    return replace(whole, ciphertext=bytes(len(whole.ciphertext))).encode()


def under(subtree: Subtree) -> set[int]:
    """The leaves that hold a node's key."""
    if subtree.height == 0:
        return {int(subtree.leaf_index)}
    unmerged = () if subtree.parent is None else subtree.parent.unmerged_leaves
    return {int(each.leaf_index) for each in subtree.leaves()} - {int(each) for each in unmerged}


async def offer(member: Member, built: Built) -> None:
    """Have a member's node take a commit for its own, vote for it and spread it."""
    agreement = member.session.agreement
    await member.session.ask(lambda: agreement.nominations.offer(agreement.candidacy.admit_own(built)))
