"""The stories of the ordering page that broke a draft of the protocol, each with its directed schedule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ordering import (
    Decision,
    FreezeReason,
    Input,
    ProposalClass,
    Propose,
    Received,
    SignedVote,
    Status,
    Timing,
    VoteKind,
)
from tests.sim.bundles import Bytes, Want
from tests.sim.node import Node
from tests.sim.stage import (
    DELTA_S,
    allow,
    cast,
    certificate,
    finish,
    hand,
    is_vote,
    proves,
    restart,
    stage,
    state,
    vote,
)

NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
ROOT = Path(__file__).resolve().parents[2]


def small_talk(payload: object) -> bool:
    """What passes in every schedule: signs of life, and bytes."""
    return isinstance(payload, Status | Want | Bytes)


def test_restart_three_views() -> None:
    """Three voters bound by their own Nullify in views 2, 1 and 0, all restarted: the certificates were kept."""
    sim = stage(3)

    def schedule(source: int, target: int, payload: object) -> bool:
        nullify = {(2, 1, 0), (1, 0, 0), (1, 0, 1)}  # (source, target, view)
        return small_talk(payload) or (
            isinstance(payload, SignedVote) and payload.kind is NULLIFY and (source, target, payload.view) in nullify
        )

    allow(sim, schedule)
    sim.commit(0)
    assert sim.run_until(lambda: all(cast(sim, member, NULLIFY) for member in range(3)) and state(sim, 0).view == 2, 30)
    assert [state(sim, member).view for member in range(3)] == [2, 1, 0]

    restart(sim, 0, 1, 2)

    assert [state(sim, member).view for member in range(3)] == [2, 1, 0]
    assert finish(sim).view <= 2 + 3


def test_finalize_then_crash() -> None:
    """A finalized on a notarization nobody else saw, and crashed: its record brings the value back."""
    sim = stage(4, silent=[3])
    allow(
        sim,
        lambda source, target, payload: (
            small_talk(payload)
            or (isinstance(payload, Propose) and target == 1)
            or (is_vote(payload, NOTARIZE) and target == 0)
            or is_vote(payload, NULLIFY)
        ),
    )
    value = sim.commit(0)
    assert sim.run_until(lambda: state(sim, 0).tally.count(0, NOTARIZE, value) == 2, 5)
    crashed: list[int] = []

    def crash_before_the_finalize_leaves(node: Node, event: Input, effects: object, count: int) -> int | None:
        if node.member == 0 and not crashed and node.disk.guard.step == 1 and isinstance(event, Received):
            crashed.append(0)
            return 1  # after the transaction, before anything is sent
        return None

    sim.crash_rule = crash_before_the_finalize_leaves
    hand(sim, 3, 0, vote(sim, 3, NOTARIZE, 0, value))
    assert crashed
    assert sim.run_until(lambda: cast(sim, 1, NULLIFY) and cast(sim, 2, NULLIFY), 30)
    assert cast(sim, 0, FINALIZE)  # it is back, and remembers

    decision = finish(sim)

    assert (decision.view, decision.id) == (1, value)


def test_j_gap() -> None:
    """Each voter misses another nullification, and a lone certificate moves nobody: whole proofs close the gaps."""
    sim = stage(4)

    def schedule(source: int, target: int, payload: object) -> bool:
        return small_talk(payload) or (
            isinstance(payload, SignedVote) and payload.kind is NULLIFY and target != payload.view
        )

    allow(sim, schedule)
    sim.commit(3)
    assert sim.run_until(lambda: state(sim, 2).view == 2 and state(sim, 3).view == 2, 60)
    assert [state(sim, member).view for member in range(4)] == [0, 1, 2, 2]
    hand(sim, 2, 0, state(sim, 2).nullifications[1])
    assert state(sim, 0).view == 0, "a certificate that completes no proof is no reason to move"
    assert 1 in state(sim, 0).nullifications

    decision = finish(sim)

    assert decision.view <= 2 + 3


def test_notarization_is_proof() -> None:
    """A laggard in view 1 that is shown only the notarization of view 2 enters it at once."""
    sim = stage(4)

    def schedule(source: int, target: int, payload: object) -> bool:
        if target == 3 and state(sim, 3).view == 1:
            return small_talk(payload)
        early = isinstance(payload, Propose) and payload.view < 2
        return not early and not is_vote(payload, FINALIZE) and not isinstance(payload, Decision)

    allow(sim, schedule)
    sim.commit(0)
    assert sim.run_until(lambda: 2 in state(sim, 0).notarizations, 60)
    assert state(sim, 3).view == 1

    hand(sim, 0, 3, state(sim, 0).notarizations[2])

    assert state(sim, 3).view == 2
    finish(sim)


@pytest.mark.parametrize("late", [1, 3], ids=["leader came by notarization", "leader came by nullification"])
def test_certified_split(late: int) -> None:
    """View 0 ended both ways: half the voters entered view 1 on its notarization, half on its nullification."""
    sim = stage(4)
    by_nullification = [member for member in (1, 2, 3) if member != late]

    def schedule(source: int, target: int, payload: object) -> bool:
        if isinstance(payload, Propose):
            return payload.view == 0 and target != 3
        if is_vote(payload, NOTARIZE, 0):
            return target == 0
        return small_talk(payload) or (is_vote(payload, NULLIFY, 0) and target in by_nullification)

    allow(sim, schedule)
    value = sim.commit(0)
    assert sim.run_until(lambda: 0 in state(sim, 0).notarizations and cast(sim, late, NULLIFY), 30)
    hand(sim, 0, late, state(sim, 0).notarizations[0])
    assert sim.run_until(lambda: all(state(sim, member).view == 1 for member in range(4)), 30)
    for member in range(4):
        proof = state(sim, member).proof
        assert proof is not None
        assert (proof.notarization is None) == (member in by_nullification)

    decision = finish(sim)

    assert decision.view <= 1 + 3
    if late == 1:
        assert decision.id == value  # its leader knew the notarization


def test_one_holder_author_gone() -> None:
    """A bundle at one voter that does not lead, its author gone: the holder offers it until the Decision."""
    sim = stage(4)
    instance = state(sim, 3).config.instance
    candidate = sim.group.make(instance, 0, 3, 0)
    sim.kill(3)
    sim.nodes[2].author(0, candidate)

    decision = finish(sim)

    assert decision.id == candidate.id


@pytest.mark.parametrize(("seated", "malicious"), [(4, 2), *((7, count) for count in range(1, 8))])
def test_soft_livelock(seated: int, malicious: int) -> None:
    """Commits that open for few members only cannot keep the views turning: from view f+1 on leaders use their own."""
    faults = (seated - 1) // 3
    sim = stage(seated, silent=[seated - 1], followers=malicious)
    for author in range(seated, seated + malicious):
        opens_for = tuple(member for member in range(seated) if (member + author) % 3 == 0)
        candidate = sim.group.make(state(sim, 0).config.instance, 0, author, 0, opens_for=opens_for)
        for member in (author, author % (seated - 1)):
            sim.nodes[member].author(0, candidate)
    sim.commit(seated - 2)

    assert finish(sim, within_s=600).view <= faults + 2


def test_garbage_alone() -> None:
    """A bundle that opens for nobody keeps no timers burning; a good one an hour later is decided at once."""
    sim = stage(4, timing=Timing(status_period_s=10.0))
    sim.commit(0, opens_for=())
    sim.run_for(3600)
    assert max(state(sim, member).view for member in range(4)) <= 1
    began_s = sim.world.now_s

    sim.commit(2)

    finish(sim)
    assert sim.world.now_s - began_s < 3 * DELTA_S


def test_one_voter_has_nothing() -> None:
    """Two honest voters hold a bundle that only they can open, the third nothing: the next leader's own commit."""
    sim = stage(4, silent=[3])
    sim.commit(1, opens_for=(1, 2))

    assert finish(sim).view <= 3


