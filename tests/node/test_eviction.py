"""A voter that contradicts itself is proven to have done so, told of, and removed; and nobody else can be framed."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from mls import (
    Extension,
    ExtensionType,
    LeafChange,
    LeafNode,
    Proposal,
    SignaturePrivateKey,
    basic,
    ed25519_generate,
    ed25519_sign,
    group_context_extensions,
    own_capabilities,
    remove,
)
from node import feed
from node.admission import ADMISSION
from node.building import build_plain
from node.electorate import (
    LEAF_SIZE_MAX,
    PRIVATE_EXTENSIONS,
    VOTER_EXTENSION,
    RuleError,
    leaf_of_peer,
    policy_extension,
    voter_extension,
    voting_of,
)
from node.eviction import KEPT_OF_ONE_MAX, REFUSED_MAX, Eviction, stored_book
from node.evidence import accused, attached
from node.feed import DecisionBody, NoticeBody
from node.inbox import FrameIn
from node.intents import DONE, REMOVE, RemoveBody
from node.judgement import CANDIDATE_LABEL, HardValid, judge_hard
from node.peer_messages import Frame, FrameKind, group_tag
from node.resync import build_resync
from ordering import (
    BenchEntry,
    Bundle,
    BundleId,
    Candidate,
    Evidence,
    ProposalClass,
    SignedVote,
    Vote,
    VoteKind,
    VoterExtension,
    candidate_bytes,
    encode_message,
    possession_bytes,
)
from ordering.limits import LEAF_NODE_SIZE_MAX
from ordering.votes import vote_bytes
from ordering.wire import InstanceId
from tests.node.world import HOLDS, Member, World, open_world, until

FOUR = ("ada", "bob", "cyn", "dan")
STUFFING = 0xF0FF


def signed(member: Member, key: SignaturePrivateKey, name: str, *, instance: bytes = b"", view: int = 0) -> SignedVote:
    """A Notarize by the voter that this member is, under that key."""
    agreement = member.session.agreement
    voter = agreement.instance.config.own_voter
    assert voter is not None
    instance = instance or agreement.epoch.instance
    id = BundleId(name.encode().ljust(32, b"."))
    message = vote_bytes(instance, VoteKind.NOTARIZE, view, voter, id)
    return Vote(VoteKind.NOTARIZE, view, voter, id, ed25519_sign(key, message)).signed(InstanceId(instance))


def contradiction(member: Member, *, instance: bytes = b"") -> Evidence:
    """What proves this member a liar."""
    key = member.session.holding.vote_key
    bare = Evidence(signed(member, key, "one", instance=instance), signed(member, key, "two", instance=instance))
    return attached(member.session.agreement.public, member.session.agreement.own_leaf, bare)


def post(source: Member, to: Member, kind: FrameKind, body: bytes) -> None:
    to.session.post(FrameIn(source.peer_id, Frame(group_tag(to.session.group_id), kind, body)))


def contradict(liar: Member, to: Member) -> None:
    """Both votes, to one voter."""
    evidence = contradiction(liar)
    for vote in (evidence.first, evidence.second):
        post(liar, to, FrameKind.ORDERING, encode_message(vote))


def told(member: Member) -> list[str]:
    rows = member.node.context.store.feed(0, 1000, member.session.group_id)
    return [NoticeBody.decode(row.body).text for row in rows if row.kind == feed.HEALTH]


def accusations(member: Member) -> int:
    return sum("contradict each other" in text for text in told(member))


async def test_who_contradicts_itself_is_removed_on_proof(tmp_path: Path, autojump_clock: MockClock) -> None:
    """One voter sees both votes. Everybody learns of it, is told once, and the proof is part of the decided chain."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        began = ada.epoch
        contradict(dan, ada)

        await until(lambda: all(len(m.session.agreement.roster) == 3 for m in (ada, bob, cyn)))
        await world.settled(ada, bob, cyn)

        assert [accusations(member) for member in (ada, bob, cyn)] == [1, 1, 1]
        decided = ada.node.context.store.decision(ada.session.group_id, began)
        assert decided is not None
        assert decided.candidate is not None
        assert [e.first.instance for e in decided_evidence(decided.candidate)] == [contradiction_of(ada)]
        rows = ada.node.context.store.feed_of_kind(ada.session.group_id, feed.DECISION, 0, 1000)
        assert [change.kind for change in DecisionBody.decode(rows[-1].body).changes] == ["remove"]
        assert (await bob.update()).state == DONE


