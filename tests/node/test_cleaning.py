"""Deleted secrets leave the disk, if not at once then as soon as nobody is in the way; and until then it is shown."""

import itertools
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api import schema
from node.cleaning import AGAIN_MAX_S, AGAIN_MIN_S, CLEAN_DELAY_S, CLEAN_WAIT_MAX_S
from node.intents import DONE, UPDATE
from node.service import NodeService
from node.store import Store
from tests.node.world import open_world


async def test_what_could_not_be_truncated_is_tried_again(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offline reader holds the log: later and later, without a new epoch, until it is gone."""
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        service, truncate = NodeService(ada.node), Store.checkpoint
        await trio.sleep(1)
        assert (await service.status(schema.Nothing())).unclean_s is None
        tried_s: list[float] = []

        def in_the_way(store: Store) -> bool:
            tried_s.append(trio.current_time())
            return False

        monkeypatch.setattr(Store, "checkpoint", in_the_way)
        assert (await ada.update()).state == DONE
        await trio.sleep(10 * AGAIN_MAX_S)

        pauses = [later - sooner for sooner, later in itertools.pairwise(tried_s)]
        assert pauses[:3] == pytest.approx([AGAIN_MIN_S, 2 * AGAIN_MIN_S, 4 * AGAIN_MIN_S], abs=0.1)
        assert pauses[-1] == pytest.approx(AGAIN_MAX_S, abs=0.1)
        unclean_s = (await service.status(schema.Nothing())).unclean_s
        assert unclean_s is not None
        assert unclean_s > 9 * AGAIN_MAX_S

        monkeypatch.setattr(Store, "checkpoint", truncate)
        await trio.sleep(AGAIN_MAX_S + 1)
        assert (await service.status(schema.Nothing())).unclean_s is None


async def test_it_waits_while_an_epoch_is_being_decided_but_not_for_ever(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truncating the log takes as long as several votes; a group that cannot decide must not keep secrets by it."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await trio.sleep(1)
        cleaned_s: list[float] = []
        truncate = Store.checkpoint

        def noted(store: Store) -> bool:
            cleaned_s.append(trio.current_time())
            return truncate(store)

        monkeypatch.setattr(Store, "checkpoint", noted)
        assert (await ada.update()).state == DONE
        entered_s = trio.current_time()
        await bob.stop()
        await cyn.stop()
        await ada.submit(UPDATE)  # which nobody else votes for
        await trio.sleep(2 * CLEAN_WAIT_MAX_S)
        assert cleaned_s
        assert CLEAN_WAIT_MAX_S <= cleaned_s[0] - entered_s <= CLEAN_DELAY_S + CLEAN_WAIT_MAX_S + 0.1


async def test_what_is_tried_again_waits_no_longer_either(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was in the way the first time, and the group still cannot decide."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await trio.sleep(1)
        tried_s: list[float] = []
        truncate = Store.checkpoint

        def in_the_way_once(store: Store) -> bool:
            tried_s.append(trio.current_time())
            return len(tried_s) > 1 and truncate(store)

        await bob.stop()
        await cyn.stop()
        await ada.submit(UPDATE)  # which nobody else votes for
        monkeypatch.setattr(Store, "checkpoint", in_the_way_once)
        ada.session.cleaning.entered()
        await trio.sleep(3 * CLEAN_WAIT_MAX_S)
        assert len(tried_s) == 2
        assert tried_s[1] - tried_s[0] <= AGAIN_MIN_S + CLEAN_WAIT_MAX_S + 0.1
