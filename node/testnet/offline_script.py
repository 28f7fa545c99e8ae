"""The script of the scenario `offline`: a group whose members hardly ever meet.

Three of four members vote, so any two of these three are a quorum: the least committee that goes on while pairs are
awake, whichever pair it is. The fourth has a vote in nothing; what it wants changed is made while it is awake with one
voter, and decided when that voter meets another, while it sleeps. What anybody misses waits at the mailboxes.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from random import Random
from typing import Final

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError
from node.client import ClientError
from node.testnet.calls import Call, gather
from node.testnet.moves import now_ms
from node.testnet.network import Network, ScriptError
from node.testnet.node_log import first_error
from node.testnet.processes import NodeProcess
from node.testnet.story import QUIET, RIVALS, SETUP, Actor, Awake, Outage, Sent, Story, Submitted, Told

GROUP_NAME: Final = "the hidden garden"
VOTERS: Final = 3
KILLED_SHARE: Final = 0.25  # of the nodes that go to sleep: by SIGKILL instead of in order
RIVAL_SHARE: Final = 0.3  # of the changes: made by both at once
LINGER_S: Final = 3.0  # in the last nights
LAST_NIGHTS: Final = 12  # pairs that are woken at the end, until nobody lacks anything


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens."""

    commits: int
    messages: int
    nights: int  # pairs that are awake, one after the other


FULL: Final = Size(commits=100, messages=1000, nights=24)
QUICK: Final = Size(commits=14, messages=60, nights=6)


