"""The daemon's supervisor: what one group's task dies of is no other group's business."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api import schema
from node.api.errors import ApiError
from node.data_dir import DataDir
from node.intents import DONE, UPDATE
from node.joining import found_group
from node.service import NodeService
from node.store import open_store
from node.store_rows import GroupRow
from node.supervision import RESTART_MAX_S
from ordering import RULES_VERSION, Policy
from tests.node.world import SUITE, Member, World, open_world


async def one_of_two_groups_is_damaged(world: World) -> tuple[Member, bytes, bytes]:
    """A stopped node; its damaged group, and its whole one."""
    ada = await world.member("ada")
    damaged = (await ada.node.create_group("damaged", SUITE, Policy(delta_ms=200))).group_id
    whole = (await ada.node.create_group("whole", SUITE, Policy(delta_ms=200))).group_id
    await ada.stop()
    with open_store(DataDir(ada.config.data_dir).store_path, ada.key.value) as store:
        row = store.group(damaged)
        assert row is not None
        with store.transaction() as transaction:
            transaction.put_group(
                GroupRow(damaged, row.name, row.epoch, b"\x00", row.health, row.unconfirmed, row.removed, row.extra)
            )
    return ada, damaged, whole


async def test_a_group_that_cannot_be_opened_holds_up_no_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The node starts, says how that group is, and serves the rest."""
    async with open_world(tmp_path) as world:
        ada, damaged, whole = await one_of_two_groups_is_damaged(world)

        with trio.fail_after(5):
            await ada.start()

        assert set(ada.node.sessions) == {whole}
        row = await ada.node.sessions[whole].submit(UPDATE, b"")
        assert (await ada.node.sessions[whole].intent_ended(row.intent_id)).state == DONE
        service = NodeService(ada.node)
        told = {group.group_id: group for group in service._groups()}
        assert "being opened from the store" in told[damaged.hex()].health_text
        assert told[whole.hex()].health == "ok"


async def test_a_group_on_other_rules_is_refused_by_both_versions(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A group of an earlier version on the disk: said plainly, not tried again and again; the other groups run."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada")
        old = found_group(ada.node.context, "old", SUITE, Policy(rules=RULES_VERSION - 1)).group_id
        new = (await ada.node.create_group("new", SUITE, Policy(delta_ms=200))).group_id
        await ada.stop()

        with trio.fail_after(5):
            await ada.start()
        await trio.sleep(RESTART_MAX_S)

        assert set(ada.node.sessions) == {new}
        service, both = NodeService(ada.node), f"rules {RULES_VERSION - 1}; this node runs {RULES_VERSION}"
        told = {group.group_id: group for group in service._groups()}
        assert told[old.hex()].health == "other_rules"
        assert both in told[old.hex()].health_text
        assert told[new.hex()].health == "ok"
        with pytest.raises(ApiError, match=both):
            await service.group_send(schema.GroupSendRequest(group="old", text="hello"))
