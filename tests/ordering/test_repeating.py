"""R10, R11, R13, R15: repeating, bounding, verifying in order of cost, spreading candidates."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from ordering import (
    STATUS_CANDIDATES_MAX,
    CandidateFacts,
    Fetch,
    Heard,
    InstanceConfig,
    InstanceMessage,
    Propose,
    Send,
    SignedVote,
    Status,
    VoteKind,
)
from ordering.limits import CANDIDATE_RIVALS_MAX, CANDIDATES_MAX, OFFER_LISTS_MAX, OFFERING_MEMBERS_MAX
from tests.ordering.keys import CountingVerifier, verify
from tests.ordering.world import Liar, Node, broadcasts, config, facts, key, of_type, value, votes

LIAR = Liar(4)
X, Y = value("x"), value("y")
NOTARIZE, FINALIZE, NULLIFY = VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY
NOTARIZED = LIAR.certificate(NOTARIZE, 0, (0, 1, 3), X)
NULLIFIED = LIAR.certificate(NULLIFY, 0, (0, 1, 3))


def opened(*known: CandidateFacts, voter: int | None = 2) -> Node:
    node = Node(config(4, voter))
    node.open(heard=[i for i in range(4) if i != voter])
    node.learn(*known)
    return node


def counting() -> tuple[Node, CountingVerifier]:
    verifier = CountingVerifier()
    node = Node(config(4, 2, check=verifier))
    node.open()
    return node, verifier


# R10


def test_r10_own_votes_are_repeated_each_status_period() -> None:
    node = opened(facts("x"))
    node.receive(LIAR.propose(0, X))
    for _ in range(3):
        messages = broadcasts(node.pass_time(1.3))
        assert LIAR.vote(NOTARIZE, 0, 2, X) in messages
        assert of_type(messages, Status) != []


def test_r10_the_proof_and_the_notarization_are_repeated() -> None:
    """Certificates lost in a restart once killed a group for ever."""
    node = opened()
    proof = LIAR.justification(1, None, [NULLIFIED])
    notarized = LIAR.certificate(NOTARIZE, 1, (0, 1, 3), X)
    node.receive(proof, notarized)
    messages = broadcasts(node.pass_time(1.3))
    assert proof in messages
    assert notarized in messages


def test_r10_the_leader_repeats_its_propose() -> None:
    node = opened(facts("x"), voter=0)
    messages = broadcasts(node.pass_time(1.3))
    assert LIAR.propose(0, X) in messages


def test_r10_a_step_says_nothing_twice() -> None:
    node = opened(facts("x"), voter=0)
    messages = broadcasts(node.effects)
    assert len(messages) == len(set(messages))


def test_r10_a_laggard_gets_the_proof_it_lacks() -> None:
    node = opened()
    proof = LIAR.justification(1, None, [NULLIFIED])
    node.receive(proof)
    assert of_type(node.receive(LIAR.status(1, 1), source="p"), Send) == [Send("p", proof)]
    assert of_type(node.receive(LIAR.status(1, 2, view=1), source="p"), Send) == []


def test_r10_answers_are_rate_limited_never_never() -> None:
    node = opened()
    node.receive(LIAR.justification(1, None, [NULLIFIED]))
    answers = []
    for serial in range(1, 21):
        answers += of_type(node.receive(LIAR.status(1, serial), source="p"), Send)
        answers += of_type(node.pass_time(0.1), Send)
    assert 3 <= len(answers) <= 5  # two seconds at one per half a Status period


def test_r10_a_replayed_status_is_not_answered() -> None:
    node = opened()
    node.receive(LIAR.justification(1, None, [NULLIFIED]))
    node.receive(LIAR.status(1, 7))
    node.pass_time(10)
    assert node.receive(LIAR.status(1, 7), LIAR.status(1, 6)) == []


def test_r10_a_member_without_a_seat_is_answered_too() -> None:
    """Its Status is under its leaf key; without a way to check that, it is nobody's."""
    status = by_member(99)
    node = opened()
    node.receive(LIAR.justification(1, None, [NULLIFIED]))
    assert node.receive(status) == []
    checked = with_members()
    checked.receive(LIAR.justification(1, None, [NULLIFIED]))
    assert len(of_type(checked.receive(status, source="follower"), Send)) == 1


def test_status_periods_jitter_but_never_reach_the_window() -> None:
    node = opened(facts("x"))
    times: list[float] = []
    while len(times) < 30:
        assert node.state.wake_at_s is not None
        if of_type(broadcasts(node.pass_time(node.state.wake_at_s - node.now_s)), Status):
            times.append(node.now_s)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 0.75
    assert max(gaps) <= 1.25
    assert len(set(gaps)) > 5


