"""A stretch of faults: members talk and change the group all the while, and what they were told is written down."""

import select
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError
from node.client import ClientError
from node.testnet.calls import Call, gather
from node.testnet.processes import NodeProcess
from node.testnet.story import Sent, Submitted
from tests.faults.cluster import CALM, Cluster

PHASE: Final = "faults"
KINDS: Final = ("kill", "kill", "kill", "stop", "split", "weather", "disk", "clock")
BETWEEN_FAULTS_S: Final = (0.4, 2.4)
BETWEEN_WORDS_S: Final = (0.05, 0.3)
BETWEEN_CHANGES_S: Final = (0.3, 1.2)
CLOCK_STEP_S: Final = 2 * 3600  # messages of past epochs are readable for a day at least
LOOK_S: Final = 0.1
STEP_S: Final = 120.0


@dataclass(slots=True)
class Record:
    """What was done to the nodes, and what they have promised."""

    faults: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)  # acknowledged texts, no two alike -> name of the node
    sent: list[Sent] = field(default_factory=list)  # the same as the nodes' feeds have them in the end
    submitted: list[Submitted] = field(default_factory=list)
    unanswered: int = 0  # the node was killed before it answered, or could not be asked
    refused: Counter[str] = field(default_factory=Counter)  # by what the node said


