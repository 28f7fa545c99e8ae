"""The promises of the ordering page, checked after every step of every honest member.

Agreement and equal chains; certificates verify and never contradict each other; what is decided was hard-valid and
proposed; an honest voter never contradicts itself, crashes included, and says nothing that is not durable; what was
certified is never undone. `Simulation` adds progress after healing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ordering import (
    BundleId,
    Certificate,
    Decision,
    Evidence,
    Freeze,
    Guard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceRecord,
    InstanceState,
    Justification,
    Persist,
    Propose,
    Record,
    SignedVote,
    Transition,
    VoteKind,
    vote_bytes,
)
from ordering.guard import vote_position

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.simulation import Simulation

Place = tuple[bytes, int, int]
"""(instance, view, voter)"""


class Violation(Exception):
    """A promise broken; the text is one line."""


class Watch:
    """Sees everything; belongs to nobody."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.violations: list[str] = []
        self.evidences: list[tuple[int, Evidence]] = []  # (member that found it, what)
        self.freezes: list[tuple[int, Freeze]] = []
        self.abstentions: list[int] = []
        self.decided: dict[int, Decision] = {}  # by epoch: the first Decision any honest member stored
        self.view_max: dict[int, int] = {}  # by epoch: the furthest view of any honest member
        self.epoch_of: dict[bytes, int] = {}  # by instance id
        self.configs: dict[bytes, InstanceConfig] = {}
        self.proposed: dict[bytes, int] = {}  # bundle id -> who proposed it first
        self._true: set[Certificate] = set()  # membership tests only
        self._certified: dict[tuple[bytes, int], dict[VoteKind, bytes]] = {}
        self._ballots: dict[Place, dict[VoteKind, bytes]] = {}  # every vote an honest voter ever stored
        self._chains: dict[int, bytes] = {}  # by epoch: the instance the first honest member opened

    def fail(self, reason: str) -> None:
        """Note a broken promise; ends the run unless the test wants to see more of it."""
        self.violations.append(f"{reason} (at {self.sim.world.now_s:.3f} s)")
        if self.sim.stop_on_violation:
            raise Violation(self.violations[-1])

    # What the driver reports

    def opened(self, node: Node, epoch: int, config: InstanceConfig) -> None:
        """A member entered an epoch, or found itself in it again."""
        self.epoch_of[config.instance] = epoch
        self.configs.setdefault(config.instance, config)
        if node.honest and self._chains.setdefault(epoch, config.instance) != config.instance:
            self.fail(f"agreement: member {node.member} opened another instance of epoch {epoch} than others did")

    def stepped(self, node: Node, epoch: int, before: InstanceState, event: Input, transition: Transition) -> None:
        """A step was computed; nothing of it is done yet."""
        after = transition.state
        if after.wake_at_s is not None and after.wake_at_s <= after.now_s:
            self.fail(f"member {node.member} set its alarm in the past")
        if not node.honest:
            return
        if after.view > self.view_max.get(epoch, -1):
            self.view_max[epoch] = after.view
        if after.view != before.view or not before.opened:
            self.sim.recovery.begin(epoch, after)
        if after.view < before.view:
            self.fail(f"undone: member {node.member} went back from view {before.view} to {after.view}")
        if before.decision is not None and after.decision != before.decision:
            self.fail(f"undone: member {node.member} changed its Decision of epoch {epoch}")
        others = False
        for effect in transition.effects:
            if type(effect) is not Persist:
                others = True
            elif others:
                self.fail(f"member {node.member}: a record to persist after another effect (R12)")

    def committing(self, node: Node, epoch: int, records: Iterable[Record], applied: BundleId | None) -> None:
        """This is about to become durable."""
        if not node.honest:
            return
        for record in records:
            match record:
                case Guard():
                    if record.position < node.disk.guard.position or record.epoch < node.disk.guard.epoch:
                        self.fail(f"undone: the guard of member {node.member} went back")
                case InstanceRecord():
                    self._instance_record(node, epoch, record)
                case Decision():
                    self._decision(node, epoch, record)
                case Freeze():
                    pass
        if applied is not None:
            self._applied(node, epoch, applied)

    def sent(self, node: Node, message: InstanceMessage) -> None:
        """This is about to leave a member, to one or many."""
        match message:
            case SignedVote():
                self._must_be_durable(node, message)
            case Propose():
                self.proposed.setdefault(message.id, node.member)
                self._must_be_durable(node, message.vote)
                self._certificates(message.justification)
            case Certificate():
                self._certificate(message)
            case Justification():
                self._certificates(message)
            case Decision():
                self._certificate(message.certificate)
            case _:
                pass

    def frozen(self, node: Node, epoch: int, freeze: Freeze) -> None:
        """A member stopped the group. Within the budget of liars this cannot be."""
        if node.honest:
            self.freezes.append((node.member, freeze))
            self.fail(f"fork: member {node.member} froze epoch {epoch}: {freeze.reason.name.lower()}")

    def evidence(self, node: Node, epoch: int, evidence: Evidence) -> None:
        """A member accuses another."""
        if not node.honest:
            return
        self.evidences.append((node.member, evidence))
        accused = self.sim.group.seats(epoch)[evidence.first.voter]
        evidence.check(self.sim.group.vote_keys[accused], self.sim.group.keys.verify)
        if accused not in self.sim.plan.lying:
            self.fail(f"double vote: member {node.member} holds true evidence against honest member {accused}")

    def abstained(self, node: Node, epoch: int) -> None:
        """A member believes itself restored from a backup; here nobody is."""
        if node.honest:
            self.abstentions.append(node.member)
            self.fail(f"member {node.member} abstains in epoch {epoch} without having lost anything")

    # Certificates

    def _certificates(self, justification: Justification) -> None:
        for certificate in justification.certificates():
            self._certificate(certificate)

    def _certificate(self, certificate: Certificate) -> None:
        """Every certificate an honest member shows or stores must verify, and fit with all others of its view."""
        if certificate in self._true:
            return
        config = self.configs[certificate.instance]
        keys, verify = config.descriptor.vote_keys, self.sim.group.keys.verify
        kind, view, id = certificate.kind, certificate.view, certificate.id
        for voter, signature in certificate.signatures:
            if not verify(keys[voter], vote_bytes(certificate.instance, kind, view, voter, id), signature):
                self.fail(f"certificates: a {kind.name.lower()} of view {view} holds a false signature")
        if len(certificate.signatures) != config.quorum:
            self.fail(f"certificates: a {kind.name.lower()} of view {view} is not of q votes")
        self._true.add(certificate)
        place = self._certified.setdefault((certificate.instance, view), {})
        if place.setdefault(kind, id) != id:
            self.fail(f"certificates: two different ones ({kind.name.lower()}) of view {view}")
        if VoteKind.FINALIZE in place and VoteKind.NULLIFY in place:
            self.fail(f"certificates: view {view} is both finalized and nullified")

    # Records

    def _instance_record(self, node: Node, epoch: int, record: InstanceRecord) -> None:
        stored = node.disk.instances.get(epoch)
        if stored is not None and record.view < stored.view:
            self.fail(f"undone: the stored view of member {node.member} went back")
        if record.proof.view != record.view:
            self.fail(f"member {node.member} stored view {record.view} without its proof (R12)")
        self._certificates(record.proof)
        if record.propose is not None:
            self.proposed.setdefault(record.propose.id, node.member)
        if record.notarization is not None:
            self._certificate(record.notarization)
        for vote in record.votes:
            self._stored_vote(node, record, vote)

    def _stored_vote(self, node: Node, record: InstanceRecord, vote: SignedVote) -> None:
        """What is durable may have been sent: it must never be contradicted, by this process or a later one."""
        ballots = self._ballots.setdefault((vote.instance, vote.view, vote.voter), {})
        self._contradicts(node, vote, ballots)
        if vote.kind is VoteKind.FINALIZE and (record.notarization is None or record.notarization.id != vote.id):
            self.fail(f"member {node.member} stored a Finalize without the notarization it names (R12)")
        if vote.kind is not VoteKind.NULLIFY and not node.bundles.holds(BundleId(vote.id)):
            self.fail(f"member {node.member} voted for a bundle it does not hold (R12)")

    def _contradicts(self, node: Node, vote: SignedVote, ballots: dict[VoteKind, bytes]) -> None:
        """Add a vote to those of its voter and view; it must fit."""
        kind = vote.kind.name.lower()
        if vote.kind is VoteKind.NOTARIZE and VoteKind.NULLIFY in ballots and vote.kind not in ballots:
            self.fail(f"double vote: member {node.member} notarized after its Nullify of view {vote.view} (R7)")
        if ballots.setdefault(vote.kind, vote.id) != vote.id:
            self.fail(f"double vote: member {node.member} cast two {kind} in view {vote.view}")
        if VoteKind.FINALIZE in ballots and VoteKind.NULLIFY in ballots:
            self.fail(f"double vote: member {node.member} both finalized and nullified view {vote.view}")

    def _must_be_durable(self, node: Node, vote: SignedVote) -> None:
        """R12: stored with the instance; or, for one cast in the step that left its view, under the stored guard."""
        if not node.honest:
            return
        ballots = self._ballots.setdefault((vote.instance, vote.view, vote.voter), {})
        if ballots.get(vote.kind) == vote.id:
            return
        epoch = self.epoch_of[vote.instance]
        record = node.disk.instances.get(epoch)
        left = epoch in node.disk.decisions or (record is not None and record.view > vote.view)
        position = vote_position(epoch, vote.view, vote.kind)
        if vote.kind in ballots or not left or node.disk.guard.position < position:
            self.fail(f"member {node.member} sent a {vote.kind.name.lower()} that is not durable (R12)")
        self._contradicts(node, vote, ballots)

    def _decision(self, node: Node, epoch: int, decision: Decision) -> None:
        self._certificate(decision.certificate)
        stored = node.disk.decisions.get(epoch)
        if stored is not None and stored.id != decision.id:
            self.fail(f"undone: member {node.member} replaced its stored Decision of epoch {epoch}")
        first = self.decided.setdefault(epoch, decision)
        if first.id != decision.id or first.prev != decision.prev:
            names = self.sim.group.name(first.id), self.sim.group.name(decision.id)
            self.fail(f"fork: member {node.member} decided {names[1]} in epoch {epoch}, another {names[0]}")
        verdict = self.sim.group.verdicts.get(decision.id)
        if verdict is None or not verdict.hard or verdict.candidate.instance != decision.instance:
            self.fail(f"validity: member {node.member} decided a bundle that is not hard-valid")
        if decision.id not in self.proposed:
            self.fail("validity: the decided bundle was never proposed by anyone")

    def _applied(self, node: Node, epoch: int, id: BundleId) -> None:
        applied = node.disk.applied
        if epoch > len(applied) or (epoch < len(applied) and applied[epoch] != id):
            self.fail(f"undone: member {node.member} applied epoch {epoch} out of turn or twice")
        if self.decided.get(epoch) is None or self.decided[epoch].id != id:
            self.fail(f"fork: member {node.member} applied {self.sim.group.name(id)}, which is not decided")
        if not node.bundles.holds(id):
            self.fail(f"member {node.member} applied a bundle it does not hold")
