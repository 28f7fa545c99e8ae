"""A run in words: what each step took in and did. The lines of a run are its trace, and their hash names it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ordering import (
    Abstained,
    Broadcast,
    BuildOwn,
    Certificate,
    Decided,
    Decision,
    Effect,
    Entrust,
    EvidenceFound,
    Fetch,
    Freeze,
    Frozen,
    Guard,
    Heard,
    Input,
    InstanceMessage,
    InstanceRecord,
    Justification,
    Learned,
    Open,
    Persist,
    Propose,
    Received,
    Record,
    Send,
    SignedVote,
    Speak,
    Status,
    Tick,
    Transition,
    VoteKind,
)
from tests.sim.toy import Group

if TYPE_CHECKING:
    from tests.sim.node import Node

_CERTIFICATES: Final = {
    VoteKind.NOTARIZE: "notarization",
    VoteKind.FINALIZE: "finalization",
    VoteKind.NULLIFY: "nullification",
}


class Tape:
    """Takes lines down; `write`, where given, gets each at once. `digest` is over all of them."""

    def __init__(self, write: Callable[[str], None] | None = None, *, only: int | None = None) -> None:
        self._write = write
        self._only = only
        self._hash = sha256()
        self.line_count = 0

    @property
    def digest(self) -> str:
        """Of the whole run so far."""
        return self._hash.hexdigest()

    def note(self, now_s: float, text: str) -> None:
        """Something that happens to a member rather than by it."""
        self._line(f"{now_s:10.4f}  -- {text}")

    def step(self, node: Node, epoch: int, event: Input, transition: Transition) -> None:
        """One step of one member."""
        group = node.sim.group
        after = transition.state
        head = f"{node.sim.world.now_s:10.4f}  {node.member}{node.face} e{epoch} v{after.view}"
        quiet = self._only is not None and self._only != node.member
        self._line(f"{head}  <- {_input(group, event)}", quiet)
        for effect in transition.effects:
            self._line(f"{'':24} {_effect(group, effect)}", quiet)

    def _line(self, line: str, quiet: bool = False) -> None:
        self._hash.update(line.encode() + b"\n")
        self.line_count += 1
        if self._write is not None and not quiet:
            self._write(line)


def _input(group: Group, event: Input) -> str:
    match event:
        case Open():
            return "open"
        case Received(_, source, message):
            return f"from {source}: {_message(group, message)}"
        case Learned(_, facts):
            soft = {None: "?", True: "soft", False: "not soft"}[facts.soft]
            return f"learned {group.name(facts.id)}: {'hard' if facts.hard else 'NOT HARD'}, {soft}"
        case Heard(_, voters):
            return f"heard {list(voters)}"
        case Speak():
            return "speak"
        case Tick():
            return "tick"


def _effect(group: Group, effect: Effect) -> str:
    match effect:
        case Persist(record):
            return f"== persist {_record(group, record)}"
        case Broadcast(message):
            return f"-> all: {_message(group, message)}"
        case Entrust(voter, message):
            return f"-> voter {voter}: {_message(group, message)}"
        case Send(peer, message):
            return f"-> {peer}: {_message(group, message)}"
        case Fetch(id, holders):
            return f"?? fetch {group.name(id)} from voters {list(holders)}"
        case BuildOwn():
            return "++ build the own plain commit"
        case Decided(decision):
            return f"** DECIDED {group.name(decision.id)} in view {decision.view}"
        case Frozen(freeze):
            return f"!! FROZEN: {freeze.reason.name.lower()}"
        case EvidenceFound(evidence):
            first, second = _message(group, evidence.first), _message(group, evidence.second)
            return f"!! evidence: {first} / {second}"
        case Abstained():
            return "!! abstains"


def _record(group: Group, record: Record) -> str:
    match record:
        case InstanceRecord():
            votes = ", ".join(_message(group, vote) for vote in record.votes) or "none"
            return f"instance view {record.view}, votes: {votes}; {_message(group, record.proof)}"
        case Guard():
            return f"guard {tuple(record.position)}"
        case Decision():
            return _message(group, record)
        case Freeze():
            return f"freeze {record.reason.name.lower()}"


def _message(group: Group, message: InstanceMessage) -> str:
    match message:
        case SignedVote():
            return f"{message.kind.name} v{message.view} by {message.voter} {_name(group, message.id)}".rstrip()
        case Propose():
            return f"PROPOSE v{message.view} {group.name(message.id)} with {_message(group, message.justification)}"
        case Certificate():
            kind = {"NOTARIZE": "notarization", "FINALIZE": "finalization", "NULLIFY": "nullification"}
            voters = "".join(str(voter) for voter, _ in message.signatures)
            return f"{kind[message.kind.name]} v{message.view} {_name(group, message.id)} by {voters}".replace(
                "  ", " "
            )
        case Justification():
            base = "nothing" if message.notarization is None else _message(group, message.notarization)
            views = [certificate.view for certificate in message.nullifications]
            return f"proof of v{message.view} [{base}; nullified {views}]"
        case Status():
            offers = " ".join(group.name(id) for id in message.candidates)
            return f"status v{message.view} #{message.serial & 0xFFFFF} offers [{offers}]"
        case Decision():
            return f"Decision of epoch {message.epoch}: {group.name(message.id)} in view {message.view}"


def _name(group: Group, id: bytes) -> str:
    return f"{group.name(id)} " if id else ""
