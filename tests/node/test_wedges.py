"""Inputs that must not stop a group for ever: each was able to once, or looks as if it could."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from node.context import NodeContext
from node.intents import DONE
from tests.node.world import committee_size, open_world, until

DAY_MS = 24 * 3600 * 1000


async def test_a_node_away_for_longer_than_a_lifetime_catches_up(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key package's lifetime is asked when it is added, never when the decided chain is followed later."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await cyn.stop()
        dan = await world.member("dan", always_on=False)
        assert (await ada.add(dan)).state == DONE
        await until(lambda: bool(dan.node.sessions))
        now_ms = NodeContext.now_ms
        monkeypatch.setattr(NodeContext, "now_ms", staticmethod(lambda: now_ms() + 400 * DAY_MS))

        await cyn.start()

        await until(lambda: cyn.epoch == ada.epoch and committee_size(cyn) == 3)
        await world.settled(ada, bob, cyn, dan)
