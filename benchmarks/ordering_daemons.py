"""Real daemons on loopback, as `conclave run` starts them: made, started, asked over their APIs, and weighed.

Where the machine lets us, the daemons live in a network namespace of their own: the counters of its loopback are then
theirs alone, and tell what a decision costs on the wire with every header and acknowledgement in it.
"""

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.config import OrderingSection
from node.testnet.calls import Call, gather
from node.testnet.network import make_nodes
from node.testnet.processes import NodeProcess, Processes, interruptible
from node.testnet.settings import LimitsSection, NodesSection, Settings
from node.testnet.stage import imported, make_folder

CLONE_NEWNET: Final = 0x40000000  # unshare(2)
TICKS_S: Final = os.sysconf("SC_CLK_TCK")
LOOK_S: Final = 0.05
STEP_S_MAX: Final = 120.0
_ORDINARY: Final = {  # the node's own periods; a test network is in more of a hurry
    name: getattr(OrderingSection(), name) for name in ("delta_ms", "status_period_ms", "status_idle_period_ms")
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What all daemons together have used up since they started."""

    cpu_s: float
    wire_bytes: int | None  # None where loopback is shared with others

    def since(self, before: "Spent") -> "Spent":
        wire = None if self.wire_bytes is None or before.wire_bytes is None else self.wire_bytes - before.wire_bytes
        return replace(self, cpu_s=self.cpu_s - before.cpu_s, wire_bytes=wire)


class Daemons:
    """Some running daemons and the groups of all of them."""

    def __init__(self, nodes: Sequence[NodeProcess], processes: Processes, own_loopback: bool) -> None:
        self.nodes = tuple(nodes)
        self.processes = processes
        self._own_loopback = own_loopback

    # --- asking ---

    def send(self, node: NodeProcess, operation: op.Operation[Any, Any], request: schema.Request) -> Call[Any]:
        """Ask, and read the answer later."""
        return Call(node.config.socket_path, operation, request)

    def ask(self, node: NodeProcess, operation: op.Operation[Any, Any], request: schema.Request) -> Any:
        """Ask and wait; a refusal is raised."""
        return self.answers([self.send(node, operation, request)])[0]

    def answers(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """The answers; the first refusal is raised."""
        answers = gather(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                self.processes.check()  # its death says more than its silence
                raise answer
        return answers

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for something that takes a while."""
        deadline_s = time.monotonic() + STEP_S_MAX
        while not holds():
            self.processes.check()
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not within {STEP_S_MAX:.0f} s: {what}")
            time.sleep(LOOK_S)

    # --- groups ---

    def found(self, name: str, suite: int, seats: int, by: int = 0) -> str:
        """A group of all nodes in which so many hold a seat; its id. `by` numbers the founder."""
        founder = self.nodes[by % len(self.nodes)]
        request = schema.GroupCreateRequest(name=name, suite=suite, committee_max=seats)
        group: str = self.ask(founder, op.GROUP_CREATE, request).group_id
        for node in self.nodes:
            if node is not founder:
                self._add(founder, node, group)
        self.until(f"{seats} of {len(self.nodes)} vote in {name}", lambda: self._all_vote(group, seats))
        return group

    def _add(self, adder: NodeProcess, added: NodeProcess, group: str) -> None:
        """Once more when a peer on a busy machine gave no key package in time."""
        request = schema.GroupAddRequest(group=group, timeout_s=STEP_S_MAX, peer=added.peer_id)
        deadline_s = time.monotonic() + STEP_S_MAX
        while True:
            try:
                self.certified(self.ask(adder, op.GROUP_ADD, request))
                return
            except ApiError as error:
                if error.code not in (ErrorCode.PEER_UNREACHABLE, ErrorCode.NO_KEY_PACKAGE):
                    raise
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(1.0)

    def settled(self, group: str) -> bool:
        """Whether all stand in one epoch with nothing left to do."""
        found = self.look(group)
        if any(each is None or each.awake or each.pending for each in found):
            return False
        return len({each.epoch_fingerprint for each in found if each is not None}) == 1

    def settle(self, group: str) -> None:
        self.until("all agree and have nothing left to do", lambda: self.settled(group))

    def look(self, group: str) -> list[schema.GroupDetail | None]:
        """How a group is at each node; None where it is unknown yet."""
        request = schema.GroupRequest(group=group)
        answers = gather([self.send(node, op.GROUP_SHOW, request) for node in self.nodes])
        return [answer if isinstance(answer, schema.GroupDetail) else None for answer in answers]

    def connected(self) -> bool:
        """Whether every node is connected to every other."""
        asked = gather([self.send(node, op.PEERS, schema.Nothing()) for node in self.nodes])
        return all(isinstance(each, schema.PeerList) and len(each.peers) >= len(self.nodes) - 1 for each in asked)

    def update(self, node: NodeProcess, group: str) -> Call[Any]:
        """Ask for the smallest change there is: a refresh of the node's own keys."""
        return self.send(node, op.GROUP_UPDATE, schema.ChangeRequest(group=group, timeout_s=STEP_S_MAX))

    @staticmethod
    def certified(answer: schema.IntentResult) -> schema.IntentResult:
        """The same, if it was done; an answer that says otherwise ends the run."""
        if answer.state not in ("certified", "already"):
            raise RuntimeError(f"a change is {answer.state}: {answer.text}")
        return answer

    def _all_vote(self, group: str, seats: int) -> bool:
        for shown in self.look(group):
            if shown is None or shown.committee_size != seats or shown.awake or shown.pending:
                return False
            if not all(member.is_willing for member in shown.members) or len(shown.members) != len(self.nodes):
                return False
        return self.settled(group)

    # --- weighing ---

    def spent(self) -> Spent:
        """CPU time of all daemons, and what has gone over their loopback."""
        cpu_s = sum(_cpu_s(node.pid) for node in self.nodes if node.pid is not None)
        return Spent(cpu_s, _loopback_bytes() if self._own_loopback else None)


@contextmanager
def daemons(count: int, **settings: object) -> Iterator[Daemons]:
    """So many daemons, each connected to all others, gone with the block. `settings` are those of `NodesSection`."""
    own_loopback = own_network()
    chosen = Settings(
        nodes=msgspec.convert({**_ORDINARY, "log_level": "warning", **settings}, NodesSection),
        limits=LimitsSection(start_s=120.0, stop_s=20.0),
    )
    folder = make_folder(str(count))
    try:
        with interruptible():
            nodes = make_nodes(folder, count, chosen)
            processes = Processes(imported())
            try:
                processes.start(nodes, chosen.limits.start_s)
                running = Daemons(nodes, processes, own_loopback)
                running.until("every node is connected to every other", running.connected)
                yield running
            finally:
                processes.close(chosen.limits.stop_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own_network() -> bool:
    """Move this process, once, into a network namespace with a loopback of its own; False where that is refused."""
    if _OWN_NETWORK:
        return _OWN_NETWORK[0]
    moved = os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0
    if moved:
        ip = shutil.which("ip")
        raised = ip is not None and subprocess.run([ip, "link", "set", "lo", "up"], check=False).returncode == 0
        if not raised:
            raise RuntimeError("the loopback of our own network namespace cannot be raised: is `ip` installed?")
    _OWN_NETWORK.append(moved)
    return moved


_OWN_NETWORK: list[bool] = []


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def _loopback_bytes() -> int:
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, numbers = line.strip().partition(":")
        if name == "lo":
            return int(numbers.split()[8])
    raise RuntimeError("this network namespace has no loopback")
