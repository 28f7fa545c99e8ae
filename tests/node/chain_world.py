"""A group of one real member, whose decided chain is written into a store row by row.

The commits, candidates, votes and certificates are the real ones. With `voters` above one the certificates are signed
by further keys that sit in no tree: enough for whoever checks certificates, not for who holds the group's value.
"""

import hashlib
from dataclasses import replace

from mls import (
    Group,
    GroupConfig,
    Lifetime,
    add,
    basic,
    create_key_package,
    decode_key_package,
    ed25519_generate,
    ed25519_sign,
    frame,
    own_capabilities,
    remove,
    suite,
)
from node import feed
from node.building import Built, build_for_intents
from node.electorate import PRIVATE_EXTENSIONS, peer_of, policy_extension, voter_extension, voting_of
from node.feed import ChangeBody, DecisionBody
from node.holding import REMOVED, Extra, Holding, after_decision
from node.identity import Identity
from node.judgement import CANDIDATE_LABEL
from node.planning import Plan
from node.store import Store
from node.store_rows import DecisionRow, FeedRow, GuardRow
from ordering import (
    Anchor,
    Bundle,
    Candidate,
    Certificate,
    Decision,
    Descriptor,
    Model,
    Policy,
    VoteKind,
    VoterExtension,
    candidate_bytes,
    instance_id,
    possession_bytes,
    quorum_size,
    vote_bytes,
)

