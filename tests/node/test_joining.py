"""Coming into a group, and the adders who mean ill: what a Welcome must bring, and what it can never do."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from mls import (
    Group,
    GroupConfig,
    KeyPackageBundle,
    SignaturePrivateKey,
    add,
    basic,
    create_key_package,
    ed25519_generate,
    ed25519_sign,
    join,
    own_capabilities,
    remove,
    suite,
)
from node.building import Built, build_for_intents
from node.config import OrderingSection
from node.context import NodeContext
from node.electorate import PRIVATE_EXTENSIONS, RuleError, policy_extension, voter_extension, voting_of
from node.feed import GROUP, NoticeBody
from node.holding import ABSTAINING, CUT_OFF, UNCONFIRMED
from node.identity import Identity
from node.intents import DONE, UPDATE
from node.joining import REFUSALS, WelcomeRefusedError, join_by_welcome
from node.judgement import CANDIDATE_LABEL, Epoch, judge_hard
from node.peer_messages import WelcomeDelivery
from node.planning import Plan
from node.store_rows import KEY_PACKAGE_CLAIMED, KEY_PACKAGE_ONE_TIME, KeyPackageRow
from ordering import (
    Bundle,
    Candidate,
    Certificate,
    Decision,
    Descriptor,
    JoinProof,
    Model,
    Policy,
    VoteKind,
    VoterExtension,
    candidate_bytes,
    genesis_prev,
    instance_id,
    possession_bytes,
    quorum_size,
    vote_bytes,
)
from tests.node.chain_world import LIFETIME, NOW_MS, SUITE, Chance
from tests.node.world import HOLDS, Member, committee_size, open_world, until

NOW = NOW_MS // 1000
GROUP_ID = b"a group of real values"


def descriptor_of(keys: Sequence[SignaturePrivateKey]) -> Descriptor:
    quorum = quorum_size(len(keys), Model.BYZANTINE)
    return Descriptor(1, Model.BYZANTINE, quorum, tuple(key.public for key in keys))


class Person:
    """A member by its own value of the group, without a node."""

    def __init__(self, name: str) -> None:
        self.random = Chance(sum(name.encode()))
        self.identity = Identity.generate(self.random)
        self.signer = suite(SUITE).generate_signature_key(self.random)
        self.vote_key = ed25519_generate(self.random)
        self.group: Group | None = None

    def found(self, policy: Policy, group_id: bytes = GROUP_ID) -> None:
        possession = possession_bytes(group_id, self.signer.public, 0)
        offer = VoterExtension(self.vote_key.public, 0, ed25519_sign(self.vote_key, possession))
        self.group = Group.create(
            SUITE,
            group_id,
            self.signer,
            basic(self.identity.bind(self.signer.public, SUITE)),
            own_capabilities(PRIVATE_EXTENSIONS),
            (voter_extension(offer),),
            (policy_extension(policy),),
            self.random,
            LIFETIME,
            GroupConfig(),
        )

    def key_package(self) -> KeyPackageBundle:
        return key_package(self.identity, self.random)


def key_package(identity: Identity, random: Callable[[int], bytes]) -> KeyPackageBundle:
    signer = suite(SUITE).generate_signature_key(random)
    credential = basic(identity.bind(signer.public, SUITE))
    return create_key_package(SUITE, credential, signer, LIFETIME, own_capabilities(PRIVATE_EXTENSIONS), (), (), random)


class Circle:
    """Members of one group; every commit is decided by whom the test says, real committee or not."""

    def __init__(self, founder: Person, policy: Policy = Policy()) -> None:  # noqa: B008 - frozen
        founder.found(policy)
        assert founder.group is not None
        self.members = [founder]
        self.prev: bytes = genesis_prev(GROUP_ID, founder.group.context.tree_hash)

    @property
    def group(self) -> Group:
        assert self.members[0].group is not None
        return self.members[0].group

    def keys(self) -> list[SignaturePrivateKey]:
        """Of the true committee."""
        seated = voting_of(self.group.public).committee.descriptor.vote_keys
        return [next(m.vote_key for m in self.members if m.vote_key.public == key) for key in seated]

    def build(self, author: Person, plan: Plan, keys: Sequence[SignaturePrivateKey] | None = None) -> Built:
        """A candidate of a member for the instance that these voters hold."""
        assert author.group is not None
        instance = instance_id(GROUP_ID, author.group.epoch, descriptor_of(keys or self.keys()), self.prev)
        return build_for_intents(author.group, instance, plan, author.vote_key, author.random, NOW)

    def certify(self, built: Built, keys: Sequence[SignaturePrivateKey] | None = None) -> Decision:
        descriptor = descriptor_of(keys or self.keys())
        candidate = built.candidate
        message = [vote_bytes(candidate.instance, VoteKind.FINALIZE, 0, v, built.id) for v in range(descriptor.size)]
        signatures = tuple(
            (voter, ed25519_sign(key, message[voter]))
            for voter, key in enumerate((keys or self.keys())[: descriptor.quorum])
        )
        certificate = Certificate(candidate.instance, VoteKind.FINALIZE, 0, built.id, signatures)
        return Decision(GROUP_ID, self.group.epoch, self.prev, descriptor, certificate)

    def proof(self, built: Built, decision: Decision) -> JoinProof:
        return JoinProof(decision, built.candidate, self.group.public.interim_transcript_hash)

    def adopt(self, author: Person, built: Built, newcomer: tuple[Person, KeyPackageBundle] | None = None) -> None:
        """All members follow a commit."""
        for member in self.members:
            if member is author:
                member.group = built.successor
            else:
                assert member.group is not None
                member.group = member.group.stage(built.candidate.bundle.commit, now=NOW).successor
        if newcomer is not None:
            person, bundle = newcomer
            person.group = join(built.candidate.bundle.welcome, [bundle], tree=None, now=NOW)
            self.members.append(person)
        self.members = [member for member in self.members if member.group is not None]
        self.prev = built.id

    def let_in(self, person: Person, *, votes: bool) -> None:
        bundle = person.key_package()
        built = self.build(self.members[0], Plan((add(bundle.key_package),)))
        self.adopt(self.members[0], built, (person, bundle))
        if votes:
            self.adopt(person, self.build(person, Plan(opt_in=True)))


def bundle_for(joiner: Member) -> KeyPackageBundle:
    """A key package of a running node, as it would have handed it out."""
    bundle = key_package(joiner.node.context.identity, Chance(99))
    with joiner.node.context.store.transaction() as transaction:
        row = KeyPackageRow(bundle.reference, bundle.to_bytes(), KEY_PACKAGE_ONE_TIME, KEY_PACKAGE_CLAIMED)
        transaction.put_key_package(row)
    return bundle


def deliver(context: NodeContext, proof: JoinProof) -> object:
    return join_by_welcome(context, WelcomeDelivery(proof.encode(), "a group").encode())


def refused(context: NodeContext, proof: JoinProof, match: str) -> None:
    """The proof is refused for that reason, and nothing has changed: the true one is still welcome."""
    before = (context.store.groups(), context.store.key_packages(), context.store.feed_head())
    with pytest.raises(REFUSALS, match=match):
        deliver(context, proof)
    assert (context.store.groups(), context.store.key_packages(), context.store.feed_head()) == before


@pytest.fixture
def circle() -> Circle:
    """Ada founded it and votes alone; bob and cyn are in it, cyn willing to vote."""
    ada, bob, cyn = Person("ada"), Person("bob"), Person("cyn")
    made = Circle(ada)
    made.let_in(bob, votes=False)
    made.let_in(cyn, votes=True)
    return made


async def test_a_true_welcome_opens_the_group_unconfirmed(
    tmp_path: Path, autojump_clock: MockClock, circle: Circle
) -> None:
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        built = circle.build(circle.members[1], Plan((add(bundle_for(dan).key_package),)))

        deliver(dan.node.context, circle.proof(built, circle.certify(built)))

        (row,) = dan.node.context.store.groups()
        assert (row.epoch, row.health, row.unconfirmed) == (circle.group.epoch + 1, UNCONFIRMED, True)
        assert dan.node.context.store.key_packages(state=KEY_PACKAGE_CLAIMED) == ()  # used, and gone
        (notice,) = dan.node.context.store.feed_of_kind(GROUP_ID, GROUP, 0, 10)
        assert circle.members[1].identity.peer_id in NoticeBody.decode(notice.body).text


async def test_a_losing_welcome_is_refused(tmp_path: Path, autojump_clock: MockClock, circle: Circle) -> None:
    """Story `losing_welcome`. It decrypts perfectly well; but another candidate of the instance was decided."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        package = bundle_for(dan).key_package
        ada, bob, _ = circle.members
        losing, winning = circle.build(bob, Plan((add(package),))), circle.build(ada, Plan())

        refused(dan.node.context, circle.proof(losing, circle.certify(winning)), r"Join \(3\)")


