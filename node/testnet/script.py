"""The script of the demo: what happens, in which order. The seed decides who, when and which words.

A group of one grows until everybody is a member and votes. Changes are made one at a time; then, round after round, by
everybody at once, while messages flow. In between one member is removed and comes back, one voter is killed in the
middle of a round, and one is stopped for a while. At the end all must have agreed; that is for the verdict to say.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError
from node.client import ClientError
from node.testnet.calls import Call, gather
from node.testnet.evidence import look_at_removed
from node.testnet.network import Network, ScriptError
from node.testnet.processes import NodeProcess
from node.testnet.story import QUIET, RIVALS, SETUP, Actor, Outage, Removal, Sent, Story, Submitted

RequestT = TypeVar("RequestT", bound=schema.Request)

GROUP_NAME: Final = "demo"
BREATH_S: Final = (0.005, 0.06)  # between two messages of a node in a round; a victim is killed in the first pause
CALM_S: Final = 0.03  # after a quiet change, so that the next one meets nobody


class Script:
    """One play of it. `story()` is what has happened, also when it broke off."""

    def __init__(self, network: Network, *, rounds: int, seed: int) -> None:
        self.network = network
        self.nodes = network.nodes
        self.rounds = rounds
        self.seed = seed
        self.chance = Random(seed)  # noqa: S311 - a script, not a secret
        self.submitted: list[Submitted] = []
        self.sent: list[Sent] = []
        self.outages: list[Outage] = []
        self.removals: list[Removal] = []
        self.failure = ""
        self._limit_s = network.settings.limits.step_s
        self._said = 0  # messages so far, which makes every text another one

    def play(self) -> None:
        """Everything, in order. Raises `NodeError` where it cannot go on."""
        rounds = range(1, self.rounds + 1)
        acts: dict[int, list[Callable[[], None]]] = {}
        for act in (self.remove_and_readd, self.stop_one):  # after a round each
            acts.setdefault(self.chance.choice(rounds), []).append(act)
        killed_in = self.chance.choice(rounds)
        self.found()
        self.quiet()
        for number in rounds:
            self.round(number, kill=number == killed_in)
            for act in acts.get(number, ()):
                act()
        self.drain()

    def story(self) -> Story:
        """What has happened."""
        return Story(
            seed=self.seed,
            rounds=self.rounds,
            group_id=self.network.group_id,
            actors=tuple(Actor(node.name, node.peer_id) for node in self.nodes),
            committee_sizes=committee_sizes(len(self.nodes), self.network.settings.nodes.committee_max),
            submitted=tuple(self.submitted),
            sent=tuple(self.sent),
            outages=tuple(self.outages),
            removals=tuple(self.removals),
            exit_codes={node.name: node.exit_code for node in self.nodes},
            failure=self.failure,
        )

    # --- the acts ---

    def found(self) -> None:
        """One node makes the group, adds the others, and they opt in by themselves."""
        network, founder = self.network, self.nodes[0]
        network.doing = "connecting"
        others = len(self.nodes) - 1
        network.until("every node is connected to every other", lambda: self._connected() >= others)
        network.doing = "the group forms"
        settings = network.settings.nodes
        request = schema.GroupCreateRequest(name=GROUP_NAME, suite=settings.suite, committee_max=settings.committee_max)
        network.group_id = network.ask(founder, op.GROUP_CREATE, request).group_id
        network.say(f"{founder.name} founds the group, alone: a committee of 1")
        for node in self.nodes[1:]:
            added = self._add(founder, node)
            network.say(f"{founder.name} adds {node.name}: epoch {added.epoch}")
        self._all_voting()

    def quiet(self) -> None:
        """Changes and messages one at a time, by one node after another: what the network does when it is at rest."""
        count = self.network.settings.script.quiet_changes
        self.network.doing = f"{count} changes, one at a time"
        for index in range(count):
            node = self.nodes[index % len(self.nodes)]
            self._calm()
            self._change(node, op.GROUP_UPDATE, self._update(), "update", QUIET)
            self._calm()
            self._sent(node, QUIET, self._speak(node))
        self.network.say(f"{count} changes and {count} messages, one at a time")

    def round(self, number: int, *, kill: bool) -> None:
        """Everybody changes the group at once and talks meanwhile; perhaps one does not live to see the outcome."""
        self.network.doing = f"round {number} of {self.rounds}"
        self._settle(self.nodes)
        victim = self.chance.choice(self.nodes) if kill else None
        killed_ms = self._rivals(self.nodes, victim)
        said = f"round {number}: {len(self.nodes)} rival changes"
        if victim is None:
            self.network.say(said)
            return
        self.network.say(f"{said}; {victim.name} is killed in the middle of it, the others finish")
        self.network.processes.start([victim], self.network.settings.limits.start_s)
        self.outages.append(Outage(victim.name, "killed", killed_ms, _now_ms()))
        self._settle(self.nodes)
        self.network.say(f"{victim.name} is back from its store, in epoch {self._epoch(victim)}")

    def remove_and_readd(self) -> None:
        """A member is removed, the others go on without it, and it comes back."""
        network = self.network
        victim, remover, adder = self._cast(3)
        others = [node for node in self.nodes if node is not victim]
        network.doing = f"{victim.name} is removed"
        self._settle(self.nodes)
        self._delivered()
        removed = self._remove(remover, victim)
        assert removed.epoch is not None
        network.until(f"{victim.name} knows that it was removed", lambda: self._is_out(victim))
        network.removed.add(victim.name)
        network.say(f"{remover.name} removes {victim.name}: epoch {removed.epoch}")
        for _ in range(network.settings.script.changes_while_away):
            self._rivals(others)
        self._settle(others)
        refusal = self._refused(victim)
        held = look_at_removed(victim.config, bytes.fromhex(network.group_id))
        network.say(f"{victim.name} hears nothing of it: {refusal}")
        added = self._add(adder, victim)
        assert added.epoch is not None
        network.removed.discard(victim.name)
        self.removals.append(Removal(victim.name, removed.epoch, added.epoch, held, refusal))
        network.say(f"{adder.name} adds {victim.name} again: epoch {added.epoch}")
        self._all_voting()

    def stop_one(self) -> None:
        """A node stops answering while its connections stay open; the others notice and go on."""
        network = self.network
        (victim,) = self._cast(1)
        others = [node for node in self.nodes if node is not victim]
        network.doing = f"{victim.name} is stopped"
        self._settle(self.nodes)
        before, began_ms = self._epoch(others[0]), _now_ms()
        network.processes.pause(victim)
        for _ in range(network.settings.script.changes_while_away):
            self._rivals(others)
        self._settle(others)
        after = self._epoch(others[0])
        self.outages.append(Outage(victim.name, "stopped", began_ms, _now_ms()))
        network.processes.resume(victim)
        network.say(f"{victim.name} is stopped; the others go on from epoch {before} to {after}")
        self._settle(self.nodes)
        network.say(f"{victim.name} goes on, and has caught up")

    def drain(self) -> None:
        """Wait until everybody holds the same, and everything."""
        self.network.doing = "coming to rest"
        limit_s = self.network.settings.limits.drain_s
        self._settle(self.nodes, limit_s)
        self._delivered(limit_s)
        self.network.refresh()
        self.network.say(f"all at rest in epoch {self._epoch(self.nodes[0])}")

    # --- what acts are made of ---

    def _rivals(self, nodes: Sequence[NodeProcess], victim: NodeProcess | None = None) -> int:
        """Every node submits a change and sends messages, all requests before any reply; one may be killed meanwhile.

        Returns when it was killed. It has answered or has not: what it accepted must still come true, and its store
        shows what that is.
        """
        changes = [(node, self.network.send(node, op.GROUP_UPDATE, self._update())) for node in nodes]
        words: list[tuple[NodeProcess, Call[schema.SendResult]]] = []
        killed_ms = 0
        for batch in range(self.network.settings.script.messages_per_round):
            words += [(node, self._speak(node)) for node in nodes if node.is_running]
            time.sleep(self.chance.uniform(*BREATH_S))
            if victim is not None and batch == 0:
                killed_ms = _now_ms()
                self.network.processes.kill(victim)
        answers = gather([call for _, call in changes], self.network.tick)
        for (node, _), answer in zip(changes, answers, strict=True):
            self._note_change(node, "update", RIVALS, answer, may_fail=node is victim)
        for node, call in words:
            self._sent(node, RIVALS, call, may_fail=node is victim)
        return killed_ms

    def _update(self) -> schema.ChangeRequest:
        return schema.ChangeRequest(group=self.network.group_id, timeout_s=self._limit_s)

    def _add(self, adder: NodeProcess, added: NodeProcess) -> schema.IntentResult:
        request = schema.GroupAddRequest(group=self.network.group_id, timeout_s=self._limit_s, peer=added.peer_id)
        return self._change(adder, op.GROUP_ADD, request, "add", SETUP)

    def _remove(self, remover: NodeProcess, removed: NodeProcess) -> schema.IntentResult:
        request = schema.GroupRemoveRequest(
            group=self.network.group_id, timeout_s=self._limit_s, member=removed.peer_id
        )
        return self._change(remover, op.GROUP_REMOVE, request, "remove", SETUP)

    def _change(
        self,
        node: NodeProcess,
        operation: op.Operation[RequestT, schema.IntentResult],
        request: RequestT,
        kind: str,
        phase: str,
    ) -> schema.IntentResult:
        """One change by one node, certified."""
        answer = gather([self.network.send(node, operation, request)], self.network.tick)[0]
        self._note_change(node, kind, phase, answer)
        assert isinstance(answer, schema.IntentResult)
        return answer

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

    def _speak(self, node: NodeProcess) -> Call[schema.SendResult]:
        self._said += 1
        text = f"{self._said}: {self.chance.getrandbits(64):016x}"
        return self.network.send(node, op.GROUP_SEND, schema.GroupSendRequest(group=self.network.group_id, text=text))

    def _sent(self, node: NodeProcess, phase: str, call: Call[schema.SendResult], *, may_fail: bool = False) -> None:
        answer = gather([call], self.network.tick)[0]
        if isinstance(answer, schema.SendResult):
            self.sent.append(Sent(node.name, phase, answer.message_id, answer.epoch))
        elif not (may_fail and isinstance(answer, ClientError)):
            raise ScriptError(f"{node.name}: a message: {answer}")

    def _refused(self, node: NodeProcess) -> str:
        """What a removed member is told when it wants to send."""
        answer = gather([self._speak(node)])[0]
        return f"{answer.code}: {answer}" if isinstance(answer, ApiError) else ""

    def _cast(self, count: int) -> list[NodeProcess]:
        return self.chance.sample(self.nodes, count)

    def _settle(self, nodes: Sequence[NodeProcess], limit_s: float | None = None) -> None:
        names = ", ".join(node.name for node in nodes)
        self.network.until(f"{names} agree and have nothing left to do", lambda: self.network.settled(nodes), limit_s)

    def _calm(self) -> None:
        self._settle(self.nodes)
        time.sleep(CALM_S)

    def _all_voting(self) -> None:
        """Wait until everybody is a member, confirmed and willing, and the committee is as large as it gets."""
        seats = committee_sizes(len(self.nodes), self.network.settings.nodes.committee_max)[-1]

        def holds() -> bool:
            return all(
                shown is not None
                and shown.is_member
                and shown.committee_size == seats
                and sum(member.is_willing for member in shown.members) == len(self.nodes)
                for shown in self.network.look(self.nodes)
            )

        self.network.until(f"all have opted in, {seats} vote", holds)
        self._settle(self.nodes)
        self.network.say(f"all have opted in: a committee of {seats}, epoch {self._epoch(self.nodes[0])}")

    def _delivered(self, limit_s: float | None = None) -> None:
        """Wait until every node has every acknowledged message of the epochs it was a member of."""
        have: dict[str, tuple[int, set[str]]] = {node.name: (0, set()) for node in self.nodes}

        def missing(node: NodeProcess) -> set[str]:
            gaps = [range(each.removed_epoch, each.returned_epoch) for each in self.removals if each.node == node.name]
            wanted = {each.message_id for each in self.sent if not any(each.epoch in gap for gap in gaps)}
            seq, ids = have[node.name]
            while wanted - ids:
                request = schema.GroupReadRequest(
                    group=self.network.group_id, after_seq=seq, limit=schema.PAGE_SIZE_MAX
                )
                page = self.network.ask(node, op.GROUP_READ, request)
                ids |= {message.message_id for message in page.messages}
                seq = page.last_seq
                have[node.name] = (seq, ids)
                if not page.has_more:
                    break
            return wanted - ids

        self.network.until("every message is everywhere", lambda: not any(map(missing, self.nodes)), limit_s)

    def _connected(self) -> int:
        """How many peers the node with the fewest has."""
        statuses = self.network.replies(
            [(node, self.network.send(node, op.PEERS, schema.Nothing())) for node in self.nodes]
        )
        return min(len(status.peers) for status in statuses)

    def _is_out(self, node: NodeProcess) -> bool:
        (shown,) = self.network.look([node])
        return shown is not None and not shown.is_member

    def _epoch(self, node: NodeProcess) -> int:
        (shown,) = self.network.look([node])
        return -1 if shown is None else shown.epoch


def committee_sizes(members: int, size_max: int) -> tuple[int, ...]:
    """How a committee grows while so many members opt in one after another: 1, 3, then 3f + 1 (`ordering.elect`)."""
    return tuple(size for size in (1, 3, *range(4, 32, 3)) if size <= min(members, size_max))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