class OfflineScript:
    """One play of it. `story()` is what has happened, also when it broke off."""

    def __init__(
        self, network: Network, members: Sequence[NodeProcess], replicas: Sequence[NodeProcess], size: Size, seed: int
    ) -> None:
        self.network = network
        self.members = tuple(members)
        self.voters = self.members[:VOTERS]
        self.replicas = tuple(replicas)
        self.size = size
        self.seed = seed
        self.failure = ""
        self.chance = Random(seed)  # noqa: S311 - a script, not a secret
        self.submitted: list[Submitted] = []
        self.sent: list[Sent] = []
        self.awake: list[Awake] = []
        self.read: dict[str, str] = {}
        self.told: dict[str, Told] = {}
        self.epoch = 0  # the highest that anybody has been seen in
        self._woke_ms: dict[str, int] = {}
        self._seq = {node.name: 0 for node in self.members}  # up to where a member's feed was read
        self._unread: dict[str, set[str]] = {node.name: set() for node in self.members}
        self._limit_s = network.settings.limits.step_s

    def play(self) -> None:
        """Everything, in order. Raises `NodeError` where it cannot go on."""
        self.network.processes.start(self.replicas, self.network.settings.limits.start_s)
        self.network.say(f"{len(self.replicas)} mailboxes are running; they are in no group")
        self.found()
        nights = self.pairs()
        for number, pair in enumerate(nights):
            self.night(number, pair, nights[number + 1 :])
        self.finish()

    def pairs(self) -> list[tuple[NodeProcess, NodeProcess]]:
        """Who is awake with whom, night after night: every pair as often as every other, in any order."""
        pairs: list[tuple[NodeProcess, NodeProcess]] = []
        while len(pairs) < self.size.nights:
            some = list(combinations(self.members, 2))
            self.chance.shuffle(some)
            pairs += some
        return pairs[: self.size.nights]

    def story(self) -> Story:
        """What has happened."""

        def actor(node: NodeProcess) -> Actor:
            return Actor(node.name, node.peer_id, node.config.data_dir.name)

        everybody = (*self.members, *self.replicas)
        return Story(
            seed=self.seed,
            rounds=self.size.nights,
            group_id=self.network.group_id,
            actors=tuple(map(actor, self.members)),
            replicas=tuple(map(actor, self.replicas)),
            committee_sizes=(1, VOTERS),
            submitted=tuple(self.submitted),
            sent=tuple(self.sent),
            outages=tuple(self._asleep()),
            awake=tuple(self.awake),
            commits_due=self.size.commits,
            messages_due=self.size.messages,
            secrets=(GROUP_NAME, *(node.config.node.name for node in self.members)),
            read=self.read,
            told=self.told,
            exit_codes={node.name: node.exit_code for node in everybody},
            errors={node.name: error for node in everybody if (error := first_error(node.log_path))},
            failure=self.failure,
        )

    # --- acts ---

    def found(self) -> None:
        """One founds the group and adds the others, one at a time; two of them offer themselves as voters.

        Who was added by one member waits for the word of another before it does: that takes a night of its own.
        """
        network = self.network
        founder, second, third, other = self.members
        network.doing = "the group forms"
        self.wake(founder)
        request = schema.GroupCreateRequest(name=GROUP_NAME, suite=network.settings.nodes.suite, committee_max=VOTERS)
        network.group_id = network.ask(founder, op.GROUP_CREATE, request).group_id
        self._add(founder, second)
        self._opt_in(founder, second)
        self._bring((founder, second))
        self.sleep(second)
        self._add(founder, other)
        self._bring((founder, other))
        self.sleep(other)
        self._add(founder, third)
        self._bring((founder, third))
        self.sleep(founder)
        self.wake(second)
        self._until("confirm each other", (second, third), lambda: self._is_confirmed(third))
        self.sleep(second)
        self.wake(founder)
        self._opt_in(founder, third)
        self._bring((founder, third))
        self.sleep(founder, third)
        names = ", ".join(node.name for node in self.voters)
        network.say(f"4 members, epoch {self.epoch}; {names} vote, and any two of them decide")

    def night(
        self, number: int, pair: tuple[NodeProcess, NodeProcess], to_come: Sequence[tuple[NodeProcess, ...]]
    ) -> None:
        """Two wake, catch up, change the group if they can, talk, and go to sleep when the mailboxes have it all."""
        network = self.network
        names = " and ".join(node.name for node in pair)
        network.doing = f"night {number + 1} of {self.size.nights}: {names}"
        began_s, before = time.monotonic(), self.epoch
        self.wake(*pair)
        self._meet(pair)
        nights = [pair, *to_come]
        able = sum(all(node in self.voters for node in each) for each in nights)
        changes = 0
        if all(node in self.voters for node in pair):
            changes = -(-max(0, self.size.commits - self.epoch) // max(1, able))
        messages = (self.size.messages - len(self.sent)) // len(nights)
        self._work(pair, changes, messages)
        self._bring(pair)
        self.sleep(*pair)
        took_s = time.monotonic() - began_s
        decided = f"epoch {before} to {self.epoch}" if self.epoch > before else f"epoch {self.epoch}"
        network.say(f"night {number + 1}: {names}: {decided}, {messages} messages, {took_s:.1f} s")

    def finish(self) -> None:
        """Pairs wake until nobody wants or lacks anything, and everybody knows that all have its messages.

        Each is asked what it has read and what became of what it said.
        """
        network = self.network
        network.doing = "the last nights"
        voters = self.voters
        rest = [node for node in self.members if node not in voters]
        nights = [(voters[0], voters[1]), *((each, voters[0]) for each in rest), (voters[2], voters[1])]
        done: dict[str, int] = {}  # by name: the epoch in which it lacked nothing
        for turn in range(LAST_NIGHTS):
            pair = nights[turn % len(nights)]
            self.wake(*pair)
            self._meet(pair)
            if all(node in voters for node in pair):
                self._settle(pair)
            self._linger()
            self._bring(pair)
            for node in pair:
                if self._lacks_nothing(node):
                    done[node.name], self.read[node.name] = self.epoch, self._digest(node)
                    self.told[node.name] = self._told(node)
            self.sleep(*pair)
            if all(done.get(node.name) == self.epoch and self.told[node.name].is_all for node in self.members):
                network.say(f"everybody has everything, after {turn + 1} last nights; epoch {self.epoch}")
                return
        lacking = ", ".join(node.name for node in self.members if done.get(node.name) != self.epoch)
        if lacking:
            raise ScriptError(f"after {LAST_NIGHTS} last nights somebody still lacks something: {lacking}")
        network.say(f"after {LAST_NIGHTS} last nights somebody does not know yet who has its messages")

    # --- waking and sleeping ---

    def wake(self, *nodes: NodeProcess) -> None:
        """From now on these run."""
        for node in nodes:
            self._woke_ms[node.name] = now_ms()
        self.network.processes.start(nodes, self.network.settings.limits.start_s)

    def sleep(self, *nodes: NodeProcess) -> None:
        """End these, some of them as a power cut would."""
        for node in nodes:
            is_killed = self.chance.random() < KILLED_SHARE and self.network.doing.startswith("night")
            if is_killed:
                self.network.processes.kill(node)
            else:
                self.network.processes.stop([node], self.network.settings.limits.stop_s)
            how = "killed" if is_killed else "stopped"
            self.awake.append(Awake(node.name, self._woke_ms.pop(node.name), now_ms(), how))

    def _linger(self) -> None:
        """Time for one look at the mailboxes, and to say there what one has read; and for a wish to reach a voter."""
        until_s = time.monotonic() + LINGER_S
        while time.monotonic() < until_s:
            self.network.pause(LINGER_S / 10)

    def _asleep(self) -> list[Outage]:
        """The times between."""
        gaps = []
        for node in self.members:
            mine = [each for each in self.awake if each.node == node.name]
            gaps += [Outage(node.name, "asleep", one.until_ms, next.from_ms) for one, next in pairwise(mine)]
        return gaps

    # --- waiting ---

    def _until(self, what: str, pair: Sequence[NodeProcess], holds: Callable[[], bool]) -> None:
        names = " and ".join(node.name for node in pair)
        self.network.until(f"{names}: {what}", holds, self._limit_s)

    def _meet(self, pair: Sequence[NodeProcess], *, connected: bool = False) -> None:
        """Wait until these stand where the group stands, and see each other."""

        def holds() -> bool:
            if connected:
                found = gather([self.network.send(node, op.PEERS, schema.Nothing()) for node in pair])
                return all(isinstance(each, schema.PeerList) and each.peers for each in found)
            shown = self.network.look(pair)
            if any(each is None or not each.is_member for each in shown):
                return False
            places = {(each.epoch, each.epoch_fingerprint) for each in shown if each is not None}
            ((epoch, _), *others) = places
            if others or epoch < self.epoch:
                return False
            self.epoch = epoch
            return True

        self._until("meet" if connected else f"stand in one epoch, {self.epoch} or later", pair, holds)

    def _settle(self, pair: Sequence[NodeProcess]) -> None:
        """Wait until voters that are awake have decided whatever waits for them."""
        self._until("have nothing left to decide", pair, lambda: self.network.settled(pair))
        self._meet(pair)

    def _bring(self, pair: Sequence[NodeProcess]) -> None:
        """Wait until what these said and decided is at the mailboxes."""

        def holds() -> bool:
            self._meet(pair)
            shown = self.network.look(pair)
            if any(each is None or each.mailbox_backlog for each in shown):
                return False
            return not any(self._unsealed(node) for node in pair)

        self._until("have brought everything to the mailboxes", pair, holds)

    def _unsealed(self, node: NodeProcess) -> bool:
        """Whether something this one said is in no feed yet: it waits for the node to know where it stands."""
        own = self._unread[node.name]
        while own:
            request = schema.GroupReadRequest(
                group=self.network.group_id, after_seq=self._seq[node.name], limit=schema.PAGE_SIZE_MAX
            )
            page = self.network.ask(node, op.GROUP_READ, request)
            own -= {message.text for message in page.messages}
            self._seq[node.name] = page.last_seq
            if not page.has_more:
                break
        return bool(own)

    def _lacks_nothing(self, node: NodeProcess) -> bool:
        (shown,) = self.network.look([node])
        if shown is None or shown.pending or shown.epoch < self.epoch:
            return False
        return len(self._shared(node)) == len(self.sent)

    def _shared(self, node: NodeProcess) -> list[schema.MessageItem]:
        """What `group read --shared` shows."""
        messages: list[schema.MessageItem] = []
        place = ""
        while True:
            request = schema.GroupReadRequest(
                group=self.network.group_id, limit=schema.PAGE_SIZE_MAX, order="shared", after_place=place
            )
            page = self.network.ask(node, op.GROUP_READ, request)
            messages += page.messages
            place = page.last_place
            if not page.has_more:
                return messages

    def _digest(self, node: NodeProcess) -> str:
        lines = [f"{message.message_id} {message.text}" for message in self._shared(node)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _told(self, node: NodeProcess) -> Told:
        own = [message for message in self._shared(node) if message.is_own]
        return Told(
            messages=len(own),
            stored_at=min((message.stored_at for message in own), default=0),
            delivered=sum(message.delivered_to == message.recipients for message in own),
        )

    # --- working ---

    def _work(self, pair: tuple[NodeProcess, NodeProcess], changes: int, messages: int) -> None:
        """Changes one after another or both at once, and messages all the while."""
        batches = max(1, changes)
        target = self.epoch + changes
        said = 0
        if not changes:
            for node in pair:
                if node not in self.voters and self._wishes_nothing(node):
                    self._changed(node, "update", self.network.send(node, op.GROUP_UPDATE, self._change(wait=False)))
        for batch in range(batches):
            for index in range(said, messages * (batch + 1) // batches):
                self._say(pair[index % 2])
            said = messages * (batch + 1) // batches
            if self.epoch < target:
                self._change_something(pair, batch)
        self._meet(pair)

    def _change_something(self, pair: tuple[NodeProcess, NodeProcess], batch: int) -> None:
        is_rival = self.chance.random() < RIVAL_SHARE
        nodes = pair if is_rival else (pair[batch % 2],)
        calls = [self.network.send(node, op.GROUP_UPDATE, self._change()) for node in nodes]
        answers = gather(calls, self.network.tick)
        for node, answer in zip(nodes, answers, strict=True):
            self._note(node, "update", RIVALS if is_rival else QUIET, answer)
        self._meet(pair)

    def _wishes_nothing(self, node: NodeProcess) -> bool:
        (shown,) = self.network.look([node])
        return shown is not None and not shown.pending

    def _say(self, node: NodeProcess) -> None:
        text = f"{len(self.sent) + 1}: {self.chance.getrandbits(64):016x}"
        request = schema.GroupSendRequest(group=self.network.group_id, text=text)
        answer = self.network.ask(node, op.GROUP_SEND, request)
        self.sent.append(Sent(node.name, QUIET, text, answer.epoch))
        self._unread[node.name].add(text)

    def _change(self, *, wait: bool = True) -> schema.ChangeRequest:
        return schema.ChangeRequest(group=self.network.group_id, wait=wait, timeout_s=self._limit_s)

    def _add(self, adder: NodeProcess, added: NodeProcess) -> None:
        self.wake(added)
        self._meet((adder, added), connected=True)
        request = schema.GroupAddRequest(group=self.network.group_id, timeout_s=self._limit_s, peer=added.peer_id)
        self._changed(adder, "add", self.network.send(adder, op.GROUP_ADD, request))
        self._meet((adder, added))

    def _opt_in(self, voter: NodeProcess, willing: NodeProcess) -> None:
        """Somebody offers itself; who votes already decides."""
        self._meet((voter, willing))
        self._changed(willing, "opt_in", self.network.send(willing, op.GROUP_OPT_IN, self._change()))
        self._meet((voter, willing))

    def _is_confirmed(self, node: NodeProcess) -> bool:
        (shown,) = self.network.look([node])
        return shown is not None and shown.is_confirmed

    def _changed(self, node: NodeProcess, kind: str, call: Call[schema.IntentResult]) -> None:
        self._note(node, kind, SETUP, gather([call], self.network.tick)[0])

    def _note(self, node: NodeProcess, kind: str, phase: str, answer: object) -> None:
        if isinstance(answer, ApiError | ClientError):
            self.network.processes.check()
            raise ScriptError(f"{node.name}: {kind}: {answer}")
        assert isinstance(answer, schema.IntentResult)
        self.submitted.append(Submitted(node.name, kind, phase, answer.intent_id))
        if answer.state == "refused" or (phase == SETUP and answer.state == "pending" and kind != "update"):
            raise ScriptError(f"{node.name}: {kind} is {answer.state}: {answer.text}")
