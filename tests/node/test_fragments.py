"""Two members of one epoch with different secrets: seen within one round of gossip, shown until it is mended."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import Group
from node import instance_setup
from node.api import schema
from node.intents import DONE, READD, AddBody
from node.service import NodeService
from tests.node.world import SUITE, Member, open_world, until


async def health(member: Member) -> schema.GroupDetail:
    return await NodeService(member.node).group_show(schema.GroupRequest(group="test"))


async def test_fragmentation_is_shown_until_it_is_mended(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cyn's secrets of the epoch are not the others'. Adding her anew mends it."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        honest = instance_setup.fingerprint
        broken = cyn.session.holding.group
        assert broken is not None
        own_leaf = broken.own_leaf

        def other(group: Group) -> bytes:
            value = honest(group)
            return bytes(16) if group.own_leaf == own_leaf and group.epoch == epoch else value

        epoch = ada.epoch + 1
        monkeypatch.setattr(instance_setup, "fingerprint", other)
        assert (await ada.update()).state == DONE
        await until(lambda: cyn.epoch == epoch)
        began_s = trio.current_time()
        await until(
            lambda: bool(ada.session.agreement.standings.fragments) and bool(cyn.session.agreement.standings.fragments)
        )

        idle_s = ada.config.ordering.status_idle_period_ms / 1000
        assert trio.current_time() - began_s < 2 * idle_s
        shown = await health(ada)
        assert shown.health == "fragmented"
        assert cyn.peer_id[-6:] in shown.health_text
        assert (await health(cyn)).health == "fragmented"
        await trio.sleep(60)
        assert (await health(ada)).health == "fragmented"

        package = await ada.node.key_package_of(cyn.peer_id, SUITE)
        assert (await ada.change(READD, AddBody(cyn.peer_id, package).encode())).state == DONE
        await until(lambda: bool(cyn.node.sessions) and cyn.session.holding.group is not None)
        await until(lambda: not cyn.session.holding.unconfirmed)
        await world.settled(ada, bob, cyn)
        assert (await health(ada)).health == "ok"
