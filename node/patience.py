"""What the voters did not go along with is not put to them again at once.

A candidate that too many honest voters refuse costs an epoch: its views fail, and a leader ends the epoch with a plain
commit. Its author finds its intents undone and would try again at once, for ever. So it waits, longer each time; and
what was wanted because of who was not heard is given up, since the others have heard more.
"""

from dataclasses import dataclass
from typing import Final

from node.adoption import Adoption
from node.candidacy import Candidacy
from node.intents import BENCH, POLICY
from ordering import INTENT_ORDINAL, PLAIN_ORDINAL

WAIT_MIN_S: Final = 1.0
WAIT_MAX_S: Final = 60.0
REFUSED: Final = "the other voters did not go along with it: they have not heard, or have heard, others than this node"
GIVEN_UP: Final = (BENCH, POLICY)


@dataclass(slots=True)
class Patience:
    """How often in a row, and until when we wait."""

    refusals: int = 0
    until_s: float = float("-inf")

    def note(self, ended: Adoption, candidacy: Candidacy, now_s: float) -> tuple[bytes, ...]:
        """An epoch has ended; `candidacy` is what competed for it. The intents of ours that were refused in it."""
        own = [each for each in candidacy.own.values() if each.candidate.ordinal == INTENT_ORDINAL]
        if not own or own[0] is ended.own:
            self.refusals = 0
            return ()
        if ended.known.candidate.ordinal != PLAIN_ORDINAL:
            return ()  # another was preferred: our turn comes
        self.refusals += 1
        self.until_s = now_s + min(WAIT_MAX_S, WAIT_MIN_S * 2 ** min(self.refusals - 1, 10))
        return own[0].intent_ids
