"""Rules taken out one at a time, each with the story that must notice.

Random liars rarely find such a hole, so every mutant has a schedule made for it; the same story holds where the rule
is in place (`test_scenarios`, `test_stories`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec
import pytest

import ordering.instance
from ordering import (
    BundleId,
    CandidateFacts,
    Guard,
    Justification,
    SignedVote,
    VoteKind,
    candidates,
    deciding,
    learning,
    progress,
    proposing,
    receiving,
    speaking,
    timing,
    voting,
)
from ordering.guard import Position, Sign
from ordering.state import InstanceState, Work
from ordering.votes import Tally
from tests.sim import test_stories
from tests.sim.node import Node
from tests.sim.scenario import Scenario

NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY

Patch = pytest.MonkeyPatch
Story = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule broken, and the story that fails then."""

    name: str
    rules: tuple[str, ...]
    apply: Callable[[Patch], None]
    story: Story


def scenario(name: str) -> Story:
    """A file in `scenarios/`."""
    return lambda: Scenario(name).play()


def replace_rule(patch: Patch, rule: Callable[[Work], bool], mutant: Callable[[Work], bool]) -> None:
    """One of the rules that `step` applies."""
    rules = tuple(mutant if each is rule else each for each in ordering.instance._RULES)
    assert rules != ordering.instance._RULES
    patch.setattr(ordering.instance, "_RULES", rules)


def no_guard(patch: Patch) -> None:
    """A guard that signs anything, so that a rule stands alone."""

    def sign_anything(self: Guard, position: Position, message: bytes, sign: Sign) -> tuple[Guard, bytes]:
        signature = sign(message)
        return Guard(self.group_id, *max(position, self.position), message, signature), signature

    patch.setattr(Guard, "sign", sign_anything)


def never_sleeps(patch: Patch) -> None:
    """R1: awake from the start."""

    def wake(work: Work) -> bool:
        if work.state.awake_at_s is not None:
            return False
        work.set(awake_at_s=work.state.now_s)
        return True

    replace_rule(patch, learning.wake, wake)


def single_certificate_jump(patch: Patch) -> None:
    """R2: a lone nullification of a later view is reason enough to move."""
    patch.setattr(progress, "furthest", lambda state: max(state.view, *(view + 1 for view in state.nullifications), 0))


def no_own_plain_commit(patch: Patch) -> None:
    """R3: leaders choose among the commits there are, for ever."""
    choose = proposing._choose

    def patient(work: Work, justification: Justification) -> Any:
        config = work.state.config
        faults = config.faults
        object.__setattr__(config, "faults", 10**6)
        try:
            return choose(work, justification)
        finally:
            object.__setattr__(config, "faults", faults)

    patch.setattr(proposing, "_choose", patient)


def tried_is_forgotten(patch: Patch) -> None:
    """R3: what failed in an earlier view is not put last."""
    order_key = candidates.order_key

    def forgetful(facts: CandidateFacts, group_id: bytes, epoch: int, *, tried: bool, rival: bool) -> Any:
        return order_key(facts, group_id, epoch, tried=False, rival=rival)

    patch.setattr(proposing, "order_key", forgetful)


def grindable_leader(patch: Patch) -> None:
    """R3: the leader depends on what was decided before."""
    patch.setattr(
        InstanceState,
        "leader",
        property(lambda self: (self.config.prev[0] + self.view) % self.config.committee.size),
    )


def any_justification(patch: Patch) -> None:
    """R4: whatever the justification says, the leader may propose what it likes."""
    patch.setattr(Justification, "permits", lambda self, id: True)


def soft_is_not_asked(patch: Patch) -> None:
    """R4: notarize what one could not apply."""
    patch.setattr(voting, "_refused", lambda state, facts: False)
    patch.setattr(InstanceState, "votable", lambda self, facts: facts.usable)


def urgency_is_not_asked(patch: Patch) -> None:
    """R4: a leader may pass over an urgent candidate, however long it was offered."""
    patch.setattr(voting, "_passes_over_urgent", lambda state, facts: False)


