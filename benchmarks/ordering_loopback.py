"""Real daemons on loopback: how long a decision takes, how many there are in a second, what one costs, catching up.

A change is a member's refresh of its own keys: a full commit with a path and nothing else. Latency is the node's own
figure, from the change being durable at the node that was asked until its certificate is; the caller of the API waits
for a request and an answer on top, which is a figure of its own.
"""

import select
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.ordering_daemons import Daemons, Spent, daemons
from benchmarks.ordering_figures import Figure, Target, percentile
from node.api import operations as op
from node.api import schema
from node.config import POST_QUANTUM_SUITE
from node.testnet.calls import Call
from node.testnet.processes import NodeProcess

SUITES: Final = (POST_QUANTUM_SUITE, 1)
SIZES: Final = (1, 3, 4, 7, 13, 31)
CALM_S: Final = 0.05  # after all agree, before the next change
P50_MAX: Final = {4: Target(25.0), 31: Target(250.0)}
NODES: Final = 4
GROUPS: Final = 50
RATE_GAIN_MIN: Final = Target(3.0, is_least=True)
CATCH_UP_MAX: Final = Target(5.0)
COMMITS, MESSAGES = 100, 1000


# --- latency ---


def latency(*, quick: bool) -> Iterator[Figure]:
    """Changes one at a time, by one member after another, each when all have forgotten the last."""
    for n in (1, 4) if quick else SIZES:
        with daemons(n) as running:
            for suite in SUITES if n == NODES else SUITES[:1]:
                yield from _latencies(running, suite, n, rounds=24 if quick or n == SIZES[-1] else 60)


def _latencies(running: Daemons, suite: int, n: int, rounds: int) -> Iterator[Figure]:
    group = running.found(f"suite {suite}", suite, n)
    certified_ms, answered_ms = [], []
    for index in range(rounds):
        running.settle(group)
        time.sleep(CALM_S)
        began_s = time.perf_counter()
        answer = running.certified(running.answers([running.update(running.nodes[index % n], group)])[0])
        answered_ms.append((time.perf_counter() - began_s) * 1000)
        certified_ms.append((answer.latency_s or 0.0) * 1000)
    bench = f"loopback/decision, suite {suite}"
    yield Figure(f"{bench}, p50", n, percentile(certified_ms, 50), "ms", P50_MAX.get(n))
    yield Figure(f"{bench}, p95", n, percentile(certified_ms, 95), "ms")
    yield Figure(f"{bench}, least", n, min(certified_ms), "ms")
    yield Figure(f"{bench}, as the caller waits, p50", n, percentile(answered_ms, 50), "ms")
    yield from _cost(running, bench, group, n)


def _cost(running: Daemons, bench: str, group: str, n: int) -> Iterator[Figure]:
    """CPU and bytes of a decision, with nobody looking on meanwhile."""
    rounds = 24
    before = running.spent()
    for index in range(rounds):
        running.certified(running.answers([running.update(running.nodes[index % n], group)])[0])
    running.settle(group)
    spent = running.spent().since(before)
    yield Figure(f"{bench}, CPU of all nodes", n, spent.cpu_s * 1000 / rounds, "ms")
    if spent.wire_bytes is not None:
        yield Figure(f"{bench}, bytes of all nodes", n, spent.wire_bytes / rounds, "B")


# --- rate ---


def rate(*, quick: bool) -> Iterator[Figure]:
    """One client for each group, which asks its node for the next change when the last is certified.

    What is compared is one group with one client, and so many groups with one client each: the same nodes, groups and
    changes, driven alike. One such group mostly waits: whoever committed last leaves others a moment to come forward
    (the collection window), and each decision makes the round of the voters. `members in turn` is one group without
    that window, its nodes asked one after another. All groups are there in all of it: those without a client are idle.
    """
    span_s, groups = (4.0, 10) if quick else (10.0, GROUPS)
    with daemons(NODES) as running:
        made = [running.found(f"group {number}", POST_QUANTUM_SUITE, NODES, number) for number in range(groups)]
        alone, spent = _rate(running, {made[0]: running.nodes[:1]}, span_s)
        yield Figure("rate/decisions, one client", 1, alone, "1/s")
        yield Figure("rate/CPU of a decision, one client", 1, 1000 * spent.cpu_s / (alone * span_s), "ms")
        turns, _ = _rate(running, {made[0]: running.nodes}, span_s)
        yield Figure("rate/decisions, members in turn", 1, turns, "1/s")
        clients = {group: [running.nodes[number % NODES]] for number, group in enumerate(made)}
        together, spent = _rate(running, clients, span_s)
        yield Figure("rate/decisions, one client", groups, together, "1/s")
        yield Figure("rate/CPU of a decision, one client", groups, 1000 * spent.cpu_s / (together * span_s), "ms")
        target = None if quick else RATE_GAIN_MIN
        yield Figure("rate/of so many groups, times that of one", groups, together / alone, "×", target)


