"""Daemons on networks of their own: found on the same local network by multicast, on another by rendezvous only."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mls import suite
from node.config import load_file
from node.contacts.cards import INBOX_SUITE, make_card
from node.contacts.own import INBOX_ROW
from node.data_dir import DataDir
from node.discovery.tally import DIALS_BURST_MAX
from node.setup import open_key, read_identity
from node.store import open_store
from tests.node.contacts.test_two_daemons import eventually
from tests.node.daemon_world import ROOT, Daemon
from tests.node.forked import running
from tests.node.networks import routed

LISTEN = ("--network-listen", "/ip4/0.0.0.0/tcp/4840")


def test_neighbours_are_found_by_multicast_and_others_by_rendezvous_only(tmp_path: Path) -> None:
    """Ada and bob share a local network, cyn is on another; all have each other's cards, without any address.

    Ada and cyn know one rendezvous point, rose, on a third network. Bob does not, so bob and cyn never meet. Eve, a
    neighbour of ada and bob, says all the while that bob is where nobody is.
    """
    with routed({"ada": 1, "bob": 1, "eve": 1, "cyn": 2, "rose": 3}) as machines:
        nodes = {name: Daemon(tmp_path / name) for name in ("ada", "bob", "cyn", "rose")}
        ada, bob, cyn, rose = nodes.values()
        ids = {name: node.init(*LISTEN, accept="contacts")["peer_id"] for name, node in nodes.items()}
        cards = {node.folder.name: addressless_card(node) for node in (ada, bob, cyn)}
        point = {"discovery.rendezvous": f"/ip4/{machines['rose'][1]}/tcp/4840/p2p/{ids['rose']}"}
        settings: dict[Daemon, dict[str, object]] = {
            ada: {"discovery.mdns": True, **point},
            bob: {"discovery.mdns": True},
            cyn: {"discovery.mdns": True, **point},
            rose: {"discovery.rendezvous_serve": "anyone"},
        }
        with (
            running({node: (machines[node.folder.name][0], flags) for node, flags in settings.items()}),
            flooding(*machines["eve"], ids["bob"]),
        ):
            for node in (ada, bob, cyn):
                for name, card in cards.items():
                    if name != node.folder.name:
                        node.say("contact", "add", card, "--name", name)

            eventually(lambda: {ids["bob"], ids["cyn"]} <= connected(ada), timeout_s=60)
            assert finding(ada, "mdns")["found"] + finding(bob, "mdns")["found"] >= 1
            assert finding(ada, "rendezvous")["reached"] + finding(cyn, "rendezvous")["reached"] >= 1
            ada.say("group", "create", "lunch")
            ada.say("group", "add", "lunch", "cyn")
            cyn.say("group", "send", "lunch", "soup at noon?")
            eventually(lambda: "cyn: soup at noon?" in ada.say("group", "read", "lunch"))

            assert "registered" in rose.say("status")
            assert finding(bob, "mdns")["reached"] + finding(ada, "mdns")["reached"] >= 1
            assert finding(cyn, "mdns")["counters"]["networks"] == 1
            assert finding(cyn, "mdns")["counters"].get("heard", 0) == 0
            assert finding(ada, "mdns")["counters"].get("not_reached", 0) <= 2 * DIALS_BURST_MAX
            assert ids["cyn"] not in connected(bob)
            for node in nodes.values():
                assert "error" not in node.log_path.read_text()


@contextmanager
def flooding(netns: str, lan: str, peer: str) -> Iterator[None]:
    """Somebody on that network floods it for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.node.discovery.flood", lan, peer, "60"]
    flood = subprocess.Popen(["ip", "netns", "exec", netns, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        flood.kill()
        flood.wait()


def addressless_card(node: Daemon) -> str:
    """What a node's user would have given away a year ago, before every move: its keys, and no address."""
    config = load_file(node.folder / "node.toml", {}, {"node.data_dir": str(node.folder)})
    with open_store(DataDir(config.data_dir).store_path, open_key(config).value) as store:
        inbox = suite(INBOX_SUITE).generate_hpke_key(os.urandom)
        with store.transaction() as transaction:
            transaction.put_meta(INBOX_ROW, inbox.to_bytes())
        card = make_card(
            read_identity(store),
            serial=1,
            name="",
            addresses=(),
            mailboxes=(),
            replicas=(),
            suites=(1,),
            inbox_key=inbox.public,
            now_s=1_750_000_000,
            lifetime_s=10 * 365 * 24 * 3600,
        )
    return card.to_text()


def connected(node: Daemon) -> set[str]:
    return {peer["peer_id"] for peer in node.ask("peers")["peers"]}


def finding(node: Daemon, name: str) -> Any:
    (one,) = [kind for kind in node.ask("status")["finding"] if kind["name"] == name]
    return one
