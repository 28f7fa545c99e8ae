"""What must be true after the scenario `offline`, besides what must be true of every run.

Each check returns its numbers in words, and what contradicts it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Final

from node.testnet.case import Case
from node.testnet.checks_chain import chains_verify, ended_well, equal_epochs, one_decision
from node.testnet.checks_work import intents_once, messages_once
from node.testnet.replica_evidence import ReplicaEvidence, found_in, peer_needles
from node.testnet.verdict import Check

AWAKE_MAX: Final = 2
TAIL: Final = 48  # bytes of a ciphertext that are looked for


def checks(replicas: Sequence[ReplicaEvidence]) -> tuple[tuple[str, Check], ...]:
    """The lines, in the order they are printed."""
    return (
        ("the script came to its end", ended_well),
        ("never more than two awake", never_more_than_two),
        ("as many commits and messages as said", as_many_as_said),
        ("equal epoch authenticators", equal_epochs),
        ("every certificate chain verifies offline", chains_verify),
        ("no two certificates for one epoch", one_decision),
        ("every intent done exactly once", intents_once),
        ("every message delivered exactly once", messages_once),
        ("one order that all feeds share", one_order),
        ("decided while its author slept", decided_asleep),
        ("senders know who has their messages", senders_know),
        ("the replicas know nobody and nothing", partial(replicas_blind, replicas)),
    )


def never_more_than_two(case: Case) -> tuple[str, list[str]]:
    """At no moment ran more than two members' nodes, from before a start to after an end."""
    turns = sorted(
        [(each.from_ms, 1, each.node) for each in case.story.awake]
        + [(each.until_ms, -1, each.node) for each in case.story.awake]
    )
    problems: list[str] = []
    running: list[str] = []
    most = 0
    for at_ms, step, node in turns:  # who ends in the millisecond in which another starts ends first
        if step > 0:
            running.append(node)
            if len(running) > AWAKE_MAX:
                problems.append(f"awake at {at_ms}: {', '.join(running)}")
        else:
            running.remove(node)
        most = max(most, len(running))
    names = {each.node for each in case.story.awake}
    problems += [f"{each.name} was never awake" for each in case.story.actors if each.name not in names]
    killed = sum(each.how == "killed" for each in case.story.awake)
    return f"{len(case.story.awake)} times awake, {killed} ended by kill -9, most at once {most}", problems


def as_many_as_said(case: Case) -> tuple[str, list[str]]:
    """The run was as large as it claims."""
    story = case.story
    problems = []
    if case.epochs < story.commits_due:
        problems.append(f"{case.epochs} commits, {story.commits_due} were to be")
    if len(story.sent) < story.messages_due:
        problems.append(f"{len(story.sent)} messages, {story.messages_due} were to be")
    return f"{case.epochs} commits, {len(story.sent)} messages, {story.rounds} nights", problems


def one_order(case: Case) -> tuple[str, list[str]]:
    """Every feed, put into the shared order, is the same list; so is what each node showed of it."""
    problems = []
    first = case.nodes[0].order if case.nodes else ()
    for node in case.nodes:
        by_id = {each.message_id: (each.epoch, each.body.sent_ms, each.message_id) for each in node.heard}
        places = [by_id.get(each) for each in node.order]
        if None in places or any(one is None or two is None or one >= two for one, two in pairwise(places)):
            problems.append(f"{node.name}: its shared order is not by epoch, clock and id")
        if node.order != first:
            at = next(
                (i for i, pair in enumerate(zip(node.order, first, strict=False)) if len(set(pair)) > 1), "its end"
            )
            problems.append(f"{node.name} reads otherwise than {case.nodes[0].name} from message {at} on")
        texts = {each.message_id: each.body.text for each in node.heard}
        lines = "\n".join(f"{each.hex()} {texts.get(each)}" for each in node.order)
        if case.story.read.get(node.name) != hashlib.sha256(lines.encode()).hexdigest():
            problems.append(f"{node.name} showed something else by group read --shared than its store holds")
    arrivals = {tuple(each.message_id for each in node.heard) for node in case.nodes}
    return f"{len(first)} messages in one order, which came in {len(arrivals)} different ones", problems


def decided_asleep(case: Case) -> tuple[str, list[str]]:
    """Changes of a member without a vote, decided by others while its node did not run."""
    asleep = {(each.node, range(each.from_ms, each.until_ms)) for each in case.story.outages}
    count = 0
    for entry in case.began.values():
        author = case.name_of(entry.body.committer)
        seen = min((each.at_ms for node in case.nodes for each in node.began if each.epoch == entry.epoch), default=0)
        count += any(name == author and seen in span for name, span in asleep)
    return f"{count} commits", [] if count else ["no commit was decided while its author slept"]


def senders_know(case: Case) -> tuple[str, list[str]]:
    """Each message is at every mailbox, and its sender knows that every other member has it."""
    story, replicas = case.story, len(case.story.replicas)
    sent = Counter(each.node for each in story.sent)
    problems = []
    for actor in story.actors:
        told = story.told.get(actor.name)
        if told is None or told.messages != sent[actor.name]:
            problems.append(f"{actor.name} knows of {told.messages if told else 0} messages of its {sent[actor.name]}")
        elif told.messages and told.stored_at < replicas:
            problems.append(f"{actor.name} has a message that is at {told.stored_at} of {replicas} mailboxes only")
        elif not told.is_all:
            problems.append(f"{actor.name} knows of {told.delivered} of {told.messages} that everybody has them")
    delivered = sum(told.delivered for told in story.told.values())
    return f"{delivered} messages, each at {replicas} mailboxes and with every other member", problems


def replicas_blind(replicas: Sequence[ReplicaEvidence], case: Case) -> tuple[str, list[str]]:
    """No text, name, member, leaf key or ciphertext in a replica's files, databases or log."""
    needles: dict[str, list[bytes]] = {
        "text": [each.text.encode() for each in case.story.sent],
        "name": [each.encode() for each in case.story.secrets],
        "member": peer_needles([each.peer_id for each in case.story.actors]),
        "leaf key": sorted({key for node in case.nodes for key in node.leaf_keys}),
        "ciphertext": sorted({each.payload[-TAIL:] for node in case.nodes for each in node.kept}),
    }
    problems = [f"nothing was looked for: no {kind}" for kind, each in needles.items() if not each]
    problems += [] if replicas else ["there was no replica"]
    for replica in replicas:
        if replica.damage:
            problems.append(f"{replica.name} cannot be read: {replica.damage}")
        elif not replica.item_count:
            problems.append(f"{replica.name} holds nothing at all")
        problems += [f"{replica.name}: {each}" for each in found_in(replica.places, needles)]
    items = sum(each.item_count for each in replicas)
    entries = sum(each.entry_count for each in replicas)
    sought = sum(map(len, needles.values()))
    return (
        f"{len(replicas)} replicas, {items} sealed items, {entries} certified epochs; {sought} things sought",
        problems,
    )
