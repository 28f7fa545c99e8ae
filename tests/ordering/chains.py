"""A decided chain of some epochs, with bundles, for the log, catch-up and joining."""

from __future__ import annotations

from ordering import Anchor, Bundle, Candidate, Decision, LogEntry, Policy, Seat, VoteKind, elect
from ordering.candidates import candidate_bytes
from ordering.certificate import certify
from ordering.committee import Committee
from ordering.naming import instance_id
from ordering.votes import Vote, vote_bytes
from tests.ordering.keys import Key

GROUP = b"chained group"
AUTHOR = Key.of("author")
AUTHOR_LEAF = 0


def committee_of(epoch: int) -> Committee:
    """One more member each epoch, so committees change: 1, 1, 3, 4, 4, 4, 7, …"""
    seats = [Seat(leaf, f"member {leaf}".encode(), Key.of(f"voter {leaf}").public, leaf) for leaf in range(epoch + 1)]
    return elect(Policy(), seats)


def bundle_of(epoch: int) -> Bundle:
    """The bundle that ends an epoch."""
    return Bundle(f"commit {epoch}".encode(), (), f"welcome {epoch}".encode(), committee_of(epoch + 1).descriptor)


def decide(anchor: Anchor, committee: Committee, bundle: Bundle, view: int = 0) -> Decision:
    """A Decision by the last q voters."""
    descriptor = committee.descriptor
    instance = instance_id(GROUP, anchor.epoch, descriptor, anchor.prev)
    id = bundle.id(instance)
    ballots = [
        Vote(
            VoteKind.FINALIZE,
            view,
            voter,
            id,
            Key.of(f"voter {seat.leaf}").sign(vote_bytes(instance, VoteKind.FINALIZE, view, voter, id)),
        )
        for voter, seat in enumerate(committee.seats)
    ]
    certificate = certify(instance, ballots[-descriptor.quorum :], descriptor.quorum)
    return Decision(GROUP, anchor.epoch, anchor.prev, descriptor, certificate)


def genesis() -> Anchor:
    return Anchor.genesis(GROUP, b"tree hash", committee_of(0).descriptor)


def chain(length: int) -> list[LogEntry]:
    """Epochs 0 .. length - 1."""
    anchor, entries = genesis(), []
    for epoch in range(length):
        bundle = bundle_of(epoch)
        entry = LogEntry.of(decide(anchor, committee_of(epoch), bundle), bundle)
        entries.append(entry)
        anchor = Anchor(GROUP, epoch + 1, entry.decision.id, bundle.descriptor)
    return entries


def anchor_after(entries: list[LogEntry]) -> Anchor:
    last = entries[-1]
    return Anchor(GROUP, last.decision.epoch + 1, last.decision.id, last.announced)


def candidate_of(entry: LogEntry) -> Candidate:
    """The signed candidate whose bundle an entry decided."""
    decision = entry.decision
    bundle = bundle_of(decision.epoch)
    signature = AUTHOR.sign(candidate_bytes(decision.id, 0))
    return Candidate(decision.instance, AUTHOR_LEAF, 0, bundle, signature)
