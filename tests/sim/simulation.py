"""A plan, played: members on a network in a world, with faults until healing and a bound on what comes after."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ordering import (
    INTENT_ORDINAL,
    BundleId,
    Candidate,
    Effect,
    InvalidError,
    LogEntry,
    Persist,
    ProposalClass,
    verify_chain,
)
from tests.sim.adversary import Adversary
from tests.sim.liars import Liar, liar
from tests.sim.network import FAIR, Network
from tests.sim.node import Node, Post
from tests.sim.plan import Moment, Plan
from tests.sim.recovery import Recovery, last_view
from tests.sim.toy import Group, Keys, TrueKeys
from tests.sim.watch import Violation, Watch
from tests.sim.world import World

if TYPE_CHECKING:
    from ordering import Input
    from tests.sim.show import Tape

CrashRule = Callable[[Node, "Input", tuple[Effect, ...], int], int | None]
"""`rule(node, input, effects, count of those to perform)`: 0 to crash before the transaction, 1 + k to crash after it
and k effects, None to go on."""

QUIET_S: Final = 60.0  # allowed after healing on top of what the views take


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    plan: Plan
    reason: str | None  # why it failed, in one line; None: passed
    views_after_healing: int  # the most that any epoch took
    views_spare: int | None  # how many more any might have taken, at least; None where all was decided before
    decided_at_s: float
    steps: int

    @property
    def passed(self) -> bool:
        """No promise was broken and everyone finished."""
        return self.reason is None


class Simulation:
    """One run. Tests may reach for `nodes`, `network` and `world` and direct it themselves."""

    def __init__(
        self,
        plan: Plan,
        tape: Tape | None = None,
        *,
        crash_rule: CrashRule | None = None,
        group: Group | None = None,
    ) -> None:
        self.plan = plan
        self.tape = tape
        self.timing = plan.timing
        self.world = World(plan.seed)
        self.network = Network(self.world, plan.weather)
        keys = TrueKeys() if plan.true_signatures else Keys()
        self.group = group or Group(plan.members, plan.seated, plan.model, rotate=plan.rotate, keys=keys)
        self.watch = Watch(self)
        self.recovery = Recovery(self)
        self.stop_on_violation = True
        self.healed = False
        self.crash_rule = crash_rule
        self.apply_before_certificate = False  # what systems do that take a tie-break for agreement
        self._gone: dict[int, bool] = dict.fromkeys((member for member, _ in plan.dead), False)  # whether already
        self._crashes: dict[int, int] = {}
        self.nodes: dict[int, Node] = {}
        self.liars: dict[int, Liar] = {}
        kinds = dict(plan.liars)
        for member in range(plan.members):
            if member in kinds:
                self.liars[member] = liar(self, member, kinds[member])
            else:
                rate = 1.0 + self.world.random.uniform(-plan.clock_drift, plan.clock_drift)
                self.nodes[member] = Node(self, member, self.post_of(member), rate=rate)
        self._unfinished = dict.fromkeys(node.member for node in self.awake())
        for cut in plan.cuts:
            self.world.at(cut.at_s, self._cut, cut.pairs)
        for member, at_s in plan.dead:
            self.world.at(at_s, self.kill, member)
        for member, seconds in plan.slow:
            if member in self.nodes:
                self.nodes[member].slow_s = seconds
        for moment in plan.hangs:
            self.world.at(moment.at_s, self._hang, moment)
        for moment in plan.jumps:
            self.world.at(moment.at_s, self._jump, moment)
        self.adversary = Adversary(self)
        if plan.replay_chance or plan.flood_chance or plan.mutation_chance:
            self.network.see = self.adversary.see

    def post_of(self, member: int) -> Post:
        """How a member sends."""
        return lambda target, payload, extra_s: self.network.send(member, target, payload, extra_s)

    # Directing

    def start(self) -> None:
        """Boot everyone."""
        for actor in self.liars.values():
            actor.start()
        for node in self.nodes.values():
            self.boot(node)

    def boot(self, node: Node) -> None:
        """Start one member's process."""
        if self._gone.get(node.member):
            return
        self.note(f"member {node.member} boots")
        self.network.attach(node.member, node.deliver)
        node.start()

    def crash(self, node: Node, where: str, down_s: float | None = None) -> None:
        """End a member's process; it boots again after a while, at healing at the latest."""
        self.note(f"member {node.member} crashes {where}")
        self.network.detach(node.member)
        node.crash(power=self.plan.lost_writes)
        if down_s is None:
            left_s = max(0.0, self.plan.heal_at_s - self.world.now_s)
            down_s = min(left_s, self.world.random.uniform(0.05, self.plan.down_s))
        self.world.after(down_s, self._reboot, node)

    def _reboot(self, node: Node) -> None:
        if not node.alive:
            self.boot(node)

    def kill(self, member: int) -> None:
        """End a member's process for ever."""
        node = self.nodes[member]
        self.note(f"member {member} is gone for ever")
        self.network.detach(member)
        node.crash()
        self._gone[member] = True
        self._unfinished.pop(member, None)

    def _cut(self, pairs: tuple[tuple[int, int], ...]) -> None:
        if not self.healed:
            self.note(f"links cut: {' '.join(f'{a}>{b}' for a, b in pairs)}")
            self.network.cut(pairs)

    def _hang(self, moment: Moment) -> None:
        if moment.member in self.nodes and not self.healed:
            self.note(f"member {moment.member} is stopped for {moment.seconds:.1f} s")
            self.nodes[moment.member].hang(min(moment.seconds, self.plan.heal_at_s - self.world.now_s))

    def _jump(self, moment: Moment) -> None:
        if moment.member in self.nodes:
            self.note(f"the clock of member {moment.member} jumps {moment.seconds:.1f} s ahead")
            self.nodes[moment.member].jump(moment.seconds)

    def heal(self) -> None:
        """Everything works from now on; members that are to come back are back."""
        self.note("healed")
        self.healed = True
        self.network.heal(FAIR)
        for node in self.nodes.values():
            node.slow_s = 0.0
            if not node.alive:
                self.boot(node)
        if not self.plan.liars_stay:
            self.network.see = None
        self.recovery.heal()
        if not self.plan.liars_stay:
            for actor in self.liars.values():
                actor.stop()

    def commit(
        self, member: int, *, opens_for: tuple[int, ...] | None = None, nonce: str = "", **facts: object
    ) -> BundleId:
        """Have a member make a commit for the epoch it stands in, now."""
        node = self.nodes[member]
        instance = node.state.config.instance
        candidate = self.group.make(
            instance,
            node.epoch,
            member,
            INTENT_ORDINAL,
            opens_for=opens_for,
            nonce=nonce,
            **facts,  # type: ignore[arg-type]
        )
        node.author(node.epoch, candidate)
        return candidate.id

    # Running

    def run(self) -> Outcome:
        """Play the plan to its end."""
        reason: str | None = None
        try:
            self.start()
            done = self.world.run(self.plan.heal_at_s, self._finished)
            if not done:
                self.heal()
                done = self.world.run(self.deadline_s(), self._finished)
            reason = None if done else self._stall()
            reason = reason or self._late() or self.chains()
        except Violation as violation:
            reason = str(violation)
        except Exception as error:  # noqa: BLE001 - a core that raises has failed the seed, and the run says which
            reason = f"{type(error).__name__}: {error} (at {self.world.now_s:.3f} s)"
            self.note(traceback.format_exc())
        steps = sum(node.step_count for node in self.nodes.values())
        views = max((self.recovery.views(epoch) for epoch in self.watch.decided), default=0)
        spare = min((self.recovery.spare(epoch) for epoch in self.watch.decided), default=0) if self.healed else None
        return Outcome(self.plan, reason, views, spare, self.world.now_s, steps)

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now_s + seconds, lambda: False)

    def run_until(self, done: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until something is so; False when it did not come to be."""
        return self.world.run(self.world.now_s + within_s, done)

    def awake(self) -> list[Node]:
        """Honest members that have not gone for ever."""
        return [node for node in self.nodes.values() if node.member not in self._gone]

    def all_applied(self, epochs: int) -> bool:
        """Whether every honest member that is left has left this many epochs behind."""
        return all(len(node.disk.applied) >= epochs for node in self.awake())

    def _finished(self) -> bool:
        return not self._unfinished

    def applied(self, node: Node) -> None:
        """A member has left another epoch for good."""
        if node.honest and (len(node.disk.applied) >= self.plan.epochs or self._wishes_done(node)):
            self._unfinished.pop(node.member, None)

    def deadline_s(self) -> float:
        """When everyone must be done: the time that the views allowed take, per epoch, and some quiet."""
        delta = self.plan.timing.delta
        first = max(self.recovery.begun_at_healing.values(), default=0)
        views_s = sum(6 * delta(view) for view in range(first, last_view(self.plan, first + 1) + 1))
        return self.world.now_s + self.plan.epochs * (QUIET_S + views_s)

    def _late(self) -> str | None:
        for epoch, decision in self.watch.decided.items():
            spare = self.recovery.spare(epoch)
            if self.healed and spare < 0:
                return f"late: epoch {epoch} was decided in view {decision.view}, {decision.view + spare} was allowed"
        return None

    def _stall(self) -> str:
        left = [node for node in self.awake() if len(node.disk.applied) < self.plan.epochs]
        places = ", ".join(f"{node.member} in epoch {node.epoch} view {node.state.view}" for node in left)
        return f"stall: no progress after healing for members {places} (at {self.world.now_s:.0f} s)"

    def chains(self) -> str | None:
        """Everyone's decided log verifies offline, from genesis on."""
        for node in self.awake():
            entries = [
                LogEntry.of(node.disk.decisions[epoch], node.disk.candidates[id][1].bundle)
                for epoch, id in enumerate(node.disk.applied)
            ]
            try:
                verify_chain(self.group.anchor, entries, self.group.keys.verify)
            except InvalidError as error:
                return f"chain of member {node.member}: {error}"
        return None

    # What nodes ask

    def crash_point(self, node: Node, event: Input, effects: tuple[Effect, ...], count: int) -> int | None:
        """Where in this step the process ends, if it does."""
        if self.crash_rule is not None:
            return self.crash_rule(node, event, effects, count)
        plan = self.plan
        if self.healed or not plan.crash_chance or self._crashes.get(node.member, 0) >= plan.crashes_max:
            return None
        writes = bool(effects) and type(effects[0]) is Persist
        if self.world.random.random() >= (plan.crash_chance if writes else plan.crash_chance / 10):
            return None
        self._crashes[node.member] = self._crashes.get(node.member, 0) + 1
        return self.world.random.randint(0, count + 1)

    def plan_commit(self, node: Node, epoch: int) -> None:
        """A member stands in an epoch: does it want to end it? A boot asks again if the commit was lost."""
        plan, chance = self.plan, self.world.random
        if epoch >= plan.epochs or not node.wants_to_commit:
            return
        steady = node.member == plan.steady
        if plan.intents and self.wishes_decided(node).count(node.member):
            return
        if steady or plan.intents or chance.random() < plan.commit_chance:
            delay_s = chance.uniform(0.0, plan.commit_spread_s)
            self.world.after(delay_s, self._author, node, node.disk.boots, epoch, steady)

    def _wishes_done(self, node: Node) -> bool:
        return self.plan.intents and set(self.wishes_decided(node)) >= set(self.nodes)

    def wishes_decided(self, node: Node) -> list[int]:
        """Whose wishes the epochs that this member has left carried out, in order; plain commits carry out none."""
        candidates = [self.group.verdicts[id].candidate for id in node.disk.applied]
        return [candidate.author for candidate in candidates if candidate.ordinal == INTENT_ORDINAL]

    def _author(self, node: Node, boot: int, epoch: int, steady: bool) -> None:
        if node.alive and node.disk.boots == boot and node.epoch == epoch:
            node.author(epoch, self.draw_candidate(node, epoch, honest=node.honest, steady=steady))

    def draw_candidate(self, node: Node, epoch: int, *, honest: bool, steady: bool) -> Candidate:
        """A commit as the plan's chances have it."""
        plan, chance = self.plan, self.world.random
        opens_for = None
        if not steady and chance.random() < plan.partial_chance:
            opens_for = tuple(m for m in range(plan.members) if m == node.member or chance.random() < 0.6)
        urgent = chance.random() < plan.urgent_chance
        return self.group.make(
            node.instances[epoch].config.instance,
            epoch,
            node.member,
            INTENT_ORDINAL,
            nonce=f"{node.face}.{node.disk.boots}",
            opens_for=opens_for,
            proposal_class=ProposalClass.URGENT if urgent else ProposalClass.ORDINARY,
            bytes_s=chance.uniform(0.0, plan.bytes_s),
        )

    def may_serve(self, node: Node, target: int, id: BundleId) -> bool:
        """Whether a holder gives the bytes: liars withhold their own from about half of the others."""
        if node.honest or not self.plan.withhold or self.group.verdicts[id].candidate.author != node.member:
            return True
        return (target + id[0]) % 2 == 0

    def note(self, text: str) -> None:
        """A line of the replay."""
        if self.tape is not None:
            self.tape.note(self.world.now_s, text)
