"""The state of an instance, its configuration, and the locals of one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ordering.candidates import CandidateFacts
from ordering.certificate import Certificate, Decision
from ordering.committee import Committee
from ordering.errors import MisuseError
from ordering.events import Effect, Persist
from ordering.guard import Guard, Sign
from ordering.justification import Justification
from ordering.limits import CANDIDATES_MAX, VOTES_TO_ALL_MAX
from ordering.messages import Propose
from ordering.naming import instance_id
from ordering.policy import RULES_VERSION, Descriptor
from ordering.records import Freeze, InstanceRecord, Record
from ordering.votes import Tally, Verify, Vote, VoteKind
from ordering.wire import BundleId, InstanceId

VerifyMember = Callable[[int, bytes, bytes], bool]
"""`verify_member(leaf_index, message, signature)` under the leaf's signature key of this epoch."""

DELTA_GROWTH: Final = 1.5
DELTA_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The timer parameters of an instance; `delta_s` is Δ₀, from the policy, refined by the node from round trips."""

    delta_s: float = 0.5
    status_period_s: float = 1.0  # while awake and undecided
    idle_period_s: float = 5.0  # while asleep, and for members without a seat
    collect_max_s: float = 0.05  # the longest a leader waits for rivals of the first candidate
    repeat_min_s: float = 0.0  # before anything is repeated, where decisions take that long anyway; at most Δ₀ counts

    def delta(self, view: int) -> float:
        """Δ of a view: grows by half per view, up to a minute."""
        return _delta(self.delta_s, view)


@lru_cache(maxsize=4096)
def _delta(first_s: float, view: int) -> float:
    return max(first_s, min(DELTA_MAX_S, first_s * DELTA_GROWTH ** min(view, 64)))


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """What never changes in an instance.

    `own_voter` None makes a follower: a member without a seat, which runs the same machine and signs no votes. `sign`
    signs with the own vote key, for a follower with the own leaf key. `boot` grows with every start of the process.

    `through_leader`: this voter tells its votes to the leader first (R16). Where anybody may, `gathers` holds: leaders
    tell everyone what came together, and others need not.
    """

    group_id: bytes
    epoch: int
    prev: bytes
    committee: Committee
    own_voter: int | None
    own_leaf: int
    sign: Sign = field(repr=False)
    verify: Verify = field(repr=False)
    verify_member: VerifyMember | None = field(default=None, repr=False)
    fingerprint: bytes = b""
    boot: int = 0
    timing: Timing = Timing()
    through_leader: bool = False
    gathers: bool = field(init=False)
    descriptor: Descriptor = field(init=False)
    instance: InstanceId = field(init=False)
    quorum: int = field(init=False)
    faults: int = field(init=False)

    def __post_init__(self) -> None:
        if self.committee.rules != RULES_VERSION:
            raise MisuseError(f"the group is on ordering rules {self.committee.rules}; this node runs {RULES_VERSION}")
        if self.own_voter is not None and self.committee.seats[self.own_voter].leaf != self.own_leaf:
            raise MisuseError("the own seat is another leaf's")
        descriptor = self.committee.descriptor
        object.__setattr__(self, "gathers", self.through_leader or self.committee.size > VOTES_TO_ALL_MAX)
        object.__setattr__(self, "descriptor", descriptor)
        object.__setattr__(self, "instance", instance_id(self.group_id, self.epoch, descriptor, self.prev))
        object.__setattr__(self, "quorum", descriptor.quorum)
        object.__setattr__(self, "faults", descriptor.faults)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a member's last Status listed, and the name of the peer it came from."""

    source: str
    candidates: tuple[BundleId, ...]