@pytest.mark.parametrize("count", [1, 3], ids=["class0_opens_for_some", "class0_flood"])
def test_class0_opens_for_some(count: int) -> None:
    """Urgent commits come first, but not for ever when few can open them."""
    sim = stage(4, followers=count)
    sim.commit(2)
    for author in range(4, 4 + count):
        opens_for = tuple(member for member in range(4) if (member + author) % 2)
        urgent = sim.group.make(
            state(sim, 0).config.instance, 0, author, 0, opens_for=opens_for, proposal_class=ProposalClass.URGENT
        )
        for member in (author, 0, 1):
            sim.nodes[member].author(0, urgent)

    assert finish(sim).view <= 3


def test_dead_leader_after_sleep() -> None:
    """After an hour without traffic the leader of view 0 is dead: its silence was heard, it gets no time."""
    sim = stage(4)
    sim.kill(0)
    sim.run_for(3600)
    began_s = sim.world.now_s

    sim.commit(1)

    assert finish(sim).view <= 1
    assert sim.world.now_s - began_s < 2 * DELTA_S


def test_flapping_heard() -> None:
    """A quorum that is heard only half of the time, Δ at its cap: timers pause, they are not set back."""
    timing = Timing(delta_s=60.0)
    sim = stage(4, timing=timing)

    def flap(apart: bool) -> None:
        sim.network.cuts = frozenset()
        if apart:
            sim.network.split([0, 1], [2, 3])
        sim.world.after(10.0 if apart else 2.0, flap, not apart)

    flap(False)
    allow(sim, lambda source, target, payload: not isinstance(payload, Propose))
    sim.commit(3)

    assert sim.run_until(lambda: state(sim, 1).view >= 1, 6 * 2 * 60.0), "the leader timer never fired"


