"""The disk's hygiene in one group: what is past its time is forgotten, and old secrets leave the write-ahead log."""

from typing import Final

from node.agreement import Agreement
from node.retention import prune

CLEAN_DELAY_S: Final = 0.5  # from the end of an epoch until its secrets leave the disk; not in the way of the next
PRUNE_PERIOD_S: Final = 60.0  # between two looks for what is past its time


class Cleaning:
    """Of one group; the first is due at once, since a crash may have left the log untruncated."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.due_at_s = float("-inf")
        self._pruned_s = float("-inf")
        self._entered_s = float("-inf")  # when an epoch last ended, and its secrets left the tables

    def entered(self) -> None:
        """An epoch has ended: its secrets are to leave the disk."""
        self._entered_s = self.context.now_s()
        self.due_at_s = min(self.due_at_s, self._entered_s + CLEAN_DELAY_S)

    def clean(self) -> None:
        """Forget ciphertexts past their time, and truncate the write-ahead log: old secrets leave the disk.

        All groups share the log, so whichever of them cleans first has cleaned for what the others forgot before.
        """
        now = self.context.now_s()
        self.due_at_s = float("inf")
        if now - self._pruned_s >= PRUNE_PERIOD_S:
            self._pruned_s = now
            self.agreement.holding = prune(self.context, self.agreement.holding)
        if self.context.cleaned_s <= self._entered_s and self.context.store.checkpoint():
            self.context.cleaned_s = now
