"""Committees of daemons in processes of their own, over libp2p, as their operators change them."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

from node.api import schema
from node.client import Client
from tests.node.daemon_world import Daemon, daemons, until

GROUP = "lunch"


def shown(daemon: Daemon) -> Any:
    return daemon.ask("group", "show", GROUP)


def seated(daemon: Daemon) -> list[str]:
    """Peer ids in the order of their seats."""
    voters = [member for member in shown(daemon)["members"] if member["seat"] is not None]
    return [member["peer_id"] for member in sorted(voters, key=lambda member: int(member["seat"]))]


def test_four_daemons_and_their_policies(tmp_path: Path) -> None:
    """Growth to four, the leader killed, pinned to three and back, opting out; told in words at each step."""
    with daemons(tmp_path, "ada", "bob", "cyn", "dan") as (ada, bob, cyn, dan):
        everybody = (ada, bob, cyn, dan)
        ids = [daemon.ask("id")["peer_id"] for daemon in everybody]
        ada.ask("group", "create", GROUP, "--voters-max", "4")
        assert "this device alone decides" in ada.say("status")
        for other in everybody[1:]:
            assert ada.ask("group", "add", GROUP, other.address)["state"] == "certified"
        until(lambda: all(shown(each)["committee_size"] == 4 for each in everybody), 60)
        until(lambda: len({shown(each)["epoch_fingerprint"] for each in everybody}) == 1)
        assert "1 of 4 voters may be offline or lying" in cyn.say("group", "show", GROUP)
        assert sorted(seated(ada)) == sorted(ids)

        leader = everybody[ids.index(seated(ada)[shown(ada)["epoch"] % 4])]
        leader.end(signal.SIGKILL)
        left = [each for each in everybody if each is not leader]
        assert left[0].ask("group", "update", GROUP)["state"] == "certified"
        leader.start()
        until(lambda: len({shown(each)["epoch_fingerprint"] for each in everybody}) == 1)

        pins = [word for id in (ids[0], ids[2], ids[3]) for word in ("--pin", id)]
        assert cyn.ask("group", "policy", GROUP, *pins)["state"] == "certified"
        until(lambda: all(shown(each)["committee_size"] == 3 for each in everybody))
        assert set(seated(bob)) == {ids[0], ids[2], ids[3]}
        assert "one dishonest voter could fork this group; it takes 4 to change that" in bob.say("group", "show", GROUP)
        code, lines = bob.refused("group", "policy", GROUP, "--model", "crash")
        assert (code, "only a pinned member may change the ordering policy" in lines[0]) == (1, True)

        assert dan.ask("group", "policy", GROUP, "--policy", "all")["state"] == "certified"
        until(lambda: all(shown(each)["committee_size"] == 4 for each in everybody))
        assert is_told(bob, "changed how the group decides: voters: pinned → all")
        assert dan.ask("group", "opt-out", GROUP)["state"] == "certified"
        until(lambda: all(shown(each)["committee_size"] == 3 for each in everybody))
        assert "1 more must opt in" in ada.say("group", "show", GROUP)
        assert shown(ada)["delta_now_ms"] <= 4 * shown(ada)["delta_ms"]
        for each in everybody:
            assert each.end(signal.SIGTERM) == 0


def is_told(daemon: Daemon, text: str) -> bool:
    """Whether the feed says so; waits for it."""
    told = Client(daemon.folder / "api.sock").follow(schema.EventsRequest(since=0))
    with contextlib.closing(told) as events:
        return any(text in event.text for event in events)
