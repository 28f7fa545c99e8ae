"""Coming into a group: founding one, or being let in by a Welcome with the proof that its commit was decided.

A Welcome of a losing commit decrypts perfectly well. So a joiner demands the JoinProof of `docs/ordering.md`, checks
it against the tree it was given, and stays *unconfirmed* until members it elected itself stand where it stands.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from mls import (
    Group,
    KeyPackageBundle,
    MlsError,
    PublicGroup,
    basic,
    confirmed_transcript_hash,
    ed25519_generate,
    ed25519_sign,
    ed25519_verify,
    open_welcome,
    own_capabilities,
    peek,
    removal_count,
    suite,
    welcome_references,
)
from node.contacts.rows import JOIN_IN
from node.context import NodeContext, group_config
from node.directory import lifetime_from
from node.electorate import (
    PRIVATE_EXTENSIONS,
    RuleError,
    check_tree,
    peer_of,
    policy_extension,
    seats_of,
    voter_extension,
    voting_of,
)
from node.feed import GROUP, NoticeBody
from node.holding import OK, UNCONFIRMED, Extra, Holding, with_key
from node.judgement import CANDIDATE_LABEL
from node.peer_id import PeerId
from node.peer_messages import WelcomeDelivery
from node.rule_versions import check_rules
from node.sealing import gossip_key
from node.store_rows import FeedRow, GuardRow
from ordering import (
    Anchor,
    Decision,
    JoinProof,
    OrderingError,
    Policy,
    VoterExtension,
    check_join_proof,
    possession_bytes,
    ranked,
)

GROUP_ID_SIZE: Final = 32
GROUPS_MAX: Final = 1024  # groups that others may bring us into; those founded here come on top


class WelcomeRefusedError(RuleError):
    """A Welcome that does not bring us in; the message says which check failed."""


class NoKeysError(WelcomeRefusedError):
    """A Welcome for a key package that was used, has expired, or was never ours."""


def found_group(context: NodeContext, name: str, suite_id: int, policy: Policy) -> Holding:
    """A group of one, in epoch 0, whose only member is its only voter. Durable when this returns."""
    random, now = context.random, context.now_ms() // 1000
    group_id = random(GROUP_ID_SIZE)
    signer = suite(suite_id).generate_signature_key(random)
    vote_key = ed25519_generate(random)
    offer = VoterExtension(vote_key.public, 0, ed25519_sign(vote_key, possession_bytes(group_id, signer.public, 0)))
    group = Group.create(
        suite_id,
        group_id,
        signer,
        basic(context.identity.bind(signer.public, suite_id)),
        own_capabilities(PRIVATE_EXTENSIONS),
        (voter_extension(offer),),
        (policy_extension(policy),),
        random,
        lifetime_from(now),
        group_config(context.config),
    )
    descriptor = voting_of(group.public).committee.descriptor
    anchor = Anchor.genesis(group_id, group.context.tree_hash, descriptor)
    extra = with_key(Extra(anchor.prev, anchor, vote_key.to_bytes()), 0, gossip_key(group))
    holding = Holding(group_id, name, 0, group, extra, OK)
    _store(context, holding, "founded this group", None)
    context.up_to_date.add(group_id)  # nobody can have said anything in it
    return holding


@dataclass(frozen=True, slots=True)
class Arrival:
    """A Welcome that checks out, before anything has come of it."""

    id: bytes  # of the decided bundle
    holding: Holding
    adder: PeerId  # who made the commit, which need not be who brought it
    member_count: int
    proof: JoinProof
    bundle: KeyPackageBundle = field(repr=False)  # our key package that it is for
    payload: bytes = field(repr=False)  # the WelcomeDelivery
    is_return: bool  # into a group that we are in and cannot follow


def join_by_welcome(context: NodeContext, payload: bytes, *, is_vouched_for: bool = False) -> Holding | None:
    """Take in a `WelcomeDelivery` whoever it is by; None when we are in that group already. Durable when this returns.

    Raises what `read_welcome` does; nothing changed then.
    """
    arrival = read_welcome(context, payload, is_vouched_for=is_vouched_for)
    return None if arrival is None else enter(context, arrival)


def read_welcome(
    context: NodeContext, payload: bytes, *, is_vouched_for: bool = False, bundle: KeyPackageBundle | None = None
) -> Arrival | None:
    """What a `WelcomeDelivery` brings; None when we are in that group already. Nothing changes.

    `is_vouched_for` says that we cannot follow the group from where we stand, and that voters we knew vouch for the
    Decision this Welcome comes with (`node.returning`). `bundle` is the key package it is for, where that is known.

    Raises `WelcomeRefusedError`, `MlsError` or `OrderingError` naming the check that failed.
    """
    delivery = WelcomeDelivery.decode(payload)
    proof = JoinProof.decode(delivery.join_proof)
    if _is_in(context, proof.decision, is_vouched_for=is_vouched_for):
        return None
    if sum(not row.removed for row in context.store.groups()) >= GROUPS_MAX:
        raise WelcomeRefusedError(f"this node is in {GROUPS_MAX} groups already")
    bundle = bundle or bundle_for(context, proof.candidate.bundle.welcome)
    now = context.now_ms() // 1000
    joined = open_welcome(
        proof.candidate.bundle.welcome, [bundle], tree=None, now=now, config=group_config(context.config)
    )
    group = joined.group
    anchor = check_proof(proof, group)
    vote_key = ed25519_generate(context.random)
    extra = Extra(anchor.prev, anchor, vote_key.to_bytes(), joined.signer_leaf)
    extra = with_key(extra, group.epoch, gossip_key(group))
    holding = Holding(group.group_id, delivery.name, group.epoch, group, extra, UNCONFIRMED, unconfirmed=True)
    adder = group.public.leaf(joined.signer_leaf)
    assert adder is not None, "the engine has checked the signer's leaf"
    return Arrival(
        proof.decision.id,
        holding,
        peer_of(group.public, adder),
        sum(1 for _ in group.public.leaves()),
        proof,
        bundle,
        payload,
        is_vouched_for,
    )


def enter(context: NodeContext, arrival: Arrival) -> Holding:
    """Be in the group. Durable when this returns."""
    _store(context, arrival.holding, f"{arrival.adder} says this is the group", arrival.bundle.reference, arrival.id)
    return arrival.holding


def _is_in(context: NodeContext, decision: Decision, *, is_vouched_for: bool) -> bool:
    """Whether we stand in or beyond the epoch that this Decision begins; raises `WelcomeRefusedError`.

    A group that we are in is never entered anew by a Welcome, which anybody can make up: what ends our epoch, our own
    removal too, comes by its chain, which we follow even when cut off, and the Welcome is brought again until then.
    Where nobody keeps that chain any more, voters that we knew have to vouch. Nor does a Welcome lead back behind what
    we saw decided.
    """
    present = context.store.group(decision.group_id)
    if present is None:
        return False
    if not present.removed and present.epoch > decision.epoch:
        return True
    if not present.removed and not is_vouched_for:
        raise WelcomeRefusedError("we are a member of this group, and have not seen that this changed")
    seen = context.store.decision(decision.group_id, decision.epoch)
    if decision.epoch < present.epoch or (seen is not None and seen.candidate_id != decision.id):
        raise WelcomeRefusedError("the Welcome contradicts what we saw decided in this group")
    return False


def check_proof(proof: JoinProof, group: Group) -> Anchor:
    """The JoinProof against the group that was joined; the numbers are those of `docs/ordering.md`.

    Returns the anchor of the joined epoch: where our own knowledge of the decided chain begins.
    """
    public = group.public
    commit = proof.candidate.bundle.commit
    check_tree(public)
    expected = confirmed_transcript_hash(group.suite.id, proof.interim_transcript_hash, commit)
    if expected != group.context.confirmed_transcript_hash:  # (1)
        raise WelcomeRefusedError("join proof (1): the decided commit does not lead to the group we were let into")
    anchor = check_join_proof(
        proof,
        group_id=group.group_id,
        joined_epoch=group.epoch,
        welcome=proof.candidate.bundle.welcome,
        authenticated_data=peek(commit).authenticated_data or b"",
        verify=ed25519_verify,
        verify_author=lambda leaf, message, signature: _by_author(public, leaf, message, signature),
    )
    check_seating(proof, public)
    check_known(proof, public)
    voting = voting_of(public)
    check_rules(public)
    if anchor.descriptor != voting.committee.descriptor:
        raise WelcomeRefusedError("join proof: the bundle announces another committee than our tree elects")
    return anchor


def check_seating(proof: JoinProof, public: PublicGroup) -> None:
    """(5): every leaf that was eligible in the ended epoch and ranks before a seated one is seated."""
    ended = proof.decision.epoch
    voting = voting_of(public)
    before = [seat for seat in seats_of(public) if seat.since < ended or ended == 0]
    in_order = [seat.vote_key in proof.decision.descriptor.vote_keys for seat in ranked(voting.policy, before)]
    if True in in_order and not all(in_order[: len(in_order) - in_order[::-1].index(True)]):
        raise WelcomeRefusedError("join proof (5): the committee that decided passes over a voter of our tree")


def check_known(proof: JoinProof, public: PublicGroup) -> None:
    """(6): a committee of which our tree knows less than the commit can have taken out of it was made up.

    A voter of the ended epoch may be gone from our tree: removed by the commit, opted out by its committer, or by an
    Update it carries out. What is left of the doubt, the live check decides: the group opens unconfirmed.
    """
    bundle, keys = proof.candidate.bundle, {seat.vote_key for seat in seats_of(public)}
    unknown = sum(key not in keys for key in proof.decision.descriptor.vote_keys)
    if unknown > removal_count(bundle.commit) + len(bundle.proposals) + 1:
        raise WelcomeRefusedError("join proof (6): our tree knows too few of the voters that decided")


def _by_author(public: PublicGroup, leaf_index: int, message: bytes, signature: bytes) -> bool:
    leaf = public.leaf(leaf_index)
    if leaf is None:
        return False
    return public.suite.verify_with_label(leaf.signature_key, CANDIDATE_LABEL, message, signature)


def bundle_for(context: NodeContext, welcome: bytes) -> KeyPackageBundle:
    """Our key package that a Welcome is for; `NoKeysError` when it is for none of ours."""
    wanted = set(welcome_references(welcome))  # as many as its sender likes
    for reference in wanted & context.store.key_package_references():
        row = context.store.key_package(reference)
        if row is not None:
            return KeyPackageBundle.from_bytes(row.bundle)
    for join in context.store.joins():
        bundle = KeyPackageBundle.from_bytes(join.bundle) if join.bundle else None
        if bundle is not None and bundle.reference in wanted:
            return bundle
    raise NoKeysError("a Welcome for no key package that this node has: used already, expired, or never its own")


def _store(context: NodeContext, holding: Holding, text: str, used: bytes | None, welcome: bytes | None = None) -> None:
    """The group with its guard, the consumption of the key package and the news, in one transaction.

    `welcome` is the id of the decided bundle that brought us in, which is no invitation any more.
    """
    with context.store.transaction() as transaction:
        holding.put(transaction)
        transaction.drop_candidates(holding.group_id, holding.epoch)
        transaction.drop_ordering_records(holding.group_id, holding.epoch)
        if transaction.guard(holding.group_id) is None:
            transaction.put_guard(GuardRow(holding.group_id, 0, 0, 0))
        if used is not None:
            transaction.use_key_package(used, context.now_ms())
        if welcome is not None:
            transaction.delete_invitation(welcome)
        followed = transaction.join(holding.group_id)
        if followed is not None:
            transaction.put_join(replace(followed, state=JOIN_IN, body=b"", bundle=b"", reason=""))
        transaction.append_feed(
            FeedRow(holding.group_id, GROUP, holding.epoch, None, None, NoticeBody(text).encode(), context.now_ms())
        )
    context.clean()
    context.stir_packages()
    context.feed.grew()


REFUSALS = (RuleError, MlsError, OrderingError)
"""What `join_by_welcome` raises for a delivery that does not bring us in."""
