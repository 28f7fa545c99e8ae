"""What is kept for members that were away, and for how long; deleted in small transactions.

Decisions and their bundles lead a laggard from its epoch to ours: they are kept for so many days, and so many epochs in
any case. The ciphertexts of an epoch are of use to whoever may still come through it. The feed is the user's and stays.
Where the kept chain begins, our anchor is: what lies before it was checked when it was decided.
"""

from typing import Final

from msgspec.structs import replace

from node import feed
from node.context import NodeContext
from node.holding import Holding
from node.store_writes import Transaction
from node.trimming import events_cut
from ordering import Anchor, Decision

DECISIONS_PER_STEP: Final = 64
MESSAGES_PER_STEP: Final = 512
STEPS_MAX: Final = 16  # in one go; the next look takes up the rest
DAY_MS: Final = 24 * 3600 * 1000


def prune(context: NodeContext, holding: Holding) -> Holding:
    """Forget what is past its time, oldest first; returns the group with its anchor where the kept chain begins."""
    settings, now_ms = context.config.retention, context.now_ms()
    for _ in range(STEPS_MAX):
        with context.store.transaction() as transaction:
            before_ms = now_ms - settings.messages_days * DAY_MS
            more = transaction.prune_messages(holding.group_id, holding.epoch, before_ms, MESSAGES_PER_STEP)
            after = _without_oldest(
                transaction, holding, settings.decisions_epochs, now_ms - settings.decisions_days * DAY_MS
            )
        if not more and after is holding:
            break
        holding = after
    return holding


def _without_oldest(transaction: Transaction, holding: Holding, epochs_kept: int, before_ms: int) -> Holding:
    """One step along the decisions. The anchor moves in the same transaction; it never passes what is kept."""
    last = holding.epoch - epochs_kept
    old = [
        row
        for row in transaction.decisions(holding.group_id, 0, DECISIONS_PER_STEP + 1)
        if row.epoch < last and row.at_ms < before_ms
    ]
    oldest_kept = old[-1].epoch if old else 0
    kept = transaction.decision(holding.group_id, oldest_kept)
    if kept is None or oldest_kept == 0 or len(old) < 2:
        return holding
    transaction.prune_decisions(holding.group_id, oldest_kept)
    transaction.prune_mailboxes(holding.group_id, oldest_kept)
    transaction.prune_receipts(holding.group_id, oldest_kept)
    transaction.prune_feed(holding.group_id, feed.DECISION, oldest_kept + 1, events_cut(transaction))
    anchor = holding.extra.anchor
    if anchor.epoch < oldest_kept:
        anchor = Anchor.before(Decision.decode(kept.decision))
    after = holding.with_changes(extra=replace(holding.extra, anchor=anchor))
    after.put(transaction)
    return after
