"""Who may change how a group decides, and what a stranger to that right finds in the way."""

import os
from pathlib import Path

import pytest
from trio.testing import MockClock

from mls import (
    CipherSuiteId,
    Extension,
    ExtensionType,
    Proposal,
    PublicGroup,
    add,
    decode_key_package,
    group_context_extensions,
    reinit,
    remove,
)
from node import judgement
from node.authority import PolicyChange
from node.building import Built
from node.electorate import POLICY_EXTENSION, RuleError, policy_extension, policy_of, voting_of
from node.intents import ADD, ALREADY, BENCH, DONE, FAILED, POLICY, REMOVE, AddBody, RemoveBody
from node.judgement import CANDIDATE_LABEL, judge_hard
from node.policies import BenchBody, PolicyBody
from ordering import (
    INTENT_ORDINAL,
    BenchEntry,
    Bundle,
    Candidate,
    Model,
    Policy,
    PolicyKind,
    ProposalClass,
    candidate_bytes,
)
from tests.node.test_committee import grown
from tests.node.world import HOLDS, Member, World, open_world, until


def judged(by: Member, *proposals: Proposal) -> tuple[PolicyChange, ProposalClass]:
    """What everybody makes of a commit with these proposals; raises the rule it breaks."""
    valid = judge_hard(by.session.agreement.epoch, forged(by, *proposals).candidate)
    return valid.policy, valid.proposal_class


def forged(by: Member, *proposals: Proposal) -> Built:
    """A candidate that no honest node would make: nothing is checked before it is signed."""
    agreement = by.session.agreement
    group, instance = agreement.group, agreement.epoch.instance
    now = by.node.context.now_ms() // 1000
    commit = group.commit(os.urandom, now, proposals=proposals, authenticated_data=instance, force_path=True)
    descriptor = voting_of(commit.successor.public).committee.descriptor
    bundle = Bundle(commit.message, (), commit.welcome or b"", descriptor)
    id = bundle.id(instance)
    signature = group.sign(CANDIDATE_LABEL, candidate_bytes(id, INTENT_ORDINAL))
    candidate = Candidate(instance, group.own_leaf, INTENT_ORDINAL, bundle, signature)
    return Built(candidate, id, commit.successor, ())


def context_with(public: PublicGroup, policy: Policy, *more: Extension) -> Proposal:
    rest = (each for each in public.extensions if each.extension_type != POLICY_EXTENSION)
    return group_context_extensions((*rest, policy_extension(policy), *more))


def now(member: Member) -> tuple[PublicGroup, Policy]:
    public = member.session.agreement.group.public
    return public, policy_of(public.extensions)


def own_pin(member: Member) -> bytes:
    return member.peer_id.encode()


async def five(world: World) -> tuple[Member, ...]:
    """Four voters and a member without a seat."""
    members = await world.group_of(*"abcd", committee=4)
    eve = await world.member("eve", always_on=False)
    assert (await members[0].add(eve)).state in HOLDS
    await grown(world, *members, eve, to=4)
    return (*members, eve)


