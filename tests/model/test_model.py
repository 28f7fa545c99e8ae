"""The ordering rules, searched exhaustively by SPIN, and the real core held against them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import ordering.instance
from ordering import InstanceRecord, VoteKind, progress, voting
from ordering.guard import Guard, Position, Sign
from ordering.state import InstanceState, Work
from tests.model import spin
from tests.model.__main__ import main
from tests.model.agreement import COMPARED, python_edges
from tests.model.relation import (
    GENESIS,
    Action,
    Ballot,
    Committee,
    Instance,
    Kind,
    Relation,
    Rule,
    Slot,
    Voter,
    World,
)
from tests.model.replay import Disallowed, replay
from tests.model.runs import MUTANTS, RULES, Run

SEEDS = 120

needs_spin = pytest.mark.skipif(spin.missing(), reason=spin.MISSING)


@needs_spin
@pytest.mark.parametrize("run", RULES, ids=lambda run: run.name)
def test_the_rules_keep_every_promise(run: Run) -> None:
    """Whatever the network, the liars, crashes and timers do, within these bounds."""
    result = spin.search(run)

    assert result.broken is None
    assert result.states > 10_000


@needs_spin
@pytest.mark.parametrize("run", MUTANTS, ids=lambda run: run.name)
def test_a_mutant_breaks_the_promise_that_its_rule_keeps(run: Run) -> None:
    """A search that finds nothing says something only if it would have found this."""
    assert spin.search(run).broken == run.breaks


@needs_spin
@pytest.mark.parametrize("run", COMPARED, ids=lambda run: run.name)
def test_python_and_spin_have_the_same_transitions(run: Run) -> None:
    """What the core is held against is what was searched."""
    ours, theirs = python_edges(run), spin.edges(run)

    assert len(ours) > 300
    assert ours == theirs


def test_the_command_says_how_to_get_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It installs nothing by itself."""
    monkeypatch.setattr("tests.model.__main__.missing", lambda: True)

    assert main(["--quick"]) == 2
    assert "apt-get install spin gcc" in capsys.readouterr().err


def test_every_step_of_the_simulated_core_is_allowed() -> None:
    """n = 4, drawn faults and liars; and every rule is used."""
    used = replay(range(SEEDS))

    assert {rule for rule in Rule if used[rule.value]} == set(Rule)
    assert used.total() > 20 * SEEDS


@pytest.mark.parametrize("seated", [3, 5, 7])
def test_other_committees_are_allowed_no_more(seated: int) -> None:
    """The relation knows no sizes."""
    assert replay(range(30), seated=seated).total() > 400


def test_the_replay_notices_a_nullify_with_the_notarization_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """R7, and nothing that the simulator's own watch would see: such a core forks nothing, but wastes views."""

    def nullify(work: Work) -> bool:
        state = work.state
        cast = VoteKind.FINALIZE in state.own_votes or VoteKind.NULLIFY in state.own_votes
        if not state.can_vote or cast or not (state.view in state.notarizations or voting._overdue(state)):
            return False
        return voting.cast(work, VoteKind.NULLIFY)

    _replace_rule(monkeypatch, voting.nullify, nullify)

    with pytest.raises(Disallowed, match=r"NULLIFY.* is not allowed"):
        replay(range(40))


def test_the_replay_notices_a_view_entered_without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """R8 brought forward: a voter that nullified moves on, whether others did or not."""

    def give_up_waiting(work: Work) -> bool:
        state = work.state
        if VoteKind.NULLIFY not in state.own_votes or state.decision is not None:
            return False
        work.set(view=state.view + 1, own_votes={}, own_propose=None, proposal=None, clock_s=0.0)
        return True

    _replace_rule(monkeypatch, progress.give_up_waiting, give_up_waiting)

    with pytest.raises(Disallowed):
        replay(range(40))


def test_the_replay_notices_forgotten_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """R12: a restart without the own votes, under a guard that guards nothing."""
    resume = ordering.instance._resume

    def forget(fresh: InstanceState, record: InstanceRecord) -> InstanceState:
        return replace(resume(fresh, record), own_votes={}, own_propose=None, proposal=None)

    def sign(self: Guard, position: Position, message: bytes, sign: Sign) -> tuple[Guard, bytes]:
        signature = sign(message)
        return Guard(self.group_id, *max(position, self.position), message, signature), signature

    monkeypatch.setattr(ordering.instance, "_resume", forget)
    monkeypatch.setattr(Guard, "sign", sign)

    with pytest.raises(Disallowed, match="is in view"):
        replay(range(40))


def _replace_rule(monkeypatch: pytest.MonkeyPatch, rule: object, mutant: object) -> None:
    rules = tuple(mutant if known is rule else known for known in ordering.instance._RULES)
    assert rules != ordering.instance._RULES
    monkeypatch.setattr(ordering.instance, "_RULES", rules)


# The relation, said aloud


FOUR = Relation(lambda epoch: Committee(quorum=3, liars=1, seats=frozenset(range(3))))


def world(*voters: Voter, **votes: int) -> World:
    """Three honest voters of four; votes by kind for value 1 in view 0."""
    return World(
        (*voters, *[Voter()] * (3 - len(voters))),
        {Slot(GENESIS, 0, Kind[kind.upper()], 0 if kind == "nullify" else 1): bits for kind, bits in votes.items()},
    )


def test_two_honest_votes_and_a_liar_make_a_certificate() -> None:
    """q = 3: what can exist is counted, not what was seen."""
    assert not FOUR.certified(world(notarize=0b001), GENESIS, 0, Kind.NOTARIZE, 1)
    assert FOUR.certified(world(notarize=0b011), GENESIS, 0, Kind.NOTARIZE, 1)


def test_a_justification_cannot_jump_over_a_view() -> None:
    """A nullification of every view between, or none of the view's notarization."""
    notarized, nullified = world(notarize=0b011), world(nullify=0b011)

    assert FOUR.permits(notarized, GENESIS, 1, 1)
    assert not FOUR.permits(notarized, GENESIS, 1, 2)
    assert FOUR.permits(nullified, GENESIS, 1, 2)
    assert not FOUR.reached(world(), GENESIS, 1)
    assert not FOUR.reached(nullified, GENESIS, 2)


def test_the_verdict_is_asked_while_the_value_is_fresh() -> None:
    """R4: what a quorum notarized is notarized again, opens it or not."""
    closed = Action(Rule.NOTARIZE, 1, opens=False)

    assert not FOUR.allows(world(), 2, closed)
    assert FOUR.allows(world(notarize=0b011), 2, closed)


def test_a_crash_goes_back_to_the_record() -> None:
    """Whoever finalized still holds the notarization; whoever only heard of it does not."""
    finalized = Voter(view=2, kept=1, holds=0, own=Ballot(0, 1))
    heard = Voter(view=1, kept=1, holds=1, own=Ballot(1))

    after = [FOUR.apply(world(voter), 0, Action(Rule.CRASH)).voters[0] for voter in (finalized, heard)]

    assert [(voter.view, voter.holds) for voter in after] == [(1, 1), (1, 0)]


def test_the_next_epoch_is_named_by_what_was_decided() -> None:
    """R9: only a Decision leads there, and nothing of the epoch before is left to say."""
    leave = Action(Rule.LEAVE, 1)

    assert not FOUR.allows(world(notarize=0b111), 0, leave)
    assert FOUR.apply(world(finalize=0b011), 0, leave).voters[0] == Voter(Instance(1, 1))
