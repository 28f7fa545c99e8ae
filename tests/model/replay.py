"""Runs of the simulator against the relation: every step that an honest voter of the real core takes is allowed.

A step of the core does several things at once; its effects say which, in order. Each is looked up in the relation, and
between steps what the core remembers must be what the relation says it does, after a crash too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ordering import (
    Broadcast,
    BundleId,
    Certificate,
    Decision,
    Effect,
    Entrust,
    Input,
    InstanceRecord,
    InstanceState,
    Justification,
    Persist,
    Propose,
    SignedVote,
    Transition,
    VoteKind,
)
from ordering.justification import justify
from tests.model.relation import NONE, Action, Ballot, Committee, Kind, Relation, Rule, Value, Voter, World
from tests.sim.draw import draw
from tests.sim.node import Node
from tests.sim.plan import Plan
from tests.sim.show import Tape
from tests.sim.simulation import Simulation
from tests.sim.watch import Violation


class Disallowed(Violation):
    """The core did what the relation does not allow, or remembers something else than it."""


def replay(seeds: Iterable[int], **fixed: Any) -> Counter[str]:
    """Play these seeds, of n = 4 unless told otherwise; how often each rule was used. Raises `Disallowed`."""
    used: Counter[str] = Counter()
    for seed in seeds:
        run = Replayed(draw(seed, **({"seated": 4} | fixed)))
        reason = run.run().reason
        if reason is not None:
            raise Disallowed(f"seed {seed}: {reason}")
        used += run.used
    return used


class Replayed(Simulation):
    """A simulation whose honest members are followed through the relation."""

    def __init__(self, plan: Plan) -> None:
        self.steps = _Steps()
        self.used: Counter[str] = Counter()
        self._values: dict[bytes, Value] = {}
        super().__init__(plan, self.steps)
        self.relation = Relation(self._committee)
        self.model = World((Voter(),) * plan.members)

    def _committee(self, epoch: int) -> Committee:
        committee = self.group.committee(epoch)
        seats = [seat.leaf for seat in committee.seats]
        honest = frozenset(member for member in seats if member not in self.plan.lying)
        return Committee(committee.quorum, len(seats) - len(honest), honest)

    def value(self, id: bytes) -> Value:
        """The number of a bundle."""
        return self._values.setdefault(id, len(self._values) + 1)

    # What the simulation tells

    def crash_point(self, node: Node, event: Input, effects: tuple[Effect, ...], count: int) -> int | None:
        """Asked after each step of an honest member, before anything of it is done; 0: nothing ever is."""
        point = super().crash_point(node, event, effects, count)
        if point != 0:
            epoch, after = self.steps.last
            self._follow(node, epoch, node.instances[epoch], after, effects)
        return point

    def crash(self, node: Node, where: str, down_s: float | None = None) -> None:
        """Back to the record."""
        self._act(node, Action(Rule.CRASH))
        super().crash(node, where, down_s)

    # A step

    def _follow(
        self, node: Node, epoch: int, before: InstanceState, after: InstanceState, effects: tuple[Effect, ...]
    ) -> None:
        voter = self.model.voters[node.member]
        if epoch < voter.at.epoch:  # it has left, and only answers
            if any(vote not in before.own_votes.values() for vote in after.own_votes.values()):
                raise Disallowed(f"member {node.member} votes in epoch {epoch}, and has left it")
            return
        if epoch > voter.at.epoch or (epoch and voter.at.prev != self.value(after.config.prev)):
            raise Disallowed(f"member {node.member} is in epoch {epoch} without the Decision that leads there")
        self._hear(node, before)  # a proof that survived a crash may hold it
        self._compare(node, before)
        for effect in effects:
            if isinstance(effect, Broadcast | Entrust) and self._stays(node, epoch):
                self._hear(node, after)
                if isinstance(effect.message, Decision):
                    self._unsaid(node, after)
                elif isinstance(effect.message, SignedVote | Propose):
                    self._entered(node, after, effect.message.view)
                self._said(node, effect.message)
        self._finish(node, after, effects)

    def _said(self, node: Node, message: object) -> None:
        """What is said for the first time was done in this step."""
        match message:
            case Propose():
                self._rests_on(node, message.justification.certificates())
                self._vote(node, message.vote)
            case SignedVote():
                self._vote(node, message)
            case Justification():
                self._rests_on(node, message.certificates())
                self._enter(node, message)
            case Certificate():
                self._rests_on(node, (message,))
            case Decision():
                self._act(node, Action(Rule.LEAVE, self.value(message.id)))
            case _:
                pass

    def _entered(self, node: Node, after: InstanceState, view: int) -> None:
        """A voter of many does not tell at once that it enters a view (R16)."""
        proof = justify(after.config.instance, view, after.notarizations, after.nullifications)
        if proof is not None:
            self._enter(node, proof)

    def _unsaid(self, node: Node, after: InstanceState) -> None:
        """A leader that gathers the votes need not tell its own (R16)."""
        for vote in after.own_votes.values():
            self._vote(node, vote.signed(after.config.instance))

    def _finish(self, node: Node, after: InstanceState, effects: tuple[Effect, ...]) -> None:
        """What is not said, above all by members without a seat."""
        epoch = after.config.epoch
        if not self._stays(node, epoch):
            return
        if after.decision is not None:
            self._act(node, Action(Rule.LEAVE, self.value(after.decision.id)))
            return
        if after.proof is not None:
            self._enter(node, after.proof)
        self._hear(node, after)
        self._unsaid(node, after)
        for effect in effects:
            record = effect.record if isinstance(effect, Persist) else None
            if isinstance(record, InstanceRecord) and record.view > self.model.voters[node.member].kept:
                self._act(node, Action(Rule.STORE))
        self._compare(node, after)

    def _vote(self, node: Node, vote: SignedVote) -> None:
        mine = self.model.voters[node.member].mine
        value = self.value(vote.id) if vote.id else NONE
        said_before = {
            VoteKind.NOTARIZE: mine.notarized == value,
            VoteKind.FINALIZE: mine.finalized == value,
            VoteKind.NULLIFY: mine.nullified,
        }
        if vote.view != self.model.voters[node.member].view:
            raise Disallowed(f"member {node.member} votes in view {vote.view}, and is in another")
        if said_before[vote.kind]:  # R10
            return
        opens = vote.kind is not VoteKind.NOTARIZE or self.group.verdicts[BundleId(vote.id)].soft(node.member)
        self._act(node, Action(Rule[vote.kind.name], value, opens=bool(opens)))

    def _enter(self, node: Node, proof: Justification) -> None:
        if proof.view <= self.model.voters[node.member].view:
            return
        if proof.justifies_proposal:
            self._act(node, Action(Rule.ENTER, view=proof.view))
        elif proof.constraint is not None:
            self._act(node, Action(Rule.JOIN, self.value(proof.constraint), proof.view))

    def _hear(self, node: Node, state: InstanceState) -> None:
        """As early as it can be, so that a Nullify in spite of it would not pass."""
        known = state.notarizations.get(self.model.voters[node.member].view)
        hear = Action(Rule.HEAR, NONE if known is None else self.value(known.id))
        if known is not None and self.relation.allows(self.model, node.member, hear):  # else the own vote is missing
            self._act(node, hear)

    def _act(self, node: Node, action: Action) -> None:
        if not self.relation.allows(self.model, node.member, action):
            voter = self.model.voters[node.member]
            raise Disallowed(f"member {node.member}: {action} is not allowed for {voter} (at {self.world.now_s:.3f} s)")
        self.used[action.rule.value] += 1
        self.model = self.relation.apply(self.model, node.member, action)

    # Comparisons

    def _stays(self, node: Node, epoch: int) -> bool:
        return self.model.voters[node.member].at.epoch == epoch

    def _rests_on(self, node: Node, certificates: Iterable[Certificate]) -> None:
        """Certificates that honest voters show can exist."""
        at = self.model.voters[node.member].at
        for certificate in certificates:
            value = self.value(certificate.id) if certificate.id else NONE
            kind = Kind[certificate.kind.name]
            if not self.relation.certified(self.model, at, certificate.view, kind, value):
                raise Disallowed(f"member {node.member} shows a {kind} of view {certificate.view} that cannot exist")

    def _compare(self, node: Node, state: InstanceState) -> None:
        """What the core remembers is what the relation says it does."""
        voter = self.model.voters[node.member]
        votes = {kind.name: self.value(vote.id) if vote.id else NONE for kind, vote in state.own_votes.items()}
        own = Ballot(votes.get("NOTARIZE", NONE), votes.get("FINALIZE", NONE), "NULLIFY" in votes)
        known = state.notarizations.get(state.view)
        holds = NONE if known is None else self.value(known.id)
        if (state.view, own, holds) != (voter.view, voter.mine, voter.holds):
            raise Disallowed(f"member {node.member} is in view {state.view}, {own}, holding {holds}; model: {voter}")


class _Steps(Tape):
    """Keeps the last step only."""

    def note(self, now_s: float, text: str) -> None:
        """Nothing is taken down."""

    def step(self, node: Node, epoch: int, event: Input, transition: Transition) -> None:
        """One step, not yet done."""
        self.last = (epoch, transition.state)