def notarizations_are_kept_to_oneself(patch: Patch) -> None:
    """R5: nobody is shown the notarization of the view."""
    retransmit = speaking._retransmit

    def without(work: Work) -> None:
        known = work.state.notarizations
        work.set(notarizations={})
        retransmit(work)
        work.set(notarizations=known)

    patch.setattr(speaking, "_retransmit", without)


def finalize_only_what_one_notarized(patch: Patch) -> None:
    """R6: a notarization is not enough."""
    replace_rule(patch, voting.finalize, lambda work: NOTARIZE in work.state.own_votes and voting.finalize(work))


def finalize_after_nullify(patch: Patch) -> None:
    """R6 without its last condition."""

    def finalize(work: Work) -> bool:
        current = work.state
        notarization = current.notarizations.get(current.view)
        if not current.can_vote or notarization is None or FINALIZE in current.own_votes:
            return False
        facts = current.candidates.get(notarization.bundle)
        return facts is not None and facts.usable and voting.cast(work, FINALIZE, facts.id)

    replace_rule(patch, voting.finalize, finalize)


def nullify_after_finalize(patch: Patch) -> None:
    """R7: a timer is reason enough, whatever was finalized."""

    def nullify(work: Work) -> bool:
        state = work.state
        late = timing.passed(state, timing.leader_deadline_s(state))
        if not state.can_vote or NULLIFY in state.own_votes or not late:
            return False
        return voting.cast(work, NULLIFY)

    replace_rule(patch, voting.nullify, nullify)


def never_gives_up(patch: Patch) -> None:
    """R8: whoever finalized waits for ever."""
    replace_rule(patch, progress.give_up_waiting, lambda work: False)


def never_freezes(patch: Patch) -> None:
    """R9: garbage with a quorum behind it is passed over."""
    replace_rule(patch, deciding.freeze_on_invalid, lambda work: False)


def only_this_view_decides(patch: Patch) -> None:
    """R9: a finalization of another view is none."""
    decide = deciding.decide

    def present_only(work: Work, certificate: Any, *, gathered: bool) -> None:
        if certificate.view == work.state.view:
            decide(work, certificate, gathered=gathered)

    patch.setattr(deciding, "decide", present_only)


def nothing_is_repeated(patch: Patch) -> None:
    """R10: what is lost is lost."""
    patch.setattr(speaking, "_retransmit", lambda work: None)


def the_past_does_not_count(patch: Patch) -> None:
    """R11: votes for views already left are dropped."""
    take_vote = receiving.take_vote
    patch.setattr(
        receiving, "take_vote", lambda work, signed: signed.view >= work.state.view and take_vote(work, signed)
    )


def certificates_are_not_durable(patch: Patch) -> None:
    """R12: only the votes are."""
    resume = ordering.instance._resume

    def forget(fresh: InstanceState, record: Any) -> InstanceState:
        resumed = resume(fresh, record)
        own = Tally.empty()
        for ballot in resumed.own_votes.values():
            own = own.add(ballot)
        return msgspec.structs.replace(
            resumed, notarizations={}, nullifications={}, tally=own, proof=fresh.proof, own_propose=None
        )

    patch.setattr(ordering.instance, "_resume", forget)


def votes_are_not_durable(patch: Patch) -> None:
    """R12: they leave, and nothing is stored."""
    patch.setattr(Work, "persist_votes", lambda self: None)


def slots_go_to_the_first(patch: Patch) -> None:
    """R13: a vote takes its slot before it is verified."""
    take_vote = receiving.take_vote
    taken: dict[tuple[object, ...], bool] = {}

    def first_come(work: Work, signed: SignedVote) -> bool:
        place = (id(work.config), signed.view, signed.kind, signed.voter)
        if not taken.setdefault(place, True):
            return False
        taken[place] = take_vote(work, signed)
        return taken[place]

    patch.setattr(receiving, "take_vote", first_come)


def goes_on_after_the_decision(patch: Patch) -> None:
    """R14: the epoch is over, and it votes all the same."""
    no_guard(patch)
    patch.setattr(
        InstanceState,
        "can_vote",
        property(lambda self: self.config.own_voter is not None and self.awake_at_s is not None),
    )


def no_offer(patch: Patch) -> None:
    """R15: holders keep what they hold to themselves."""
    patch.setattr(speaking, "STATUS_CANDIDATES_MAX", 0)


