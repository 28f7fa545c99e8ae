"""Many wants at once: how many epochs they take, and that nobody can keep another waiting."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from mls import Lifetime
from node import candidacy, feed
from node.building import build_for_intents
from node.context import NodeContext
from node.feed import IntentBody
from node.folding import OFFERED_MAX, SharedIntent
from node.intents import ADD, ALREADY, DONE, REMOVE, UPDATE, RemoveBody
from node.judgement import HardValid
from node.planning import Plan
from node.presence import NotNowError
from ordering import INTENT_ORDINAL
from tests.node.contention import NAMES, add_body, contend, count_built
from tests.node.world import HOLDS, Member, open_world, until

WAIT_EPOCHS_MAX = 4
"""The bound of docs/ordering.md for one leaf that means ill, a voter of four or more: two epochs as for everybody, one
for its place in the order, one that it leads."""


async def test_a_hundred_adds_by_eight_members(tmp_path: Path, autojump_clock: MockClock) -> None:
    """All certified within 12 epochs, nobody waiting more than three times the median; in truth it takes two epochs."""
    async with open_world(tmp_path) as world:
        members = await world.group_of(*NAMES, committee=7)
        count_built(members)

        contest = await contend(world, members, [add_body() for _ in range(100)])

        assert contest.epochs <= 3
        assert contest.unfairness <= 1.5
        assert contest.candidates <= 2 * len(members)
        assert len(members[0].session.agreement.roster) == 108
        assert all(names_a_commit(member) for member in members), "who did it, and by which commit"


def names_a_commit(member: Member) -> bool:
    store, group_id = member.node.context.store, member.session.group_id
    decided = {row.candidate_id for row in store.decisions(group_id, 0, 1000)}
    bodies = [IntentBody.decode(row.body) for row in store.feed(0, 5000, group_id) if row.kind == feed.INTENT]
    carried = [each for each in bodies if each.kind == ADD and each.state == ALREADY]
    return all(each.peer and each.candidate_id in decided for each in carried)


@pytest.mark.parametrize("wants", ["nothing", "what nobody can do"])
async def test_a_flood_delays_nobody_beyond_the_bound(tmp_path: Path, autojump_clock: MockClock, wants: str) -> None:
    """A member, a voter at that, commits in every epoch at once, and asks for as much as it may in each."""
    async with open_world(tmp_path) as world:
        *members, flood = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        wishes = spoilers() if wants == "what nobody can do" else ()
        commit_in_every_epoch(flood, wishes)
        await flood.submit(UPDATE)  # begins it
        await until(lambda: members[0].epoch > 10)

        waits = []
        for number in range(12):
            member = members[number % 3]
            before = member.epoch
            row = await member.change(ADD, add_body())
            assert row.state in (DONE, ALREADY)
            waits.append((row.epoch or 0) - before)

        assert max(waits) <= WAIT_EPOCHS_MAX, waits
        await until(lambda: len(members[0].session.agreement.roster) == 16)


async def test_a_flood_does_not_stop_the_others_folding(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        *members, flood = await world.group_of("ada", "bob", "cyn", "dan", "eve", committee=4)
        commit_in_every_epoch(flood, spoilers())
        await flood.submit(UPDATE)
        await until(lambda: members[0].epoch > 10)

        contest = await contend(world, members, [add_body() for _ in range(24)], settles=False)

        assert max(contest.waits) <= WAIT_EPOCHS_MAX + 1, contest.waits


async def test_a_removal_that_is_never_made_keeps_nothing_waiting(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Removals go first, in a commit of their own. Dan asks for one, and leaves it to the others."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        wish = SharedIntent(bytes(16), REMOVE, RemoveBody(cyn.peer_id).encode())
        await dan.session.ask(lambda: dan.session.agreement.pursuit._tell_all((wish,)))
        await until(lambda: bool(ada.session.agreement.pursuit.book.wanted(b"")))

        row = await ada.change(ADD, add_body())

        assert row.state == DONE
        await until(lambda: cyn.session.holding.removed)  # carried along
        assert (await bob.update()).state == DONE


async def test_who_copies_anothers_wish_discredits_nobody(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two newcomers with the same keys cannot share a commit, and each could be had alone."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        book = ada.session.agreement.pursuit.book
        for number, member in enumerate((bob, dan)):
            wish = SharedIntent(bytes([number]) * 16, ADD, add_body(random=Random(7).randbytes))
            await member.session.ask(partial(member.session.agreement.pursuit._tell_all, (wish,)))
        await until(lambda: len(book.wanted(b"")) == 2)

        assert (await ada.change(ADD, add_body())).state == DONE

        assert not book._distrusted
        await until(lambda: len(cyn.session.agreement.roster) == 6)  # one of the two was carried along


async def test_a_wish_that_voters_refuse_is_not_carried_twice(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eve finds nothing wrong with what Dan wants; all voters do, as with a removal that would elect sleepers."""

    def refuse(_: NodeContext, valid: HardValid) -> None:
        if valid.staged.removes:
            raise NotNowError("it would elect sleepers")

    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        eve = await world.member("eve", always_on=False)
        assert (await ada.add(eve)).state in HOLDS
        await until(lambda: bool(eve.node.sessions) and not eve.session.holding.unconfirmed)
        monkeypatch.setattr(candidacy, "check_presence", refuse)
        wish = SharedIntent(bytes(16), REMOVE, RemoveBody(cyn.peer_id).encode())
        agreement = dan.session.agreement
        went_on = agreement.on_epoch

        def ask_again() -> None:
            went_on()
            agreement.pursuit._tell_all((wish,))

        agreement.on_epoch = ask_again
        await dan.session.ask(lambda: agreement.pursuit._tell_all((wish,)))
        await until(lambda: bool(eve.session.agreement.pursuit.book.wanted(b"")))
        before = eve.epoch

        with trio.fail_after(60):
            row = await eve.change(ADD, add_body())

        assert row.state == DONE
        assert (row.epoch or 0) - before <= WAIT_EPOCHS_MAX
        assert len(bob.session.agreement.roster) == 6

        agreement.on_epoch = went_on
        await eve.submit(REMOVE, RemoveBody(cyn.peer_id).encode())  # as much as if it were its own
        await trio.sleep(10)
        with trio.fail_after(60):
            assert (await eve.change(ADD, add_body())).state == DONE