async def test_only_a_voter_amends_the_policy(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Eve has no seat: neither by a commit of her own making nor by asking her node."""
    async with open_world(tmp_path) as world:
        a, b, c, d, eve = await five(world)
        public, _ = now(eve)
        for wanted in (
            Policy(pins=(own_pin(eve), own_pin(a)), delta_ms=200),
            Policy(model=Model.CRASH, delta_ms=200),
            Policy(size_max=1, delta_ms=200),
            Policy(everyone=True, delta_ms=200),
            Policy(delta_ms=60_000),
        ):
            with pytest.raises(RuleError, match="only a voter may change the ordering policy"):
                judged(eve, context_with(public, wanted))
            change, kind = judged(a, context_with(public, wanted))
            assert change.is_amended
            assert kind is ProposalClass.ORDINARY, "it does not go before removals"
        refused = await eve.amend(PolicyBody(size_max=1))
        assert refused.state == FAILED
        assert "only a voter" in (refused.error or "")
        assert (await eve.amend(PolicyBody(size_max=7))).state == ALREADY
        assert (await c.amend(PolicyBody(model=Model.CRASH, size_max=3))).state == DONE
        await grown(world, a, b, c, d, eve, to=3)
        assert (a.committee.model, a.committee.quorum) == (Model.CRASH, 2)


async def test_the_rest_of_the_context_is_nobodys(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Senders from outside, required capabilities: no commit of a group brings them in, or takes the policy away."""
    async with open_world(tmp_path) as world:
        (a,) = await world.group_of("a", committee=1)
        public, policy = now(a)
        with pytest.raises(RuleError, match="nothing of the group context but the ordering policy"):
            judged(a, context_with(public, policy, Extension(ExtensionType(5), b"\0")))  # external_senders, none
        with pytest.raises(RuleError, match="changes nothing"):
            judged(a, context_with(public, policy))
        with pytest.raises(RuleError, match="version of the ordering rules"):
            judged(a, context_with(public, Policy(rules=1, delta_ms=200)))


async def test_a_group_keeps_its_suite(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A ReInit would end the group on one member's word, under terms that nobody ordered."""
    async with open_world(tmp_path) as world:
        a, _, _ = await world.group_of(*"abc", committee=3)
        with pytest.raises(RuleError, match="a change that this version does not make"):
            judged(a, reinit(b"another group", CipherSuiteId(2)))


async def test_a_policy_under_which_nobody_votes(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        a, b, _ = await world.group_of(*"abc", committee=3)
        stranger = PolicyBody(PolicyKind.PINNED, ("a stranger",))
        refused = await a.amend(stranger)
        assert refused.state == FAILED
        assert "nobody could vote" in (refused.error or "")
        with pytest.raises(ValueError, match="pins go with"):
            PolicyBody(PolicyKind.PINNED)
        assert (await b.update()).state == DONE


async def test_pinned_members_are_removed_by_pinned_members(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Else any member takes the committee apart, one by one."""
    async with open_world(tmp_path) as world:
        a, b, c, d, eve = await five(world)
        pins = PolicyBody(PolicyKind.PINNED, (a.peer_id, b.peer_id, c.peer_id))
        assert (await d.amend(pins)).state == DONE
        await grown(world, a, b, c, d, eve, to=3)
        leaf = a.session.agreement.roster.leaf_of(a.peer_id)
        assert leaf is not None
        for by in (d, eve):
            with pytest.raises(RuleError, match="only a pinned member may remove a pinned one"):
                judged(by, remove(leaf))
            refused = await by.change(REMOVE, RemoveBody(a.peer_id).encode())
            assert refused.state == FAILED
        public, _ = now(d)
        with pytest.raises(RuleError, match="only a pinned member may change"):
            judged(d, context_with(public, Policy(delta_ms=200)))
        assert (await eve.remove(d)).state == DONE, "anybody else is removed by anybody"
        assert (await b.remove(a)).state == DONE
        await grown(world, b, c, eve, to=1)
        assert b.voters == ["b"], "two pinned make one; nobody else takes the seat"


async def test_everyone_votes_where_all_may(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        members = await world.group_of(*"abcde", committee=4)
        assert (await members[1].amend(PolicyBody(PolicyKind.ALL))).state == DONE
        await grown(world, *members, to=5)
        assert (await members[4].amend(PolicyBody(PolicyKind.AUTO, size_max=3))).state == DONE
        await grown(world, *members, to=3)
        told = members[2].node.context.store.feed_of_kind(members[2].session.group_id, "group", 0, 50)
        assert any(b"changed how the group decides" in row.body for row in told)


async def test_a_newcomer_and_a_policy_come_one_after_the_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A newcomer re-checks the committee that let it in by the policy it finds."""
    async with open_world(tmp_path) as world:
        a, b, c = await world.group_of(*"abc", committee=3)
        d = await world.member("d")
        package = await a.node.key_package_of(d.peer_id, 1)
        public, _ = now(a)
        with pytest.raises(RuleError, match="leaves the ordering policy alone"):
            judged(a, add(decode_key_package(package)), context_with(public, Policy(everyone=True, delta_ms=200)))
        rows = [
            await a.submit(POLICY, PolicyBody(PolicyKind.ALL).encode()),
            await a.submit(ADD, AddBody(d.peer_id, package).encode()),
        ]
        assert [(await a.session.intent_ended(row.intent_id)).state for row in rows] == [DONE, DONE]
        await grown(world, a, b, c, d, to=4)


async def test_bench_entries_name_standing_offers(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Anybody may add one, for an offer that stands; nobody takes away another's; class 0."""
    async with open_world(tmp_path) as world:
        a, b, *_, eve = await five(world)
        public, policy = now(eve)
        leaf = eve.session.agreement.roster.leaf_of(b.peer_id)
        assert leaf is not None
        since = next(seat.since for seat in eve.committee.seats if seat.leaf == leaf)
        change, kind = judged(eve, context_with(public, policy.with_bench(BenchEntry(leaf, since))))
        assert (change.benched, change.is_amended, kind) == ((BenchEntry(leaf, since),), False, ProposalClass.URGENT)
        for wrong in (BenchEntry(leaf, since + 1), BenchEntry(4, 0), BenchEntry(77, 0)):
            with pytest.raises(RuleError, match="not willing, or since another epoch"):
                judged(eve, context_with(public, policy.with_bench(wrong)))
        row = await eve.change(BENCH, BenchBody(BenchEntry(leaf, since)).encode())
        assert row.state == FAILED, "it was heard a moment ago"
        assert "heard lately" in (row.error or "") or "listen" in (row.error or "")
        await until(lambda: a.committee.size == 4)


async def test_a_commit_does_only_so_much(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did has to fit in an entry of everybody's feed."""
    async with open_world(tmp_path) as world:
        a, b, c, _ = await world.group_of(*"abcd", committee=4)
        removals = [remove(member.session.agreement.own_leaf) for member in (b, c)]
        monkeypatch.setattr(judgement, "PROPOSALS_MAX", 1)

        assert judged(a, removals[0])
        with pytest.raises(RuleError, match="more than 1 proposals"):
            judged(a, *removals)