async def test_a_committee_of_the_adders_making_is_refused(
    tmp_path: Path, autojump_clock: MockClock, circle: Circle
) -> None:
    """Story `fake_committee_welcome`: cyn seats herself where ada, who ranks before her, has the seat."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        _, _, cyn = circle.members
        keys = [cyn.vote_key]
        built = circle.build(cyn, Plan((add(bundle_for(dan).key_package),)), keys)

        refused(dan.node.context, circle.proof(built, circle.certify(built, keys)), r"\(5\)")


async def test_a_committee_of_strangers_stays_unconfirmed(
    tmp_path: Path, autojump_clock: MockClock, circle: Circle
) -> None:
    """Story `real_voters_removed_welcome`: whoever decided is not in the tree. No static proof can tell a forgery from
    a commit that removed its own voters, so it opens, and only the live check can confirm it."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        ada, bob, _ = circle.members
        invented = [ed25519_generate(bob.random)]
        plan = Plan((remove(0), add(bundle_for(dan).key_package)))
        assert ada.group is not None
        built = circle.build(bob, plan, invented)

        deliver(dan.node.context, circle.proof(built, circle.certify(built, invented)))

        (row,) = dan.node.context.store.groups()
        assert row.unconfirmed


async def test_a_committee_larger_than_what_was_removed_is_refused(
    tmp_path: Path, autojump_clock: MockClock, circle: Circle
) -> None:
    """Story `fake_committee_welcome`: four strangers decide a commit that removes one voter."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        _, bob, _ = circle.members
        invented = [ed25519_generate(bob.random) for _ in range(4)]
        built = circle.build(bob, Plan((remove(0), add(bundle_for(dan).key_package))), invented)

        refused(dan.node.context, circle.proof(built, circle.certify(built, invented)), r"\(6\)")


def test_a_bundle_holds_the_proposals_its_commit_refers_to_and_no_other(circle: Circle) -> None:
    """What no commit needs everyone would have to verify, keep and serve."""
    _, bob, cyn = circle.members
    assert bob.group is not None
    assert cyn.group is not None
    _, proposal = cyn.group.propose(remove(0), cyn.random, NOW)
    built = circle.build(bob, Plan())
    instance = built.candidate.instance
    epoch = Epoch(bob.group.public, instance, voting_of(bob.group.public))
    judge_hard(epoch, built.candidate)

    bundle = msgspec.structs.replace(built.candidate.bundle, proposals=(proposal,))
    signature = bob.group.sign(CANDIDATE_LABEL, candidate_bytes(bundle.id(instance), 0))

    with pytest.raises(RuleError, match="does not refer to"):
        judge_hard(epoch, Candidate(instance, bob.group.own_leaf, 0, bundle, signature))


async def test_each_check_of_the_proof_alone_refuses(tmp_path: Path, autojump_clock: MockClock, circle: Circle) -> None:
    """JoinProof (1) to (4) and what binds them, broken one by one; then the true proof lets in."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        context = dan.node.context
        bob = circle.members[1]
        plan = Plan((add(bundle_for(dan).key_package),))
        built = circle.build(bob, plan)
        decision = circle.certify(built)
        proof = circle.proof(built, decision)
        replace_ = msgspec.structs.replace

        refused(context, replace_(proof, interim_transcript_hash=bytes(32)), r"\(1\)")

        other = replace(built, candidate=replace_(built.candidate, instance=bytes(32)))
        refused(context, circle.proof(other, decision), r"\(3\)")
        elsewhere = rewrapped(bob, built, bytes(32))
        refused(context, circle.proof(elsewhere, certified_as(circle, elsewhere, prev=bytes(32))), r"\(2\)")

        unsigned = replace_(built.candidate, signature=bytes(64))
        refused(context, replace_(proof, candidate=unsigned), "signed by its author")
        misnamed = replace_(built.candidate, author=0)
        refused(context, replace_(proof, candidate=misnamed), "signed by its author")

        votes = tuple((voter, bytes(64)) for voter, _ in decision.certificate.signatures)
        forged = replace_(decision, certificate=replace_(decision.certificate, signatures=votes))
        refused(context, replace_(proof, decision=forged), "does not verify")

        lying = announcing(bob, built, descriptor_of([bob.vote_key]))
        refused(context, circle.proof(lying, circle.certify(lying)), "another committee than our tree elects")

        deliver(context, proof)


