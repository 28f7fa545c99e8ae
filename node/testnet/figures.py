"""Figures: the numbers of a run; latencies as percentiles in milliseconds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil

from msgspec import Struct

from node.intents import DONE
from node.testnet.case import Case
from node.testnet.story import QUIET, RIVALS


class Latency(Struct, frozen=True):
    """How long something took: how often it was measured, the median and the 95th percentile."""

    count: int
    p50_ms: float | None  # absent when nothing was measured
    p95_ms: float | None

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> "Latency":
        """The figures of some measurements, in any order."""
        values = sorted(values_ms)
        return cls(len(values), percentile(values, 50), percentile(values, 95))

    def __str__(self) -> str:
        if self.p50_ms is None or self.p95_ms is None:
            return "not measured"
        return f"p50 {self.p50_ms:.0f} ms, p95 {self.p95_ms:.0f} ms ({self.count})"


class Figures(Struct, frozen=True, kw_only=True):
    """The numbers of a run. Latencies of decisions are from the intent to its certificate, at the node that asked."""

    epochs: int
    decisions: int  # rows of the decided chain, over all nodes
    concurrent_commits: int
    messages: int
    quiet_decision: Latency  # changes made one at a time
    rival_decision: Latency  # changes submitted by all nodes at once
    quiet_message: Latency  # messages sent while nothing else happens
    message: Latency  # all deliveries to nodes that were up when the message was sent
    late_message: Latency  # deliveries to nodes that were down, from the sending: they include the time away


def figures_of(case: Case) -> Figures:
    """The numbers of the run."""
    phase = {bytes.fromhex(each.intent_id): each.phase for each in case.story.submitted if each.intent_id}
    quiet = {each.text for each in case.story.sent if each.phase == QUIET}
    took: dict[str, list[float]] = defaultdict(list)
    for node in case.nodes:
        for body in node.ended:
            if body.state == DONE and body.intent_id in phase:
                took[phase[body.intent_id]].append(body.latency_ms)
    prompt: list[float] = []
    calm: list[float] = []
    late: list[float] = []
    for node in case.nodes:
        down = [range(each.from_ms, each.until_ms) for each in case.story.outages if each.node == node.name]
        for each in node.heard:
            if not each.body.is_own:
                delay_ms = each.at_ms - each.body.sent_ms
                (late if any(each.body.sent_ms in span for span in down) else prompt).append(delay_ms)
                if each.body.text in quiet:
                    calm.append(delay_ms)
    return Figures(
        epochs=case.epochs,
        decisions=sum(len(node.chain) for node in case.nodes),
        concurrent_commits=case.rivals()[0],
        messages=len({each.message_id for node in case.nodes for each in node.heard}),
        quiet_decision=Latency.of(took[QUIET]),
        rival_decision=Latency.of(took[RIVALS]),
        quiet_message=Latency.of(calm),
        message=Latency.of(prompt),
        late_message=Latency.of(late),
    )


def percentile(ascending: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile: the least value that so many percent of all do not exceed."""
    if not ascending:
        return None
    return ascending[max(0, ceil(len(ascending) * percent / 100) - 1)]
