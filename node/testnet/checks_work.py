"""What must be true of the work: every change done once, every message delivered once, nothing for who is away.

Each check returns its numbers in words, and what contradicts it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from node.intents import ADD, ALREADY, DONE, OPT_IN, OPT_OUT, REMOVE
from node.testnet.case import Case
from node.testnet.evidence import Evidence, Heard
from node.testnet.story import Removal
from ordering import INTENT_ORDINAL


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
    keys: dict[tuple[int, int, int], bytes] = {}
    for node in case.nodes:
        for each in node.heard:
            key = (each.epoch, each.body.sender_leaf, each.body.generation)
            if keys.setdefault(key, each.message_id) != each.message_id:
                problems.append(
                    f"one ratchet key, epoch {key[0]}, leaf {key[1]}, generation {key[2]}, for two messages"
                )
    told = {message.body.text for message in known.values()}
    problems += [
        f"{each.node} acknowledged message {each.text!r} in epoch {each.epoch}: nobody holds it"
        for each in case.story.sent
        if each.text not in told
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
