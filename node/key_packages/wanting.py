"""Adds that wait for a key package: an open intent without one, and a row that says when it is claimed (again).

An add of a batch whose package was missing, or turned out to be of no use when the commit was made, is not the end of
the intent: it goes back here, a bounded number of times, later and later, and what could be had goes ahead.
"""

from typing import Final

from node.intents import ADD, READD, AddBody
from node.key_packages.tables import WantedRow
from node.store_rows import IntentRow
from node.store_writes import Transaction

ATTEMPTS_MAX: Final = 8  # claims for one add, spread over about an hour
RETRY_MIN_MS: Final = 30_000  # after the first that came to nothing; doubled each time
RETRY_MAX_MS: Final = 3_600_000
REASON_SIZE_MAX: Final = 500


def supply(transaction: Transaction, row: WantedRow, package: bytes) -> None:
    """A key package was claimed for it: from here on the intent is like any other."""
    transaction.put_intent_body(row.intent_id, AddBody(row.peer, package).encode())
    transaction.put_wanted_package(
        WantedRow(row.intent_id, row.group_id, row.batch, row.peer, row.attempts, 0, row.reason)
    )


def postpone(transaction: Transaction, row: WantedRow, reason: str, now_ms: int) -> bool:
    """None was to be had, or it was of no use: it is tried again later. False when it was tried often enough."""
    attempts = row.attempts + 1
    is_over = attempts >= ATTEMPTS_MAX
    due_ms = 0 if is_over else now_ms + min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (attempts - 1))
    transaction.put_wanted_package(
        WantedRow(row.intent_id, row.group_id, row.batch, row.peer, attempts, due_ms, reason[:REASON_SIZE_MAX])
    )
    if not is_over:
        transaction.put_intent_body(row.intent_id, AddBody(row.peer, b"").encode())
    return not is_over


def give_back(transaction: Transaction, intent: IntentRow, reason: str, now_ms: int) -> bool:
    """The package of an add of a batch was of no use; whether another one is claimed for it."""
    row = transaction.wanted_package(intent.intent_id) if intent.kind in (ADD, READD) else None
    return (
        row is not None and bool(AddBody.decode(intent.body).key_package) and postpone(transaction, row, reason, now_ms)
    )