# R11


def test_r11_votes_too_far_ahead_are_not_kept() -> None:
    node = opened()
    node.receive(*(LIAR.vote(NULLIFY, view, 1) for view in range(10)))
    assert sorted(view for view, _ in node.state.tally.ballots) == [0, 1, 2]


def test_r11_certificates_of_any_view_prove_themselves() -> None:
    node = opened()
    node.receive(LIAR.certificate(NOTARIZE, 500, (0, 1, 3), X))
    assert node.state.view == 500


def test_r11_the_past_is_counted_but_never_cast() -> None:
    node = opened(facts("x"))
    node.receive(NULLIFIED)
    assert votes(node.receive(LIAR.propose(0, X), NOTARIZED), NOTARIZE) == []
    assert node.state.notarizations[0] == NOTARIZED


# R13


@pytest.mark.parametrize(
    "wrong",
    [
        LIAR.vote(NULLIFY, 3, 1),  # too far ahead
        replace(LIAR.vote(NULLIFY, 0, 1), voter=4),  # no such seat
        Liar(4, epoch=1).vote(NULLIFY, 0, 1),  # another instance
        Status(LIAR.instance, 0, 0, 1, 77, 1, (), b"", b""),  # not that voter's leaf
        Liar(4, epoch=1).propose(0, X),
        Propose(LIAR.instance, 0, 1, X, LIAR.justification(0), b"s" * 64, b"s" * 64),  # not leader
    ],
)
def test_r13_what_costs_nothing_is_checked_first(wrong: InstanceMessage) -> None:
    node, verifier = counting()
    node.receive(wrong)
    assert verifier.calls == 0


def test_r13_a_repeat_costs_no_signature_check() -> None:
    node, verifier = counting()
    vote = LIAR.vote(NOTARIZE, 0, 1, X)
    node.receive(vote, vote, vote)
    assert verifier.calls == 1


def test_r13_a_certificate_of_held_votes_costs_nothing() -> None:
    node, verifier = counting()
    node.receive(LIAR.vote(NOTARIZE, 0, 0, X), LIAR.vote(NOTARIZE, 0, 1, X))
    node.receive(NOTARIZED)
    assert verifier.calls == 3
    node.receive(
        NOTARIZED, LIAR.certificate(NOTARIZE, 0, (0, 1, 2), X), *(LIAR.vote(NOTARIZE, 0, i, X) for i in (0, 3))
    )
    assert verifier.calls == 3


def test_r13_the_good_path_checks_each_signature_once() -> None:
    """Propose 2, Notarize 1 (the third is not needed), Finalize 2; the rest are Statuses."""
    node, verifier = counting()
    node.learn(facts("x"))
    node.receive(LIAR.propose(0, X), LIAR.vote(NOTARIZE, 0, 1, X), NOTARIZED)
    node.receive(*(LIAR.vote(FINALIZE, 0, voter, X) for voter in (0, 1)))
    assert node.state.decision is not None
    before = verifier.calls
    node.receive(*(LIAR.vote(FINALIZE, 0, voter, X) for voter in (0, 1, 3)), node.state.decision)
    assert verifier.calls == before <= 6


def test_r13_a_proven_liar_costs_no_more_checks() -> None:
    node, verifier = counting()
    node.receive(*(LIAR.vote(NOTARIZE, 0, 1, value(str(i))) for i in range(10)))
    assert verifier.calls == 2


def test_r13_nothing_unverified_takes_a_slot() -> None:
    """Story `forged_duplicate`: the forged vote comes first, the true one counts."""
    node = opened()
    true = LIAR.vote(NOTARIZE, 0, 1, X)
    forged = SignedVote(LIAR.instance, NOTARIZE, 0, 1, Y, key(0).sign(true.signed_bytes))
    node.receive(forged, replace(true, signature=b"f" * 64), true)
    kept = node.state.tally.get(0, NOTARIZE, 1)
    assert kept is not None
    assert kept.id == X


def test_r13_the_true_certificates_of_a_half_false_proof_are_kept() -> None:
    node = opened()
    false = replace(LIAR.certificate(NULLIFY, 1, (0, 1, 3)), signatures=NULLIFIED.signatures)
    node.receive(LIAR.justification(2, None, [NULLIFIED, false]))
    assert node.state.view == 1


# R15


def test_r15_a_durable_candidate_is_offered_soon() -> None:
    """What becomes known within a moment is gathered into one Status, and the next is brought forward likewise."""
    node = opened(facts("x"), facts("y", committer=51))
    [first] = of_type(broadcasts(node.pass_time(0.26)), Status)
    assert set(first.candidates) == {X, Y}
    node.learn(facts("z", committer=52))
    [second] = of_type(broadcasts(node.pass_time(0.26)), Status)
    assert set(second.candidates) == {X, Y, value("z")}


