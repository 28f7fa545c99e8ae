"""One honest member: drives the real instance machine, carries out its effects, crashes and comes back.

It is the simulated twin of the product's session task. A step's records and the bundles it relies on are one
transaction; only then do messages leave, one by one, and between any two of them the process may end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ordering import (
    INTENT_ORDINAL,
    PARKED_MESSAGES_PER_PEER_MAX,
    Abstained,
    Broadcast,
    BuildOwn,
    BundleId,
    Candidate,
    Certificate,
    Decided,
    Decision,
    Effect,
    Entrust,
    EvidenceFound,
    Fetch,
    Frozen,
    Guard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceState,
    Learned,
    MalformedError,
    Open,
    Persist,
    Received,
    Send,
    Status,
    Tick,
    Transition,
    create,
    decode_message,
    encode_message,
    is_instance_message,
    restore,
    step,
)
from tests.sim.bundles import Bundles, Bytes, Want
from tests.sim.disk import Disk
from tests.sim.plan import BUILD_S
from tests.sim.toy import GROUP_ID

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

Post = Callable[[int, object, float], None]
"""`post(target member, payload, extra seconds)`"""


def brazen(transition: Transition) -> Transition:
    """A liar does not abstain because it was shown what its other face said."""
    state = transition.state
    if not state.guard.abstain_below:
        return transition
    guard = replace(state.guard, abstain_below=0)
    effects = tuple(
        Persist(guard) if type(effect) is Persist and type(effect.record) is Guard else effect
        for effect in transition.effects
    )
    return Transition(replace(state, guard=guard), effects)


class Node:
    """A member's process. The faces of a two-faced liar are Nodes too, dishonest ones, each with a name."""

    def __init__(
        self, sim: Simulation, member: int, post: Post, *, honest: bool = True, face: str = "", rate: float = 1.0
    ) -> None:
        self.sim = sim
        self.member = member
        self.post = post
        self.honest = honest
        self.face = face
        self.rate = rate  # how fast its monotonic clock goes
        self.disk = Disk()
        self.alive = False
        self.slow_s = 0.0  # what it takes over each message
        self._hung_until_s = 0.0
        self.step_count = 0
        self._forget()

    def _forget(self) -> None:
        """All that a process has in memory."""
        self.epoch = 0
        self.instances: dict[int, InstanceState] = {}
        self._epochs: dict[bytes, int] = {}  # instance id -> epoch
        self._parked: dict[int, deque[InstanceMessage]] = {}
        self.bundles = Bundles(self)
        self._queue: deque[tuple[int, Input]] = deque()
        self._busy = False
        self._wakes: dict[int, float] = {}
        self._frozen = False

    # Process

    def start(self) -> None:
        """Boot: read the disk, open what is there."""
        self._forget()
        self.alive = True
        self.disk.boots += 1
        self._clock_offset_s = self.sim.world.random.uniform(0.0, 1000.0)
        self._booting = True
        for epoch in range(len(self.disk.applied) + 1):
            self._open(epoch)
        self._listening_since_s = self.clock_s
        self._booting = False
        self._drain()

    def crash(self, *, power: bool = False) -> None:
        """The process ends here; what was not committed is lost, and with the power what was not synced."""
        self.alive = False
        self._forget()
        if power:
            self.disk.lose(self.sim.world.random)

    def hang(self, seconds: float) -> None:
        """The process is stopped, and goes on after a while; what came meanwhile waits."""
        self._hung_until_s = self.sim.world.now_s + seconds

    def jump(self, seconds: float) -> None:
        """The machine was suspended: its clock is so far ahead of what the process thinks."""
        self._clock_offset_s += seconds
        if self.alive:
            for epoch in self.instances:
                self._push(epoch, Tick(self.clock_s))
            self._drain()

    def _hangs(self, action: Callable[..., None], *args: object) -> bool:
        """Whether the process is stopped; then this happens when it goes on."""
        if self.sim.world.now_s >= self._hung_until_s:
            return False
        self.sim.world.at(self._hung_until_s, action, *args)
        return True

    @property
    def clock_s(self) -> float:
        """Its own monotonic clock, which starts anywhere at each boot."""
        return self._clock_offset_s + self.rate * self.sim.world.now_s

    @property
    def state(self) -> InstanceState:
        """The instance of the epoch it stands in."""
        return self.instances[self.epoch]

    def _open(self, epoch: int) -> None:
        """Enter an epoch, or find oneself in it after a boot (R1)."""
        group, disk = self.sim.group, self.disk
        committee = group.committee(epoch)
        voter = committee.voter_of_leaf(self.member)
        key = group.leaf_keys[self.member] if voter is None else group.vote_keys[self.member]
        config = InstanceConfig(
            GROUP_ID,
            epoch,
            disk.applied[epoch - 1] if epoch else group.anchor.prev,
            committee,
            voter,
            self.member,
            group.keys.signer(key),
            group.keys.verify,
            group.verify_member,
            fingerprint=b"%d" % epoch,
            boot=disk.boots,
            timing=self.sim.timing,
            through_leader=self.member in self.sim.plan.through_leader,
        )
        records = disk.records(epoch)
        known = epoch in disk.instances or epoch in disk.decisions
        state = restore(config, disk.guard, records) if known else create(config, disk.guard)
        before = self.instances.get(epoch - 1)
        self.instances[epoch] = state
        self._epochs[config.instance] = epoch
        self.epoch = epoch
        heard: list[tuple[int, float]] = []
        if before is not None:
            seats = before.config.committee.seats
            for index, when_s in before.heard.items():
                now_voter = committee.voter_of_leaf(seats[index].leaf)
                if now_voter is not None:
                    heard.append((now_voter, when_s))
        self.sim.watch.opened(self, epoch, config)
        listening_since_s = None if self._booting else self._listening_since_s
        self._push(epoch, Open(self.clock_s, listening_since_s, tuple(heard)))
        for id in disk.bundles(epoch):
            self._learn(epoch, id)
        if epoch == len(disk.applied):
            self.sim.plan_commit(self, epoch)
            for source in sorted(self._parked):
                for message in self._parked.pop(source):
                    self.receive(source, message)

    # Inputs

    def deliver(self, source: int, payload: object) -> None:
        """A payload came over the link from this member."""
        if self.slow_s:
            self.sim.world.after(self.slow_s, self._take, source, payload)
        else:
            self._take(source, payload)

    def _take(self, source: int, payload: object) -> None:
        if not self.alive or self._hangs(self._take, source, payload):
            return
        if isinstance(payload, Want):
            self.bundles.serve(source, payload.id)
        elif isinstance(payload, Bytes):
            epoch = self.bundles.take(payload)
            if epoch is not None:
                self._learn(epoch, payload.id)
        else:
            if isinstance(payload, bytes):  # a run that goes through the codecs
                try:
                    decoded = decode_message(payload)
                except MalformedError:
                    return
                if not is_instance_message(decoded):
                    return
                payload = decoded
            self.receive(source, payload)  # type: ignore[arg-type]
        self._drain()

    def receive(self, source: int, message: InstanceMessage) -> None:
        """Hand a message to its instance, or keep it for one that is not open yet (R11)."""
        epoch = self._epochs.get(message.instance)
        if epoch is not None:
            self._push(epoch, Received(self.clock_s, str(source), message))
            return
        if isinstance(message, Status) and message.epoch <= self.epoch:
            self._compare(source, message.epoch)
            return
        parked = self._parked.setdefault(source, deque(maxlen=PARKED_MESSAGES_PER_PEER_MAX))
        if message not in parked:
            parked.append(message)

    def _compare(self, source: int, epoch: int) -> None:
        """A Status of an instance that is not ours, of an epoch that is: show what led us here. Somebody forked."""
        decision = self.disk.decisions.get(epoch - 1)
        if decision is not None:
            self.post(source, decision, 0.0)

    def author(self, epoch: int, candidate: Candidate) -> None:
        """Its own commit is ready."""
        if self.alive and self.epoch == epoch and not self._hangs(self.author, epoch, candidate):
            self.bundles.staged[candidate.id] = candidate
            self._learn(epoch, candidate.id)
            self._drain()

    def tick(self, boot: int, epoch: int) -> None:
        """A timer rings, perhaps of a process that is no more."""
        if not self.alive or boot != self.disk.boots or self._hangs(self.tick, boot, epoch):
            return
        wake_s = self._wakes.pop(epoch, None)
        due_s = self.instances[epoch].wake_at_s
        if wake_s is None or due_s is None:
            return
        if due_s > self.clock_s:  # it was put off meanwhile
            self._set_alarm(epoch)
            return
        self._push(epoch, Tick(self.clock_s))
        self._drain()

    def give(self, event: Input) -> None:
        """An input for the instance of the epoch it stands in."""
        self._push(self.epoch, event)
        self._drain()

    def _learn(self, epoch: int, id: BundleId) -> None:
        """Report what is known of a bundle whose bytes are here; the soft verdict may take a moment."""
        verdict = self.sim.group.verdicts[id]
        soft = verdict.soft(self.member)
        if self.sim.plan.judge_s:
            self.sim.world.after(self.sim.plan.judge_s, self._judged, self.disk.boots, epoch, id)
            self._report(epoch, id, None)
        else:
            self._report(epoch, id, soft)

    def _judged(self, boot: int, epoch: int, id: BundleId) -> None:
        if self.alive and boot == self.disk.boots and not self._hangs(self._judged, boot, epoch, id):
            self._report(epoch, id, self.sim.group.verdicts[id].soft(self.member))
            self._drain()

    def _report(self, epoch: int, id: BundleId, soft: bool | None) -> None:
        self._push(epoch, Learned(self.clock_s, self.bundles.facts(epoch, id, soft)))

    # The step

    def _push(self, epoch: int, event: Input) -> None:
        self._queue.append((epoch, event))

    def _drain(self) -> None:
        """Apply what waits, in order; effects of a step may add to it."""
        if self._busy:
            return
        self._busy = True
        while self._queue and self.alive:
            epoch, event = self._queue.popleft()
            self._step(epoch, event)
        self._busy = False

    def _step(self, epoch: int, event: Input) -> None:
        before = self.instances[epoch]
        transition = step(before, event)
        if not self.honest:
            transition = brazen(transition)
        effects = transition.effects
        self.step_count += 1
        self.sim.watch.stepped(self, epoch, before, event, transition)
        if self.sim.tape is not None:
            self.sim.tape.step(self, epoch, event, transition)
        rest = [effect for effect in effects if type(effect) is not Persist]
        crash_after = self.sim.crash_point(self, event, effects, len(rest)) if self.honest else None
        if crash_after == 0:
            self.sim.crash(self, f"before the transaction of {type(event).__name__}")
            return
        self.instances[epoch] = transition.state
        if effects or self.bundles.staged:
            self._commit(epoch, effects)
        for index, effect in enumerate(rest):
            if crash_after == index + 1:
                break
            self._perform(epoch, effect)
        if crash_after is not None:
            self.sim.crash(self, f"after {crash_after - 1} of {len(rest)} effects of {type(event).__name__}")
            return
        self._set_alarm(epoch)
        if self.sim.apply_before_certificate and epoch == self.epoch:
            self._apply_early(epoch)

    def _apply_early(self, epoch: int) -> None:
        """Take the first commit that opens for granted. Wrong, and here to show that the watch notices."""
        first = next((facts.id for facts in self.instances[epoch].candidates.values() if facts.soft), None)
        if first is not None:
            self.sim.watch.committing(self, epoch, (), first)
            self.disk.transaction(epoch, (), (), first)
            self._open(epoch + 1)

    def _commit(self, epoch: int, effects: tuple[Effect, ...]) -> None:
        """One transaction: every record of the step, the bytes that came, and the end of the epoch."""
        records = [effect.record for effect in effects if type(effect) is Persist]
        applied = next((effect.decision.id for effect in effects if type(effect) is Decided), None)
        self.sim.watch.committing(self, epoch, records, applied)
        own = any(candidate.author == self.member for candidate in self.bundles.staged.values())
        self.disk.transaction(epoch, records, self.bundles.staged.items(), applied, sync=own)
        self.bundles.staged.clear()
        if applied is not None:
            self.sim.group.applied(epoch, applied)
            self.sim.applied(self)

    def _perform(self, epoch: int, effect: Effect) -> None:
        match effect:
            case Broadcast(message):
                everyone = isinstance(message, Certificate | Decision)
                self._say(range(self.sim.group.members) if everyone else self.sim.group.seats(epoch), message)
            case Entrust(voter, message):
                self._say((self.sim.group.seats(epoch)[voter],), message)
            case Send(peer, message):
                self._say((int(peer),), message)
            case Fetch(id, holders, peers):
                if self.bundles.holds(id):
                    self._learn(epoch, id)
                else:
                    self.bundles.ask(epoch, id, holders, peers)
            case BuildOwn(ordinal):
                self.sim.world.after(BUILD_S, self._build, self.disk.boots, epoch, ordinal)
            case Decided():
                if epoch == self.epoch:
                    self._open(epoch + 1)
            case Frozen(freeze):
                self._frozen = True
                self.sim.watch.frozen(self, epoch, freeze)
            case EvidenceFound(evidence):
                self.sim.watch.evidence(self, epoch, evidence)
            case Abstained():
                self.sim.watch.abstained(self, epoch)
            case Persist():
                pass  # done, before all of these

    def _say(self, targets: Iterable[int], message: InstanceMessage) -> None:
        self.sim.watch.sent(self, message)
        payload = encode_message(message) if self.sim.plan.through_codecs else message
        for target in targets:
            if target != self.member:
                self.post(target, payload, 0.0)

    def _set_alarm(self, epoch: int) -> None:
        wake_s = self.instances[epoch].wake_at_s
        if wake_s is None:
            self._wakes.pop(epoch, None)
            return
        pending = self._wakes.get(epoch)
        if pending is None or wake_s < pending:
            self._wakes[epoch] = wake_s
            self.sim.world.at((wake_s - self._clock_offset_s) / self.rate + 1e-9, self.tick, self.disk.boots, epoch)

    def _build(self, boot: int, epoch: int, ordinal: int) -> None:
        """Its own plain commit, which opens for everyone (R3); the stored one, if there is one."""
        if not self.alive or boot != self.disk.boots or self.epoch != epoch:
            return
        candidate = self.disk.own(epoch, self.member, ordinal)
        if candidate is None:
            instance = self.instances[epoch].config.instance
            candidate = self.sim.group.make(instance, epoch, self.member, ordinal, nonce=self.face)
        self.author(epoch, candidate)

    @property
    def wants_to_commit(self) -> bool:
        """Whether its commit of this epoch is still to be made (a crash may have lost it)."""
        return self.disk.own(self.epoch, self.member, INTENT_ORDINAL) is None