def decided_evidence(candidate: bytes) -> tuple[Evidence, ...]:
    return Candidate.decode(candidate).bundle.evidence


def contradiction_of(member: Member) -> bytes:
    (piece,) = stored_book(member.node.context.store, member.session.group_id).pieces
    return piece.evidence.first.instance


async def left_to_people(world: World) -> list[Member]:
    """A group of four voters, none of whom evicts anybody by itself."""
    members = await world.group_of(*FOUR, committee=4)
    for member in members:
        ordering = msgspec.structs.replace(member.config.ordering, evict_proven=False)
        member.config = msgspec.structs.replace(member.config, ordering=ordering)
        await member.stop()
        await member.start()
    return members


async def test_it_may_be_left_to_people(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The evidence is kept, across a restart too; who removes the liar then is the user's to say."""
    async with open_world(tmp_path) as world:
        members = ada, bob, cyn, dan = await left_to_people(world)
        await world.settled(*members)
        contradict(dan, ada)
        await until(lambda: all(accusations(member) == 1 for member in (ada, bob, cyn)))
        await ada.stop()
        await ada.start()

        assert len(ada.session.agreement.eviction.book.pieces) == 1
        assert len(ada.session.agreement.roster) == 4
        assert (await ada.change(REMOVE, RemoveBody(dan.peer_id).encode())).state == DONE


async def test_who_was_away_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Evidence against present members is passed on to whoever connects; what is known is not told twice."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await left_to_people(world)
        await cyn.stop()
        contradict(dan, ada)
        await until(lambda: accusations(bob) == 1)
        await cyn.start()

        await until(lambda: accusations(cyn) == 1)
        post(bob, cyn, FrameKind.EVIDENCE, contradiction(dan).encode())
        assert (await cyn.update()).state == DONE
        assert accusations(cyn) == 1


async def test_framed_by_descriptor(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An accuser invents a committee that seats its own key under the accused's name. Every link of the chain from the
    member to the votes has to hold, so each forgery fails at one of them."""
    async with open_world(tmp_path) as world:
        ada, bob, _, dan = await world.group_of(*FOUR, committee=4)
        public = ada.session.agreement.public
        eve = ed25519_generate(os.urandom)
        framed = Evidence(signed(bob, eve, "one"), signed(bob, eve, "two"))
        victim = leaf_of_peer(public, bob.peer_id)
        assert victim is not None

        with pytest.raises(RuleError, match="did not sign this"):  # the accused's leaf, not the accused's votes
            accused(public, attached(public, victim, framed))
        half = Evidence(signed(bob, bob.session.holding.vote_key, "one"), signed(bob, eve, "two"))
        with pytest.raises(RuleError, match="did not sign this"):
            accused(public, attached(public, victim, half))

        leaf = public.leaf(victim)
        assert leaf is not None
        offer = VoterExtension(
            eve.public, 0, ed25519_sign(eve, possession_bytes(public.group_id, leaf.signature_key, 0))
        )
        others = tuple(each for each in leaf.extensions if each.extension_type != VOTER_EXTENSION)
        invented = replace(leaf, extensions=(*others, voter_extension(offer)))
        with pytest.raises(RuleError, match="the accused did not sign"):  # a vote key put into the accused's leaf
            accused(public, Evidence(framed.first, framed.second, invented.encode(), victim))
        dans = dan.session.agreement.group.state.signer
        resigned = invented.signed(public.suite, dans, public.group_id, victim)
        with pytest.raises(RuleError, match="the accused did not sign"):
            accused(public, Evidence(framed.first, framed.second, resigned.encode(), victim))
        own = replace(resigned, signature_key=dans.public).signed(public.suite, dans, public.group_id, victim)
        with pytest.raises(RuleError, match="credential"):  # the accuser's key under the accused's name
            accused(public, Evidence(framed.first, framed.second, own.encode(), victim))
        elsewhere = leaf.signed(public.suite, bob.session.agreement.group.state.signer, b"another group", victim)
        real = contradiction(bob)
        with pytest.raises(RuleError, match="the accused did not sign"):  # the accused's leaf of another group
            accused(public, Evidence(real.first, real.second, elsewhere.encode(), victim))
        for damaged in (b"", b"\x00", leaf.encode()[:-1]):
            with pytest.raises(RuleError, match="without a leaf"):
                accused(public, Evidence(real.first, real.second, damaged, victim))
        assert accused(public, real) == bob.peer_id


async def test_false_evidence_costs_its_bearer(tmp_path: Path, autojump_clock: MockClock) -> None:
    """So many forgeries are looked at; then nothing of the kind is taken from that peer any more."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        eviction: Eviction = ada.session.agreement.eviction
        eve = ed25519_generate(os.urandom)
        public = ada.session.agreement.public
        for number in range(REFUSED_MAX + 4):
            bare = Evidence(signed(bob, eve, f"a{number}"), signed(bob, eve, f"b{number}"))
            eviction.take(attached(public, bob.session.agreement.own_leaf, bare), dan.peer_id)
        eviction.take(contradiction(bob), dan.peer_id)
        assert not eviction.book.pieces

        eviction.take(contradiction(dan), cyn.peer_id)
        assert [piece.peer for piece in eviction.book.pieces] == [dan.peer_id]


async def test_a_liar_fills_its_own_page_only(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whoever contradicts itself in ever new instances, invented ones too, is recorded a few times."""
    async with open_world(tmp_path) as world:
        ada, _, cyn, dan = await world.group_of(*FOUR, committee=4)
        eviction = ada.session.agreement.eviction
        for number in range(KEPT_OF_ONE_MAX + 3):
            eviction.take(contradiction(dan, instance=bytes([number + 1]) * 32), dan.peer_id)
        eviction.take(contradiction(cyn), dan.peer_id)

        peers = [piece.peer for piece in eviction.book.pieces]
        assert peers == [dan.peer_id] * KEPT_OF_ONE_MAX + [cyn.peer_id]


async def test_a_bundle_with_evidence_does_nothing_but_remove(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Hard validity: every accused goes, each is accused once and truly, and nothing else is done on the way."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        epoch, group = bob.session.agreement.epoch, ada.session.agreement.group
        liar, other = dan.session.agreement.own_leaf, cyn.session.agreement.own_leaf
        true = contradiction(dan)
        eve = ed25519_generate(os.urandom)
        bare = Evidence(signed(cyn, eve, "one"), signed(cyn, eve, "two"))
        false = attached(epoch.public, other, bare)

        def judge(evidence: tuple[Evidence, ...], *proposals: Proposal) -> HardValid:
            now = ada.node.context.now_ms() // 1000
            made = group.commit(os.urandom, now, proposals=proposals, authenticated_data=epoch.instance)
            descriptor = voting_of(made.successor.public).committee.descriptor
            bundle = Bundle(made.message, (), b"", descriptor, evidence)
            signature = group.sign(CANDIDATE_LABEL, candidate_bytes(bundle.id(epoch.instance), 0))
            return judge_hard(epoch, Candidate(epoch.instance, group.own_leaf, 0, bundle, signature))

        assert judge((true,), remove(liar)).class_after(-1) is ProposalClass.URGENT
        assert judge((true,), remove(liar), remove(other)).class_after(-1) is ProposalClass.URGENT
        with pytest.raises(RuleError, match="does not remove"):
            judge((true,), remove(other))
        with pytest.raises(RuleError, match="accused twice"):
            judge((true, true), remove(liar))
        with pytest.raises(RuleError, match="did not sign this"):
            judge((true, false), remove(liar), remove(other))
        with pytest.raises(RuleError, match="does nothing but remove"):
            judge((true,))
        policy = policy_extension(epoch.voting.policy.with_bench(BenchEntry(other, 0)))
        with pytest.raises(RuleError, match="does nothing but remove"):
            judge((true,), remove(liar), group_context_extensions((policy,)))


async def test_a_second_candidate_is_no_evidence(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A restored backup makes one. Two candidates of one leaf and ordinal are sorted, and nobody is accused."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        agreement, now = dan.session.agreement, dan.node.context.now_ms() // 1000
        for _ in range(2):
            rival = build_plain(agreement.group, agreement.epoch.instance, os.urandom, now).candidate
            for member in (ada, bob, cyn):
                post(dan, member, FrameKind.CANDIDATE, rival.encode())

        assert (await ada.update()).state == DONE
        await world.settled(ada, bob, cyn, dan)
        assert not any(member.session.agreement.eviction.book.pieces for member in (ada, bob, cyn))
        assert len(ada.session.agreement.roster) == 4


async def test_evidence_against_nobody_ends_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its leaf is anything that decodes; whose it is, is asked first."""
    async with open_world(tmp_path) as world:
        ada, _, _, dan = await world.group_of(*FOUR, committee=4)
        evidence, session = contradiction(dan), ada.session
        leaf = LeafNode.decode(evidence.leaf_node)
        for size in (0, 31, 33):
            identity = msgspec.msgpack.encode((1, bytes(size), bytes(64)))
            unnamed = replace(leaf, credential=basic(identity)).encode()
            post(dan, ada, FrameKind.EVIDENCE, msgspec.structs.replace(evidence, leaf_node=unnamed).encode())

        assert (await ada.update()).state == DONE
        assert ada.session is session
        assert accusations(ada) == 0


async def test_a_new_leaf_key_sheds_no_evidence(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The accused is known by its peer: its old leaf convicts it under whatever leaf it stands in now."""
    async with open_world(tmp_path) as world:
        ada, _, _, dan = await world.group_of(*FOUR, committee=4)
        evidence, agreement = contradiction(dan), dan.session.agreement
        back = build_resync(
            dan.node.context,
            agreement.epoch,
            agreement.own_leaf,
            dan.session.holding.vote_key,
            agreement.group_info,
            0,
        )
        after = ada.session.agreement.epoch.public.check_commit(
            back.candidate.bundle.commit, policy=ADMISSION
        ).successor

        old, new = (public.leaf(agreement.own_leaf) for public in (agreement.public, after))
        assert old is not None
        assert new is not None
        assert old.signature_key != new.signature_key
        assert accused(after, evidence) == dan.peer_id


async def test_who_is_added_again_is_not_removed_for_the_old_reason(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An operator who ran two copies by mistake may be let in again; the evidence is kept, and has been acted on."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        contradict(dan, ada)
        await until(lambda: all(len(m.session.agreement.roster) == 3 for m in (ada, bob, cyn)))
        await until(lambda: dan.node.context.store.groups()[0].removed)

        assert (await ada.add(dan)).state in HOLDS
        await until(lambda: bool(dan.node.sessions) and not dan.session.holding.unconfirmed)
        await trio.sleep(30)

        assert len(ada.session.agreement.roster) == 4
        assert [piece.is_spent for piece in bob.session.agreement.eviction.book.pieces] == [True]


async def test_a_leaf_is_small_enough_for_evidence(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Else a liar could not be convicted, and whoever found it out could read its own book no more."""
    async with open_world(tmp_path) as world:
        ada, _, _, dan = await world.group_of(*FOUR, committee=4)
        agreement = dan.session.agreement
        epoch, own = agreement.epoch, agreement.public.leaf(agreement.own_leaf)
        assert own is not None

        def judge(size: int) -> HardValid:
            stuffing = Extension(ExtensionType(STUFFING), bytes(size))
            change = LeafChange((*own.extensions, stuffing), own_capabilities((*PRIVATE_EXTENSIONS, STUFFING)))
            made = agreement.group.commit(os.urandom, 0, leaf=change, authenticated_data=epoch.instance)
            bundle = Bundle(made.message, (), b"", voting_of(made.successor.public).committee.descriptor)
            signature = agreement.group.sign(CANDIDATE_LABEL, candidate_bytes(bundle.id(epoch.instance), 0))
            return judge_hard(
                ada.session.agreement.epoch, Candidate(epoch.instance, agreement.own_leaf, 0, bundle, signature)
            )

        assert judge(LEAF_SIZE_MAX // 2)
        with pytest.raises(RuleError, match="larger than"):
            judge(LEAF_SIZE_MAX)
    assert LEAF_SIZE_MAX <= LEAF_NODE_SIZE_MAX
