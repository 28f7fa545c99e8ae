"""What one kind of finding has done so far: for `conclave status`, and to bound how much it may say."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from node.mailbox.rates import Bucket

FOUND_PER_S: Final = 2.0
FOUND_BURST_MAX: Final = 64  # peers that one kind may say it has found, before the rate counts
DIALS_PER_S: Final = 0.5
DIALS_BURST_MAX: Final = 32  # dials that one kind may cause, before the rate counts
FAILURE_SIZE_MAX: Final = 200  # characters of a failure that are kept


@dataclass(slots=True)
class Tally:
    """Of one kind; `counters` are the kind's own."""

    name: str
    counters: Counter[str]
    found: int = 0  # answers about peers that we look for
    reached: int = 0  # peers that answered where this kind said, and proved who they are
    failures: int = 0
    failure: str = ""  # the last one
    failed_ms: int = 0
    _says: Bucket = field(default_factory=lambda: Bucket(FOUND_PER_S, FOUND_BURST_MAX))
    _dials: Bucket = field(default_factory=lambda: Bucket(DIALS_PER_S, DIALS_BURST_MAX))

    def failed(self, reason: str, now_ms: int) -> None:
        """Note a failure for our user to see."""
        self.failures += 1
        self.failure = "".join(filter(str.isprintable, reason))[:FAILURE_SIZE_MAX]
        self.failed_ms = now_ms

    def has_room(self, now_s: float) -> bool:
        """Whether it may say something now; if so, that is counted."""
        if self._says.wait_s(1.0, now_s) > 0:
            return False
        self._says.owed += 1.0
        return True

    def dial_wait_s(self, now_s: float) -> float:
        """Until when the next dial has to wait; it is counted."""
        wait_s = self._dials.wait_s(1.0, now_s)
        self._dials.owed += 1.0
        return wait_s
