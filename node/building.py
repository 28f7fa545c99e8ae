"""Making this node's own candidates: a commit on the present epoch, and everything that goes with it in a bundle.

A member may have two candidates in an epoch: one for what it wants (ordinal 0), and the plain one a leader makes
when every other way is blocked (ordinal 1), which every honest member can open.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mls import Extension, Group, LeafChange, Random, SignaturePrivateKey, ed25519_sign, own_capabilities, remove
from node.electorate import PRIVATE_EXTENSIONS, VOTER_EXTENSION, RuleError, is_benched, voter_extension, voting_of
from node.judgement import CANDIDATE_LABEL
from node.planning import Plan
from ordering import (
    BUNDLE_SIZE_MAX,
    INTENT_ORDINAL,
    PLAIN_ORDINAL,
    Bundle,
    BundleId,
    Candidate,
    Evidence,
    VoterExtension,
    candidate_bytes,
    possession_bytes,
)


@dataclass(frozen=True, slots=True)
class Built:
    """An own candidate, the group value it leads to, and the intents it carries out."""

    candidate: Candidate
    id: BundleId
    successor: Group
    intent_ids: tuple[bytes, ...]


def build_for_intents(
    group: Group, instance: bytes, plan: Plan, vote_key: SignaturePrivateKey, random: Random, now: int
) -> Built:
    """A candidate that carries out a plan. Raises an `MlsError` or `RuleError` when the plan cannot be committed.

    Opting in, and coming back from the bench, name the epoch that ends as the one we are willing since, so it is built
    anew in every epoch.
    """
    change = None
    returns = is_benched(group.public, group.own_leaf) and not plan.opt_out  # by any commit of its own
    if plan.opt_in or plan.opt_out or returns:
        own = group.public.leaf(group.own_leaf)
        assert own is not None
        kept = tuple(each for each in own.extensions if each.extension_type != VOTER_EXTENSION)
        offer = () if plan.opt_out else (offer_to_vote(group, vote_key),)
        change = LeafChange(extensions=kept + offer, capabilities=own_capabilities(PRIVATE_EXTENSIONS))
    intent_ids = tuple(intent.intent_id for intent in plan.intents)
    return _build(group, instance, INTENT_ORDINAL, plan, change, intent_ids, random, now)


def build_plain(group: Group, instance: bytes, random: Random, now: int) -> Built:
    """The plain commit of R3: nothing but a path, so nothing that another honest member could fail to open."""
    return _build(group, instance, PLAIN_ORDINAL, Plan(), None, (), random, now)


def build_eviction(group: Group, instance: bytes, convicted: Mapping[int, Evidence], random: Random, now: int) -> Built:
    """A commit that removes these leaves, and nothing else, with the evidence in its bundle."""
    removals, why = tuple(map(remove, convicted)), tuple(convicted.values())
    return _build(group, instance, INTENT_ORDINAL, Plan(removals), None, (), random, now, why)


def offer_to_vote(group: Group, vote_key: SignaturePrivateKey) -> Extension:
    """The `voter` extension of our own leaf, from the present epoch on."""
    own = group.public.leaf(group.own_leaf)
    assert own is not None
    possession = possession_bytes(group.group_id, own.signature_key, group.epoch)
    return voter_extension(VoterExtension(vote_key.public, group.epoch, ed25519_sign(vote_key, possession)))


def _build(
    group: Group,
    instance: bytes,
    ordinal: int,
    plan: Plan,
    change: LeafChange | None,
    intent_ids: tuple[bytes, ...],
    random: Random,
    now: int,
    evidence: tuple[Evidence, ...] = (),
) -> Built:
    commit = group.commit(
        random,
        now,
        proposals=plan.proposals,
        references=plan.references,
        authenticated_data=instance,
        leaf=change,
        force_path=True,
    )
    descriptor = voting_of(commit.successor.public).committee.descriptor
    bundle = Bundle(commit.message, plan.references, commit.welcome or b"", descriptor, evidence)
    if len(bundle.encode()) > BUNDLE_SIZE_MAX:
        raise RuleError("the change is too large for one commit")
    id = bundle.id(instance)
    signature = group.sign(CANDIDATE_LABEL, candidate_bytes(id, ordinal))
    return Built(Candidate(instance, group.own_leaf, ordinal, bundle, signature), id, commit.successor, intent_ids)
