"""Voters that do not come back are replaced, sleepers are not handed the group, and nobody who is there is benched."""

from pathlib import Path

import trio
import trio.testing
from trio.testing import MockClock

from node.building import build_for_intents
from node.candidacy import Candidacy
from node.config import OrderingSection
from node.context import GAP_S
from node.electorate import is_benched, policy_of
from node.intents import ALREADY, BENCH, DONE, FAILED, OPEN, REMOVE, RemoveBody
from node.outward import Publish
from node.planning import Plan
from node.policies import BenchBody, PolicyBody
from node.presence import HEARD_FOR_ELECTION_S
from node.transport_memory import Conditions
from ordering import BenchEntry
from tests.node.test_committee import grown
from tests.node.test_committee_policy import context_with, forged, now
from tests.node.test_hostile_member import offer
from tests.node.world import HOLDS, Member, World, committee_size, open_world, until

BENCH_AFTER_S = 700
LONG_S = 1.3 * BENCH_AFTER_S  # until the last of them has waited for the others


async def patient(world: World, *names: str, committee: int) -> list[Member]:
    """A group whose idle voters say little, so that long silences cost the test little."""
    world.ordering = OrderingSection(
        delta_ms=200, status_period_ms=2000, status_idle_period_ms=20_000, bench_after_s=BENCH_AFTER_S
    )
    return await world.group_of(*names, committee=committee)


