"""How many views an epoch may still take after healing: the bound of `docs/ordering.md`, "Views after healing".

A view is *clear* when, as its first voter enters it, q honest voters stand in its epoch, able to read it, have heard
each other, and hold every bundle of which one of them knows a notarization; and when no older notarization comes up
in the middle of it, which a liar may have kept. From the first clear view on that is also
above f and long enough, each is decided that one of those q leads, and of n - q + 1 views in a row one is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final

from ordering import BundleId, fault_count
from ordering.timing import SOON_MAX_S, heard_window_s
from tests.sim.network import FAIR
from tests.sim.plan import BUILD_S, Plan

if TYPE_CHECKING:
    from ordering import InstanceState
    from tests.sim.node import Node
    from tests.sim.simulation import Simulation

LINK_S: Final = FAIR.delay_max_s


class Recovery:
    """The views that honest voters have begun, by epoch; after healing, which of them were not clear."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._begun: dict[int, int] = {}  # the furthest view of any honest voter
        self._clear_from: dict[int, int] = {}  # every view begun from here on was clear
        self._known: dict[int, dict[int, BundleId]] = {}  # the notarizations known as the last view began, by view
        self._healed_at_s: float | None = None
        self.begun_at_healing: dict[int, int] = {}

    def heal(self) -> None:
        """Views begun so far were begun under faults."""
        self._healed_at_s = self._sim.world.now_s
        self.begun_at_healing = dict(self._begun)
        self._clear_from = {epoch: view + 1 for epoch, view in self._begun.items()}

    def begin(self, epoch: int, state: InstanceState) -> None:
        """An honest voter is in this view."""
        if state.config.own_voter is None or state.view <= self._begun.get(epoch, -1):
            return
        last, self._begun[epoch] = self._begun.get(epoch, -1), state.view
        if self._healed_at_s is None:
            return
        here = self._present(epoch)
        known, before = _notarized((state, *(node.instances[epoch] for node in here))), self._known.get(epoch, {})
        self._known[epoch] = known
        if any(view < last and view not in before for view in known):
            self._clear_from[epoch] = state.view
        if not self._is_clear(epoch, here, known.values()):
            self._clear_from[epoch] = state.view + 1

    def views(self, epoch: int) -> int:
        """How many views later than the furthest at healing this epoch was decided; 0 where it was before."""
        if self._healed_at_s is None:
            return 0
        return max(0, self._sim.watch.decided[epoch].view - self.begun_at_healing.get(epoch, 0))

    def spare(self, epoch: int) -> int:
        """How many views more this epoch might have taken; below 0: it took too many."""
        return last_view(self._sim.plan, self._clear_from.get(epoch, 0)) - self._sim.watch.decided[epoch].view

    def lines(self) -> list[str]:
        """The bound of each epoch, for people."""
        plan = self._sim.plan
        lines = []
        for epoch, decision in self._sim.watch.decided.items() if self._healed_at_s is not None else ():
            furthest, clear = self.begun_at_healing.get(epoch, "none"), self._clear_from.get(epoch, 0)
            faults = fault_count(plan.seated, plan.model)
            lines.append(
                f"epoch {epoch}: in view {furthest} at healing, decided in {decision.view}; "
                f"allowed is {last_view(plan, clear)}: clear from {clear}, f + 1 = {faults + 1}, "
                f"long enough from {first_long(plan)}, n - q = {plan.seated - plan.quorum}"
            )
        return lines

    def _present(self, epoch: int) -> list[Node]:
        """The honest voters that stand in this epoch and can read it."""
        sim, seats = self._sim, self._sim.group.seats(epoch)
        standing = (node for node in sim.awake() if node.alive and node.epoch == epoch and node.member in seats)
        return [node for node in standing if sim.group.reads(node.member, epoch)]

    def _is_clear(self, epoch: int, here: list[Node], notarized: Collection[BundleId]) -> bool:
        holding = [node for node in here if all(_usable(node, epoch, id) for id in notarized)]
        near = [node for node in holding if all(self._hears(node, other, epoch) for other in holding)]
        return len(near) >= self._sim.plan.quorum

    def _hears(self, node: Node, other: Node, epoch: int) -> bool:
        """Since healing; or so lately that it will hear it again, which is soon, before it takes it for silent."""
        assert self._healed_at_s is not None
        if node is other:
            return True
        state = node.instances[epoch]
        voter = state.config.committee.voter_of_leaf(other.member)
        assert voter is not None
        age_s = node.clock_s - max(state.heard.get(voter, -inf), state.listening_since_s)
        since_healing_s = node.rate * (self._sim.world.now_s - self._healed_at_s)
        soon_s = max(0.0, repeats_within_s(self._sim.plan) - since_healing_s)
        return age_s <= max(since_healing_s, heard_window_s(state) - soon_s)


def _notarized(states: Iterable[InstanceState]) -> dict[int, BundleId]:
    """By view: all notarizations that any of them knows."""
    return {view: certificate.bundle for state in states for view, certificate in state.notarizations.items()}


def _usable(node: Node, epoch: int, id: BundleId) -> bool:
    facts = node.instances[epoch].candidates.get(id)
    return facts is not None and facts.usable


def last_view(plan: Plan, clear_from: int) -> int:
    """The view that decides at the latest."""
    faults = fault_count(plan.seated, plan.model)
    return max(clear_from, faults + 1, first_long(plan)) + plan.seated - plan.quorum


def first_long(plan: Plan) -> int:
    """The first view whose timers leave time enough, on the clocks that run fastest."""
    rate = (1 + plan.clock_drift) / (1 - plan.clock_drift)
    leader_s, view_s = rate * notarize_s(plan), rate * (notarize_s(plan) + relay_s(plan))
    return next(
        view for view in count() if 2 * plan.timing.delta(view) >= leader_s and 3 * plan.timing.delta(view) >= view_s
    )


def notarize_s(plan: Plan) -> float:
    """From when the first voter enters a clear view until the last of the q has notarized in it: its leader enters,
    builds and judges a plain commit, proposes it, and the others fetch and judge it."""
    return relay_s(plan) + BUILD_S + plan.judge_s + LINK_S + 2 * LINK_S + plan.judge_s


def relay_s(plan: Plan) -> float:
    """Until what one voter knows has reached the others; with the next Status where votes go through the leader."""
    soon_s = min(plan.timing.delta_s / 2, SOON_MAX_S)
    return LINK_S + (3 * soon_s if plan.through_leader else 0.0)


def repeats_within_s(plan: Plan) -> float:
    """Each voter says everything again within this time."""
    return plan.timing.status_period_s * 1.25 * (2 if plan.through_leader else 1) + LINK_S
