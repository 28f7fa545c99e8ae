"""Leaving a group: a member's own proposal, carried by another member's commit."""

from pathlib import Path

import trio
from trio.testing import MockClock

from node import feed
from node.feed import DecisionBody, NoticeBody
from node.intent_rules import LAST_MEMBER, SOLE_VOTER
from node.intents import DONE, FAILED, LEAVE, UPDATE
from ordering import Policy
from tests.node.world import HOLDS, SUITE, Member, committee_size, open_world, until


def notices(member: Member) -> list[str]:
    rows = member.node.context.store.feed(0, 1000)
    return [NoticeBody.decode(row.body).text for row in rows if row.kind == feed.GROUP]


async def test_who_leaves_is_out_and_the_others_go_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A voter leaves, the leader of the epoch at that: one commit by another member, and nobody built a second."""
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        committee = members[0].session.agreement.instance.config.committee
        leader = committee.seats[committee.leader(members[0].epoch, 0)].identity.decode()
        (leaver,) = (member for member in members if member.peer_id == leader)
        others = [member for member in members if member is not leaver]
        epoch = others[0].epoch

        row = await leaver.change(LEAVE)

        assert (row.state, row.epoch) == (DONE, epoch + 1)
        assert leaver.session.holding.removed
        stored = leaver.node.context.store.group(leaver.session.group_id)
        assert stored is not None
        assert stored.snapshot is None
        assert notices(leaver)[-1].startswith("this node left the group")
        await until(lambda: {member.epoch for member in others} == {epoch + 1})
        (decided,) = others[0].node.context.store.feed_of_epochs(
            others[0].session.group_id, feed.DECISION, epoch + 1, epoch + 1
        )
        body = DecisionBody.decode(decided.body)
        assert [(each.kind, each.peer) for each in body.changes] == [("leave", leaver.peer_id)]
        assert body.rivals == 1
        assert committee_size(others[0]) == 3


async def test_who_left_comes_back_when_added(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        assert (await cyn.change(LEAVE)).state == DONE
        await until(lambda: len(ada.session.agreement.roster) == len(bob.session.agreement.roster) == 2)

        assert (await ada.add(cyn)).state in HOLDS
        await until(lambda: not cyn.session.holding.removed and committee_size(cyn) == 3)
        await world.settled(ada, bob, cyn)


async def test_several_leave_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)

        rows = [await member.submit(LEAVE) for member in (bob, cyn, dan)]
        ended = [await m.session.intent_ended(row.intent_id) for m, row in zip((bob, cyn, dan), rows, strict=True)]

        assert [row.state for row in ended] == [DONE] * 3
        await until(lambda: len(ada.session.agreement.roster) == 1)
        assert (await ada.update()).state == DONE


async def test_a_sole_voter_does_not_leave(tmp_path: Path, autojump_clock: MockClock) -> None:
    """`sole_voter_leaves`: nobody could certify anything any more, so the node says what to do first."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.member("ada"), await world.member("bob", always_on=False)
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        alone = await ada.change(LEAVE)
        assert (alone.state, alone.error) == (FAILED, LAST_MEMBER)
        assert (await ada.add(bob)).state in HOLDS
        await until(lambda: bool(bob.node.sessions) and not bob.session.holding.unconfirmed)

        refused = await ada.change(LEAVE)

        assert (refused.state, refused.error) == (FAILED, SOLE_VOTER)
        assert (await bob.opt_in()).state == DONE
        await world.settled(ada, bob)
        assert (await ada.change(LEAVE)).state == DONE
        await until(lambda: len(bob.session.agreement.roster) == 1)
        assert (await bob.update()).state == DONE


async def test_who_votes_nowhere_leaves_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob = await world.member("ada"), await world.member("bob", always_on=False)
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        assert (await ada.add(bob)).state in HOLDS
        await until(lambda: bool(bob.node.sessions))

        assert (await bob.change(LEAVE)).state == DONE
        assert bob.session.holding.removed


async def test_a_leave_outlives_a_restart_and_the_members_it_could_not_reach(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The wish is durable, the proposal is made anew: nobody was there to hear it when it was made."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await ada.stop()
        await bob.stop()
        row = await cyn.submit(LEAVE)
        await trio.sleep(30)
        await cyn.stop()
        await ada.start()
        await bob.start()
        assert (await ada.update()).state == DONE
        await cyn.start()

        ended = await cyn.session.intent_ended(row.intent_id)

        assert ended.state == DONE
        await world.settled(ada, bob)


async def test_a_leave_goes_with_what_else_is_wanted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It does not wait until the others want nothing, and holds up nobody."""
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        dan, before = members.pop(), members[0].epoch

        rows = [(member, await member.submit(UPDATE)) for member in members]
        left = await dan.change(LEAVE)
        ended = [await member.session.intent_ended(row.intent_id) for member, row in rows]

        assert {row.state for row in (*ended, left)} == {DONE}
        assert left.epoch is not None
        assert left.epoch <= before + 3
        await world.settled(*members)
