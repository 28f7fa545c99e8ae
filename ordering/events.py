"""What an instance takes in and what it asks to be done.

Times are seconds of one monotonic clock of the caller's, never of a wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from ordering.candidates import CandidateFacts
from ordering.certificate import Decision
from ordering.evidence import Evidence
from ordering.messages import InstanceMessage
from ordering.records import Freeze, Record
from ordering.votes import SignedVote
from ordering.wire import BundleId

# Inputs


@dataclass(frozen=True, slots=True)
class Open:
    """The epoch is entered, or the process restarted in it. First input of every instance (R1).

    `listening_since_s`: since when this node has been able to hear the voters, if before `now_s`; a leader silent for
    longer than that gets no time (zero timer). `heard`: (voter index, when) carried over from other traffic.
    """

    now_s: float
    listening_since_s: float | None = None
    heard: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded message. `source` is the caller's name for the peer it came from; answers are addressed to it."""

    now_s: float
    source: str
    message: InstanceMessage


@dataclass(frozen=True, slots=True)
class Learned:
    """A candidate's facts, the first time or changed."""

    now_s: float
    facts: CandidateFacts


@dataclass(frozen=True, slots=True)
class Heard:
    """Fresh, authenticated traffic of these voters outside this instance (their link answers)."""

    now_s: float
    voters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Speak:
    """Say where we stand at once: somebody has just come into the epoch and waits to hear of us."""

    now_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """`state.wake_at_s` has come. Early and late ticks do no harm."""

    now_s: float


Input = Open | Received | Learned | Heard | Speak | Tick

# Effects, in the order they stand in a transition


@dataclass(frozen=True, slots=True)
class Persist:
    """Make this record durable. All of a step's are one transaction, before anything else of the step (R12).

    At most one of each type per step, and they come first.
    """

    record: Record


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other voter; Decisions and the certificates go to all members. May be lost, is repeated (R10).

    A Decision need go at once only to members without a seat, unless it is `news`: then nobody else may know it yet.
    """

    message: InstanceMessage
    news: bool = False


@dataclass(frozen=True, slots=True)
class Entrust:
    """Send a vote to this voter alone, which leads the view: it tells the others what comes of it (R16)."""

    voter: int
    message: SignedVote


@dataclass(frozen=True, slots=True)
class Send:
    """Answer the peer whose message was taken in under this name."""

    peer: str
    message: InstanceMessage


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get the bytes of a bundle, judge them, and report `Learned` (at once if they are here already).

    `holders` are voter indices likely to have it, best first; `peers` the sources of members without a seat who offer
    it, perhaps the author, perhaps the only ones. Repeated each Status period until the facts say
    `available`; the caller may retry on its own. A fetch belongs to the id: no view change ends it.
    """

    id: BundleId
    holders: tuple[int, ...]
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildOwn:
    """Build the own plain commit: nothing in it that another honest member could fail to open (R3).

    Answered with `Learned` whose facts name the own leaf and this ordinal, never or later if it takes time. Asked once
    in each view led; the same candidate serves them all, is stored, and is reported again after a restart.
    """

    ordinal: int


@dataclass(frozen=True, slots=True)
class Decided:
    """The epoch is over: hand this bundle to MLS. Its bytes are available and hard-valid; the record is persisted.

    Emitted once per instance and start of the process.
    """

    decision: Decision


@dataclass(frozen=True, slots=True)
class Frozen:
    """More liars than the committee tolerates (R9): membership stops here. Keep the proofs, tell the user."""

    freeze: Freeze


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """A voter contradicted itself. `evidence.leaf_node` is for the node to fill in."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Abstained:
    """A vote of ours that we do not remember was shown: a restored backup or a clone.

    Nothing is signed up to and in `epoch`. With `hopeless` (a committee of one) that never comes: the group can no
    longer change; found a successor.
    """

    epoch: int
    hopeless: bool


Effect = Persist | Broadcast | Entrust | Send | Fetch | BuildOwn | Decided | Frozen | EvidenceFound | Abstained
