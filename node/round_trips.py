"""Round trips to peers, and the timers' unit Δ₀ that follows from them. No clock and no I/O: times come in as numbers.

Every node learns for itself; nobody's timers have to agree, since time never decides. What a peer answers to small
questions (the comparison of message sets, every few seconds) is measured, its own work included, as the work for a
vote is. Δ₀ of an instance is then `FACTOR` times the 99th percentile of the voter that completes a quorum, the
fastest counted first, and a margin; within a fixed ratio of the policy's.

A liar that answers slowly is passed over, as long as the honest make a quorum. Liars that answer fast move the choice
to faster honest voters. Either way the ratio bounds it: a Δ₀ of a quarter of what is needed is made up for after four
views, since Δ grows by half in each.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from node.peer_id import PeerId
from ordering import VOTES_TO_ALL_MAX

SAMPLES_MAX: Final = 64  # of one peer, the latest
SAMPLES_MIN: Final = 4  # fewer say nothing
PEERS_MAX: Final = 1024  # peers remembered, the latest heard; identities cost a stranger nothing
REPLY_SIZE_MAX: Final = 4096  # a longer answer measures the line, not the way

FACTOR: Final = 2.0
MARGIN_S: Final = 0.02
NEAR_S: Final = 0.02  # a round trip that costs less than a frame to and from each of many voters
RATIO_MAX: Final = 4.0  # Δ₀ stays between a quarter of the policy's and four times it


@dataclass(slots=True)
class RoundTrips:
    """The latest round trips of each peer."""

    samples: dict[PeerId, deque[float]] = field(default_factory=dict)

    def note(self, peer: PeerId, seconds: float) -> None:
        """One question and its answer, or the time it was waited for in vain."""
        kept = self.samples.pop(peer, None) or deque(maxlen=SAMPLES_MAX)
        kept.append(max(0.0, seconds))
        self.samples[peer] = kept
        if len(self.samples) > PEERS_MAX:
            del self.samples[next(iter(self.samples))]

    def p99_s(self, peer: PeerId) -> float | None:
        """The round trip that one in a hundred exceeds; None while too little is known."""
        kept = sorted(self.samples.get(peer, ()))
        if len(kept) < SAMPLES_MIN:
            return None
        return kept[min(len(kept) - 1, (99 * len(kept)) // 100)]

    def usual_s(self, peer: PeerId) -> float | None:
        """The round trip that every second one exceeds; None while none is known."""
        kept = sorted(self.samples.get(peer, ()))
        return kept[len(kept) // 2] if kept else None

    def is_near(self, others: Collection[PeerId], quorum: int, nearest_s: Callable[[PeerId], float | None]) -> bool:
        """Whether a quorum is so near that two messages one after the other cost less than one to each of many.

        The least round trip tells how far a peer is, the others how busy it was: what the network knows of it
        (`nearest_s`), or else the fastest answer.
        """
        known = [nearest_s(peer) or min(self.samples.get(peer, ()), default=None) for peer in others]
        taken = sorted(seconds for seconds in known if seconds is not None)
        return 1 < quorum <= len(taken) + 1 and taken[quorum - 2] < NEAR_S

    def delta_s(self, policy_s: float, others: Collection[PeerId], quorum: int, repeat_s: float = 0.0) -> float:
        """Δ₀ for a committee: `others` are its voters but ourselves. The policy's while too few of them are known.

        At least `repeat_s` (`node.pace`): a node that takes that long for a decision is not late before. Never less
        than the policy's in a large committee: what a vote of so many costs, one question does not show.
        """
        known = sorted(found for peer in others if (found := self.p99_s(peer)) is not None)
        needed = quorum - 1  # with ourselves
        if needed < 1 or len(known) < needed:
            return policy_s
        least_s = policy_s if len(others) >= VOTES_TO_ALL_MAX else policy_s / RATIO_MAX
        return min(RATIO_MAX * policy_s, max(least_s, repeat_s, FACTOR * known[needed - 1] + MARGIN_S))