async def test_a_victims_own_commits_do_not_delay_its_removal(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It is on the committee, commits in every epoch, and leads the one in which its removal is asked for."""
    async with open_world(tmp_path) as world:
        *members, victim = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        commit_in_every_epoch(victim)
        await victim.submit(UPDATE)
        ada = members[0]
        await until(lambda: ada.epoch > 10 and leads(victim, ada))
        before = ada.epoch

        rows = [await ada.submit(ADD, add_body()), await ada.submit(REMOVE, RemoveBody(victim.peer_id).encode())]
        ended = [await ada.session.intent_ended(row.intent_id) for row in rows]

        assert {row.state for row in ended} <= {DONE, ALREADY}
        assert (ended[1].epoch or 0) - before <= 2, "the epoch that it leads, and the next"
        assert (ended[0].epoch or 0) - before <= 4
        await until(lambda: victim.session.holding.removed)


def _knows(member: Member, intent_id: bytes) -> bool:
    """Whether a member has heard of another's wish, or it is fulfilled with all the others'."""
    agreement = member.session.agreement
    return len(agreement.roster) == 8 or any(each.intent_id == intent_id for each in agreement.pursuit.book.wanted(b""))


async def test_what_somebody_offered_is_carried_after_it_has_gone(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A member that loses an epoch and dies has its wish fulfilled by who commits next, and learns so afterwards."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        row = await dan.submit(ADD, add_body())
        rivals = [await member.submit(ADD, add_body()) for member in (ada, bob, cyn)]
        await until(lambda: all(_knows(member, row.intent_id) for member in (ada, bob, cyn)))
        await dan.stop()
        for member, rival in zip((ada, bob, cyn), rivals, strict=True):
            await member.session.intent_ended(rival.intent_id)
        await world.settled(ada, bob, cyn)
        assert len(ada.session.agreement.roster) == 8

        await dan.start()
        ended = await dan.session.intent_ended(row.intent_id)

        assert ended.state in (DONE, ALREADY)
        await world.settled(ada, bob, cyn, dan)
        assert len(ada.session.agreement.roster) == 8


async def test_the_same_wish_of_all_is_fulfilled_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        body = add_body()
        rows = [(member, await member.submit(ADD, body)) for member in members]

        ended = [await member.session.intent_ended(row.intent_id) for member, row in rows]

        assert sorted(row.state for row in ended) == [ALREADY] * 3 + [DONE]
        assert len({row.epoch for row in ended}) == 1
        assert len(members[0].session.agreement.roster) == 5


def commit_in_every_epoch(member: Member, wishes: tuple[SharedIntent, ...] = ()) -> None:
    """Have a node commit the moment that it enters an epoch, without a turn, and tell all what it wants."""
    agreement = member.session.agreement
    went_on: Callable[[], None] = agreement.on_epoch

    def hurry() -> None:
        went_on()
        if agreement.is_over or not agreement.may_build or agreement.candidacy.has_own(INTENT_ORDINAL):
            return
        now = agreement.context.now_ms() // 1000
        random, key = agreement.context.random, agreement.vote_key
        built = build_for_intents(agreement.group, agreement.epoch.instance, Plan(), key, random, now)
        agreement.nominations.offer(agreement.candidacy.admit_own(built))
        if wishes:
            agreement.pursuit._tell_all(wishes)

    agreement.on_epoch = hurry


def spoilers() -> tuple[SharedIntent, ...]:
    """Wishes that look well and make every commit that carries them impossible: packages that have expired."""
    expired = Lifetime(1, 2)
    bodies = [add_body(expired) for _ in range(OFFERED_MAX // 2)]
    return tuple(SharedIntent(number.to_bytes(16, "big"), ADD, body) for number, body in enumerate(bodies))


def leads(member: Member, seen_by: Member) -> bool:
    committee = seen_by.session.agreement.instance.config.committee
    return committee.seats[committee.leader(seen_by.epoch, 0)].identity.decode() == member.peer_id
