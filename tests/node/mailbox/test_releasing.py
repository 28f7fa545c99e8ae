"""A mailbox is told which epochs nobody needs any more, and of no other."""

from pathlib import Path

import trio
from trio.testing import MockClock

from ordering import Policy
from tests.node.mailbox.test_using import rows
from tests.node.mailbox.world import mailboxes
from tests.node.world import HOLDS, SUITE, Member, World, open_world, until

ROUNDS_S = 90.0  # some rounds of everybody


async def three(world: World) -> list[Member]:
    """Ada decides alone."""
    members = [await world.member(name, always_on=False) for name in ("ada", "bob", "cyn")]
    await members[0].node.create_group("test", SUITE, Policy(delta_ms=200))
    for other in members[1:]:
        assert (await members[0].add(other)).state in HOLDS
    await until(lambda: all(each.node.sessions for each in members))
    await world.settled(*members)
    return members


def released(box: Member) -> int:
    """How many topics a mailbox was told are over for all."""
    return len(rows(box, "SELECT 1 FROM topics WHERE released = 1"))


async def test_what_every_member_is_past_is_released(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who sleeps holds it up, wherever the others stand, and its own mark says that it has come along."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob, cyn = await three(world)
        await until(lambda: ada.session.receipts.passed == ada.epoch)
        await trio.sleep(ROUNDS_S)
        before = released(box)
        await cyn.stop()
        for _ in range(3):
            assert (await ada.update()).state in HOLDS
        await until(lambda: bob.epoch == ada.epoch and not ada.session.mailboxes.backlog)
        await trio.sleep(ROUNDS_S)
        assert released(box) <= before + 1, "nothing that leads Cyn from where it fell asleep"
        epoch = ada.epoch
        for member in (ada, bob):
            await member.stop()

        await cyn.start(alone=True)  # and never meets anybody
        await until(lambda: cyn.epoch == epoch)
        await until(lambda: own_standing(cyn) == epoch and not cyn.session.mailboxes.backlog)
        await cyn.stop()
        await bob.start(alone=True)
        await until(lambda: own_standing(bob) == epoch and not bob.session.mailboxes.backlog)
        await bob.stop()
        await ada.start(alone=True)
        await until(lambda: ada.session.receipts.passed == epoch)
        await until(lambda: released(box) >= before + 3)
        assert released(box) <= epoch, "never the one they stand in"


def own_standing(member: Member) -> int:
    """Where a member has told in a mark that it stands."""
    return member.node.context.store.standings(member.session.group_id).get(member.peer_id, -1)


async def test_what_leads_to_a_removal_is_kept_for_the_removed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who was removed while it slept has to learn it: the others are past that epoch, it is not."""
    async with open_world(tmp_path) as world:
        (box,) = await mailboxes(world, "box")
        ada, bob, cyn = await three(world)
        await until(lambda: ada.session.receipts.passed == ada.epoch)
        await cyn.stop()
        asleep_in = ada.epoch
        assert (await ada.update()).state in HOLDS
        assert (await ada.remove(cyn)).state in HOLDS
        for _ in range(2):
            assert (await ada.update()).state in HOLDS
        await until(lambda: bob.epoch == ada.epoch and not ada.session.mailboxes.backlog)
        await trio.sleep(ROUNDS_S)
        assert ada.session.receipts.passed <= asleep_in
        await ada.stop()
        await bob.stop()
        await cyn.start(alone=True)
        await until(lambda: bool(cyn.node.context.store.groups()[0].removed))
        assert released(box) <= asleep_in
