"""Making a successor group, and entering one: the MLS side of a rescue.

A successor is born decided: its founder is the only voter of its epoch 0, and ends that epoch by the commit that brings
the others in. So they enter by the same JoinProof as into any group, and its chain is checked from its genesis.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mls import (
    Group,
    LeafChange,
    PublicGroup,
    basic,
    decode_key_package,
    ed25519_generate,
    ed25519_sign,
    open_welcome,
    own_capabilities,
)
from node.context import NodeContext, group_config
from node.directory import lifetime_from
from node.electorate import (
    PRIVATE_EXTENSIONS,
    peer_of,
    policy_extension,
    policy_of,
    voter_extension,
    voting_of,
)
from node.holding import OK, UNCONFIRMED, Extra, Holding, with_key
from node.joining import GROUP_ID_SIZE, WelcomeRefusedError, bundle_for, check_proof
from node.judgement import CANDIDATE_LABEL
from node.peer_id import PeerId
from node.rescue import Founded, Offer, endorse
from node.sealing import gossip_key
from node.store_rows import DecisionRow, GuardRow
from node.store_writes import Transaction
from ordering import (
    INTENT_ORDINAL,
    Anchor,
    Bundle,
    Candidate,
    Certificate,
    Decision,
    Descriptor,
    JoinProof,
    Policy,
    VoteKind,
    VoterExtension,
    candidate_bytes,
    instance_id,
    possession_bytes,
    vote_bytes,
)


def found_successor(
    context: NodeContext, holding: Holding, packages: Iterable[bytes], lost: Iterable[PeerId], name: str
) -> Founded:
    """A group of the survivors who gave these key packages, ready to be offered. Nothing is durable yet.

    Its policy is the old one without its pins and its bench: whom they name may be lost.
    """
    old, random, now = holding.group, context.random, context.now_ms() // 1000
    assert old is not None
    group_id, suite_id = random(GROUP_ID_SIZE), int(old.suite.id)
    signer, vote_key = old.suite.generate_signature_key(random), ed25519_generate(random)
    offer = VoterExtension(vote_key.public, 0, ed25519_sign(vote_key, possession_bytes(group_id, signer.public, 0)))
    former = policy_of(old.extensions)
    policy = Policy(model=former.model, size_max=former.size_max, delta_ms=former.delta_ms, everyone=former.everyone)
    made = old.branch(
        [decode_key_package(each) for each in packages],
        random,
        now,
        lifetime=lifetime_from(now),
        group_id=group_id,
        extensions=(policy_extension(policy),),
        leaf=LeafChange(
            signer=signer,
            credential=basic(context.identity.bind(signer.public, suite_id)),
            capabilities=own_capabilities(PRIVATE_EXTENSIONS),
            extensions=(voter_extension(offer),),
        ),
        authenticated_data=lambda public: _genesis(public).instance,
    )
    genesis = _genesis(made.present.public)
    bundle = Bundle(made.message, (), made.welcome or b"", voting_of(made.successor.public).committee.descriptor)
    id = bundle.id(genesis.instance)
    signature = made.present.sign(CANDIDATE_LABEL, candidate_bytes(id, INTENT_ORDINAL))
    candidate = Candidate(genesis.instance, made.present.own_leaf, INTENT_ORDINAL, bundle, signature)
    vote = ed25519_sign(vote_key, vote_bytes(genesis.instance, VoteKind.FINALIZE, 0, 0, id))
    certificate = Certificate(genesis.instance, VoteKind.FINALIZE, 0, id, ((0, vote),))
    decision = Decision(group_id, 0, genesis.anchor.prev, genesis.descriptor, certificate)
    proof = JoinProof(decision, candidate, made.present.public.interim_transcript_hash)
    members = members_of(made.successor.public)
    extra = with_key(Extra(id, genesis.anchor, vote_key.to_bytes()), 1, gossip_key(made.successor))
    return Founded(
        Offer(members, tuple(lost), proof.encode(), endorse(old, holding.extra.prev, group_id, members)),
        name,
        made.successor.to_bytes(),
        extra.encode(),
        decision.encode(),
        candidate.encode(),
    )


def put_founded(transaction: Transaction, context: NodeContext, founded: Founded) -> Holding:
    """Our own successor becomes a group of this node."""
    group = Group.from_bytes(founded.snapshot, group_config(context.config))
    decision = Decision.decode(founded.decision)
    holding = Holding(group.group_id, founded.name, group.epoch, group, Extra.decode(founded.extra), OK)
    holding.put(transaction)
    transaction.put_guard(GuardRow(group.group_id, 1, 0, 0))
    transaction.put_decision(
        DecisionRow(group.group_id, 0, decision.id, founded.decision, founded.candidate, context.now_ms())
    )
    return holding


@dataclass(frozen=True, slots=True)
class Entered:
    """A successor that opened for us: not durable, and not ours before it is."""

    holding: Holding
    key_package: bytes  # reference of the one it used up
    at_ms: int

    def put(self, transaction: Transaction) -> None:
        """It becomes a group of this node."""
        self.holding.put(transaction)
        if transaction.guard(self.holding.group_id) is None:
            transaction.put_guard(GuardRow(self.holding.group_id, 0, 0, 0))
        transaction.use_key_package(self.key_package, self.at_ms)


def enter_successor(context: NodeContext, old: Group, offer: Offer, name: str) -> Entered:
    """Open what is offered, and check that it is what it says. Raises `RuleError`, `MlsError` or `OrderingError`."""
    proof = JoinProof.decode(offer.proof)
    bundle = bundle_for(context, proof.candidate.bundle.welcome)
    joined = open_welcome(
        proof.candidate.bundle.welcome,
        [bundle],
        tree=None,
        now=context.now_ms() // 1000,
        config=group_config(context.config),
        predecessor=old,
    )
    group = joined.group
    if group.group_id != offer.successor or group.epoch != 1 or set(members_of(group.public)) != set(offer.members):
        raise WelcomeRefusedError("the successor is another group than the one that is offered")
    anchor = check_proof(proof, group)
    vote_key = ed25519_generate(context.random)
    extra = Extra(anchor.prev, anchor, vote_key.to_bytes(), joined.signer_leaf)
    extra = with_key(extra, group.epoch, gossip_key(group))
    holding = Holding(group.group_id, name, group.epoch, group, extra, UNCONFIRMED, unconfirmed=True)
    return Entered(holding, bundle.reference, context.now_ms())


def members_of(public: PublicGroup) -> tuple[PeerId, ...]:
    """The peers in a group, by leaf."""
    return tuple(peer_of(public, leaf) for _, leaf in public.leaves())


@dataclass(frozen=True, slots=True)
class _Genesis:
    descriptor: Descriptor
    anchor: Anchor
    instance: bytes = field(repr=False)


def _genesis(public: PublicGroup) -> _Genesis:
    """What a new group's first epoch is called, and who ends it."""
    descriptor = voting_of(public).committee.descriptor
    anchor = Anchor.genesis(public.group_id, public.context.tree_hash, descriptor)
    return _Genesis(descriptor, anchor, instance_id(public.group_id, 0, descriptor, anchor.prev))