GROUP_ID = bytes(range(16))
SUITE = 1
NOW_MS = 1_700_000_000_000
LIFETIME = Lifetime(NOW_MS // 1000 - 3600, NOW_MS // 1000 + 90 * 24 * 3600)


class Chance:
    """Repeatable randomness."""

    def __init__(self, seed: int) -> None:
        self._count, self._seed = 0, seed

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(b"%d %d" % (self._seed, self._count)).digest(size)


def key_package(identity: Identity, random: Chance) -> bytes:
    """A key package of a peer, as `AddBody` carries it."""
    signer = suite(SUITE).generate_signature_key(random)
    credential = basic(identity.bind(signer.public, SUITE))
    capabilities = own_capabilities(PRIVATE_EXTENSIONS)
    bundle = create_key_package(SUITE, credential, signer, LIFETIME, capabilities, (), (), random)
    return frame(bundle.key_package)


class Founder:
    """The member, its group and the store it is kept in."""

    def __init__(self, store: Store, *, voters: int = 1, seed: int = 1, name: str = "book club") -> None:
        self.store = store
        self.random = Chance(seed)
        self.identity = Identity.generate(self.random)
        self.vote_key = ed25519_generate(self.random)
        self.keys = (self.vote_key, *(ed25519_generate(self.random) for _ in range(voters - 1)))
        signer = suite(SUITE).generate_signature_key(self.random)
        possession = possession_bytes(GROUP_ID, signer.public, 0)
        offer = VoterExtension(self.vote_key.public, 0, ed25519_sign(self.vote_key, possession))
        group = Group.create(
            SUITE,
            GROUP_ID,
            signer,
            basic(self.identity.bind(signer.public, SUITE)),
            own_capabilities(PRIVATE_EXTENSIONS),
            (voter_extension(offer),),
            (policy_extension(Policy()),),
            self.random,
            LIFETIME,
            GroupConfig(),
        )
        anchor = Anchor.genesis(GROUP_ID, group.context.tree_hash, self.descriptor(group))
        extra = Extra(anchor.prev, anchor, self.vote_key.to_bytes())
        self.holding = Holding(GROUP_ID, name, 0, group, extra)
        with store.transaction() as tx:
            self.holding.put(tx)

    @property
    def group(self) -> Group:
        """The present value."""
        assert self.holding.group is not None
        return self.holding.group

    def descriptor(self, group: Group) -> Descriptor:
        """The committee of an epoch; with further voters the same in all."""
        if len(self.keys) == 1:
            return voting_of(group.public).committee.descriptor
        quorum = quorum_size(len(self.keys), Model.BYZANTINE)
        return Descriptor(1, Model.BYZANTINE, quorum, tuple(key.public for key in self.keys))

    def build(self, plan: Plan | None = None) -> Built:
        """A candidate for the present epoch."""
        instance = instance_id(GROUP_ID, self.group.epoch, self.descriptor(self.group), self.holding.extra.prev)
        built = build_for_intents(self.group, instance, plan or Plan(), self.vote_key, self.random, NOW_MS // 1000)
        if len(self.keys) == 1:
            return built
        bundle = built.candidate.bundle
        announced = Bundle(bundle.commit, bundle.proposals, bundle.welcome, self.descriptor(built.successor))
        id = announced.id(instance)
        signature = self.group.sign(CANDIDATE_LABEL, candidate_bytes(id, 0))
        return replace(built, candidate=Candidate(instance, 0, 0, announced, signature), id=id)

    def certify(self, candidate: Candidate, view: int = 0) -> Decision:
        """The Decision of the present epoch for a candidate, by the first q voters."""
        descriptor = self.descriptor(self.group)
        signatures = tuple(
            (voter, ed25519_sign(key, vote_bytes(candidate.instance, VoteKind.FINALIZE, view, voter, candidate.id)))
            for voter, key in enumerate(self.keys[: descriptor.quorum])
        )
        certificate = Certificate(candidate.instance, VoteKind.FINALIZE, view, candidate.id, signatures)
        return Decision(GROUP_ID, self.group.epoch, self.holding.extra.prev, descriptor, certificate)

    def decide(self, plan: Plan | None = None, changes: tuple[ChangeBody, ...] = ()) -> Decision:
        """End the epoch by a commit of ours, and write everything down."""
        built = self.build(plan)
        decision = self.certify(built.candidate)
        epoch = decision.epoch
        extra = after_decision(self.holding.extra, decided=built.id, committer=0, epoch=epoch, gone=())
        after = self.holding.with_changes(group=built.successor, epoch=epoch + 1, extra=extra)
        peer = self.identity.peer_id
        body = DecisionBody(
            candidate_id=built.id,
            committer_leaf=0,
            committer=peer,
            is_own=True,
            changes=changes or (ChangeBody("update", 0, peer),),
            view=0,
            voters=(peer,),
            quorum=decision.descriptor.quorum,
            committee_size=decision.descriptor.size,
            latency_ms=40,
            rivals=1,
        )
        with self.store.transaction() as tx:
            after.put(tx)
            tx.put_decision(DecisionRow(GROUP_ID, epoch, decision.id, decision.encode(), built.candidate.encode()))
            tx.put_guard(GuardRow(GROUP_ID, epoch + 1, 0, 0))
            tx.append_feed(FeedRow(GROUP_ID, feed.DECISION, epoch + 1, peer, None, body.encode(), NOW_MS + 1000))
        self.holding = after
        return decision

    def add(self, identity: Identity) -> Decision:
        """Add a peer, by a commit of ours."""
        package = decode_key_package(key_package(identity, self.random))
        leaf = 1 + max(index for index, _ in self.group.public.leaves())
        return self.decide(Plan(proposals=(add(package),)), (ChangeBody("add", leaf, identity.peer_id),))

    def remove(self, identity: Identity) -> Decision:
        """Remove a peer, by a commit of ours."""
        leaf = next(
            index for index, leaf in self.group.public.leaves() if peer_of(self.group.public, leaf) == identity.peer_id
        )
        return self.decide(Plan(proposals=(remove(leaf),)), (ChangeBody("remove", leaf, identity.peer_id),))

    def leave(self) -> Decision:
        """Be removed: the last decision stays, the group's value goes, the epoch does not move on."""
        before = self.holding.epoch
        decision = self.decide()
        self.holding = self.holding.with_changes(group=None, epoch=before, health=REMOVED, removed=True)
        with self.store.transaction() as tx:
            self.holding.put(tx)
        return decision
