"""One agreement: which bundle ends this epoch. Single-shot Simplex (Chan & Pass, eprint 2023/463).

Theory, in a page
-----------------

A committee of n voters, at most f of them liars, picks one value. Time is cut into *views*; each has one leader and
ends in one of three ways. A voter casts at most one Notarize per view ("I saw this value proposed, and would apply
it"), and then either one Finalize ("I saw it notarized") or one Nullify ("nothing will come of this view"), never
both. q votes of a kind for the same thing are a certificate: notarization, finalization, nullification. q is so large
that any two sets of q share an honest voter.

*Agreement.* Two notarizations of one view share an honest voter, who notarized once: they name the same value. Suppose
x is finalized in v. Then no nullification of v exists, for it would share an honest voter with the finalization. A
proposal in a later view needs a justification: a notarization of some view w and nullifications of everything between.
It cannot jump over v, so w >= v; at v it names x, and above v, by induction, too. Everything notarized after v is x.

*Progress.* Nobody waits for ever in a view: timers make honest voters Nullify unless they Finalized, and whoever
Finalized holds a notarization, which it keeps and repeats. So every view ends with a notarization or a nullification
that everyone gets to see, and each is enough to enter the next. A voter takes its *proof* of a view along, whole, and
hands it to anyone behind. In the first view with an honest leader, after messages arrive in time again, the leader can
build a justification (it has the proof of its view), everyone can accept what it proposes, and it is decided. From view
f+1 on the leader proposes a commit of its own that everyone can open, so no value that only some can open lasts. How
many views that takes is counted in `docs/ordering.md`, "Views after healing".

*Time never decides.* Timers change the view, certificates change everything else. The timers run only while a quorum is
around and there is something to decide, and they pause rather than start over.

*Crashes.* A voter that forgot a vote could contradict it. So before a vote leaves, one transaction holds the vote, the
guard that allows no second one, and the certificates that explain it (the proof of the view, the notarization a
Finalize names). A restarted voter goes on as if it had been slow.

Shape
-----

`step` moves time on, takes the input in (`receiving`, `learning`), and then applies the rules until none has anything
left to do. The rules look at the state, never at the input: it does not matter in which order knowledge arrived, and
no edge can be missed. At the end it repeats what is due (`speaking`) and sets the alarm (`timing`).
Followers, members without a seat, run the same machine; `can_vote` is False for them and nothing is broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from ordering import deciding, learning, progress, proposing, receiving, speaking, timing, voting
from ordering.certificate import Certificate, Decision
from ordering.errors import MisuseError
from ordering.events import Heard, Input, Learned, Open, Received, Speak, Tick
from ordering.guard import Guard
from ordering.justification import Justification, justify
from ordering.messages import Propose, Status
from ordering.records import Freeze, InstanceRecord, Record
from ordering.state import InstanceConfig, InstanceState, Transition, Work
from ordering.votes import SignedVote, Tally, Vote, VoteKind
from ordering.wire import BundleId

_RULES: Final[tuple[Callable[[Work], bool], ...]] = (
    learning.wake,  # R1
    deciding.freeze_on_invalid,  # R9
    deciding.hand_over,  # R9
    progress.follow,  # R2
    progress.notice_notarization,
    voting.finalize,  # R6
    progress.give_up_waiting,  # R8
    proposing.note_collection,
    proposing.propose,  # R3
    voting.notarize,  # R4
    voting.nullify,  # R7
    learning.fetch_missing,  # R15
)
"""In this order, each until it has nothing to do, from the top after every change. True: something changed."""


def step(state: InstanceState, event: Input) -> Transition:
    """Apply one input: same state, same input, same transition.

    An input that no rule matches changes nothing; late and early messages are normal. Raises `MisuseError` when the
    first input is not `Open`.
    """
    if not state.opened and not isinstance(event, Open):
        raise MisuseError("an instance takes Open first")
    work = Work(state)
    if state.opened:
        timing.advance(work, event.now_s)
    match event:
        case Open():
            _open(work, event)
        case Received(_, source, message):
            _receive(work, source, message)
        case Learned(_, facts):
            learning.learn(work, facts)
        case Heard(_, voters):
            for voter in voters:
                timing.hear(work, voter)
        case Speak() if work.state.next_status_at_s is not None:
            work.set(next_status_at_s=work.state.now_s)
        case Speak() | Tick():
            pass
    if speaking.due(work.state):
        work.set(fetched=())  # what is still missing is asked for again
    _settle(work)
    speaking.speak(work)
    timing.rearm(work)
    return work.transition()


def _settle(work: Work) -> None:
    """Apply the rules, from the top after every change, until none has anything left to do."""
    changed = True
    while changed:
        changed = False
        for rule in _RULES:
            if rule(work):
                changed = True
                break


def create(config: InstanceConfig, guard: Guard) -> InstanceState:
    """An instance of an epoch just entered (R1): asleep, and to be given `Open` first."""
    if guard.group_id != config.group_id:
        raise MisuseError("the guard is another group's")
    return InstanceState(config, guard, proof=Justification(config.instance, 0, None, ()))


def restore(config: InstanceConfig, guard: Guard, records: Iterable[Record]) -> InstanceState:
    """The instance as its records left it (R12); to be given `Open` first, then the facts of all stored candidates.

    Records of other instances are passed over. Own records are trusted: no signature is checked again.
    """
    state = create(config, guard)
    for record in records:
        match record:
            case InstanceRecord() if record.instance == config.instance:
                state = _resume(state, record)
            case Decision() if record.instance == config.instance:
                state = replace(state, decision=record)
            case Freeze() if _of_instance(record, config.instance):
                state = replace(state, freeze=record)
            case _:
                pass
    return state


def _open(work: Work, event: Open) -> None:
    """R1: start listening. After a restart, or with nobody heard before, a Status at once; else in its own time."""
    state = work.state
    listening = event.now_s if event.listening_since_s is None else event.listening_since_s
    work.set(opened=True, now_s=event.now_s, listening_since_s=listening, heard=dict(event.heard))
    if state.freeze is not None:
        deciding.report_freeze(work)
    at = event.now_s if event.listening_since_s is None else event.now_s + speaking.period_s(work.state)
    work.set(next_status_at_s=at)


def _receive(work: Work, source: str, message: object) -> None:
    """Take one message in. After the Decision only another Decision and questions matter (R14)."""
    match message:
        case Status():
            speaking.take_status(work, source, message)
        case Decision() if message.instance == work.config.instance:
            receiving.take_certificate(work, message.certificate)
        case Certificate(kind=VoteKind.FINALIZE):
            receiving.take_certificate(work, message)
        case _ if work.state.decision is not None:
            pass
        case SignedVote():
            receiving.take_vote(work, message)
        case Propose():
            receiving.take_propose(work, message)
        case Certificate():
            receiving.take_certificate(work, message)
        case Justification():
            receiving.take_proof(work, message)
        case _:
            pass


def _resume(state: InstanceState, record: InstanceRecord) -> InstanceState:
    """Everything a record holds, back in its places; timers start anew."""
    config = state.config
    certificates = list(record.proof.certificates())
    if record.notarization is not None:
        certificates.append(record.notarization)
    notarizations = {c.view: c for c in certificates if c.kind is VoteKind.NOTARIZE}
    nullifications = {c.view: c for c in certificates if c.kind is VoteKind.NULLIFY}
    own = {v.kind: Vote(v.kind, v.view, v.voter, BundleId(v.id), v.signature) for v in record.votes}
    tally = Tally.empty()
    for vote in (*own.values(), *(vote for c in certificates for vote in _votes_of(c))):
        tally = tally.add(vote)
    proposed = dict.fromkeys((BundleId(id) for id in record.tried), -1)
    proposal = own[VoteKind.NOTARIZE].id if VoteKind.NOTARIZE in own else None
    if proposal is not None:
        proposed.setdefault(proposal, record.view)
    proof = justify(config.instance, record.view, notarizations, nullifications)
    return replace(
        state,
        view=record.view,
        proof=proof,
        notarizations=notarizations,
        nullifications=nullifications,
        own_votes=own,
        own_propose=record.propose,
        proposal=proposal,
        tally=tally,
        proposed=proposed,
        notarized=tuple(BundleId(id) for id in record.notarized),
    )


def _votes_of(certificate: Certificate) -> list[Vote]:
    return [
        Vote(certificate.kind, certificate.view, voter, certificate.bundle, signature)
        for voter, signature in certificate.signatures
    ]


def _of_instance(freeze: Freeze, instance: bytes) -> bool:
    named: list[bytes] = [decision.instance for decision in freeze.decisions]
    if freeze.notarization is not None:
        named.append(freeze.notarization.instance)
    return instance in named
