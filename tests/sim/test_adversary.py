"""What an adversary without keys can do to a machine: bend every kind of message, replay, and flood."""

from __future__ import annotations

from random import Random

import pytest

from ordering import (
    Bundle,
    BundleId,
    Candidate,
    CandidateFacts,
    Certificate,
    Chain,
    ChainRequest,
    Decision,
    Justification,
    Learned,
    LogEntry,
    MalformedError,
    Message,
    MessageKind,
    ProposalClass,
    Propose,
    SignedVote,
    Status,
    VoteKind,
    decode_message,
    encode_message,
    is_instance_message,
)
from ordering.limits import CANDIDATES_MAX, OFFERING_MEMBERS_MAX, VIEWS_AHEAD_MAX
from tests.sim.draw import draw
from tests.sim.mutate import bend_bytes, bend_field, mutate
from tests.sim.network import Weather
from tests.sim.simulation import Simulation
from tests.sim.stage import finish, hand, stage, state, vote

BENT = 300


def samples() -> dict[MessageKind, Message]:
    """One message of every kind, out of a run; catch-up's are made.

    A proof of one certificate: of several, those that are not bent are true, and who is shown true votes of its own
    that it does not know abstains, as it should.
    """
    seen: dict[MessageKind, Message] = {}

    def look(source: int, target: int, payload: object) -> object:
        if isinstance(payload, Justification) and len(tuple(payload.certificates())) > 1:
            return payload
        if isinstance(payload, SignedVote | Propose | Certificate | Justification | Status | Decision):
            data = encode_message(payload)
            known = seen.get(MessageKind(data[0]))
            if known is None or len(data) > len(encode_message(known)):
                seen[MessageKind(data[0])] = payload
        return payload

    for loss in (0.0, 0.5):
        sim = stage(4)
        sim.network.weather = Weather(loss=loss)
        sim.network.tamper = look
        id = sim.commit(2)
        sim.run_for(8)
        finish(sim)
    decision = sim.watch.decided[0]
    bundle: Bundle = sim.group.verdicts[decision.id].candidate.bundle
    candidate: Candidate = sim.group.verdicts[id].candidate
    seen[MessageKind.CANDIDATE] = candidate
    seen[MessageKind.CHAIN_REQUEST] = ChainRequest(b"group", 3, 7)
    seen[MessageKind.CHAIN] = Chain(b"group", (LogEntry.of(decision, bundle),))
    return seen


SAMPLES = samples()


@pytest.mark.parametrize("kind", MessageKind)
def test_a_bent_message_is_refused_or_is_another_message(kind: MessageKind) -> None:
    """Byte for byte and field for field: never an exception of another kind, never two encodings of one value."""
    message = SAMPLES[kind]
    read = 0
    for number in range(BENT):
        chance = Random(f"{kind} {number}")
        for bend in (bend_bytes, bend_field):
            try:
                bent = bend(chance, message)
            except (MalformedError, ValueError, TypeError):
                continue
            read += 1
            data = encode_message(bent)
            assert encode_message(decode_message(data)) == data
    assert read > BENT // 10


@pytest.mark.parametrize("kind", [kind for kind in MessageKind if is_instance_message(SAMPLES[kind])])
def test_bent_messages_change_nothing_that_counts(kind: MessageKind) -> None:
    """A machine that is given hundreds of them has cast nothing, knows no certificate, and decides as if they were
    nothing."""
    sim = stage(4)
    instance = state(sim, 0).config.instance
    assert SAMPLES[kind].instance == instance  # type: ignore[union-attr]
    for number in range(BENT):
        bent = mutate(Random(f"{kind} {number} fed"), SAMPLES[kind])
        if bent is not None and is_instance_message(bent):
            hand(sim, 3, 0, bent)
    sim.commit(1)
    finish(sim)
    assert sim.watch.violations == []


def test_a_flood_does_not_grow_a_machine() -> None:
    """Votes for far views, forged ones, offers without end, facts without end: all have a bound."""
    sim = stage(4, followers=1)
    before = state(sim, 0)
    instance = before.config.instance
    for number in range(3000):
        id = bytes([number % 256, number // 256]) * 16
        hand(sim, 3, 0, vote(sim, 3, VoteKind.NOTARIZE, 3 + number, id))
        hand(sim, 3, 0, SignedVote(instance, VoteKind.FINALIZE, 0, number % 4, id, bytes(64)))
    for number in range(CANDIDATES_MAX * 2):
        facts = CandidateFacts(
            BundleId(bytes([number % 256, number // 256]) * 16),
            number % 5,
            0,
            ProposalClass.ORDINARY,
            -1,
            hard=False,
            soft=None,
            available=True,
        )
        sim.nodes[0].give(Learned(sim.nodes[0].clock_s, facts))
    after = state(sim, 0)
    assert all(view <= after.view + VIEWS_AHEAD_MAX for view, _ in after.tally.ballots)
    assert sum(len(votes) for votes in after.tally.ballots.values()) <= 3 * 4 * (VIEWS_AHEAD_MAX + 1)
    assert len(after.candidates) <= CANDIDATES_MAX
    assert len(after.offers) <= 4 + OFFERING_MEMBERS_MAX
    assert len(after.ignored) <= 128
    sim.commit(1)
    finish(sim)


def test_the_adversary_is_at_work_in_drawn_runs() -> None:
    """A switch that does nothing would be a green light."""
    replayed = bent = flooded = 0
    for seed in range(60):
        run = Simulation(draw(seed, seated=4, mutation_chance=0.1, replay_chance=0.05, flood_chance=0.01))
        assert run.run().passed
        replayed += run.adversary.replayed
        bent += run.adversary.bent
        flooded += run.adversary.flooded
    assert min(replayed, bent, flooded) > 50