def test_r15_whatever_the_soft_verdict() -> None:
    node = opened(facts("x", soft=False), facts("y", soft=None, committer=51))
    [status] = of_type(broadcasts(node.pass_time(0.26)), Status)
    assert set(status.candidates) == {X, Y}


def test_r15_what_is_not_here_is_not_offered() -> None:
    node = opened(facts("x", available=False))
    assert all(status.candidates == () for status in of_type(broadcasts(node.pass_time(3)), Status))


def test_r15_a_status_lists_the_first_eight_in_order() -> None:
    known = [facts(f"x{i}", committer=60 + i, last_won=i) for i in range(12)]
    node = opened(*reversed(known))
    [status] = of_type(broadcasts(node.pass_time(0.26)), Status)
    assert list(status.candidates) == [f.id for f in known[:STATUS_CANDIDATES_MAX]]


def test_r15_it_is_offered_until_the_decision() -> None:
    node = opened(facts("x"))
    for _ in range(5):
        assert [s.candidates for s in of_type(broadcasts(node.pass_time(1.3)), Status)][-1] == (X,)
    node.receive(LIAR.decision(0, (0, 1, 3), Y))
    assert [s.candidates for s in of_type(broadcasts(node.pass_time(1.3)), Status)][-1] == ()


def test_r15_what_is_offered_is_fetched_until_it_comes() -> None:
    """A fetch belongs to the id: no view change ends it."""
    node = opened()
    effects = node.receive(LIAR.status(3, 1, candidates=(X,)), LIAR.status(1, 1, candidates=(X,)))
    assert of_type(effects, Fetch) == [Fetch(X, (3,))]
    assert of_type(node.pass_time(7), Fetch)[-1:] == [Fetch(X, (1, 3))]
    node.receive(NULLIFIED)
    assert of_type(node.pass_time(3), Fetch)[-1:] == [Fetch(X, (1, 3))]
    node.learn(facts("x"))
    assert of_type(node.pass_time(10), Fetch) == []


def test_r15_who_was_heard_last_is_asked_first() -> None:
    """The others that may have it come after: none is left out."""
    node = opened()
    node.pass_time(2)
    node.give(Heard(node.now_s, (0,)))
    notarization = LIAR.certificate(VoteKind.NOTARIZE, 0, (0, 1, 3), X)
    assert of_type(node.receive(notarization), Fetch) == [Fetch(X, (0, 1, 3))]
    node.pass_time(0.1)
    node.give(Heard(node.now_s, (3,)))
    assert of_type(node.pass_time(2), Fetch)[0] == Fetch(X, (3, 0, 1))


def test_r15_a_new_view_asks_again_at_once() -> None:
    """Its timers do not wait for the Status period."""
    node = opened()
    node.receive(LIAR.status(3, 1, candidates=(X,)))
    assert of_type(node.pass_time(0.05), Fetch) == []
    assert of_type(node.receive(NULLIFIED), Fetch) == [Fetch(X, (3,))]


def test_r15_the_leader_is_asked_for_what_it_proposes() -> None:
    """Whoever offered it before, and does not hand it over, keeps nobody waiting; once in a view."""
    node = opened()
    leader = node.config.committee.leader(node.config.epoch, 0)
    other = next(voter for voter in (0, 1, 3) if voter != leader)
    assert of_type(node.receive(LIAR.status(other, 1, candidates=(X,))), Fetch) == [Fetch(X, (other,))]
    node.pass_time(0.05)
    [again] = of_type(node.receive(LIAR.propose(0, X)), Fetch)
    assert again.id == X
    assert again.holders[0] == leader
    assert of_type(node.receive(LIAR.propose(0, X)), Fetch) == []


def with_members() -> Node:
    """A voter that can check members' leaf keys."""
    base = config(4, 2)
    node = Node(
        InstanceConfig(
            base.group_id,
            base.epoch,
            base.prev,
            base.committee,
            base.own_voter,
            base.own_leaf,
            base.sign,
            base.verify,
            lambda leaf, message, signature: signature == b"leaf %d" % leaf,
            timing=base.timing,
        )
    )
    node.open()
    return node


def by_member(leaf: int, *offers: bytes, serial: int = 1) -> Status:
    return Status(LIAR.instance, 0, 0, None, leaf, serial, offers, b"", b"leaf %d" % leaf)