async def test_voter_never_returns(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its seat goes to the next in order; when it does come back, it is willing again, behind the others."""
    async with open_world(tmp_path) as world:
        a, b, c, d, e = await patient(world, *"abcde", committee=4)
        await d.stop()
        await trio.sleep(BENCH_AFTER_S / 2)
        assert a.voters == ["a", "b", "c", "d"]
        await trio.sleep(LONG_S)
        await until(lambda: a.voters == ["a", "b", "c", "e"])
        await world.settled(a, b, c, e)
        assert (await e.update()).state == DONE

        await d.start()
        await grown(world, a, b, c, d, e, to=4)
        leaf = a.session.agreement.roster.leaf_of(d.peer_id)
        assert leaf is not None
        await until(lambda: not is_benched(a.session.agreement.group.public, leaf))
        await world.settled(a, b, c, d, e)
        assert (a.voters, d.voters) == (["a", "b", "c", "e"],) * 2
        assert (await b.remove(a)).state == DONE
        await grown(world, b, c, d, e, to=4)
        assert b.voters == ["b", "c", "e", "d"]


async def test_a_committee_is_not_made_weaker_without_being_asked(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nobody would take the seat: with three voters one liar could fork the group. People may decide otherwise."""
    async with open_world(tmp_path) as world:
        a, b, c, d = await patient(world, *"abcd", committee=4)
        (seat,) = [seat for seat in a.committee.seats if seat.identity.decode() == d.peer_id]
        entry = BenchEntry(seat.leaf, seat.since)
        await d.stop()
        await trio.sleep(2 * BENCH_AFTER_S)
        assert a.committee.size == 4
        body = BenchBody(entry).encode()
        assert (await b.change(BENCH, body)).state == DONE
        assert (await c.change(BENCH, body)).state == ALREADY
        await grown(world, a, b, c, to=3)
        await d.start()
        await grown(world, a, b, c, d, to=4)
        assert policy_of(a.session.agreement.group.public.extensions).bench == (entry,), "stale, and tidied by the next"


async def test_shrink_onto_sleepers(tmp_path: Path, autojump_clock: MockClock) -> None:
    """7 → 6 willing, two of the eldest asleep: refused while they might be there, and passes with a bench in it."""
    async with open_world(tmp_path) as world:
        a, b, c, d, e, f, g = await patient(world, *"abcdefg", committee=7)
        await a.stop()
        await b.stop()
        await trio.sleep(HEARD_FOR_ELECTION_S + 30)
        row = await c.submit(REMOVE, RemoveBody(g.peer_id).encode())
        await trio.sleep(20)
        assert c.node.context.store.intent(row.intent_id).state == OPEN  # type: ignore[union-attr]
        assert d.committee.size == 7
        await trio.sleep(LONG_S)
        assert (await c.session.intent_ended(row.intent_id)).state == DONE
        await grown(world, c, d, e, f, to=4)
        assert c.voters == ["c", "d", "e", "f"]
        assert (await f.update()).state == DONE


async def test_an_honest_voter_is_not_benched(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Eve offers everybody a bench of Bob, which is class 0: it is passed over, and stops nobody."""
    async with open_world(tmp_path) as world:
        a, b, c, d = await world.group_of(*"abcd", committee=4)
        public, policy = now(d)
        seat = next(seat for seat in d.committee.seats if seat.identity.decode() == b.peer_id)
        evil = forged(d, context_with(public, policy.with_bench(BenchEntry(seat.leaf, seat.since))))
        offer(evil.candidate, d, a, b, c)
        await trio.testing.wait_all_tasks_blocked()
        verdicts = [other.session.agreement.known[evil.id].soft for other in (a, b, c)]
        assert True not in verdicts
        assert (await a.update()).state == DONE
        await world.settled(a, b, c, d)
        assert b.peer_id in {seat.identity.decode() for seat in a.committee.seats}
        assert not is_benched(a.session.agreement.group.public, seat.leaf)


async def test_a_node_that_has_just_started_says_nothing_about_who_is_silent(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Or whoever restarts everybody could bench everybody; and a node that was stopped is like one that has started."""
    async with open_world(tmp_path) as world:
        a, b, *_ = await world.group_of(*"abcd", committee=4)
        context = a.node.context
        context.heard_s.clear()
        assert not context.unheard_for(b.peer_id, 10_000)
        await trio.sleep(200)
        assert context.unheard_for("somebody else", 150)
        context.looked_s = context.now_s() - GAP_S - 1
        context.listen()
        assert not context.unheard_for("somebody else", 150)
        assert context.listened_s() == 0


async def test_a_verdict_waits_for_voters_to_be_heard(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A voter restarts with a candidate on its disk and has heard nobody yet: that is no reason to refuse it."""
    async with open_world(tmp_path) as world:
        a, b, c, d = await world.group_of(*"abcd", committee=4)
        await b.stop()
        agreement, author = a.session.agreement, d.session.agreement
        group, key, random = author.group, author._vote_key, d.node.context.random
        now_s = d.node.context.now_ms() // 1000
        built = build_for_intents(group, author.epoch.instance, Plan(), key, random, now_s)
        a.node.context.heard_s.clear()
        a.node.context.started_s = a.node.context.now_s()
        agreement.candidacy = Candidacy(a.node.context, a.session.holding, agreement.epoch, judges=True)
        known = agreement.candidacy.admit(built.candidate)
        assert (known.soft, known.waits) == (None, True)

        a.node.context.hear(c.peer_id)
        assert agreement.candidacy.reconsider() == []
        a.node.context.hear(d.peer_id)
        assert agreement.candidacy.reconsider() == [known]
        assert (known.soft, known.waits) == (True, False)


async def test_sleepers_are_not_elected_by_who_is_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A sole voter, freshly started, all others asleep: nobody but itself would keep it from stalling its group."""
    async with open_world(tmp_path) as world:
        a, b, c = await world.group_of(*"abc", committee=3)
        assert (await a.amend(PolicyBody(size_max=1))).state == DONE
        await grown(world, a, b, c, to=1)
        for member in (a, b, c):
            await member.stop()
        await a.start()
        refused = await a.amend(PolicyBody(size_max=3))
        assert refused.state == FAILED
        assert "of the 3 voters it elects 1 were heard lately" in (refused.error or "")
        assert (await a.update()).state == DONE
        await b.start()
        await until(lambda: a.node.context.heard_within(b.peer_id, 10))
        assert (await a.amend(PolicyBody(size_max=3))).state == DONE
        await until(lambda: committee_size(a) == 3)


async def test_who_says_nothing_but_that_it_is_there_is_heard(tmp_path: Path, autojump_clock: MockClock) -> None:
    """In a large group voters that have nothing to decide speak by the topic, through neighbours. After ten quiet
    minutes nobody would agree to anything, were that not counted."""
    async with open_world(tmp_path) as world:
        a, b, c, d = await patient(world, *"abcd", committee=4)
        for member in (a, b, c, d):
            member.session.agreement.telling.to_members = lambda frame, member=member: Publish(frame, member.epoch)  # type: ignore[method-assign, misc]
        await trio.sleep(HEARD_FOR_ELECTION_S + 60)
        for member in (a, b, c, d):
            assert all(member.node.context.heard_within(other.peer_id, 100) for other in (a, b, c, d))
        assert (await b.update()).state == DONE


async def test_who_has_no_seat_need_not_hear_the_voters(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A phone that knows one member: whether the voters are there is for the voters to say."""
    async with open_world(tmp_path) as world:
        a, b, c = await world.group_of(*"abc", committee=3)
        phone = await world.member("phone", always_on=False)
        assert (await a.add(phone)).state in HOLDS
        await grown(world, a, b, c, phone, to=3)
        context = phone.node.context
        context.heard_s.clear()
        context.started_s -= 10 * HEARD_FOR_ELECTION_S
        assert (await phone.update()).state == DONE


async def test_a_bench_that_others_refuse_costs_few_epochs(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two voters have no link to Bob and miss him, two hear him well. The two would try again in every epoch, and every
    try ends an epoch with a plain commit."""
    async with open_world(tmp_path) as world:
        a, b, c, d, e = await patient(world, *"abcde", committee=4)
        for other in (a, c):
            deaf = Conditions(frame_loss=1.0, gossip_loss=1.0, request_loss=1.0)
            world.network.set_link(other.peer_id, b.peer_id, deaf)
            world.network.set_link(b.peer_id, other.peer_id, deaf)
        await trio.sleep(LONG_S)
        epoch = d.epoch
        await trio.sleep(BENCH_AFTER_S)
        assert d.voters == ["a", "b", "c", "d"]
        assert 1 < d.epoch - epoch <= 40
        assert (await e.update()).state == DONE