async def test_a_tree_that_no_honest_committee_let_through_is_refused(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Members check each leaf as it comes; a newcomer has all of them to check at once."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        ada, bob = Person("ada"), Person("bob")
        bob.vote_key = ada.vote_key
        sharing = Circle(ada)
        sharing.let_in(bob, votes=True)
        built = sharing.build(ada, Plan((add(bundle_for(dan).key_package),)))
        refused(dan.node.context, sharing.proof(built, sharing.certify(built)), "share a vote key")

        ada, twin = Person("ada"), Person("ada")
        twin.random = Chance(7)
        doubled = Circle(ada)
        doubled.let_in(twin, votes=False)
        built = doubled.build(ada, Plan((add(bundle_for(dan).key_package),)))
        refused(dan.node.context, doubled.proof(built, doubled.certify(built)), "two leaves")


async def test_a_group_on_other_rules_is_not_entered(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its task could never start: better to say so to who adds us."""
    async with open_world(tmp_path) as world:
        dan = await world.member("dan")
        circle = Circle(Person("ada"), Policy(rules=1))
        keys = circle.keys()
        descriptor = replace_rules(descriptor_of(keys), 1)
        instance = instance_id(GROUP_ID, 0, descriptor, circle.prev)
        ada = circle.members[0]
        assert ada.group is not None
        plan = Plan((add(bundle_for(dan).key_package),))
        built = build_for_intents(ada.group, instance, plan, ada.vote_key, ada.random, NOW)
        vote = ed25519_sign(ada.vote_key, vote_bytes(instance, VoteKind.FINALIZE, 0, 0, built.id))
        certificate = Certificate(instance, VoteKind.FINALIZE, 0, built.id, ((0, vote),))
        decision = Decision(GROUP_ID, 0, circle.prev, descriptor, certificate)

        refused(dan.node.context, circle.proof(built, decision), "rules 1; this node runs 2")


async def test_a_welcome_never_replaces_a_group_we_are_in(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Anybody can have a key package of ours, and make up a group with any id, epoch and committee. If its Welcome
    took the place of the group we are in, whoever knows the group's id could take us out of it."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        group_id, context = bob.session.group_id, bob.node.context
        forged = forged_group(Person("eve"), group_id, bob, epoch=bob.epoch + 3)
        before = context.store.group(group_id)

        with pytest.raises(WelcomeRefusedError, match="a member of this group"):
            deliver(context, forged)

        assert context.store.group(group_id) == before
        assert (await ada.update()).state == DONE
        await world.settled(ada, bob)


async def test_nor_one_that_we_are_cut_off_from(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It follows the chain all the same, to its own removal too, and comes back by itself: no Welcome is needed."""
    async with open_world(tmp_path) as world:
        _, bob = await world.group_of("ada", "bob", committee=1)
        context = bob.node.context
        holding = bob.session.holding
        await bob.session.ask(lambda: bob.session.agreement.change_health(CUT_OFF, "cut off"))
        forged = forged_group(Person("eve"), holding.group_id, bob, epoch=bob.epoch)

        with pytest.raises(WelcomeRefusedError, match="a member of this group"):
            deliver(context, forged)


async def test_removed_while_away_and_added_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The Welcome may come before the news of the removal; it is brought again until the chain has told."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await dan.stop()
        assert (await ada.remove(dan)).state == DONE
        assert (await bob.update()).state == DONE
        await dan.start(alone=True)
        await dan.node.connect(bob.address)

        assert (await bob.add(dan)).state in HOLDS

        await until(lambda: bool(dan.node.sessions) and not dan.session.holding.removed)
        for other in (ada, cyn):
            await dan.node.connect(other.address)
        await until(lambda: committee_size(dan) == 4 and not dan.session.holding.unconfirmed)
        await world.settled(ada, bob, cyn, dan)


async def test_a_group_whose_guard_is_gone_does_not_vote(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The guard comes with the group and is never deleted. Without it nobody knows what was signed already."""
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        group_id, epoch = ada.session.group_id, ada.epoch
        assert ada.node.context.store.guard(group_id) is not None
        with ada.node.context.store.transaction() as transaction:
            transaction._rows("DELETE FROM guards")
        await ada.stop()
        await ada.start()

        assert ada.session.agreement.instance.guard.abstains(epoch)
        assert ada.session.holding.health == ABSTAINING


async def test_who_was_removed_keeps_no_secret_in_memory(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Neither the group, nor what its candidates would have led to, nor the vote key."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        assert cyn.session.holding.group is not None
        leaf = cyn.session.holding.group.own_leaf
        await cyn.submit(UPDATE)

        assert (await ada.remove(cyn)).state == DONE

        await until(lambda: cyn.session.holding.removed)
        await world.settled(ada, bob)
        gc.collect()
        groups = [each for each in gc.get_objects() if isinstance(each, Group)]
        assert {each.own_leaf for each in groups if each.group_id == ada.session.group_id} >= {0}
        assert [each for each in groups if each.group_id == ada.session.group_id and each.own_leaf == leaf] == []


def rewrapped(author: Person, built: Built, prev: bytes) -> Built:
    """The same bundle, offered for the instance after another predecessor."""
    assert author.group is not None
    descriptor = descriptor_of([author.vote_key])
    instance = instance_id(GROUP_ID, author.group.epoch, descriptor, prev)
    id = built.candidate.bundle.id(instance)
    signature = author.group.sign(CANDIDATE_LABEL, candidate_bytes(id, 0))
    return replace(
        built, candidate=Candidate(instance, author.group.own_leaf, 0, built.candidate.bundle, signature), id=id
    )


def certified_as(circle: Circle, built: Built, prev: bytes) -> Decision:
    """A Decision that claims another predecessor, by the author alone."""
    author = circle.members[1]
    descriptor = descriptor_of([author.vote_key])
    vote = ed25519_sign(author.vote_key, vote_bytes(built.candidate.instance, VoteKind.FINALIZE, 0, 0, built.id))
    certificate = Certificate(built.candidate.instance, VoteKind.FINALIZE, 0, built.id, ((0, vote),))
    return Decision(GROUP_ID, circle.group.epoch, prev, descriptor, certificate)


def announcing(author: Person, built: Built, descriptor: Descriptor) -> Built:
    """The same commit in a bundle that announces another committee, signed by its author."""
    assert author.group is not None
    bundle = built.candidate.bundle
    told = Bundle(bundle.commit, bundle.proposals, bundle.welcome, descriptor)
    instance = built.candidate.instance
    id = told.id(instance)
    signature = author.group.sign(CANDIDATE_LABEL, candidate_bytes(id, 0))
    return replace(built, candidate=Candidate(instance, author.group.own_leaf, 0, told, signature), id=id)


def replace_rules(descriptor: Descriptor, rules: int) -> Descriptor:
    return Descriptor(rules, descriptor.model, descriptor.quorum, descriptor.vote_keys)


def forged_group(by: Person, group_id: bytes, joiner: Member, epoch: int) -> JoinProof:
    """A whole group of one's own under another group's id, driven to an epoch, and a Welcome into the next."""
    by.found(Policy(), group_id)
    assert by.group is not None
    prev: bytes = genesis_prev(group_id, by.group.context.tree_hash)
    while True:
        descriptor = voting_of(by.group.public).committee.descriptor
        instance = instance_id(group_id, by.group.epoch, descriptor, prev)
        last = by.group.epoch == epoch
        plan = Plan((add(bundle_for(joiner).key_package),)) if last else Plan()
        built = build_for_intents(by.group, instance, plan, by.vote_key, by.random, NOW)
        if last:
            break
        by.group, prev = built.successor, built.id
    vote = ed25519_sign(by.vote_key, vote_bytes(instance, VoteKind.FINALIZE, 0, 0, built.id))
    certificate = Certificate(instance, VoteKind.FINALIZE, 0, built.id, ((0, vote),))
    decision = Decision(group_id, epoch, prev, descriptor, certificate)
    return JoinProof(decision, built.candidate, by.group.public.interim_transcript_hash)


@pytest.mark.parametrize("seed", range(4))
async def test_newcomers_are_confirmed_soon_though_epochs_pass(
    tmp_path: Path, autojump_clock: MockClock, seed: int
) -> None:
    """Where the others stand was said in an epoch that ended before it could be compared, and is not said again before
    the idle period is over: a group of four took that long to have four voters."""
    async with open_world(tmp_path, seed) as world:
        world.ordering = OrderingSection(delta_ms=200, status_idle_period_ms=600_000)
        began_s = trio.current_time()

        await world.group_of("ada", "bob", "cyn", "dan", committee=4)

        assert trio.current_time() - began_s < 10
