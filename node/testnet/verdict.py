"""The verdict: what must be true after the demo, each line computed from the nodes' own stores.

A line that does not hold says which node, which epoch and which id. Nothing here asks a running node, and nothing is
taken from the story that a store can tell; the story only says what was asked for.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from node.intents import ADD, ALREADY, DONE, OPT_IN, OPT_OUT, REMOVE
from node.testnet.case import Case, case_of
from node.testnet.evidence import Evidence, Heard
from node.testnet.figures import Figures, figures_of
from node.testnet.story import Removal, Story
from ordering import INTENT_ORDINAL

EVIDENCE_MAX: Final = 20  # pieces of evidence that a line carries; one is enough to fail it


class Line(Struct, frozen=True):
    """One thing that was checked."""

    name: str
    ok: bool
    text: str  # the numbers
    evidence: tuple[str, ...] = ()  # what contradicts it


class Verdict(Struct, frozen=True):
    """All lines and the figures."""

    ok: bool
    lines: tuple[Line, ...]
    figures: Figures


def judge(story: Story, nodes: Sequence[Evidence]) -> Verdict:
    """Check every line."""
    case = case_of(story, nodes)
    lines = tuple(_line(name, check, case) for name, check in CHECKS)
    return Verdict(all(line.ok for line in lines), lines, figures_of(case))


def ended_well(case: Case) -> tuple[str, list[str]]:
    """The script came to its end and every node stopped when it was asked to."""
    problems = [case.story.failure] if case.story.failure else []
    codes = case.story.exit_codes
    problems += [
        f"{actor.name}: exit code {codes.get(actor.name)}" for actor in case.story.actors if codes.get(actor.name) != 0
    ]
    return f"{case.story.rounds} rounds, {len(codes)} nodes stopped with exit code 0", problems


def equal_epochs(case: Case) -> tuple[str, list[str]]:
    """Who is in one epoch with one authenticator shares every secret of it."""
    last = max(case.decided, default=-1) + 1
    problems = []
    for node in case.nodes:
        if node.damage:
            problems.append(f"{node.name}: its store cannot be read: {node.damage}")
        elif node.epoch != last:
            problems.append(f"{node.name} is in epoch {node.epoch}, the last one is {last}")
        elif node.authenticator is None:
            problems.append(f"{node.name} holds no group value of epoch {last}")
        elif node.members != case.members.get(last):
            names = sorted(map(case.name_of, node.members))
            problems.append(f"{node.name} counts other members in epoch {last} than the chain: {', '.join(names)}")
    found = {node.authenticator for node in case.nodes if node.authenticator is not None}
    if len(found) != 1:
        problems += [
            f"{node.name}: epoch {node.epoch}, authenticator {_hex(node.authenticator)}" for node in case.nodes
        ]
    return f"epoch {last}, authenticator {_hex(min(found, default=None))} at {len(case.nodes)} nodes", problems


def chains_verify(case: Case) -> tuple[str, list[str]]:
    """`conclave log verify`, for every node: from its anchor on, every certificate and every link."""
    problems = []
    decisions = signatures = 0
    for node in case.nodes:
        report = node.report
        if report is None:
            problems.append(f"{node.name} holds no chain")
            continue
        problems += [f"{node.name}, epoch {each.epoch}: {each.text}" for each in report.problems]
        if not report.ok and not report.problems:
            problems.append(f"{node.name}: the chain does not check out")
        if report.last_epoch != node.epoch:
            problems.append(f"{node.name}: checked up to epoch {report.last_epoch}, it is in epoch {node.epoch}")
        decisions += report.decision_count
        signatures += report.signature_count
    return f"{len(case.nodes)} chains, {decisions} decisions, {signatures} signatures", problems


def one_decision(case: Case) -> tuple[str, list[str]]:
    """No two certificates for one epoch, and none missing in between."""
    problems = []
    for epoch in range(max(case.decided, default=-1) + 1):
        ids = case.decided.get(epoch, frozenset())
        if not ids:
            problems.append(f"epoch {epoch}: no node holds what ended it")
        elif len(ids) > 1:
            problems += [
                f"epoch {epoch}: {node.name} holds {row.candidate_id.hex()}"
                for node in case.nodes
                for row in node.chain
                if row.epoch == epoch
            ]
            problems.append(f"epoch {epoch}: {len(ids)} decided ids")
    rows = sum(len(node.chain) for node in case.nodes)
    return f"{case.epochs} epochs, {rows} decisions at {len(case.nodes)} nodes, one id each", problems


def committee_grew(case: Case) -> tuple[str, list[str]]:
    """The committee was elected as the members opted in."""
    sizes = {row.epoch: row.committee_size for node in case.nodes for row in node.chain}
    grown: list[int] = []
    for epoch in sorted(sizes):
        if not grown or sizes[epoch] != grown[-1]:
            grown.append(sizes[epoch])
    expected = list(case.story.committee_sizes)
    said = " → ".join(map(str, grown))
    return said, [] if grown[: len(expected)] == expected else [f"expected it to begin with {expected}: {said}"]


def rivals_met(case: Case) -> tuple[str, list[str]]:
    """Commits of different members competed for one epoch, often enough to mean something."""
    count, contested = case.rivals()
    least = case.story.rivals_expected
    problems = [] if count >= least else [f"{count} commits were concurrent, at least {least} were to be"]
    return f"{count} (at least {least}) in {contested} contested epochs", problems


def intents_once(case: Case) -> tuple[str, list[str]]:
    """Every intent is done, by exactly one decided bundle, and no bundle did a thing twice."""
    problems: list[str] = []
    states: Counter[str] = Counter()
    for node in case.nodes:
        rows = {row.intent_id: row for row in node.intents}
        endings: dict[bytes, list[str]] = defaultdict(list)
        for body in node.ended:
            endings[body.intent_id].append(body.state)
        for intent_id, row in rows.items():
            states[row.state] += 1
            told = endings[intent_id]
            where = f"{node.name}: {row.kind} {intent_id.hex()}"
            if row.state != DONE and not (row.state == ALREADY and row.kind in (ADD, REMOVE, OPT_IN, OPT_OUT)):
                problems.append(f"{where} is {row.state} ({row.error or 'no reason given'})")
            elif told != [row.state]:
                problems.append(f"{where} is {row.state}, the feed tells {told or 'nothing'}")
        carrying: Counter[bytes] = Counter()
        for body in node.ended:
            if body.state == DONE:
                carrying[body.candidate_id] += 1
                problems += _not_carried(case, node, body.intent_id, body.candidate_id)
        problems += _not_wanted(case, node, carrying)
        problems += [
            f"{node.name}: {each.kind} {each.intent_id} was accepted and is not in the store"
            for each in case.story.submitted
            if each.node == node.name and each.intent_id and bytes.fromhex(each.intent_id) not in rows
        ]
    total = sum(states.values())
    return f"{total} intents: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())), problems


def messages_once(case: Case) -> tuple[str, list[str]]:
    """Every message is in the feed of everyone who was a member of its epoch, once, and in nobody else's."""
    problems: list[str] = []
    known: dict[bytes, Heard] = {}
    counts: dict[str, Counter[bytes]] = {}
    for node in case.nodes:
        counts[node.peer_id] = Counter(each.message_id for each in node.heard)
        texts = Counter((each.sender, each.body.text) for each in node.heard)
        problems += [f"{node.name} holds {count} times: {text!r}" for (_, text), count in texts.items() if count > 1]
        for each in node.heard:
            first = known.setdefault(each.message_id, each)
            if _content(each) != _content(first):
                problems.append(f"{node.name} holds another message than others as {each.message_id.hex()}")
    for message_id, message in known.items():
        there = case.members.get(message.epoch, frozenset())
        for node in case.nodes:
            count = counts[node.peer_id][message_id]
            if count != (node.peer_id in there):
                who = "a member" if node.peer_id in there else "no member"
                sender = case.name_of(message.sender)
                what = f"message {message_id.hex()} of epoch {message.epoch} by {sender}"
                problems.append(f"{node.name}, {who} then, holds {count} times {what}")
    problems += [
        f"{each.node} acknowledged message {each.message_id} of epoch {each.epoch}: nobody holds it"
        for each in case.story.sent
        if bytes.fromhex(each.message_id) not in known
    ]
    deliveries = sum(map(len, counts.values()))
    return f"{len(known)} messages, {deliveries} deliveries, none missing, none twice", problems


