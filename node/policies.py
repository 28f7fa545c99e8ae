"""What somebody wants of the ordering policy: an intent's body, and the policy that comes of it. Pure functions."""

from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from mls import PublicGroup
from node.authority import may_amend
from node.electorate import RuleError, policy_of, seats_of, voting_of
from ordering import COMMITTEE_MAX, BenchEntry, Model, OrderingError, Policy, PolicyKind, Wire, elect


class PolicyBody(Wire, frozen=True):
    """How the policy should be; what is None stays as it is. Naming a kind replaces the pins."""

    SIZE_MAX: ClassVar[int] = 8 * 1024

    kind: PolicyKind | None = None
    pins: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...], Meta(max_length=COMMITTEE_MAX)] = ()
    model: Model | None = None
    size_max: Annotated[int, Meta(ge=1, le=COMMITTEE_MAX)] | None = None
    delta_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None

    def __post_init__(self) -> None:
        if (self.kind is PolicyKind.PINNED) != bool(self.pins):
            raise ValueError("pins go with the pinned policy, and it needs some")


class BenchBody(Wire, frozen=True):
    """Which voter to pass over."""

    SIZE_MAX: ClassVar[int] = 64

    entry: BenchEntry


def amended(policy: Policy, wish: PolicyBody) -> Policy:
    """The policy with a wish fulfilled; raises `RuleError` for one that contradicts itself."""
    kept = {"model": wish.model, "size_max": wish.size_max, "delta_ms": wish.delta_ms}
    changes: dict[str, object] = {name: value for name, value in kept.items() if value is not None}
    if wish.kind is not None:
        pins = tuple(pin.encode() for pin in wish.pins)
        changes |= {"pins": pins, "everyone": wish.kind is PolicyKind.ALL}
    try:
        return replace(policy, **changes)
    except ValueError as error:
        raise RuleError(f"ordering policy: {error}") from error


def pruned(policy: Policy, public: PublicGroup) -> Policy:
    """Without the bench entries that name no offer of the tree any more."""
    willing = {BenchEntry(seat.leaf, seat.since) for seat in seats_of(public)}
    return policy.benching(willing.intersection(policy.bench))


def check_wish(public: PublicGroup, own_leaf: int, policy: Policy) -> None:
    """Whether we may change the policy to this, as far as the present tree can tell; raises `RuleError`."""
    voting = voting_of(public)
    if not may_amend(public, voting, own_leaf):
        who = "a pinned member" if voting.policy.kind is PolicyKind.PINNED else "a voter"
        raise RuleError(f"only {who} may change the ordering policy")
    try:
        elect(policy, seats_of(public))
    except OrderingError as error:
        raise RuleError(f"with that policy nobody could vote: {error}") from error


def is_wanted(public: PublicGroup, entry: BenchEntry) -> bool:
    """Whether a bench entry would still pass somebody over: the offer it names stands, and it is not there yet."""
    offers = {BenchEntry(seat.leaf, seat.since) for seat in seats_of(public)}
    return entry in offers and entry not in policy_of(public.extensions).bench
