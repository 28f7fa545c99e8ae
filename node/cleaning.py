"""The disk's hygiene in one group: what is past its time is forgotten, and old secrets leave the write-ahead log."""

from typing import Final

from node.agreement import Agreement
from node.logs import logger, short
from node.retention import prune

CLEAN_DELAY_S: Final = 0.5  # from the end of an epoch until its secrets leave the disk
CLEAN_WAIT_MAX_S: Final = 5.0  # longer than that, while other epochs are being decided: it is not in their way
AGAIN_MIN_S: Final = 1.0  # after an offline reader was in the way; doubled each time
AGAIN_MAX_S: Final = 60.0
PRUNE_PERIOD_S: Final = 60.0  # between two looks for what is past its time

log = logger("cleaning")


class Cleaning:
    """Of one group; the first is due at once, since a crash may have left the log untruncated."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self.due_at_s = float("-inf")
        self._latest_s = float("-inf")
        self._pruned_s = float("-inf")
        self._entered_s = float("-inf")  # when an epoch last ended, and its secrets left the tables
        self._again_s = AGAIN_MIN_S

    def entered(self) -> None:
        """An epoch has ended: its secrets are to leave the disk."""
        self._entered_s = self.context.now_s()
        due_at_s = self._entered_s + CLEAN_DELAY_S
        self.due_at_s = min(self.due_at_s, due_at_s)
        self._latest_s = min(self._latest_s, due_at_s + CLEAN_WAIT_MAX_S)

    def tick(self, now_s: float) -> None:
        """Clean if it is time and nobody waits for this node's vote."""
        if now_s < self.due_at_s:
            return
        instance = self.agreement.instance
        if instance.awake_at_s is not None and instance.decision is None and now_s < self._latest_s:
            self.due_at_s = min(now_s + CLEAN_DELAY_S, self._latest_s)
        else:
            self.clean()

    def clean(self) -> None:
        """Forget ciphertexts past their time, and truncate the write-ahead log: old secrets leave the disk.

        All groups share the log, so whichever of them cleans first has cleaned for what the others forgot before.
        What could not be truncated is tried again, later and later.
        """
        now, context = self.context.now_s(), self.context
        self.due_at_s = self._latest_s = float("inf")
        if now - self._pruned_s >= PRUNE_PERIOD_S:
            self._pruned_s = now
            self.agreement.holding = prune(self.context, self.agreement.holding)
        if context.cleaned_s > self._entered_s and context.unclean_since_s is None:
            return
        if context.clean():
            self._again_s = AGAIN_MIN_S
        else:
            log.warning("deleted secrets are still on the disk", group=short(self.agreement.holding.group_id))
            self.due_at_s = now + self._again_s
            self._latest_s = self.due_at_s + CLEAN_WAIT_MAX_S
            self._again_s = min(AGAIN_MAX_S, 2 * self._again_s)
