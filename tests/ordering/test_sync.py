"""Catch-up: chain first, bundles after, epoch by epoch, from peers that may lie or vanish."""

from __future__ import annotations

from msgspec.structs import replace

from ordering import (
    Apply,
    BlamePeer,
    BundleHeld,
    CatchUp,
    CatchUpEffect,
    CatchUpInput,
    CatchUpTick,
    Chain,
    ChainArrived,
    ChainRequest,
    EpochEntered,
    FetchBundle,
    PeerAhead,
    RequestChain,
    answer,
)
from ordering.limits import CHAIN_ENTRIES_MAX
from tests.ordering.chains import GROUP, anchor_after, chain, genesis
from tests.ordering.keys import verify

ENTRIES = chain(5)


class Laggard:
    """A catch-up and what it asked for last."""

    def __init__(self) -> None:
        self.state = CatchUp(verify, genesis())
        self.effects: tuple[CatchUpEffect, ...] = ()

    def give(self, *events: CatchUpInput) -> tuple[CatchUpEffect, ...]:
        for event in events:
            self.state, self.effects = self.state.step(event)
        return self.effects


def served(peer: str = "p", count: int = 5) -> ChainArrived:
    return ChainArrived(1.0, peer, Chain(GROUP, tuple(ENTRIES[:count])))


def held(epoch: int) -> BundleHeld:
    return BundleHeld(2.0, ENTRIES[epoch].decision.id)


def test_a_peer_ahead_is_asked_from_our_anchor_on() -> None:
    request = RequestChain("p", ChainRequest(GROUP, 0, CHAIN_ENTRIES_MAX))
    assert Laggard().give(PeerAhead(0.0, "p", 5)) == (request,)


def test_a_peer_no_further_than_we_is_not_asked() -> None:
    assert Laggard().give(PeerAhead(0.0, "p", 0)) == ()


def test_the_chain_is_verified_then_its_bundles_are_fetched() -> None:
    laggard = Laggard()
    effects = laggard.give(PeerAhead(0.0, "p", 5), served())
    assert [e.id for e in effects if isinstance(e, FetchBundle)] == [entry.decision.id for entry in ENTRIES]
    assert laggard.state.anchor == anchor_after(ENTRIES)


def test_epochs_are_applied_one_after_the_other() -> None:
    """Each only when the one before was drained and left, whatever order the bytes come in."""
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "p", 5), served())
    assert laggard.give(held(1)) == ()
    assert laggard.give(held(0)) == (Apply(ENTRIES[0]),)
    assert laggard.give(held(2)) == ()
    assert laggard.give(EpochEntered(3.0, anchor_after(ENTRIES[:1]))) == (Apply(ENTRIES[1]),)
    assert laggard.give(EpochEntered(3.0, anchor_after(ENTRIES[:2]))) == (Apply(ENTRIES[2]),)
    assert not laggard.state.done


def test_done_when_nothing_is_known_to_be_missing() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "p", 5), served(), *(held(epoch) for epoch in range(5)))
    for epoch in range(1, 6):
        laggard.give(EpochEntered(3.0, anchor_after(ENTRIES[:epoch])))
    assert laggard.state.done


def test_a_short_answer_is_asked_on() -> None:
    laggard = Laggard()
    effects = laggard.give(PeerAhead(0.0, "p", 5), served(count=2))
    assert RequestChain("p", ChainRequest(GROUP, 2, CHAIN_ENTRIES_MAX)) in effects


def test_a_liar_is_blamed_its_truths_kept_and_another_asked() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "honest", 5), PeerAhead(0.0, "liar", 9))
    laggard.give(CatchUpTick(10.0))  # whoever was asked first did not answer; the other is asked
    asked = laggard.state.asked
    assert asked is not None
    bent = (*ENTRIES[:2], replace(ENTRIES[2], body_hash=b"b" * 32))
    effects = laggard.give(PeerAhead(10.0, "third", 5), ChainArrived(11.0, asked, Chain(GROUP, bent)))
    assert [e.peer for e in effects if isinstance(e, BlamePeer)] == [asked]
    assert laggard.state.anchor.epoch == 2
    assert laggard.state.asked == "third"


def test_an_unasked_chain_costs_nothing() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "p", 5))
    assert laggard.give(served("stranger")) == ()
    assert laggard.state.anchor == genesis()


def test_silence_moves_on_to_the_next_peer() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "slow", 5), PeerAhead(0.0, "p", 5))
    assert laggard.state.asked == "slow"
    assert laggard.state.wake_at_s == 5.0
    effects = laggard.give(CatchUpTick(5.0))
    assert [e.peer for e in effects if isinstance(e, RequestChain)] == ["p"]


def test_an_empty_answer_moves_on_too() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "empty", 9), PeerAhead(0.0, "p", 5))
    assert laggard.state.asked == "empty"
    laggard.give(ChainArrived(1.0, "empty", Chain(GROUP, ())))
    assert laggard.state.asked == "p"


def test_deciding_live_overtakes_the_catch_up() -> None:
    laggard = Laggard()
    laggard.give(PeerAhead(0.0, "p", 5), served(count=2))
    laggard.give(EpochEntered(2.0, anchor_after(ENTRIES[:4])))
    assert laggard.state.anchor == anchor_after(ENTRIES[:4])
    assert laggard.state.pending == ()


def test_answers_are_what_was_asked_for() -> None:
    assert answer(ChainRequest(GROUP, 1, 2), ENTRIES) == Chain(GROUP, tuple(ENTRIES[1:3]))
    assert answer(ChainRequest(GROUP, 9, 2), ENTRIES) == Chain(GROUP, ())