class Play:
    """One stretch."""

    def __init__(self, cluster: Cluster, seed: int, kinds: Iterable[str] = KINDS) -> None:
        self.cluster = cluster
        self.nodes = cluster.nodes
        self.chance = Random(seed)
        self.kinds = tuple(kinds)
        self.record = Record()
        self.group = ""
        self._began_s = time.monotonic()
        self._calls: list[tuple[NodeProcess, Call[Any], str]] = []  # with what is said by it
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._busy: dict[str, Callable[[], None]] = {}  # what a fault holds -> how it ends
        self._said = 0

    # --- acts ---

    def found(self) -> None:
        """A group of all nodes, everybody a voter, on links that work."""
        founder = self.nodes[0]
        self._until("all are connected", self._connected)
        request = schema.GroupCreateRequest(name="faults", suite=1)
        self.group = self._ask(founder, op.GROUP_CREATE, request).group_id
        for node in self.nodes[1:]:
            addition = schema.GroupAddRequest(group=self.group, timeout_s=STEP_S, peer=node.peer_id)
            self._ask(founder, op.GROUP_ADD, addition)
        self._until("everybody votes", lambda: self._settled(len(self.nodes)))

    def suffer(self, duration_s: float) -> None:
        """Faults one upon another, until the time is up; then everything is mended."""
        end_s = time.monotonic() + duration_s
        self._later(0.0, self._talk)
        self._later(0.0, self._change)
        self._later(1.0, self._strike)
        while (now := time.monotonic()) < end_s:
            self.cluster.processes.check()
            while self._agenda and self._agenda[0][0] <= now:
                heappop(self._agenda)[2]()
            next_s = min(end_s, self._agenda[0][0]) if self._agenda else end_s
            self._collect(max(0.0, min(LOOK_S, next_s - time.monotonic())))
        for name, end in list(self._busy.items()):
            self._note(f"{name}: mended")
            end()
        self._busy.clear()
        self._note("all is mended")

    def rest(self) -> None:
        """Wait until everybody is where the others are and has what was promised; what does not come is noted."""
        while self._calls:
            self._collect(LOOK_S)
        try:
            self._until("all agree and have nothing left to do", lambda: self._settled(len(self.nodes)))
            self._until("every message is everywhere", self._all_read)
            self._until("all agree", lambda: self._settled(len(self.nodes)))
            self._note("everybody is in the same epoch, with every message")
        except TimeoutError as error:
            self._note(str(error))
        found = {item.text: item for node in self.nodes for item in self._read(node)}
        for text, name in self.record.promised.items():
            item = found.get(text)
            if item is not None:
                self.record.sent.append(Sent(name, PHASE, item.text, item.epoch))

    # --- what goes on all the while ---

    def _talk(self) -> None:
        self._later(self.chance.uniform(*BETWEEN_WORDS_S), self._talk)
        self._said += 1
        request = schema.GroupSendRequest(group=self.group, text=f"{self._said}: {self.chance.getrandbits(64):016x}")
        self._send(op.GROUP_SEND, request, request.text)

    def _change(self) -> None:
        self._later(self.chance.uniform(*BETWEEN_CHANGES_S), self._change)
        self._send(op.GROUP_UPDATE, schema.ChangeRequest(group=self.group, wait=False))

    def _send(self, operation: op.Operation[Any, Any], request: schema.Request, text: str = "") -> None:
        running = [node for node in self.nodes if node.is_running]
        if running:
            node = self.chance.choice(running)
            self._calls.append((node, Call(node.config.socket_path, operation, request), text))

    def _collect(self, wait_s: float) -> None:
        """Take in answers for so long at most."""
        live = [call for _, call, _ in self._calls if not call.is_over]
        readable: list[Any] = []
        if live:
            readable, _, _ = select.select(live, [], [], wait_s)
        elif len(self._calls) == len(live):
            time.sleep(wait_s)
        over = [each for each in self._calls if each[1].is_over or each[1] in readable]
        self._calls = [each for each in self._calls if each not in over]
        for node, call, text in over:
            self._take(node, call, text)

    def _take(self, node: NodeProcess, call: Call[Any], text: str) -> None:
        try:
            answer = call.reply()
        except ApiError as error:
            self.record.refused[str(error.code)] += 1
        except ClientError:
            self.record.unanswered += 1
        else:
            if isinstance(answer, schema.SendResult):
                self.record.promised[text] = node.name
            else:
                self.record.submitted.append(Submitted(node.name, "update", PHASE, answer.intent_id))

    # --- faults ---

    def _strike(self) -> None:
        self._later(self.chance.uniform(*BETWEEN_FAULTS_S), self._strike)
        kind = self.chance.choice(self.kinds)
        free = [number for number, node in enumerate(self.nodes) if node.name not in self._busy and node.is_running]
        if not free:
            return
        {
            "kill": self._kill,
            "stop": self._stop,
            "split": self._split,
            "weather": self._weather,
            "disk": self._disk,
            "clock": self._clock,
        }[kind](self.chance.choice(free))

    def _kill(self, number: int) -> None:
        node = self.nodes[number]
        self.cluster.processes.kill(node)
        self._hold("kills", node.name, "killed", (0.0, 2.0), lambda: self.cluster.start([node]))

    def _stop(self, number: int) -> None:
        node = self.nodes[number]
        self.cluster.processes.pause(node)
        self._hold("stops", node.name, "stopped", (0.5, 5.0), lambda: self.cluster.processes.resume(node))

    def _split(self, number: int) -> None:
        if "links" in self._busy:
            return
        others = [each for each in range(len(self.nodes)) if each != number]
        friend = self.chance.sample(others, self.chance.randrange(2))
        away = [number, *friend]
        self.cluster.split(away, [each for each in others if each not in friend])
        self._hold("cuts", "links", f"cut around {away}", (1.0, 8.0), self.cluster.heal)

    def _weather(self, _number: int) -> None:
        if "weather" in self._busy:
            return
        slow_s, loss = self.chance.uniform(0.0, 0.1), self.chance.uniform(0.0, 0.1)
        self.cluster.weather((slow_s / 2, slow_s), loss)
        self._hold(
            "spells of weather",
            "weather",
            f"{slow_s * 1000:.0f} ms, loss {loss:.0%}",
            (2.0, 10.0),
            lambda: self.cluster.weather(*CALM),
        )

    def _disk(self, _number: int) -> None:
        number = len(self.nodes) - 1  # the one with a small file system of its own
        node = self.nodes[number]
        if node.name in self._busy or not node.is_running:
            return
        self.cluster.fill_disk(number)
        self._hold("full disks", node.name, "disk full", (0.5, 3.0), lambda: self.cluster.free_disk(number))

    def _clock(self, number: int) -> None:
        step_s = self.chance.choice((-CLOCK_STEP_S, -60, 60, CLOCK_STEP_S))
        name = f"clock of {self.nodes[number].name}"
        if name in self._busy:
            return
        self.cluster.step_clock(number, step_s)
        self._hold("clock steps", name, f"off by {step_s} s", (2.0, 10.0), lambda: self.cluster.step_clock(number, 0))

    def _hold(self, kind: str, what: str, how: str, span_s: tuple[float, float], mend: Callable[[], None]) -> None:
        """The fault lasts for a while."""
        self.record.faults[kind] += 1
        self._note(f"{what}: {how}")
        self._busy[what] = mend

        def end() -> None:
            if self._busy.pop(what, None) is not None:
                self._note(f"{what}: mended")
                mend()

        self._later(self.chance.uniform(*span_s), end)

    # --- parts ---

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._serial += 1
        heappush(self._agenda, (time.monotonic() + delay_s, self._serial, act))

    def _note(self, text: str) -> None:
        self.record.story.append(f"{time.monotonic() - self._began_s:7.2f} s  {text}")

    def _ask(self, node: NodeProcess, operation: op.Operation[Any, Any], request: schema.Request) -> Any:
        (answer,) = gather([Call(node.config.socket_path, operation, request)])
        if isinstance(answer, Exception):
            self.cluster.processes.check()
            raise answer
        return answer

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + STEP_S
        while not holds():
            self.cluster.processes.check()
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not within {STEP_S:.0f} s: {what}")
            time.sleep(LOOK_S)

    def _connected(self) -> bool:
        asked = gather([Call(node.config.socket_path, op.PEERS, schema.Nothing()) for node in self.nodes])
        return all(isinstance(each, schema.PeerList) and len(each.peers) >= len(self.nodes) - 1 for each in asked)

    def _settled(self, seats: int) -> bool:
        request = schema.GroupRequest(group=self.group)
        found = gather([Call(node.config.socket_path, op.GROUP_SHOW, request) for node in self.nodes])
        for each in found:
            if not isinstance(each, schema.GroupDetail) or each.committee_size != seats or each.awake or each.pending:
                return False
        return len({each.epoch_fingerprint for each in found}) == 1

    def _all_read(self) -> bool:
        due = self.record.promised.keys()
        return all(due <= {item.text for item in self._read(node)} for node in self.nodes)

    def _read(self, node: NodeProcess) -> list[schema.MessageItem]:
        items: list[schema.MessageItem] = []
        seq = 0
        while True:
            request = schema.GroupReadRequest(group=self.group, after_seq=seq, limit=schema.PAGE_SIZE_MAX)
            page: schema.MessagePage = self._ask(node, op.GROUP_READ, request)
            items += page.messages
            seq = page.last_seq
            if not page.has_more:
                return items
