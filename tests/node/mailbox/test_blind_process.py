"""A whole replica, a process of its own, searched after a busy day: disk, databases, log, and all of its memory."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping

import pytest

from node.config import load_file
from node.testnet.evidence import Evidence, read_evidence
from node.testnet.replica_evidence import columns_of, found_in, peer_needles, shapes_of
from tests.node.daemon_world import Daemon, until
from tests.node.mailbox.process_memory import memory_of

NAMES = ("ada-of-the-lake", "bob-of-the-mill", "cyn-of-the-hill")
GROUP = "the hidden garden"
PETNAME = "uncle of the far valley"
TEXT = "meet me where the river turns, number"
TAIL = 48  # bytes of a ciphertext that are looked for
ROUNDS = 3

COLUMNS = {
    "meta": "when this store was made, at random",
    "owners": "whose room: the random group id, the last verified entry's anchor, how much, when",
    "topics": "public keys of topics, how many items, how much, when",
    "entries": "decisions: group id, vote keys, who of the voters signed, hashes",
    "items": "sealed and padded, and when they came",
}
"""All that a mailbox's database holds, which the threat model says it learns. A new table has to be thought about."""


def evidence_of(member: Daemon, group_id: bytes) -> Evidence:
    config = load_file(member.folder / "node.toml", {}, {"node.data_dir": str(member.folder)})
    return read_evidence(member.folder.name, "", config, group_id)


def binary_address(address: str) -> bytes:
    """What a member listens on, as libp2p writes it: ip4, 127.0.0.1, tcp, the port."""
    port = int(address.split("/")[4])
    return b"\x04\x7f\x00\x00\x01\x06" + port.to_bytes(2, "big")


class Busy:
    """A group that talks and changes, and what nobody else may know of it, by kind."""

    def __init__(self, members: list[Daemon]) -> None:
        self.members = members
        self.group_id = b""
        self.secrets: dict[str, set[bytes]] = {
            "text": {TEXT.encode()},
            "name": {each.encode() for each in (*NAMES, GROUP, PETNAME)},
            "member": set(peer_needles([each.ask("id")["peer_id"] for each in members])),
            "address": {shape for each in members for shape in (binary_address(each.address), each.address.encode())},
            "leaf key": set(),
            "ciphertext": set(),
        }

    def work(self) -> None:
        ada, bob, cyn = self.members
        self.group_id = bytes.fromhex(ada.ask("group", "create", GROUP, "--suite", "1")["group_id"])
        for other in (bob, cyn):
            ada.ask("group", "add", GROUP, other.address)
        ada.ask("contact", "add", bob.ask("contact", "card")["card"], "--name", PETNAME)
        for round in range(ROUNDS):
            for index, member in enumerate(self.members):
                member.ask("group", "send", GROUP, f"{TEXT} {round * 3 + index}")
            self.members[round].ask("group", "update", GROUP)
            self._note()
        ada.ask("group", "remove", GROUP, cyn.ask("id")["peer_id"])
        ada.ask("group", "send", GROUP, f"{TEXT} {ROUNDS * 3}, goodbye")
        until(lambda: not any(each.ask("group", "show", GROUP)["mailbox_backlog"] for each in (ada, bob)))
        self._note()

    def _note(self) -> None:
        found = evidence_of(self.members[0], self.group_id)
        self.secrets["leaf key"] |= found.leaf_keys
        self.secrets["ciphertext"] |= {each.payload[-TAIL:] for each in found.kept}


def searched(pid: int, needles: Mapping[str, Iterable[bytes]]) -> set[str]:
    """Which kinds are anywhere in the memory of a process, which stands still meanwhile."""
    shapes = [(kind, shape) for kind, each in needles.items() for needle in each for shape in shapes_of(needle)]
    found: set[str] = set()
    os.kill(pid, signal.SIGSTOP)
    try:
        for piece in memory_of(pid):
            found |= {kind for kind, shape in shapes if kind not in found and shape in piece}
    finally:
        os.kill(pid, signal.SIGCONT)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Busy]]:
    """The replica, and a group that has had its day with it."""
    folder = tmp_path_factory.mktemp("d")
    box = Daemon(folder / "box")
    members = [Daemon(folder / name) for name in NAMES]
    try:
        box.init("--mailbox-serve")
        box.start()
        for member in members:
            member.init("--always-on", "--mailbox-use", box.address)
            member.begin()
        for member in members:
            member.until_ready()
        busy = Busy(members)
        busy.work()
        yield box, busy
    finally:
        for daemon in (box, *members):
            daemon.kill()


def test_a_replicas_memory_holds_nothing_of_its_group(world: tuple[Daemon, Busy]) -> None:
    """All of it: heap, stacks, what was freed and not overwritten. It does know the group's random id."""
    box, busy = world
    assert all(busy.secrets.values())

    assert searched(box.pid, busy.secrets) == set()
    assert searched(box.pid, {"group id": [busy.group_id], "own name": [b"box"]}) == {"group id", "own name"}


def test_the_search_finds_all_of_it_in_a_member(world: tuple[Daemon, Busy]) -> None:
    """A search that cannot fail shows nothing."""
    _, busy = world

    assert searched(busy.members[0].pid, busy.secrets) == set(busy.secrets)


def test_a_replicas_disk_and_log_hold_what_is_documented_and_nothing_else(world: tuple[Daemon, Busy]) -> None:
    """Files as they lie there, databases decrypted, a log at its most talkative."""
    box, busy = world
    box.end(signal.SIGTERM)
    config = load_file(box.folder / "node.toml", {}, {"node.data_dir": str(box.folder)})
    places = columns_of(config)
    places |= {f"file {path.name}": path.read_bytes() for path in box.folder.iterdir() if path.is_file()}
    places["log"] = box.log_path.read_bytes()
    assert b"mailbox open" in places["log"]
    assert len(places["mailbox.db items.body"]) > 10_000, "it is in use"

    assert list(found_in(places, busy.secrets)) == []

    served = {place.split()[1].split(".")[0] for place in places if place.startswith("mailbox.db ")}
    assert served == set(COLUMNS)
    with_id = {place for place, data in places.items() if busy.group_id in data or busy.group_id.hex().encode() in data}
    assert with_id == {"mailbox.db owners.group_id", "mailbox.db owners.anchor", "mailbox.db entries.entry"}


def test_the_search_of_the_disk_finds_all_of_it_in_a_member(world: tuple[Daemon, Busy]) -> None:
    """As above: also on a member's disk, once it is decrypted, and in its log its peers."""
    _, busy = world
    ada = busy.members[0]
    ada.end(signal.SIGTERM)
    config = load_file(ada.folder / "node.toml", {}, {"node.data_dir": str(ada.folder)})

    found = set(found_in(columns_of(config), busy.secrets))

    assert {each.split(" in ")[0].removeprefix("a ") for each in found} == set(busy.secrets)
    assert "a member in log" in set(found_in({"log": ada.log_path.read_bytes()}, busy.secrets))