def _rate(running: Daemons, clients: Mapping[str, Sequence[NodeProcess]], span_s: float) -> tuple[float, Spent]:
    """Decisions in a second when each group has one change under way, asked of its nodes in turn."""
    counts = dict.fromkeys(clients, 0)
    calls: dict[str, Call[Any]] = {}
    before, end_s = running.spent(), time.monotonic() + span_s

    def ask(group: str) -> None:
        nodes = clients[group]
        calls[group] = running.update(nodes[counts[group] % len(nodes)], group)

    for group in clients:
        ask(group)
    while (left_s := end_s - time.monotonic()) > 0:
        readable, _, _ = select.select(list(calls.values()), [], [], left_s)
        for group, call in list(calls.items()):
            if call in readable:
                running.certified(call.reply())
                counts[group] += 1
                ask(group)
    spent = running.spent().since(before)
    running.answers(list(calls.values()))
    for group in clients:
        running.settle(group)
    return sum(counts.values()) / span_s, spent


# --- catching up ---


def catch_up(*, quick: bool) -> Iterator[Figure]:
    """From the start of a node's process until it stands where the others are, with every message in its feed."""
    commits, messages = (20, 200) if quick else (COMMITS, MESSAGES)
    with daemons(NODES) as running:
        group = running.found("away", POST_QUANTUM_SUITE, NODES)
        *present, away = running.nodes
        running.processes.stop([away], 20.0)
        for index in range(commits):
            said = [
                running.send(present[each % 3], op.GROUP_SEND, _words(group)) for each in range(messages // commits)
            ]
            running.certified(running.answers([running.update(present[index % 3], group)])[0])
            running.answers(said)
        shown = running.ask(present[0], op.GROUP_SHOW, schema.GroupRequest(group=group))
        began_s = time.monotonic()
        running.processes.start([away], 30.0)
        ready_s = time.monotonic() - began_s
        reader = _Reader(running, away, group)
        running.until("it is where the others are", lambda: reader.epoch() == shown.epoch)
        epoch_s = time.monotonic() - began_s
        running.until("it has every message", lambda: reader.count() >= messages)
        took_s = time.monotonic() - began_s
    target = None if quick else CATCH_UP_MAX
    bench = f"catching up/{commits} commits, {messages} messages"
    yield Figure(f"{bench}, the process is ready", NODES, ready_s, "s")
    yield Figure(f"{bench}, in the last epoch", NODES, epoch_s, "s")
    yield Figure(f"{bench}, all of it here", NODES, took_s, "s", target)


class _Reader:
    """What a node has got so far."""

    def __init__(self, running: Daemons, node: NodeProcess, group: str) -> None:
        self._running, self._node, self._group = running, node, group
        self._seq, self._ids = 0, set[str]()

    def epoch(self) -> int:
        shown: schema.GroupDetail = self._running.ask(self._node, op.GROUP_SHOW, schema.GroupRequest(group=self._group))
        return shown.epoch

    def count(self) -> int:
        while True:
            request = schema.GroupReadRequest(group=self._group, after_seq=self._seq, limit=schema.PAGE_SIZE_MAX)
            page: schema.MessagePage = self._running.ask(self._node, op.GROUP_READ, request)
            self._ids |= {message.message_id for message in page.messages}
            self._seq = page.last_seq
            if not page.has_more:
                return len(self._ids)


def _words(group: str) -> schema.GroupSendRequest:
    return schema.GroupSendRequest(group=group, text="said while somebody was away")
