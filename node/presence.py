"""Who was heard: the part of *soft* validity that depends on the clock, so that its answer may change in an epoch.

Nothing hands the group to sleepers: a quorum of the committee that a candidate elects must have been heard lately.
Nobody who is there is passed over: a voter that was heard within `ordering.bench_after_s` is not benched. Silence only
counts while we listened: a node that has just started, or was stopped, has not heard anybody and says nothing about
anybody, until it has listened for a while (`node.silence`).
"""

from typing import Final

from node.context import NodeContext
from node.electorate import RuleError, peer_of
from node.intents import BENCH, POLICY
from node.judgement import HardValid
from ordering import BenchEntry

HEARD_FOR_ELECTION_S: Final = 600.0
"""How long ago a voter of the next committee may have been heard for a fresh candidate to be good to us."""


class NotNowError(RuleError):
    """A candidate that we cannot go along with now, and may later in this epoch; `sleepers` are why, if they are."""

    def __init__(self, text: str, sleepers: tuple[BenchEntry, ...] = ()) -> None:
        super().__init__(text)
        self.sleepers = sleepers


class UnheardError(NotNowError):
    """We do not listen for long enough to say no."""


def check_presence(context: NodeContext, known: HardValid) -> None:
    """Whether who was heard speaks for a candidate; raises `NotNowError`."""
    _check_elected(context, known)
    _check_benched(context, known)


def check_own(context: NodeContext, known: HardValid, *, is_voter: bool) -> None:
    """The same of a candidate of ours, before it is offered; raises `NotNowError`.

    The voters judge it too. So having just started is no reason to hold it back, nor is being no voter, who need not
    have a link to any. But who amends the policy, perhaps alone, first hears those it hands the group to.
    """
    try:
        if is_voter or known.policy.is_amended:
            _check_elected(context, known)
    except UnheardError:
        if known.policy.is_amended:
            raise
    _check_benched(context, known)


def _check_elected(context: NodeContext, known: HardValid) -> None:
    committee = known.voting.committee
    silent = [
        seat for seat in committee.seats if not context.heard_within(seat.identity.decode(), HEARD_FOR_ELECTION_S)
    ]
    heard = committee.size - len(silent)
    if heard < committee.quorum:
        sleepers = tuple(BenchEntry(seat.leaf, seat.since) for seat in silent)
        text = f"of the {committee.size} voters it elects {heard} were heard lately, {committee.quorum} are needed"
        kind = NotNowError if context.listened_s() >= HEARD_FOR_ELECTION_S else UnheardError
        raise kind(text, sleepers)


def _check_benched(context: NodeContext, known: HardValid) -> None:
    after = known.staged.successor
    for entry in known.policy.benched:
        leaf = after.leaf(entry.leaf)
        assert leaf is not None, "hard validity found an offer there"
        if not context.unheard_for(peer_of(after, leaf), context.config.ordering.bench_after_s):
            raise NotNowError(f"it benches leaf {entry.leaf}, which was heard lately")


def is_given_up(kind: str, error: Exception) -> bool:
    """Whether an intent that could not be committed ends with that. Somebody missing may come; then it is tried again,
    but not what was wanted because of who was there or was not."""
    return not isinstance(error, NotNowError) or kind in (POLICY, BENCH)
