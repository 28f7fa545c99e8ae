"""What the voters did not go along with is not put to them again at once.

A candidate that too many honest voters refuse costs an epoch: its views fail, and a leader ends the epoch with a plain
commit. Its author finds its intents undone and would try again at once, for ever. So it waits, longer each time; and
what was wanted because of who was not heard is given up, since the others have heard more. Nor does it carry others'
wishes the next time, if it did: they may be what was refused.

A plain commit tells of a refusal only in a view above f. Below, no honest leader makes one; a liar's that was preferred
says nothing about ours.
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
    is_alone: bool = False  # what we want is committed without others' wishes

    def note(self, ended: Adoption, candidacy: Candidacy, now_s: float, *, carried: bool) -> tuple[bytes, ...]:
        """An epoch has ended; `candidacy` is what competed for it. The intents of ours that were refused in it.

        `carried`: our commit was for others too.
        """
        own = [each for each in candidacy.own.values() if each.candidate.ordinal == INTENT_ORDINAL]
        if not own or ended.own in own:
            self.refusals = 0
            self.is_alone = self.is_alone and not own
            return ()
        faults = candidacy.epoch.voting.committee.faults
        if ended.known.candidate.ordinal != PLAIN_ORDINAL or ended.decision.view <= faults:
            return ()  # another was preferred: our turn comes
        self.refusals += 1
        self.is_alone = carried
        self.until_s = now_s + min(WAIT_MAX_S, WAIT_MIN_S * 2 ** min(self.refusals - 1, 10))
        return tuple(intent_id for each in own for intent_id in each.intent_ids)
