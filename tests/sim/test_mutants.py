"""Rules taken out one at a time: a directed schedule must notice each, or it guards nothing.

Random liars rarely find such a hole, so every schedule is made for its mutant; beside it stands the same schedule
with the rule in place.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

import ordering.instance
from ordering import (
    Decision,
    Guard,
    Justification,
    Propose,
    VoteKind,
    proposing,
    speaking,
    voting,
)
from ordering.guard import Position, Sign
from ordering.messages import propose_bytes
from ordering.state import InstanceState, Work
from ordering.votes import Tally
from tests.sim import test_stories
from tests.sim.bundles import Want
from tests.sim.simulation import Simulation
from tests.sim.stage import DELTA_S, allow, cast, certificate, hand, is_vote, proves, stage, state, vote

NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY


def decided_values(sim: Simulation) -> set[bytes]:
    """The different bundles that honest members decided in epoch 0."""
    return {node.disk.decisions[0].id for node in sim.nodes.values() if 0 in node.disk.decisions}


# R4: a proposal needs a justification that permits it.


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


def test_a_proposal_against_its_justification_is_refused() -> None:
    """With the rule in place: the honest voters nullify at once, and x stays the only value."""
    sim = propose_against_a_finalized_value()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1
    assert cast(sim, 2, NULLIFY)


def test_mutant_no_justification_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a leader overturns a decided value."""
    monkeypatch.setattr(Justification, "permits", lambda self, id: True)

    sim = propose_against_a_finalized_value()

    assert len(decided_values(sim)) == 2
    assert any(violation.startswith("fork:") for violation in sim.watch.violations)


# R7 and the guard: never both Finalize and Nullify in one view.


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


def finalize_whatever_was_cast(work: Work) -> bool:
    """R6 without its last condition."""
    current = work.state
    notarization = current.notarizations.get(current.view)
    if not current.can_vote or notarization is None or FINALIZE in current.own_votes:
        return False
    facts = current.candidates.get(notarization.bundle)
    return facts is not None and facts.usable and voting.cast(work, FINALIZE, facts.id)


def sign_anything(self: Guard, position: Position, message: bytes, sign: Sign) -> tuple[Guard, bytes]:
    """A guard that guards nothing."""
    signature = sign(message)
    return Guard(self.group_id, *max(position, self.position), message, signature), signature


def mutate_finalize(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tuple(finalize_whatever_was_cast if rule is voting.finalize else rule for rule in ordering.instance._RULES)
    monkeypatch.setattr(ordering.instance, "_RULES", rules)


def test_nobody_finalizes_a_view_it_nullified() -> None:
    """With the rules in place x is not decided, so another value may be."""
    sim = notarization_after_nullify()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1


def test_mutant_finalize_after_nullify_is_stopped_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard refuses what the broken rule asks for: two nets, one hole."""
    mutate_finalize(monkeypatch)

    sim = notarization_after_nullify()

    assert sim.watch.violations == []
    assert len(decided_values(sim)) == 1


def test_mutant_finalize_after_nullify_without_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both nets gone two values are decided."""
    mutate_finalize(monkeypatch)
    monkeypatch.setattr(Guard, "sign", sign_anything)

    sim = notarization_after_nullify()

    assert any(violation.startswith("double vote:") for violation in sim.watch.violations)
    assert len(decided_values(sim)) == 2
    assert any(violation.startswith("fork:") for violation in sim.watch.violations)


# R12: certificates are durable with the votes they explain.


def test_mutant_certificates_not_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voters bound by their Nullify in three views, without the certificates that could move them: dead for ever."""
    resume = ordering.instance._resume

    def forget(fresh: InstanceState, record: Any) -> InstanceState:
        resumed = resume(fresh, record)
        own = Tally.empty()
        for ballot in resumed.own_votes.values():
            own = own.add(ballot)
        return msgspec.structs.replace(
            resumed, notarizations={}, nullifications={}, tally=own, proof=fresh.proof, own_propose=None
        )

    monkeypatch.setattr(ordering.instance, "_resume", forget)

    with pytest.raises(AssertionError, match="no progress"):
        test_stories.test_restart_three_views()


# R15: holders offer what they have.


def test_mutant_no_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle at one voter that does not lead, and nobody else ever hears of it."""
    monkeypatch.setattr(speaking, "STATUS_CANDIDATES_MAX", 0)

    with pytest.raises(AssertionError, match="no progress"):
        test_stories.test_one_holder_author_gone()


# R3: from view f+1 on the leader's own plain commit.


def test_mutant_no_own_plain_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaders propose for ever what they alone can open."""
    choose = proposing._choose

    def without_plain(work: Work, justification: Justification) -> Any:
        patient = replace(work.state.config, boot=work.state.config.boot)
        object.__setattr__(patient, "faults", 10**6)
        state_before = work.state
        work.state = msgspec.structs.replace(state_before, config=patient)
        try:
            return choose(work, justification)
        finally:
            work.state = msgspec.structs.replace(work.state, config=state_before.config)

    monkeypatch.setattr(proposing, "_choose", without_plain)

    with pytest.raises(AssertionError):
        test_stories.test_one_voter_has_nothing()


# The instance is bound to the decided bundle, not to a certificate of it.


def test_mutant_certificate_hash_in_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that hold different finalizations of one value would open different instances: caught as a fork."""
    from tests.sim.node import Node

    commit = Node._commit

    def bind_to_certificate(self: Node, epoch: int, effects: Any) -> None:
        commit(self, epoch, effects)
        if len(self.disk.applied) > epoch:
            self.disk.applied[epoch] = sha256(self.disk.decisions[epoch].encode()).digest()  # type: ignore[call-overload]

    monkeypatch.setattr(Node, "_commit", bind_to_certificate)

    with pytest.raises(Exception, match="agreement: "):
        test_stories.test_two_certificates_one_decision()
