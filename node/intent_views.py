"""Changes asked for here, as the local API shows them: in words, with how they ended or what they wait for."""

from collections.abc import Mapping
from typing import Final, cast

from node import feed, intents
from node.api import schema
from node.context import NodeContext
from node.feed import IntentBody
from node.health import silent_voters
from node.intents import AddBody, RemoveBody
from node.names import Names
from node.peer_id import PeerId
from node.policies import BenchBody
from node.session import Session
from node.store_rows import IntentRow

ATTEMPT_EPOCHS_MAX: Final = 256  # how far back an intent's lost races are counted

STATES: Final[Mapping[str, schema.IntentState]] = {
    intents.OPEN: "pending",
    intents.DONE: "certified",
    intents.ALREADY: "already",
    intents.FAILED: "refused",
}
_WORDS: Final = {  # (kind, state) -> what to say
    ("add", "pending"): "add {}",
    ("add", "certified"): "added {}",
    ("add", "already"): "{} is a member already",
    ("add", "refused"): "{} was not added",
    ("readd", "pending"): "remove {} and add it anew",
    ("readd", "certified"): "removed {} and added it anew",
    ("readd", "already"): "{} was added anew already",
    ("readd", "refused"): "{} was not added anew",
    ("remove", "pending"): "remove {}",
    ("remove", "certified"): "removed {}",
    ("remove", "already"): "{} is no member any more",
    ("remove", "refused"): "{} was not removed",
    ("update", "pending"): "refresh this node's keys",
    ("update", "certified"): "refreshed this node's keys",
    ("update", "refused"): "this node's keys were not refreshed",
    ("opt_in", "pending"): "offer this node as a voter",
    ("opt_in", "certified"): "this node is willing to vote",
    ("opt_in", "already"): "this node is willing to vote already",
    ("opt_in", "refused"): "this node was not offered as a voter",
    ("opt_out", "pending"): "stop being a voter",
    ("opt_out", "certified"): "this node does not vote any more",
    ("opt_out", "already"): "this node was no voter",
    ("opt_out", "refused"): "this node goes on as a voter",
    ("leave", "pending"): "leave the group",
    ("leave", "certified"): "left the group",
    ("leave", "already"): "this node was removed from the group",
    ("leave", "refused"): "this node stays in the group",
    ("policy", "pending"): "change how the group decides",
    ("policy", "certified"): "changed how the group decides",
    ("policy", "already"): "the group decides like that already",
    ("policy", "refused"): "how the group decides was not changed",
    ("bench", "pending"): "pass over {} as a voter until it comes back",
    ("bench", "certified"): "{} is passed over as a voter until it comes back",
    ("bench", "already"): "{} is back, gone, or passed over already",
    ("bench", "refused"): "{} is not passed over",
}


def pending_intent(context: NodeContext, session: Session, row: IntentRow, names: Names) -> schema.PendingIntent:
    """A change that waits. Each epoch that ended meanwhile by somebody else's commit was one attempt."""
    epoch = session.holding.epoch
    lost = sum(
        decided.at_ms >= row.created_ms
        for decided in context.store.feed_of_epochs(row.group_id, feed.DECISION, epoch - ATTEMPT_EPOCHS_MAX + 1, epoch)
    )
    carried = any(row.intent_id in each.intent_ids for each in context.store.candidates(row.group_id, epoch))
    wanted = context.store.wanted_package(row.intent_id)
    is_waiting = wanted is not None and wanted.due_ms > 0
    return schema.PendingIntent(
        intent_id=row.intent_id.hex(),
        kind=cast(schema.IntentKind, row.kind),
        text=_intent_words(row.kind, "pending", names.shown(subject(row))),
        age_s=max(0.0, (context.now_ms() - row.created_ms) / 1000),
        attempts=lost + carried,
        claims=0 if wanted is None else wanted.attempts,
        reason="" if wanted is None else wanted.reason,
        retry_s=max(0.0, (wanted.due_ms - context.now_ms()) / 1000) if wanted is not None and is_waiting else None,
    )


def intent_result(context: NodeContext, row: IntentRow, session: Session | None) -> schema.IntentResult:
    """How a change ended, or why it has not yet."""
    names, state = Names.of(context), STATES[row.state]
    text = _intent_words(row.kind, state, names.shown(subject(row)))
    wanted = context.store.wanted_package(row.intent_id)
    if state == "pending" and wanted is not None and wanted.due_ms:
        text += f": its key package is to be claimed{f' again: {wanted.reason}' if wanted.reason else ''}"
    elif state == "pending":
        text += f": still trying{_waiting_for(context, session)}"
    ended = _intent_body(context, row)
    if state == "already" and ended is not None and ended.peer and (row.kind, "certified") in _WORDS:
        text = _intent_words(row.kind, "certified", names.shown(subject(row))) + f" (by {names.shown(ended.peer)})"
    return schema.IntentResult(
        intent_id=row.intent_id.hex(),
        group_id=row.group_id.hex(),
        kind=cast(schema.IntentKind, row.kind),
        state=state,
        text=text,
        epoch=row.epoch,
        candidate_id="" if ended is None else ended.candidate_id.hex(),
        error=schema.ErrorBody(code="refused", message=row.error or "no reason was kept")
        if state == "refused"
        else None,
        latency_s=ended.latency_ms / 1000 if ended is not None and state == "certified" else None,
    )


def subject(row: IntentRow) -> PeerId:
    """Whom an intent is about; empty when it is about ourselves."""
    if row.kind in (intents.ADD, intents.READD):
        return AddBody.decode(row.body).peer
    if row.kind == intents.BENCH:
        return f"leaf {BenchBody.decode(row.body).entry.leaf}"
    return RemoveBody.decode(row.body).peer if row.kind == intents.REMOVE else ""


def _intent_words(kind: str, state: str, who: str) -> str:
    return _WORDS.get((kind, state), f"{kind}: {state}").format(who)


def _waiting_for(context: NodeContext, session: Session | None) -> str:
    if session is None or session.holding.group is None:
        return ""
    committee = session.agreement.instance.config.committee
    heard = committee.size - sum(1 for _ in silent_voters(context, committee))
    return f", {heard} of {committee.size} voters heard"


def _intent_body(context: NodeContext, row: IntentRow) -> IntentBody | None:
    """The end of an intent as the feed tells it."""
    if row.epoch is None:
        return None
    found = context.store.feed_of_epochs(row.group_id, feed.INTENT, row.epoch, row.epoch)
    bodies = (IntentBody.decode(each.body) for each in found)
    return next((body for body in bodies if body.intent_id == row.intent_id), None)
