"""Class 0 goes first in every other epoch at most, whoever restarts in between."""

from pathlib import Path

from trio.testing import MockClock

from node.intents import DONE
from tests.node.world import Member, open_world


def may_hurry(member: Member) -> bool:
    return member.session.agreement.candidacy.may_hurry


async def test_a_restart_does_not_forget_that_somebody_went_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Or two members with removals could go before everybody, if only the voters restart often."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        assert (await ada.remove(dan)).state == DONE
        await world.settled(ada, bob, cyn)
        assert [may_hurry(member) for member in (ada, bob)] == [False, False]

        await bob.stop()
        await bob.start()

        assert not may_hurry(bob)
        assert (await ada.update()).state == DONE
        await world.settled(ada, bob, cyn)
        assert may_hurry(bob)
        await bob.stop()
        await bob.start()
        assert may_hurry(bob)