def removed_read_nothing(case: Case) -> tuple[str, list[str]]:
    """From its removal until its return a member got no message, held no key, and cannot open what was said."""
    problems = [] if case.story.removals else ["nobody was removed"]
    tried = 0
    for removal in case.story.removals:
        node = next(each for each in case.nodes if each.name == removal.node)
        away = range(removal.removed_epoch, removal.returned_epoch)
        said = {each.message_id for other in case.nodes if other != node for each in other.heard if each.epoch in away}
        if not said:
            problems.append(f"nothing was said in epochs {away.start} to {away.stop - 1}, so nothing is shown")
        problems += [
            f"{node.name} holds message {each.message_id.hex()} of epoch {each.epoch}"
            for each in node.heard
            if each.epoch in away or each.message_id in said
        ]
        problems += [
            f"{node.name} holds the gossip key of epoch {each}" for each in sorted(node.key_epochs & set(away))
        ]
        sealed = {each.message_id: each for other in case.nodes for each in other.kept if each.message_id in said}
        tried += len(sealed)
        problems += [
            f"{node.name} can open message {each.message_id.hex()} of epoch {each.epoch}"
            for each in sealed.values()
            if node.opens(each.payload)
        ]
        problems += _held_while_away(removal)
    spans = ", ".join(
        f"{each.node}: epochs {each.removed_epoch} to {each.returned_epoch - 1}" for each in case.story.removals
    )
    return f"{spans}; {tried} ciphertexts tried", problems