class InstanceState(msgspec.Struct, frozen=True):
    """Everything an instance knows. Mappings are never changed in place and keep insertion order.

    `clock_s` counts the seconds of the present view during which the timers ran; they run from the last input until
    `armed_until_s` (`timing`). (A Struct, because a step makes several of them and these are made in C.)
    """

    config: InstanceConfig
    guard: Guard

    # R1
    opened: bool = False
    now_s: float = 0.0
    awake_at_s: float | None = None
    wake_at_s: float | None = None  # when the caller should send a Tick

    # R2
    view: int = 0
    proof: Justification | None = None  # of `view`; None until opened
    notarizations: Mapping[int, Certificate] = {}  # by view; the first known of each
    nullifications: Mapping[int, Certificate] = {}

    # This view
    own_votes: Mapping[VoteKind, Vote] = {}
    own_propose: Propose | None = None
    proposal: BundleId | None = None  # of the first good Propose of the view's leader
    spoiled: tuple[int, ...] = ()  # views >= `view` whose leader signed a bad justification
    clock_s: float = 0.0
    armed_until_s: float | None = None
    notarized_clock_s: float | None = None  # `clock_s` when this view's notarization became known
    repeated: bool = False  # something was repeated in this view: its leader alone is not relied on any more (R16)

    # The instance
    tally: Tally = msgspec.field(default_factory=Tally.empty)
    candidates: Mapping[BundleId, CandidateFacts] = {}
    proposed: Mapping[BundleId, int] = {}  # id -> first view it was proposed in
    notarized: tuple[BundleId, ...] = ()  # ids this voter notarized, in any view
    proposed_late: tuple[BundleId, ...] = ()  # ids proposed in views above f, where each resync is preferred once
    collect_since_s: float | None = None  # when the first candidate we could notarize was here
    built_in: int | None = None  # the last view in which the own plain commit was asked for
    decision: Decision | None = None
    handed: bool = False  # the Decision was handed to MLS
    freeze: Freeze | None = None
    accused: tuple[int, ...] = ()  # voters whose contradiction was reported

    # Others
    listening_since_s: float = 0.0
    heard: Mapping[int, float] = {}
    serials: Mapping[tuple[bool, int], int] = msgspec.field(
        default_factory=dict
    )  # (seated, index or leaf) -> last Status
    offers: Mapping[tuple[bool, int], Offer] = msgspec.field(
        default_factory=dict
    )  # sender -> its last Status' candidates
    listed: Mapping[tuple[bool, int], tuple[float, int]] = {}  # lists taken since when
    offered_at_s: Mapping[BundleId, float] = {}  # when we first offered it
    fetched: tuple[BundleId, ...] = ()  # asked for in this Status period
    ignored: tuple[BundleId, ...] = ()  # offered or reported, and not worth keeping; the last few
    answered: Mapping[tuple[bool, int], float] = msgspec.field(
        default_factory=dict
    )  # sender -> last answer to its Status
    next_status_at_s: float | None = None
    status_count: int = 0

    @property
    def leader(self) -> int:
        """The voter index that leads the present view."""
        config = self.config
        return config.committee.leader(config.epoch, self.view)

    @property
    def leads(self) -> bool:
        """Whether this voter leads the present view."""
        return self.leader == self.config.own_voter

    @property
    def can_vote(self) -> bool:
        """Whether this node may cast votes now: seated, awake (R1), undecided (R14), not frozen, not abstaining."""
        return (
            self.awake_at_s is not None
            and self.decision is None
            and self.config.own_voter is not None
            and self.freeze is None
            and not self.guard.abstains(self.config.epoch)
        )

    def settled(self, id: BundleId) -> bool:
        """Whether soft validity of a value is not asked any more: it was notarized, by us or by a quorum."""
        return id in self.notarized or any(c.id == id for c in self.notarizations.values())

    def votable(self, facts: CandidateFacts) -> bool:
        """Whether we could notarize this candidate if it were proposed now."""
        return facts.usable and (facts.soft is True or self.settled(facts.id))

    def records(self) -> tuple[Record, ...]:
        """What must be on disk for `restore` to go on from here."""
        records: list[Record] = [self.guard]
        if self.proof is not None:
            records.insert(0, self.instance_record())
        if self.decision is not None:
            records.append(self.decision)
        if self.freeze is not None:
            records.append(self.freeze)
        return tuple(records)

    def instance_record(self) -> InstanceRecord:
        """The proof of the view, the own votes in it, and what they name (R12)."""
        if self.proof is None:
            raise MisuseError("an instance that was never opened has no record")
        config = self.config
        votes = tuple(vote.signed(config.instance) for vote in self.own_votes.values())
        notarization = self.notarizations.get(self.view) if VoteKind.FINALIZE in self.own_votes else None
        tried = tuple(id for id, view in self.proposed.items() if view < self.view)
        bundles = dict.fromkeys(vote.id for vote in self.own_votes.values() if vote.kind is not VoteKind.NULLIFY)
        return InstanceRecord(
            config.group_id,
            config.epoch,
            config.instance,
            self.view,
            self.proof,
            notarization,
            votes,
            self.own_propose,
            self.notarized[-CANDIDATES_MAX:],
            tried[-CANDIDATES_MAX:],
            tuple(bundles),
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state, and what to do about it: all `Persist` first, as one transaction, then the rest in order."""

    state: InstanceState
    effects: tuple[Effect, ...] = ()


class Work:
    """The locals of one step: the state so far and the effects so far. Never outlives the step."""

    __slots__ = ("config", "effects", "records", "state")

    def __init__(self, state: InstanceState) -> None:
        self.state = state
        self.config = state.config
        self.effects: list[Effect] = []
        self.records: dict[type[Record], bool] = {}

    def set(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.state = replace(self.state, **changes)

    def emit(self, effect: Effect) -> None:
        """One more thing to do after the records are durable."""
        self.effects.append(effect)

    def persist_votes(self) -> None:
        """Before a vote or Propose leaves: the instance as it stands when the step ends, and the guard (R12)."""
        self._persist(InstanceRecord, Guard)

    def persist_guard(self) -> None:
        """The guard alone."""
        self._persist(Guard)

    def persist_decision(self) -> None:
        """The Decision, and the guard beyond the epoch it ends."""
        self._persist(Decision, Guard)

    def persist_freeze(self) -> None:
        """The proof that stops the group."""
        self._persist(Freeze)

    def _persist(self, *kinds: type[Record]) -> None:
        self.records.update(dict.fromkeys(kinds, True))

    def transition(self) -> Transition:
        """Records first (R12), one of each type, then the effects in the order they arose."""
        if not self.records:
            return Transition(self.state, tuple(self.effects))
        persists = tuple(Persist(record) for record in self.state.records() if type(record) in self.records)
        return Transition(self.state, (*persists, *self.effects))
