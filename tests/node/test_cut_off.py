"""Who cannot open a decided commit votes on and comes back by itself: a hostile member's commit on real nodes."""

from pathlib import Path

from trio.testing import MockClock

from node import feed
from node.feed import NoticeBody
from node.holding import OK
from node.intents import DONE
from tests.node.hostile import offer, opens_for_some
from tests.node.test_session import message_count
from tests.node.world import Member, World, open_world, until

FOUR = ("ada", "bob", "cyn", "dan")
SEVEN = (*FOUR, "eve", "fay", "gus")


async def cut_off(world: World, liar: Member, others: list[Member], victims: list[Member], *silent: Member) -> int:
    """A commit of the liar's that the victims cannot open is decided, and the liars go silent; the epoch it ended."""
    agreement = liar.session.agreement
    closed = {victim.session.agreement.own_leaf for victim in victims}
    now = liar.node.context.now_ms() // 1000
    ended = liar.epoch
    await offer(liar, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
    await until(lambda: all(member.epoch > ended for member in (*others, *victims)))
    for member in (liar, *silent):
        await member.stop()
    return ended


def told(member: Member) -> list[str]:
    rows = member.node.context.store.feed(0, 1000, member.session.group_id)
    return [NoticeBody.decode(row.body).text for row in rows if row.kind == feed.HEALTH]


async def test_cut_off_then_silent_of_four(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It opens for q - f honest voters, then the liar is gone: without the victim's votes nothing would be decided."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        ended = await cut_off(world, dan, [ada, bob], [cyn])

        await world.settled(ada, bob, cyn)
        await until(lambda: cyn.session.holding.health == OK)

        assert ada.epoch == ended + 2, "the very next epoch brought it back"
        assert (await cyn.update()).state == DONE
        await cyn.session.send("I am back")
        await until(lambda: message_count(ada) == 1)
        await bob.session.send("welcome")
        await until(lambda: message_count(cyn) == 2)
        assert any("could not open" in text for text in told(cyn))
        assert any(f"epoch {ended + 1} cannot be read" in text for text in told(cyn))
        assert any("could not open" in text for text in told(ada)), "it said so, signed"


async def test_cut_off_then_silent_of_seven(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two victims, two liars: each victim takes an epoch."""
    async with open_world(tmp_path) as world:
        members = await world.group_of(*SEVEN, committee=7)
        ada, bob, cyn, dan, eve, fay, gus = members
        ended = await cut_off(world, gus, [bob, cyn, dan], [eve, fay], ada)

        await world.settled(bob, cyn, dan, eve, fay)

        assert bob.epoch == ended + 3
        assert (await eve.update()).state == DONE