def test_r15_an_author_without_a_seat_is_heard() -> None:
    """It may be the only holder, and it re-offers until the Decision."""
    node = with_members()
    effects = node.receive(by_member(99, X), source="author")
    assert of_type(effects, Fetch) == [Fetch(X, (), ("author",))]
    assert of_type(node.pass_time(7), Fetch)[-1:] == [Fetch(X, (), ("author",))]


def test_r15_an_author_without_a_seat_offers_at_the_fast_period() -> None:
    node = Node(config(4, None))
    node.open()
    node.learn(facts("x", committer=99))
    offered = [s for s in of_type(broadcasts(node.pass_time(4)), Status) if s.candidates == (X,)]
    assert len(offered) >= 3


def test_a_follower_that_wakes_has_nothing_to_say() -> None:
    node = Node(config(4, None))
    node.open()
    assert broadcasts(node.receive(NOTARIZED)) == []


def test_r15_members_offers_are_bounded() -> None:
    node = with_members()
    for leaf in range(100, 300):
        node.receive(by_member(leaf, value(f"of {leaf}")))
    assert len(node.state.offers) == OFFERING_MEMBERS_MAX
    node.receive(by_member(299, serial=2))
    assert len(node.state.offers) == OFFERING_MEMBERS_MAX - 1


def test_r15_one_sender_cannot_have_us_ask_for_everything() -> None:
    """Each id that is offered and not here is asked of everybody: a Status must not be worth a thousand requests."""
    node = with_members()
    fetched: list[Fetch] = []
    for serial in range(1, 100):
        offers = tuple(value(f"{serial} {i}") for i in range(STATUS_CANDIDATES_MAX))
        fetched += of_type(
            node.receive(by_member(99, *offers, serial=serial), by_member(99, serial=1000 + serial)), Fetch
        )
    assert len(fetched) <= OFFER_LISTS_MAX * STATUS_CANDIDATES_MAX

    fetched = of_type(node.receive(by_member(98, X)), Fetch)
    assert Fetch(X, (), ("peer",)) in fetched, "others are heard"
    node.pass_time(2)
    assert Fetch(Y, (), ("peer",)) in node.receive(by_member(99, Y, serial=5000)), "and so is it, later"


def test_r15_garbage_is_not_fetched_again() -> None:
    node = opened()
    node.receive(LIAR.status(3, 1, candidates=(X,)))
    node.learn(facts("x", hard=False))
    assert of_type(node.receive(LIAR.status(1, 1, candidates=(X,))) + node.pass_time(30), Fetch) == []


def test_one_leaf_cannot_fill_the_table() -> None:
    node = opened(*(facts(f"x{i}") for i in range(50)))
    assert len(node.state.candidates) == CANDIDATE_RIVALS_MAX


def test_the_table_is_bounded_and_what_is_voted_on_gets_in() -> None:
    node = opened(*(facts(f"x{i}", committer=1000 + i) for i in range(CANDIDATES_MAX + 5)))
    assert len(node.state.candidates) == CANDIDATES_MAX
    effects = node.receive(LIAR.propose(0, X))
    assert Fetch(X, (0,)) in effects
    assert votes(node.learn(facts("x"))) == [LIAR.vote(NOTARIZE, 0, 2, X)]


def test_a_status_is_signed_and_serial() -> None:
    node = opened(facts("x"))
    node.pass_time(5)
    statuses = of_type(broadcasts(node.effects), Status)
    serials = [status.serial for status in statuses]
    assert serials == sorted(set(serials))
    for status in statuses:
        assert verify(key(2).public, status.signed_bytes, status.signature)
        assert (status.epoch, status.leaf, status.fingerprint) == (0, 12, b"f" * 32)


def test_serials_grow_across_restarts_however_long_it_was_quiet() -> None:
    """Four months in one epoch at a Status every five seconds; then a restart must not be taken for a replay."""
    node = opened(facts("x"))
    node.state = replace(node.state, status_count=2**21)
    before = of_type(broadcasts(node.pass_time(50)), Status)[-1].serial
    node.crash_and_restart()
    assert of_type(broadcasts(node.open()), Status)[0].serial > before


def test_serials_grow_across_restarts() -> None:
    node = opened(facts("x"))
    before = of_type(broadcasts(node.pass_time(50)), Status)[-1].serial
    node.crash_and_restart()
    assert of_type(broadcasts(node.open()), Status)[0].serial > before


def test_what_voters_offer_is_asked_for_first() -> None:
    """The node asks for so many at once: whoever has no seat, and offers what nobody has, is not in the way."""
    node = with_members()
    node.receive(by_member(99, X), source="member")
    node.receive(LIAR.status(3, 1, candidates=(Y,)), source="voter")
    again = of_type(node.pass_time(7), Fetch)
    assert [fetch.id for fetch in again][-2:] == [Y, X]