def only_who_spoke_is_asked(patch: Patch) -> None:
    """R15: bytes are asked of those heard lately, not of those whose certificates show that they had them."""
    fetch = learning._fetch

    def lately(state: InstanceState, id: BundleId) -> Any:
        return fetch(msgspec.structs.replace(state, notarizations={}, decision=None), id)

    patch.setattr(learning, "_fetch", lately)


def the_gone_are_asked_first(patch: Patch) -> None:
    """R15: whoever may have the bytes is asked, in the order of the certificate."""
    fetch = learning._fetch
    patch.setattr(learning, "_fetch", lambda state, id: fetch(msgspec.structs.replace(state, heard={}), id))


def certificate_hash_in_the_instance(patch: Patch) -> None:
    """Instances are bound to the certificate, of which there are several, instead of the decided bundle."""
    commit = Node._commit

    def bind_to_certificate(self: Node, epoch: int, effects: Any) -> None:
        commit(self, epoch, effects)
        if len(self.disk.applied) > epoch:
            self.disk.applied[epoch] = sha256(self.disk.decisions[epoch].encode()).digest()  # type: ignore[call-overload]

    patch.setattr(Node, "_commit", bind_to_certificate)


def without_guard(mutant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    """Two nets gone, the rule and the guard."""

    def both(patch: Patch) -> None:
        mutant(patch)
        no_guard(patch)

    return both


MUTANTS: Final = (
    Mutant("never sleeps", ("R1",), never_sleeps, scenario("sleeps")),
    Mutant("single-certificate jump", ("R2",), single_certificate_jump, scenario("j_gap")),
    Mutant("no own plain commit", ("R3",), no_own_plain_commit, scenario("one_voter_has_nothing")),
    Mutant("order key without tried-last", ("R3",), tried_is_forgotten, scenario("tried_last")),
    Mutant("grindable leader", ("R3",), grindable_leader, test_stories.test_grind_schedule),
    Mutant("no J", ("R4",), any_justification, test_stories.test_proposal_against_its_justification),
    Mutant("no soft validity", ("R4",), soft_is_not_asked, scenario("opens_for_too_few")),
    Mutant("no class rule", ("R4",), urgency_is_not_asked, scenario("passed_over")),
    Mutant("no relayed notarization", ("R5",), notarizations_are_kept_to_oneself, scenario("relayed_notarization")),
    Mutant("finalize only the notarized", ("R6",), finalize_only_what_one_notarized, scenario("relayed_notarization")),
    Mutant(
        "finalize after nullify, no guard",
        ("R6", "R7"),
        without_guard(finalize_after_nullify),
        test_stories.test_notarization_after_nullify,
    ),
    Mutant(
        "nullify after finalize, no guard", ("R7",), without_guard(nullify_after_finalize), scenario("certified_twice")
    ),
    Mutant("never gives up waiting", ("R8",), never_gives_up, scenario("certified_twice")),
    Mutant("never freezes", ("R9",), never_freezes, scenario("notarized_hard_invalid")),
    Mutant("only this view decides", ("R9",), only_this_view_decides, scenario("late_votes_count")),
    Mutant("nothing is repeated", ("R10",), nothing_is_repeated, scenario("lost_and_repeated")),
    Mutant("the past does not count", ("R11",), the_past_does_not_count, scenario("late_votes_count")),
    Mutant("certificates not durable", ("R12",), certificates_are_not_durable, scenario("restart_three_views")),
    Mutant("votes not durable", ("R12",), votes_are_not_durable, scenario("guard_after_decision")),
    Mutant("slots go to the first", ("R13",), slots_go_to_the_first, scenario("forged_duplicate")),
    Mutant("votes after the Decision", ("R14",), goes_on_after_the_decision, scenario("stops_after_decision")),
    Mutant("no offer", ("R15",), no_offer, scenario("one_holder_author_gone")),
    Mutant("only who spoke is asked", ("R15",), only_who_spoke_is_asked, scenario("decided_and_restarted")),
    Mutant("the gone are asked first", ("R15",), the_gone_are_asked_first, scenario("asks_who_is_here")),
    Mutant(
        "certificate hash in the instance",
        ("R9",),
        certificate_hash_in_the_instance,
        test_stories.test_two_certificates_one_decision,
    ),
)
