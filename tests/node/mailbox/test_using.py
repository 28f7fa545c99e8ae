"""Members who are never awake together, through mailboxes alone; and mailboxes that lie, beside one that does not."""

from pathlib import Path

from trio.testing import MockClock

from node.intents import DONE
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.world import Member, World, open_world, until


async def pair(world: World) -> tuple[Member, Member]:
    """Ada, who decides alone, and Bob; both know the group, and Bob sleeps."""
    ada, bob = await world.group_of("ada", "bob", committee=1)
    await bob.stop()
    return ada, bob


async def test_two_who_are_never_awake_together_follow_each_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Commits and messages, both ways, in the order of the epochs, through one mailbox."""
    async with open_world(tmp_path) as world:
        await mailboxes(world, "box")
        ada, bob = await pair(world)
        for number in range(3):
            await ada.session.send(f"ada {number}")
            assert (await ada.update()).state == DONE
        await until(lambda: stored(ada, "ada 2") == 1)
        await ada.session.send("last")
        await until(lambda: stored(ada, "last") == 1)
        epoch = ada.epoch
        await ada.stop()

        await bob.start(alone=True)
        await until(lambda: bob.epoch == epoch and texts(bob)[-1:] == ["last"])
        assert texts(bob) == ["ada 0", "ada 1", "ada 2", "last"]
        await bob.session.send("bob is here")
        await until(lambda: stored(bob, "bob is here") == 1)
        await bob.stop()

        await ada.start(alone=True)
        await until(lambda: texts(ada)[-1:] == ["bob is here"])
        assert len(texts(ada)) == 5
