"""Two machines on local networks that cannot reach each other, and a relay that both can reach: real daemons."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.testnet.replica_evidence import shapes_of
from tests.node.daemon_world import Daemon, until
from tests.node.mailbox.process_memory import memory_of
from tests.node.networks import ip, routed

NAMES = ("ada-of-the-lake", "bob-of-the-mill")
GROUP = "the hidden garden"
TEXT = "meet me where the river turns"
PORT = 4840


@contextmanager
def apart() -> Iterator[dict[str, tuple[str, str]]]:
    """Each of the two has a way to the relay's network and none to the other's."""
    with routed({"ada": 1, "bob": 2, "relay": 3}) as machines:
        for number, name in enumerate(("ada", "bob"), 1):
            namespace = machines[name][0]
            ip("-n", namespace, "route", "del", "default")
            ip("-n", namespace, "route", "add", "10.77.3.0/24", "via", f"10.77.{number}.1")
        yield machines


def reaches(namespace: str, address: str) -> bool:
    """Whether a machine has any way to an address."""
    asked = ["ip", "-n", namespace, "route", "get", address]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_two_that_cannot_reach_each_other_chat_through_a_relay(tmp_path: Path) -> None:
    """By one link and nothing else; the relay carries it all and could show nobody a word of it."""
    with apart() as machines:
        assert not reaches(machines["ada"][0], machines["bob"][1])
        assert not reaches(machines["bob"][0], machines["ada"][1])
        relay = Daemon(tmp_path / "relay", netns=machines["relay"][0])
        ada, bob = (Daemon(tmp_path / name, netns=machines[name[:3]][0]) for name in NAMES)
        listen = ("--network-listen", f"/ip4/0.0.0.0/tcp/{PORT}")
        try:
            relay.init(*listen, "--discovery-relay-serve", "anyone", "--discovery-relay-reservations", "2")
            relay.start()
            for node in (ada, bob):
                node.init(*listen, "--discovery-relays", relay.address, accept="contacts")
                node.begin()
            for node in (ada, bob):
                node.until_ready()
            until(lambda: any(is_through(relay, each) for each in ada.ask("id")["addresses"]))

            ada.say("group", "create", GROUP)
            link = ada.say("group", "invite", GROUP, "--auto").strip()
            assert bob.say("group", "join", link).startswith(f"joined {GROUP} (epoch 1, 2 members)")
            for node in (ada, bob):
                node.say("group", "send", GROUP, f"{TEXT}, says {node.folder.name}")
            for node in (ada, bob):
                until(lambda node=node: len(node.texts(GROUP)) == 2)  # type: ignore[misc]
            assert is_through(relay, *[a for peer in bob.ask("peers")["peers"] for a in peer["addresses"]])

            assert "by others through 1 relay" in ada.say("status")
            until(lambda: "as a relay, 2 nodes reached through this one, " in relay.say("status"))

            needles = [shape for each in (*NAMES, GROUP, TEXT) for shape in shapes_of(each.encode())]
            os.kill(relay.pid, signal.SIGSTOP)
            try:
                in_memory = {shape for piece in memory_of(relay.pid) for shape in needles if shape in piece}
            finally:
                os.kill(relay.pid, signal.SIGCONT)
            assert in_memory == set()
            assert any(shape in piece for piece in memory_of(ada.pid) for shape in needles)  # it can be found at all
            relay.end(signal.SIGTERM)
            files = [path for path in relay.folder.rglob("*") if path.is_file()] + [relay.log_path]
            assert not [path for path in files for shape in needles if shape in path.read_bytes()]
        finally:
            for node in (ada, bob, relay):
                node.kill()


def is_through(relay: Daemon, *addresses: str) -> bool:
    return any(f"{relay.address}/p2p-circuit/p2p/" in address for address in addresses)