def others_went_on(case: Case) -> tuple[str, list[str]]:
    """While one voter was down the others decided."""
    problems = []
    texts = []
    for outage in case.story.outages:
        span = range(outage.from_ms, outage.until_ms)
        epochs = {
            entry.epoch
            for node in case.nodes
            if node.name != outage.node
            for entry in node.began
            if entry.at_ms in span
        }
        texts.append(f"{len(epochs)} decisions with {outage.node} {outage.how}")
        if not epochs:
            problems.append(f"nothing was decided while {outage.node} was {outage.how}")
    hows = {outage.how for outage in case.story.outages}
    problems += [f"no node was {how}" for how in ("killed", "stopped") if how not in hows]
    return ", ".join(texts), problems


CHECKS: Final[tuple[tuple[str, Callable[[Case], tuple[str, list[str]]]], ...]] = (
    ("the script came to its end", ended_well),
    ("equal epoch authenticators", equal_epochs),
    ("every certificate chain verifies offline", chains_verify),
    ("no two certificates for one epoch", one_decision),
    ("the committee grew with its members", committee_grew),
    ("commits competed", rivals_met),
    ("every intent done exactly once", intents_once),
    ("every message delivered exactly once", messages_once),
    ("nothing readable by the removed member", removed_read_nothing),
    ("the others went on without a voter", others_went_on),
)
"""The lines, in the order they are printed."""


def _line(name: str, check: Callable[[Case], tuple[str, list[str]]], case: Case) -> Line:
    text, problems = check(case)
    return Line(name, not problems, text, _first(problems))


def _first(problems: Sequence[str]) -> tuple[str, ...]:
    more = len(problems) - EVIDENCE_MAX
    return (*problems[:EVIDENCE_MAX], *((f"and {more} more",) if more > 0 else ()))


def _hex(value: bytes | None) -> str:
    return "none" if value is None else value.hex()[:16]


def _content(message: Heard) -> tuple[object, ...]:
    body = message.body
    return (message.epoch, message.sender, body.sender_leaf, body.generation, body.sent_ms, body.text)


def _not_carried(case: Case, node: Evidence, intent_id: bytes, candidate_id: bytes) -> Iterable[str]:
    """A done intent names a decided bundle of its own node."""
    entry = next((each for each in case.began.values() if each.body.candidate_id == candidate_id), None)
    if entry is None:
        yield f"{node.name}: intent {intent_id.hex()} is done by {candidate_id.hex()}, which was never decided"
    elif entry.body.committer != node.peer_id:
        committer = case.name_of(entry.body.committer)
        yield f"{node.name}: intent {intent_id.hex()} is done by a commit of {committer} (epoch {entry.epoch})"


def _not_wanted(case: Case, node: Evidence, carrying: Mapping[bytes, int]) -> Iterable[str]:
    """A decided bundle that was made for an intent, and that no intent names, did something a second time."""
    ordinals = {row.candidate_id: row.ordinal for each in case.nodes for row in each.chain if row.ordinal is not None}
    for epoch, entry in case.began.items():
        candidate_id = entry.body.candidate_id
        is_own = entry.body.committer == node.peer_id
        if is_own and candidate_id not in carrying and ordinals.get(candidate_id) == INTENT_ORDINAL:
            yield f"{node.name}: the commit {candidate_id.hex()} that began epoch {epoch} belongs to no intent"


def _held_while_away(removal: Removal) -> Iterable[str]:
    held = removal.held
    if not held.is_removed:
        yield f"{removal.node} did not know that it was removed"
    if held.has_snapshot:
        yield f"{removal.node} held the group value while removed"
    if held.successors:
        yield f"{removal.node} held {held.successors} successors of own commits while removed"
    if held.key_epochs:
        yield f"{removal.node} held gossip keys while removed, of epochs {held.key_epochs}"
    if any(epoch >= removal.removed_epoch for epoch in held.message_epochs):
        yield f"{removal.node} held messages of epochs {held.message_epochs}, removed in {removal.removed_epoch}"
    if not removal.refusal:
        yield f"{removal.node} could send while removed"
