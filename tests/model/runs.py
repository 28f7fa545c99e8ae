"""What is tried: the rules in several settings, and mutants of them with the promise that each breaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Run:
    """One exhaustive search. `breaks` names the promise (an assertion of `simplex.pml`) that a mutant breaks."""

    name: str
    n: int
    quorum: int
    liars: int
    views: int
    crash: bool = False
    verdict: bool = False
    mutant: str | None = None
    breaks: str | None = None
    seats: tuple[int, int, int] | None = None  # two epochs: how many honest voters stay, leave, come
    next_liars: int | None = None
    next_views: int | None = None

    @property
    def defines(self) -> dict[str, int | None]:
        """For the preprocessor."""
        stay, leave, come = self.seats or (self.n - self.liars, 0, 0)
        numbers: dict[str, int | None] = {"N": self.n, "Q": self.quorum, "LIARS": self.liars, "VIEWS": self.views}
        numbers |= {"STAY": stay, "LEAVE": leave, "COME": come, "EPOCHS": 2 if self.seats else 1}
        numbers |= {} if self.next_liars is None else {"NEXT_LIARS": self.next_liars}
        numbers |= {} if self.next_views is None else {"NEXT_VIEWS": self.next_views}
        flags = {"CRASH": self.crash, "VERDICT": self.verdict}
        numbers |= {flag: None for flag, on in flags.items() if on}
        return numbers if self.mutant is None else {**numbers, self.mutant: None}


FOUR: Final = Run("n = 4, 3 views, crashes, verdicts", 4, 3, 1, 3, crash=True, verdict=True)
SHORT: Final = replace(FOUR, name="n = 4, 2 views, crashes, verdicts", views=2)
HAND_OVER: Final = Run("hand-over, n = 4, 1 view each, crashes", 4, 3, 1, 1, crash=True, seats=(2, 1, 1))
FORKED: Final = Run("hand-over after 2 liars forked, n = 4, 1 view each", 4, 3, 2, 1, seats=(1, 1, 2), next_liars=1)

RULES: Final = (
    FOUR,
    Run("n = 5, 2 views, crashes, verdicts", 5, 4, 1, 2, crash=True, verdict=True),
    Run("n = 7, 2 views", 7, 5, 2, 2),
    Run("n = 3 of the crash model, 3 views, crashes", 3, 2, 0, 3, crash=True),
    HAND_OVER,
    Run("hand-over, n = 4, 2 views and 1", 4, 3, 1, 2, seats=(2, 1, 1), next_views=1),
    FORKED,
)
"""Each must keep every promise."""

QUICK: Final = (SHORT, HAND_OVER)
"""The same for an impatient person."""

LONG: Final = (
    Run("n = 7, 2 views, crashes", 7, 5, 2, 2, crash=True),
    Run("n = 7, 2 views, verdicts", 7, 5, 2, 2, verdict=True),
    Run("hand-over, n = 4, 2 views and 1, crashes", 4, 3, 1, 2, crash=True, seats=(2, 1, 1), next_views=1),
)
"""More of the same, for minutes; only with `--long`."""


def _mutant(mutant: str, name: str, breaks: str, run: Run = FOUR) -> Run:
    return replace(run, name=name, mutant=mutant, breaks=breaks)


MUTANTS: Final = (
    _mutant("NO_JUSTIFICATION", "a proposal needs no justification", "above_finalized"),
    _mutant("FINALIZE_AFTER_NULLIFY", "finalize after nullify", "above_finalized"),
    _mutant("NULLIFY_AFTER_FINALIZE", "nullify after finalize", "above_finalized"),
    _mutant("NOTARIZE_TWICE", "notarize two values of a view", "two_notarizations"),
    _mutant("FORGET_VOTES", "a crash forgets votes", "above_finalized", replace(SHORT, verdict=False)),
    _mutant("FORGET_CERTIFICATES", "a crash forgets the proof of the view", "stuck"),
    _mutant("FORGET_NOTARIZATION", "a crash forgets what a Finalize names", "stuck"),
    _mutant("NO_FINALIZE_TIMER", "nobody leaves a notarized view", "stuck"),
    _mutant("VERDICT_NOT_ASKED", "notarize what does not open", "few_can_open"),
    Run("a quorum one too small", 4, 2, 1, 2, mutant="SMALL_QUORUM", breaks="above_finalized"),
    Run("a quorum one too large", 4, 4, 1, 2, mutant="LARGE_QUORUM", breaks="stuck"),
    Run("one liar too many", 4, 3, 2, 2, mutant="TOO_MANY_LIARS", breaks="above_finalized"),
    _mutant(
        "LEAVE_ON_NOTARIZATION",
        "leave the epoch on a notarization",
        "two_chains",
        Run("", 3, 2, 0, 2, seats=(2, 1, 0), next_views=1),
    ),
    _mutant("NO_PREDECESSOR", "the instance does not name what was decided before", "wrong_chain", FORKED),
)
"""Each must break the promise it names."""