def test_slow_bytes() -> None:
    """Bundles that take a hundred Δ to transfer: a fetch belongs to the id, no view change ends it."""
    sim = stage(4)
    sim.group.bytes_s = 100 * DELTA_S
    sim.commit(1, bytes_s=100 * DELTA_S)

    finish(sim, within_s=3600)


def test_late_votes_count() -> None:
    """The q-th Finalize of view 0 arrives when its receiver is two views further: it decides at once."""
    sim = stage(4)

    def schedule(source: int, target: int, payload: object) -> bool:
        late = isinstance(payload, Propose) and payload.view > 0
        return not late and not is_vote(payload, FINALIZE) and not isinstance(payload, Decision)

    allow(sim, schedule)
    value = sim.commit(0)
    assert sim.run_until(lambda: state(sim, 0).view == 2, 60)
    assert state(sim, 0).decision is None

    hand(sim, 1, 0, vote(sim, 1, FINALIZE, 0, value))
    assert state(sim, 0).decision is None
    hand(sim, 2, 0, vote(sim, 2, FINALIZE, 0, value))

    assert sim.nodes[0].disk.applied == [value]
    assert sim.watch.decided[0].view == 0
    finish(sim)


def test_bad_j_by_relay() -> None:
    """An honest Propose whose justification a relay corrupted is dropped: nobody nullifies because of it."""
    sim = stage(4)
    allow(sim, lambda source, target, payload: not (isinstance(payload, Propose) and payload.view == 0))
    sim.commit(2)
    assert sim.run_until(lambda: all(state(sim, member).view == 1 for member in range(4)), 30)
    entered_s = sim.world.now_s

    def corrupt(source: int, target: int, payload: object) -> object | None:
        if not isinstance(payload, Propose):
            return payload
        first = payload.justification.nullifications[0]
        forged = msgspec.structs.replace(first, signatures=tuple((voter, bytes(64)) for voter, _ in first.signatures))
        false = msgspec.structs.replace(payload.justification, nullifications=(forged,))
        return msgspec.structs.replace(payload, justification=false)

    sim.network.tamper = corrupt
    sim.run_for(1.5 * DELTA_S)  # well before the leader timer of the view
    assert sim.world.now_s - entered_s < 2 * DELTA_S * 1.5
    assert not any(cast(sim, member, NULLIFY) for member in range(4))

    assert finish(sim).view == 1


