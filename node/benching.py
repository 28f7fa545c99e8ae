"""The bench: passing over voters that do not come back, and coming back from it. What this node wants by itself.

A voter that was not heard for `ordering.bench_after_s` is benched by whichever voter notices first; each waits a
little longer than the setting, by a share of its own, so that not all come at once. By itself a node benches only
where somebody takes the seat: a committee that would survive less for it is left to people (`conclave group bench`),
or else whoever keeps voters off the net for a day could make every committee small. The exception is a change
somebody asked for and that would elect sleepers: those are benched along with it.
"""

from collections.abc import Iterator
from typing import Final

from mls import Group, sha256
from node.context import NodeContext
from node.electorate import is_benched, seats_of, voting_of
from node.intents import BENCH, UPDATE
from node.peer_id import PeerId
from node.policies import BenchBody
from node.presence import HEARD_FOR_ELECTION_S
from ordering import BenchEntry, Committee, OrderingError, Policy, Seat, elect

PERIOD_S: Final = 60.0  # between two looks; and a 24th of the time after which a voter is benched, if longer
LATER: Final = 0.25  # at most so much of that time is waited for others to be first


def period_s(context: NodeContext) -> float:
    """How long to wait between two looks."""
    return max(PERIOD_S, context.config.ordering.bench_after_s / 24)


def wishes(context: NodeContext, group: Group, sleepers: tuple[BenchEntry, ...]) -> Iterator[tuple[str, bytes]]:
    """The intents, kind and body, that this node should have now. `sleepers` stand in the way of a change of ours."""
    voting = voting_of(group.public)
    if is_benched(group.public, group.own_leaf):
        yield UPDATE, b""  # any commit of ours brings us back
    if not _has_quorum(context, voting.committee):
        return
    after_s = context.config.ordering.bench_after_s
    offers = seats_of(group.public)
    seated = voting.committee.voter_of_leaf(group.own_leaf) is not None
    for seat in offers:
        entry, peer = BenchEntry(seat.leaf, seat.since), seat.identity.decode()
        if entry in voting.policy.bench or seat.leaf == group.own_leaf:
            continue
        in_the_way = entry in sleepers and context.unheard_for(peer, after_s)
        overdue = seated and context.unheard_for(peer, after_s * (1 + LATER * share(context.identity.peer_id, peer)))
        if in_the_way or (overdue and loses_nothing(context, voting.policy, offers, voting.committee, entry)):
            yield BENCH, BenchBody(entry).encode()
            return  # the next one is judged by what this one leads to


def share(own: PeerId, other: PeerId) -> float:
    """From 0 to 1, another at every node: how long it leaves a silent voter to others."""
    return int.from_bytes(sha256(f"{own} {other}".encode())[:2], "big") / 0xFFFF


def loses_nothing(
    context: NodeContext, policy: Policy, offers: tuple[Seat, ...], present: Committee, entry: BenchEntry
) -> bool:
    """Whether the committee without that seat survives as many liars, and as many more absences, as the present one."""
    try:
        without = elect(policy.with_bench(entry), offers)
    except OrderingError:
        return False
    return without.faults >= present.faults and _slack(context, without) >= _slack(context, present)


def _slack(context: NodeContext, committee: Committee) -> int:
    """How many of those heard lately may still go."""
    return _heard(context, committee) - committee.quorum


def _has_quorum(context: NodeContext, committee: Committee) -> bool:
    return _heard(context, committee) >= committee.quorum


def _heard(context: NodeContext, committee: Committee) -> int:
    return sum(context.heard_within(seat.identity.decode(), HEARD_FOR_ELECTION_S) for seat in committee.seats)
