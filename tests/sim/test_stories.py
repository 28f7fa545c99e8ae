"""The stories of the ordering page that broke a draft of the protocol, each with its directed schedule."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from ordering import (
    Decision,
    Guard,
    Justification,
    Propose,
    Status,
    Timing,
    VoteKind,
    create,
)
from ordering.messages import propose_bytes
from tests.sim.bundles import Bytes, Want
from tests.sim.simulation import Simulation
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
from tests.sim.toy import GROUP_ID

NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
ROOT = Path(__file__).resolve().parents[2]


def small_talk(payload: object) -> bool:
    """What passes in every schedule: signs of life, and bytes."""
    return isinstance(payload, Status | Want | Bytes)


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


def decided_values(sim: Simulation) -> set[bytes]:
    """The different bundles that honest members decided in epoch 0."""
    return {node.disk.decisions[0].id for node in sim.nodes.values() if 0 in node.disk.decisions}


def propose_against_a_finalized_value() -> Simulation:
    """n=4, liar 1: member 0 decides x in view 0; then the liar, who leads view 1, proposes y on a J that names x."""
    sim = stage(4, silent=[1])
    sim.stop_on_violation = False
    allow(
        sim,
        lambda source, target, payload: (
            (not isinstance(payload, Decision) and not is_vote(payload, FINALIZE)) or (target == 0 and source == 2)
        ),
    )
    x = sim.commit(0)
    assert sim.run_until(lambda: cast(sim, 0, NOTARIZE) and cast(sim, 2, NOTARIZE), 5)
    for target in (0, 2, 3):
        hand(sim, 1, target, vote(sim, 1, NOTARIZE, 0, x), *([vote(sim, 1, FINALIZE, 0, x)] if target == 0 else []))
    assert sim.run_until(lambda: 0 in sim.nodes[0].disk.decisions, 5)
    assert sim.run_until(lambda: all(0 in state(sim, member).notarizations for member in (2, 3)), 5)

    config = state(sim, 2).config
    y = sim.group.make(config.instance, 0, 1, 0)
    for member in (2, 3):
        sim.nodes[member].author(0, y)
    lie = Justification(config.instance, 1, state(sim, 2).notarizations[0], ())
    sign = sim.group.keys.signer(sim.group.vote_keys[1])
    notarize = vote(sim, 1, NOTARIZE, 1, y.id)
    signature = sign(propose_bytes(config.instance, 1, 1, y.id, lie.hash))
    sim.watch.proposed[y.id] = 1
    allow(sim, lambda source, target, payload: 0 not in (source, target))
    for target in (2, 3):
        hand(sim, 1, target, Propose(config.instance, 1, 1, y.id, lie, notarize.signature, signature))
        hand(sim, 1, target, vote(sim, 1, FINALIZE, 1, y.id))
    sim.run_for(3 * DELTA_S)
    return sim


def test_proposal_against_its_justification() -> None:
    """The honest voters nullify at once, and x stays the only value."""
    sim = propose_against_a_finalized_value()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1
    assert cast(sim, 2, NULLIFY)


def notarization_after_nullify() -> Simulation:
    """n=4, liar 3: 0 finalized x in view 0; 1 and 2 nullified it, then 2 is shown the notarization of x."""
    sim = stage(4, silent=[3])
    sim.stop_on_violation = False
    allow(
        sim,
        lambda source, target, payload: (
            (
                (
                    not proves(payload)
                    and not is_vote(payload, FINALIZE)
                    and not is_vote(payload, NULLIFY)
                    and not is_vote(payload, NOTARIZE)
                )
                and not (isinstance(payload, Want) and source == 1)
            )
            or (isinstance(payload, Propose) and target == 2)
        ),
    )
    x = sim.commit(0)
    y = sim.group.make(state(sim, 1).config.instance, 0, 1, 0)
    for member in (1, 2):
        sim.nodes[member].author(0, y)
    assert sim.run_until(lambda: cast(sim, 1, NULLIFY) and cast(sim, 2, NULLIFY), 30)
    hand(sim, 3, 0, vote(sim, 2, NOTARIZE, 0, x), vote(sim, 3, NOTARIZE, 0, x), vote(sim, 3, FINALIZE, 0, x))
    assert cast(sim, 0, FINALIZE) or cast(sim, 0, NULLIFY)
    hand(sim, 3, 2, certificate(sim, (0, 2, 3), NOTARIZE, 0, x))
    finalized = state(sim, 2).own_votes.get(FINALIZE)
    if finalized is not None:
        hand(sim, 2, 0, finalized.signed(state(sim, 2).config.instance))
    # On the other side of the split, the nullification, and the next view without the one who knows.
    sim.network.split([0], [1, 2])
    sim.network.tamper = None
    hand(sim, 3, 1, vote(sim, 2, NULLIFY, 0), vote(sim, 3, NULLIFY, 0))
    hand(sim, 3, 2, certificate(sim, (1, 2, 3), NULLIFY, 0))
    for target in (1, 2):
        for kind in (NOTARIZE, FINALIZE):
            hand(sim, 3, target, vote(sim, 3, kind, 1, y.id))
    sim.run_for(0.4)
    return sim


def test_notarization_after_nullify() -> None:
    """Nobody finalizes a view it nullified: x is not decided, so another value may be."""
    sim = notarization_after_nullify()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1


def test_grind_schedule() -> None:
    """Whatever bundle a winner makes of ten thousand, the leaders of the next epoch are who they are (R3)."""
    sim = stage(4)
    config = state(sim, 0).config
    leaders = {
        create(
            dataclasses.replace(config, epoch=1, prev=sha256(b"%d" % attempt).digest()), Guard.fresh(GROUP_ID)
        ).leader
        for attempt in range(10_000)
    }

    assert leaders == {1}
