"""A small stage for directed schedules: who may say what to whom, and votes of anyone, made to order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ordering import BundleId, Certificate, Decision, InstanceState, Justification, Propose, SignedVote, Vote, VoteKind
from ordering.certificate import certify
from ordering.votes import vote_bytes
from tests.sim.node import Node
from tests.sim.plan import Lie, Plan
from tests.sim.show import Tape
from tests.sim.simulation import Simulation

DELTA_S = Plan().timing.delta_s

Allow = Callable[[int, int, object], bool]
"""`allow(source, target, payload)`"""


def stage(seated: int = 4, *, silent: Iterable[int] = (), tape: Tape | None = None, **plan: Any) -> Simulation:
    """Everyone booted in epoch 0, and a network that works; the `silent` are liars that say nothing."""
    liars = tuple((member, Lie.SILENT) for member in silent)
    sim = Simulation(Plan(seed=1, seated=seated, liars=liars, **plan), tape)
    sim.start()
    return sim


def allow(sim: Simulation, rule: Allow) -> None:
    """From now on only what the rule lets through arrives."""
    sim.network.tamper = lambda source, target, payload: payload if rule(source, target, payload) else None


def is_vote(payload: object, kind: VoteKind, view: int | None = None) -> bool:
    """Whether this is a vote of the kind (a leader's Notarize travels inside its Propose)."""
    return isinstance(payload, SignedVote) and payload.kind is kind and view in (None, payload.view)


def proves(payload: object) -> bool:
    """Whether it carries certificates."""
    return isinstance(payload, Certificate | Justification | Decision | Propose)


def vote(sim: Simulation, member: int, kind: VoteKind, view: int, id: bytes = b"", epoch: int = 0) -> SignedVote:
    """A vote signed by this member, whether it would or not."""
    config = next(iter(sim.nodes.values())).instances[epoch].config
    voter = config.committee.voter_of_leaf(member)
    assert voter is not None, "only a seated member has a vote"
    sign = sim.group.keys.signer(sim.group.vote_keys[member])
    signature = sign(vote_bytes(config.instance, kind, view, voter, id))
    return Vote(kind, view, voter, BundleId(id), signature).signed(config.instance)


def certificate(sim: Simulation, members: Iterable[int], kind: VoteKind, view: int, id: bytes = b"") -> Certificate:
    """A certificate of these members' votes."""
    signed = [vote(sim, member, kind, view, id) for member in members]
    votes = [Vote(v.kind, v.view, v.voter, BundleId(v.id), v.signature) for v in signed]
    config = next(iter(sim.nodes.values())).instances[0].config
    return certify(config.instance, votes, config.quorum)


def hand(sim: Simulation, source: int, target: int, *payloads: object) -> None:
    """Deliver these at once, past the network."""
    for payload in payloads:
        sim.nodes[target].deliver(source, payload)


def state(sim: Simulation, member: int) -> InstanceState:
    """Where a member stands."""
    return sim.nodes[member].state


def cast(sim: Simulation, member: int, kind: VoteKind) -> bool:
    """Whether a member has cast this kind of vote in its present view."""
    return kind in state(sim, member).own_votes


def restart(sim: Simulation, *members: int) -> None:
    """End these processes and start them again, at once."""
    nodes: list[Node] = [sim.nodes[member] for member in members]
    for node in nodes:
        sim.network.detach(node.member)
        node.crash()
    for node in nodes:
        sim.boot(node)


def finish(sim: Simulation, *, epochs: int = 1, within_s: float = 120.0) -> Decision:
    """Let the network work again until everyone has left these epochs; the last one's Decision."""
    sim.network.heal()
    assert sim.run_until(lambda: sim.all_applied(epochs), within_s), "no progress after healing"
    assert not sim.watch.violations
    return sim.watch.decided[epochs - 1]
