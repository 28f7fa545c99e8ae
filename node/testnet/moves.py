"""Moves: what the acts of the script are made of. Each does one thing to the network and writes it into the story."""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError
from node.client import ClientError
from node.testnet.calls import Call, gather
from node.testnet.network import Network, ScriptError
from node.testnet.processes import NodeProcess
from node.testnet.story import QUIET, RIVALS, SETUP, Outage, Removal, Sent, Submitted

RequestT = TypeVar("RequestT", bound=schema.Request)
Spoken = tuple[str, Call[schema.SendResult]]
"""A message on its way: its text, no two are alike, and the answer to come."""

BREATH_S: Final = (0.005, 0.06)  # between two messages of a node in a round; a victim is killed in the first pause
CALM_S: Final = 0.03  # after a quiet change, so that the next one meets nobody


class Moves:
    """The moves, and the record of what they did."""

    def __init__(self, network: Network, chance: Random) -> None:
        self.network = network
        self.nodes = network.nodes
        self.chance = chance
        self.submitted: list[Submitted] = []
        self.sent: list[Sent] = []
        self.outages: list[Outage] = []
        self.removals: list[Removal] = []
        self._limit_s = network.settings.limits.step_s
        self._said = 0  # messages so far, which makes every text another one

    # --- changes and messages ---

    def rivals(self, nodes: Sequence[NodeProcess], victim: NodeProcess | None = None) -> int:
        """Every node submits a change and sends messages, all requests before any reply; one may be killed meanwhile.

        Returns when it was killed. It has answered or has not: what it accepted must still come true, and its store
        shows what that is.
        """
        changes = [(node, self.network.send(node, op.GROUP_UPDATE, self._update())) for node in nodes]
        words: list[tuple[NodeProcess, Spoken]] = []
        killed_ms = 0
        for batch in range(self.network.settings.script.messages_per_round):
            words += [(node, self._speak(node)) for node in nodes if node.is_running]
            time.sleep(self.chance.uniform(*BREATH_S))
            if victim is not None and batch == 0:
                killed_ms = now_ms()
                self.network.processes.kill(victim)
        answers = gather([call for _, call in changes], self.network.tick)
        for (node, _), answer in zip(changes, answers, strict=True):
            self._note_change(node, "update", RIVALS, answer, may_fail=node is victim)
        for node, spoken in words:
            self._note_message(node, RIVALS, spoken, may_fail=node is victim)
        return killed_ms

    def quiet_change(self, node: NodeProcess) -> None:
        """One change and one message, each with nothing else going on."""
        self._calm()
        self._change(node, op.GROUP_UPDATE, self._update(), "update", QUIET)
        self._calm()
        self._note_message(node, QUIET, self._speak(node))

    def add(self, adder: NodeProcess, added: NodeProcess) -> int:
        """Add a member; returns the epoch that begins with it."""
        request = schema.GroupAddRequest(group=self.network.group_id, timeout_s=self._limit_s, peer=added.peer_id)
        return self._change(adder, op.GROUP_ADD, request, "add", SETUP)

    def remove(self, remover: NodeProcess, removed: NodeProcess) -> int:
        """Remove a member, who learns of it; returns the epoch that begins with it."""
        request = schema.GroupRemoveRequest(
            group=self.network.group_id, timeout_s=self._limit_s, member=removed.peer_id
        )
        epoch = self._change(remover, op.GROUP_REMOVE, request, "remove", SETUP)
        self.network.until(f"{removed.name} knows that it was removed", lambda: self._is_out(removed))
        return epoch

    def refused(self, node: NodeProcess) -> str:
        """What a removed member is told when it wants to send; empty when it may."""
        answer = gather([self._speak(node)[1]])[0]
        return f"{answer.code}: {answer}" if isinstance(answer, ApiError) else ""

    # --- waiting ---

    def settle(self, nodes: Sequence[NodeProcess], limit_s: float | None = None) -> None:
        """Wait until these nodes agree and have nothing left to do."""
        names = ", ".join(node.name for node in nodes)
        self.network.until(f"{names} agree and have nothing left to do", lambda: self.network.settled(nodes), limit_s)

    def all_connected(self) -> None:
        """Wait until every node is connected to every other."""

        def holds() -> bool:
            asked = [(node, self.network.send(node, op.PEERS, schema.Nothing())) for node in self.nodes]
            return all(len(reply.peers) >= len(self.nodes) - 1 for reply in self.network.replies(asked))

        self.network.until("every node is connected to every other", holds)

    def all_voting(self, seats: int) -> None:
        """Wait until everybody is a member and willing, and the committee has so many seats."""

        def holds(shown: schema.GroupDetail | None) -> bool:
            if shown is None or not shown.is_member or shown.committee_size != seats:
                return False
            return sum(member.is_willing for member in shown.members) == len(self.nodes)

        self.network.until(
            f"all have opted in and {seats} vote", lambda: all(map(holds, self.network.look(self.nodes)))
        )
        self.settle(self.nodes)

    def delivered(self, limit_s: float | None = None) -> None:
        """Wait until every node has every acknowledged message of the epochs it was a member of."""
        readers = [Reader(self.network, node, self._due(node)) for node in self.nodes]
        self.network.until("every message is everywhere", lambda: not any(each.lacks() for each in readers), limit_s)

    def voters(self) -> list[NodeProcess]:
        """The nodes that hold a seat in this epoch."""
        (shown,) = self.network.look(self.nodes[:1])
        seated = {member.peer_id for member in (shown.members if shown else ()) if member.seat is not None}
        return [node for node in self.nodes if node.peer_id in seated]

    def epoch(self, node: NodeProcess) -> int:
        """The epoch a node is in, -1 when it does not say."""
        (shown,) = self.network.look([node])
        return -1 if shown is None else shown.epoch

    # --- parts ---

    def _calm(self) -> None:
        self.settle(self.nodes)
        time.sleep(CALM_S)

    def _is_out(self, node: NodeProcess) -> bool:
        (shown,) = self.network.look([node])
        return shown is not None and not shown.is_member

    def _due(self, node: NodeProcess) -> set[str]:
        gaps = [range(each.removed_epoch, each.returned_epoch) for each in self.removals if each.node == node.name]
        return {each.text for each in self.sent if not any(each.epoch in gap for gap in gaps)}

    def _update(self) -> schema.ChangeRequest:
        return schema.ChangeRequest(group=self.network.group_id, timeout_s=self._limit_s)

    def _speak(self, node: NodeProcess) -> Spoken:
        self._said += 1
        text = f"{self._said}: {self.chance.getrandbits(64):016x}"
        request = schema.GroupSendRequest(group=self.network.group_id, text=text)
        return text, self.network.send(node, op.GROUP_SEND, request)

    def _change(
        self,
        node: NodeProcess,
        operation: op.Operation[RequestT, schema.IntentResult],
        request: RequestT,
        kind: str,
        phase: str,
    ) -> int:
        """One change by one node, certified; the epoch in which it holds."""
        answer = gather([self.network.send(node, operation, request)], self.network.tick)[0]
        self._note_change(node, kind, phase, answer)
        assert isinstance(answer, schema.IntentResult)
        return -1 if answer.epoch is None else answer.epoch

    def _note_change(self, node: NodeProcess, kind: str, phase: str, answer: object, *, may_fail: bool = False) -> None:
        if isinstance(answer, schema.IntentResult):
            self.submitted.append(Submitted(node.name, kind, phase, answer.intent_id))
            if answer.state not in ("certified", "already"):
                raise ScriptError(f"{node.name}: {kind} is {answer.state}: {answer.text}")
        elif may_fail and isinstance(answer, ClientError):
            self.submitted.append(Submitted(node.name, kind, phase))
        else:
            self.network.processes.check()
            raise ScriptError(f"{node.name}: {kind}: {answer}")

    def _note_message(self, node: NodeProcess, phase: str, spoken: Spoken, *, may_fail: bool = False) -> None:
        text, call = spoken
        answer = gather([call], self.network.tick)[0]
        if isinstance(answer, schema.SendResult):
            self.sent.append(Sent(node.name, phase, text, answer.epoch))
        elif not (may_fail and isinstance(answer, ClientError)):
            self.network.processes.check()
            raise ScriptError(f"{node.name}: a message: {answer}")


class Reader:
    """Reads a node's messages until those that are due have come."""

    def __init__(self, network: Network, node: NodeProcess, due: set[str]) -> None:
        self._ask: Callable[[schema.GroupReadRequest], schema.MessagePage] = lambda request: network.ask(
            node, op.GROUP_READ, request
        )
        self._group_id = network.group_id
        self._due = due
        self._seq = 0

    def lacks(self) -> bool:
        """Whether something is still missing, after another look."""
        while self._due:
            page = self._ask(
                schema.GroupReadRequest(group=self._group_id, after_seq=self._seq, limit=schema.PAGE_SIZE_MAX)
            )
            self._due -= {message.text for message in page.messages}
            self._seq = page.last_seq
            if not page.has_more:
                break
        return bool(self._due)


def now_ms() -> int:
    """Unix milliseconds: the clock of the nodes' rows."""
    return time.time_ns() // 1_000_000
