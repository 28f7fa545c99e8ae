"""Entries of the feed and rows of the decided chain, as the local API shows them."""

from typing import Final, cast, get_args

from node import feed
from node.api import schema
from node.context import NodeContext
from node.feed import ChangeBody, DecisionBody, IntentBody, MessageBody, NoticeBody
from node.intent_views import STATES, intent_result
from node.names import Names
from node.receipts.showing import Receipt
from node.session import Session
from node.store_rows import DecisionRow, FeedRow
from ordering import Candidate, Decision

_CHANGES: Final = {
    "create": "founded the group",
    "add": "added {}",
    "remove": "removed {}",
    "leave": "{} left",
    "update": "{} refreshed its keys",
    "opt_in": "{} is willing to vote",
    "opt_out": "{} does not vote any more",
    "policy": "{} changed how the group decides",
    "bench": "{} is passed over as a voter until it comes back",
    "return": "{} is back as a voter",
    "resync": "{} came back with new keys",
}


def message_item(row: FeedRow, names: Names, receipt: Receipt | None = None) -> schema.MessageItem:
    """A message of the feed, with what has become of it if it is ours."""
    body, sender = MessageBody.decode(row.body), row.sender or ""
    return schema.MessageItem(
        seq=row.seq,
        message_id=(row.message_id or b"").hex(),
        group_id=row.group_id.hex(),
        epoch=row.epoch,
        sender_leaf=body.sender_leaf,
        sender=sender,
        sender_name=names.of_peer(sender),
        is_own=body.is_own,
        at=row.at_ms / 1000,
        sent_at=body.sent_ms / 1000,
        text=body.text,
        stored_at=0 if receipt is None else len(receipt.places),
        delivered_to=0 if receipt is None else len(receipt.delivered),
        recipients=None if receipt is None or receipt.audience is None else len(receipt.audience),
    )


def log_entry(row: FeedRow, names: Names) -> schema.LogEntry:
    """A decision as the feed tells it."""
    body = DecisionBody.decode(row.body)
    return schema.LogEntry(
        epoch=row.epoch,
        candidate_id=body.candidate_id.hex(),
        committer_leaf=body.committer_leaf,
        committer=body.committer,
        committer_name=names.of_peer(body.committer),
        changes=tuple(change(each, names) for each in body.changes),
        view=body.view,
        voters=body.voters,
        quorum=body.quorum,
        committee_size=body.committee_size,
        at=row.at_ms / 1000,
        latency_s=None if body.latency_ms is None else body.latency_ms / 1000,
        is_own=body.is_own,
    )


def bare_log_entry(row: DecisionRow) -> schema.LogEntry:
    """A decision that the feed does not tell of: decided, and not entered yet. Nothing names its voters to us."""
    decision = Decision.decode(row.decision)
    leaf = -1 if row.candidate is None else Candidate.decode(row.candidate).author
    return schema.LogEntry(
        epoch=row.epoch + 1,
        candidate_id=decision.id.hex(),
        committer_leaf=leaf,
        committer="",
        committer_name="",
        changes=(),
        view=decision.view,
        voters=(),
        quorum=decision.descriptor.quorum,
        committee_size=decision.descriptor.size,
        at=0.0,
    )


def change(body: ChangeBody, names: Names) -> schema.Change:
    """One change in words."""
    known = body.kind in get_args(schema.ChangeKind)
    who = f"{names.shown(body.peer)} (leaf {body.leaf_index})"
    return schema.Change(
        kind=cast(schema.ChangeKind, body.kind) if known else "update",
        text=_CHANGES.get(body.kind, f"{body.kind}: {{}}").format(who),
        leaf_index=body.leaf_index,
        peer_id=body.peer,
    )


def event(context: NodeContext, row: FeedRow, session: Session | None, names: Names) -> schema.Event:
    """An entry of the feed, with what it is about."""
    message = decision = intent = None
    match row.kind:
        case feed.MESSAGE:
            message, text = message_item(row, names), "a message"
        case feed.DECISION:
            decision = log_entry(row, names)
            text = f"epoch {row.epoch}: " + "; ".join(each.text for each in decision.changes)
        case feed.INTENT:
            body = IntentBody.decode(row.body)
            stored = context.store.intent(body.intent_id)
            intent = None if stored is None else intent_result(context, stored, session)
            text = body.kind + ": " + STATES[body.state] if intent is None else intent.text
        case _:
            text = NoticeBody.decode(row.body).text
    return schema.Event(
        seq=row.seq,
        kind=cast(schema.EventKind, row.kind),
        at=row.at_ms / 1000,
        text=text,
        group_id=row.group_id.hex(),
        peer_id=row.sender or "",
        message=message,
        decision=decision,
        intent=intent,
    )
