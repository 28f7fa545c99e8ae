"""Those who wait for intents are told of their end, and what was waited for is not asked after for ever."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.intents import DONE, UPDATE
from node.settling import wake
from node.store import Store
from ordering import Policy
from tests.node.world import SUITE, open_world


async def test_whoever_waits_is_woken_and_who_gave_up_leaves_nothing_behind(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each end of an epoch the intents waited for in that group are looked at, and those of no other group."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada")
        here, other = [await ada.node.create_group("test", SUITE, Policy()) for _ in range(2)]
        context = ada.node.context
        row = await here.submit(UPDATE, b"")
        context.intent_ended.clear()
        asked: list[bytes] = []
        intent = Store.intent

        def noted(store: Store, intent_id: bytes) -> object:
            asked.append(intent_id)
            return intent(store, intent_id)

        context.intent_ended[here.group_id] = {row.intent_id: (given_up := trio.Event())}
        monkeypatch.setattr(Store, "intent", noted)
        wake(context, other.group_id)
        assert asked == []
        assert (await here.intent_ended(row.intent_id)).state == DONE
        wake(context, here.group_id)
        assert given_up.is_set()
        assert context.intent_ended == {here.group_id: {}}
