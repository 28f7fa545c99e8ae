"""Ending intents: what became of them is made durable, and whoever waits for them is told."""

from node.adoption import write_settled
from node.context import NodeContext
from node.holding import Holding
from node.intents import ALREADY, DONE, FAILED, OPEN
from node.patience import GIVEN_UP, REFUSED
from node.planning import Settled


def settle(context: NodeContext, holding: Holding, settled: tuple[Settled, ...]) -> None:
    """End intents that need no commit of ours any more."""
    now_ms = context.now_ms()
    with context.store.transaction() as transaction:
        for each in settled:
            write_settled(transaction, holding, each, holding.epoch, now_ms)
    wake(context, holding.group_id)
    context.feed.grew()


def give_up(context: NodeContext, holding: Holding, refused: tuple[bytes, ...]) -> None:
    """End what the voters refused and will go on to refuse."""
    rows = (context.store.intent(intent_id) for intent_id in refused)
    ended = tuple(Settled(row, FAILED, REFUSED) for row in rows if row and row.state == OPEN and row.kind in GIVEN_UP)
    if ended:
        settle(context, holding, ended)


def wake(context: NodeContext, group_id: bytes) -> None:
    """Tell those who wait for intents of this group that have ended."""
    waited_for = context.intent_ended.get(group_id, {})
    for intent_id in list(waited_for):
        row = context.store.intent(intent_id)
        if row is not None and row.state in (DONE, ALREADY, FAILED):
            waited_for.pop(intent_id).set()