def test_forged_duplicate() -> None:
    """A forged vote that arrives before the true one takes no slot: with one voter silent, every true vote counts."""
    sim = stage(4, silent=[3])
    instance = state(sim, 0).config.instance
    candidate = sim.group.make(instance, 0, 1, 0)
    for target in (0, 1, 2):
        for source in (0, 1, 2):
            for kind in (NOTARIZE, FINALIZE):
                if source != target:
                    hand(sim, 3, target, SignedVote(instance, kind, 0, source, candidate.id, bytes(64)))
    sim.nodes[1].author(0, candidate)

    assert finish(sim).view == 0


def test_two_certificates_one_decision() -> None:
    """Nodes that hold different finalizations of one value open the same next instance."""
    sim = stage(4, epochs=2)

    def schedule(source: int, target: int, payload: object) -> bool:
        lost = {(3, 0), (3, 2), (0, 1), (0, 3)}
        final = is_vote(payload, FINALIZE) or isinstance(payload, Decision)
        if isinstance(payload, Decision):
            return False
        return not (final and (source, target) in lost)

    allow(sim, schedule)
    sim.commit(0)
    assert sim.run_until(lambda: sim.all_applied(1), 30)
    certificates = {sim.nodes[member].disk.decisions[0].certificate.signatures for member in range(4)}
    assert len(certificates) == 2
    assert len({state(sim, member).config.instance for member in range(4)}) == 1

    sim.network.heal()
    sim.commit(2)

    finish(sim, epochs=2)


def test_guard_after_decision() -> None:
    """A restart in an epoch without votes yet, with one voter gone: the others vote, nobody abstains."""
    sim = stage(4, silent=[3], epochs=2)
    old: list[object] = []

    def remember(source: int, target: int, payload: object) -> object:
        if proves(payload) or isinstance(payload, SignedVote):
            old.append(payload)
        return payload

    sim.network.tamper = remember
    sim.commit(0)
    assert sim.run_until(lambda: sim.all_applied(1), 30)
    restart(sim, 0, 1, 2)
    for member in (0, 1, 2):
        hand(sim, 3, member, *old)

    sim.commit(1)

    finish(sim, epochs=2)
    assert sim.watch.abstentions == []


@pytest.mark.parametrize("seated", [4, 1])
def test_restored_backup(seated: int) -> None:
    """An older guard, and a peer shows a newer vote of ours: abstain. A committee of one then says that it is dead."""
    sim = stage(seated, followers=1)
    sim.stop_on_violation = False
    allow(sim, lambda source, target, payload: small_talk(payload))
    instance = state(sim, 0).config.instance
    forgotten = vote(sim, 0, NOTARIZE, 0, sim.group.make(instance, 0, 0, 0, nonce="forgotten").id)
    candidate = sim.group.make(instance, 0, seated, 0)

    hand(sim, seated, 0, forgotten)

    assert sim.watch.abstentions == [0]
    sim.nodes[0].author(0, candidate)
    sim.run_for(60)
    assert state(sim, 0).own_votes == {}
    restart(sim, 0)
    sim.run_for(60)
    assert state(sim, 0).own_votes == {}, "abstaining survives a restart"


def test_notarized_hard_invalid() -> None:
    """More than f liars notarize garbage: the honest voter freezes with the proof instead of turning views."""
    sim = stage(4, silent=[1, 2, 3])
    sim.stop_on_violation = False
    instance = state(sim, 0).config.instance
    garbage = sim.group.make(instance, 0, 1, 0, hard=False)
    hand(sim, 1, 0, certificate(sim, (1, 2, 3), NOTARIZE, 0, garbage.id))

    sim.nodes[0].author(0, garbage)

    assert [(member, freeze.reason) for member, freeze in sim.watch.freezes] == [(0, FreezeReason.HARD_INVALID)]
    sim.run_for(600)
    assert state(sim, 0).view == 0
    assert state(sim, 0).own_votes == {}


def test_same_seed_two_hashseeds() -> None:
    """One seed gives one trace, whatever the hash seed of the process."""

    def trace(hash_seed: str) -> str:
        arguments = [sys.executable, "-m", "tests.sim", "--trace", "--start", "300", "--count", "12"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    first = trace("1")
    assert len(first.splitlines()) == 12
    assert first == trace("4711")
