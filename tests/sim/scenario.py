"""Stories as text: what happens, line by line, and what is to come of it, played against the real core.

A file in `scenarios/` begins with a few sentences in plain words (`#`), then says who there is, and then one thing per
line. Members are numbers, and in these committees member, leaf and voter index are the same; view v of epoch 0 is led
by member v mod n. Lines that begin with `expect` fail the story. `python -m tests.sim --scenario NAME` shows all.

    seats 4 silent 3                     who sits; the silent are liars that say nothing by themselves
    followers 1 · epochs 2 · seed 7 · period 10s · delta 60s · bytes 50s
    drop KIND [by A] [from A] [to B] [view V]   from now on this does not arrive; A and B are members, or lists of them
    only KIND … ; KIND …                 from now on nothing else arrives
    split 0 1 | 2 3                      no message crosses
    heal                                 everything arrives again
    1 commits x [opens for 0 1 | opens for nobody] [urgent] [invalid] [at 2 3]
    0 restarts · 0 crashes · 0 dies      a crash at the next vote, between disk and wire, comes with `0 crashes at vote`
    3 tells 0: finalize 0 x              a vote of member 3, signed with its key (also: forges, with a bad signature)
    3 offers 0: x                        a Status that lists it, from a voter that may have the bytes or not
    1 2 3 certify notarize 0 x to 0      a certificate of these voters' signatures
    2 shows 0: nullification 1           what member 2 holds
    wait 5s · wait until CONDITION [within 60s]
    expect CONDITION
    finish [within 60s]                  heal, and wait until everyone has left all epochs

KIND is one of notarize, finalize, nullify, propose, certificate, proof, decision, status, want, bytes, talk (status,
want and bytes), proofs (propose, certificate, proof, decision), anything. CONDITION is one of

    MEMBERS in view V · MEMBERS cast KIND · MEMBERS not cast KIND · MEMBERS hold notarization V (or nullification V)
    MEMBERS decided x · MEMBERS undecided · [not] decided x · decided in view V · decided by view V
    MEMBERS accuse A · MEMBERS froze · nobody froze · MEMBERS abstained · nobody abstained
    took less than 2s · at most 3 views · at most 100 messages
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from ordering import (
    BundleId,
    Certificate,
    Decision,
    Effect,
    Input,
    Justification,
    ProposalClass,
    Propose,
    SignedVote,
    Status,
    Timing,
    VoteKind,
)
from tests.sim.bundles import Bytes, Want
from tests.sim.node import Node
from tests.sim.plan import Lie, Plan
from tests.sim.simulation import Simulation
from tests.sim.stage import certificate, hand, restart, vote

if TYPE_CHECKING:
    from tests.sim.show import Tape

FOLDER: Final = Path(__file__).parent / "scenarios"
KINDS: Final[dict[str, VoteKind]] = {kind.name.lower(): kind for kind in VoteKind}
CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "propose": (Propose,),
    "certificate": (Certificate,),
    "proof": (Justification,),
    "decision": (Decision,),
    "status": (Status,),
    "want": (Want,),
    "bytes": (Bytes,),
    "talk": (Status, Want, Bytes),
    "proofs": (Propose, Certificate, Justification, Decision),
    "anything": (object,),
}


class Broken(AssertionError):
    """An expectation that did not come true; names file and line."""


class Unreadable(Exception):
    """A line that says nothing this reader knows."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Some of what is sent."""

    kind: str
    sources: tuple[int, ...] | None = None
    targets: tuple[int, ...] | None = None
    views: tuple[int, ...] | None = None

    @classmethod
    def of(cls, text: str) -> Pattern:
        """`KIND [from A] [to B] [view V]`"""
        kind, _, rest = text.strip().partition(" ")
        if kind not in KINDS and kind not in CLASSES:
            raise Unreadable(f"what is a {kind!r}?")
        found = dict.fromkeys(("from", "to", "view"), None) | {
            word: _numbers(numbers) for word, numbers in re.findall(r"(from|to|view) ((?:\d+ ?)+)", rest)
        }
        return cls(kind, found["from"], found["to"], found["view"])

    def matches(self, source: int, target: int, payload: object) -> bool:
        """Whether it is meant."""
        if self.kind in KINDS:
            if not isinstance(payload, SignedVote) or payload.kind is not KINDS[self.kind]:
                return False
        elif not isinstance(payload, CLASSES[self.kind]):
            return False
        return (
            (self.sources is None or source in self.sources)
            and (self.targets is None or target in self.targets)
            and (self.views is None or getattr(payload, "view", None) in self.views)
        )


class Scenario:
    """One file, being played."""

    def __init__(self, name: str, tape: Tape | None = None) -> None:
        self.name = name
        self.tape = tape
        self.text = (FOLDER / f"{name}.txt").read_text()
        self.values: dict[str, BundleId] = {}
        self._plan = Plan(seed=1)
        self._drops: list[Pattern] = []
        self._only: list[Pattern] | None = None
        self._began_s = 0.0
        self._bytes_s = 0.0
        self._number = 0
        self._sent = 0
        self._sim: Simulation | None = None

    @property
    def story(self) -> str:
        """Its first sentences."""
        return " ".join(line.lstrip("# ").strip() for line in self.text.splitlines() if line.startswith("#"))

    @property
    def sim(self) -> Simulation:
        """Everyone booted; the network works."""
        if self._sim is None:
            self._sim = Simulation(self._plan, self.tape)
            self._sim.stop_on_violation = False
            self._sim.network.tamper = self._tamper
            self._sim.group.bytes_s = self._bytes_s
            self._sim.start()
        return self._sim

    def play(self) -> Simulation:
        """From the first line to the last; raises `Broken`."""
        for number, line in enumerate(self.text.splitlines(), 1):
            self._number = number
            line = line.partition("#")[0].strip()
            if not line:
                continue
            if self._sim is not None:
                self._sim.note(f"{self.name}:{number}: {line}")
            try:
                self._line(line)
            except Unreadable as error:
                raise Unreadable(f"{self.name}.txt:{number}: {line}: {error}") from None
        if not any(line.startswith("expect broken") for line in self.text.splitlines()):
            self._holds(not self.sim.watch.violations, f"no promise is broken: {self.sim.watch.violations}")
        return self.sim

    # Lines

    def _line(self, line: str) -> None:
        for pattern, action in _LINES:
            match = pattern.fullmatch(line)
            if match is not None:
                action(self, *match.groups())
                return
        raise Unreadable("no such line")

    def _setting(self, text: str) -> None:
        for part in text.split("·"):
            words = part.split()
            match words:
                case ["seats", count, *rest]:
                    liars = tuple((int(member), Lie.SILENT) for member in rest[1:])
                    self._plan = replace(self._plan, seated=int(count), liars=liars)
                case ["followers" | "epochs" | "seed" as name, count]:
                    changes: dict[str, int] = {name: int(count)}
                    self._plan = replace(self._plan, **changes)  # type: ignore[arg-type]
                case ["period", seconds]:
                    self._time(status_period_s=_seconds(seconds))
                case ["delta", seconds]:
                    self._time(delta_s=_seconds(seconds))
                case ["bytes", seconds]:
                    self._bytes_s = _seconds(seconds)
                case _:
                    raise Unreadable(f"no such setting: {part}")

    def _time(self, **changes: float) -> None:
        timing = self._plan.timing
        self._plan = replace(
            self._plan,
            timing=Timing(
                changes.get("delta_s", timing.delta_s), changes.get("status_period_s", timing.status_period_s)
            ),
        )

    def _drop(self, pattern: str) -> None:
        self._drops.append(Pattern.of(pattern))

    def _pass_only(self, patterns: str) -> None:
        self._only = [Pattern.of(pattern) for pattern in patterns.split(";")]

    def _split(self, groups: str) -> None:
        self.sim.network.split(*(_numbers(group) for group in groups.split("|")))

    def _heal(self) -> None:
        self._drops, self._only = [], None
        self.sim.network.cuts = frozenset()

    def _commit(self, author: str, name: str, facts: str) -> None:
        opens_for = None
        if (found := re.search(r"opens for ((?:\d+ ?)+|nobody)", facts)) is not None:
            opens_for = () if found[1] == "nobody" else _numbers(found[1])
        sim = self.sim
        holders = re.search(r"at ((?:\d+ ?)+)", facts)
        at = (int(author),) if holders is None else _numbers(holders[1])
        present = [sim.nodes[member] for member in at if member in sim.nodes] or list(sim.nodes.values())
        epoch = present[0].epoch
        candidate = sim.group.make(
            self._instance(epoch),
            epoch,
            int(author),
            0,
            nonce=name,
            hard="invalid" not in facts,
            opens_for=opens_for,
            proposal_class=ProposalClass.URGENT if "urgent" in facts else ProposalClass.ORDINARY,
        )
        self.values[name] = candidate.id
        sim.watch.proposed.setdefault(candidate.id, int(author))
        self._began_s = sim.world.now_s
        for member in at:
            if member in sim.nodes:
                sim.nodes[member].author(epoch, candidate)

    def _instance(self, epoch: int) -> bytes:
        node = next(node for node in self.sim.nodes.values() if epoch in node.instances)
        return node.instances[epoch].config.instance

    def _restart(self, members: str) -> None:
        restart(self.sim, *_numbers(members))

    def _crash_at_vote(self, member: str) -> None:
        """After the transaction of its next vote, before anything of the step is sent."""
        crashed: list[int] = []

        def rule(node: Node, event: Input, effects: tuple[Effect, ...], count: int) -> int | None:
            voted = any(isinstance(getattr(effect, "message", None), SignedVote | Propose) for effect in effects)
            if node.member != int(member) or crashed or not voted:
                return None
            crashed.append(node.member)
            return 1

        self.sim.crash_rule = rule

    def _die(self, members: str) -> None:
        for member in _numbers(members):
            self.sim.kill(member)

    def _tell(self, source: str, verb: str, targets: str, kind: str, view: str, name: str | None) -> None:
        id = self._value(name) if name else b""
        message = vote(self.sim, int(source), KINDS[kind], int(view), id)
        if verb == "forges":
            message = SignedVote(message.instance, message.kind, message.view, message.voter, id, bytes(64))
        for target in _numbers(targets):
            hand(self.sim, int(source), target, message)

    def _offer(self, source: str, targets: str, name: str) -> None:
        sim, member = self.sim, int(source)
        config = next(iter(sim.nodes.values())).instances[0].config
        voter = config.committee.voter_of_leaf(member)
        ids, serial = (self._value(name),), 2**40 + self._number
        unsigned = Status(config.instance, config.epoch, 0, voter, member, serial, ids, b"", b"")
        signature = sim.group.keys.signer(sim.group.vote_keys[member])(unsigned.signed_bytes)
        for target in _numbers(targets):
            hand(sim, member, target, structs.replace(unsigned, signature=signature))

    def _certify(self, signers: str, kind: str, view: str, name: str | None, targets: str) -> None:
        id = self._value(name) if name else b""
        made = certificate(self.sim, _numbers(signers), KINDS[kind], int(view), id)
        for target in _numbers(targets):
            hand(self.sim, _numbers(signers)[0], target, made)

    def _show(self, source: str, targets: str, kind: str, view: str) -> None:
        held = getattr(self.sim.nodes[int(source)].instances[0], f"{kind}s").get(int(view))
        self._holds(held is not None, f"member {source} holds a {kind} of view {view}")
        for target in _numbers(targets):
            hand(self.sim, int(source), target, held)

    def _wait(self, seconds: str) -> None:
        self.sim.run_for(_seconds(seconds))

    def _wait_until(self, condition: str, within: str | None) -> None:
        come = self.sim.run_until(lambda: self.holds(condition), _seconds(within or "60s"))
        self._holds(come, f"it comes to be that {condition}")

    def _expect(self, condition: str) -> None:
        if not condition.startswith("broken"):
            self._holds(self.holds(condition), condition)
            return
        told = [violation for violation in self.sim.watch.violations if condition[7:] in violation]
        self._holds(bool(told), condition)

    def _finish(self, within: str | None) -> None:
        self._heal()
        self.sim.network.heal()
        done = self.sim.run_until(lambda: self.sim.all_applied(self._plan.epochs), _seconds(within or "120s"))
        self._holds(done, "everyone decides: no progress after healing")

    def _holds(self, truth: bool, what: str) -> None:
        if not truth:
            raise Broken(f"{self.name}.txt:{self._number}: expected that {what}")

    def _tamper(self, source: int, target: int, payload: object) -> object | None:
        self._sent += 1
        if any(pattern.matches(source, target, payload) for pattern in self._drops):
            return None
        if self._only is not None and not any(pattern.matches(source, target, payload) for pattern in self._only):
            return None
        return payload

    def _value(self, name: str) -> BundleId:
        if name not in self.values:
            raise Unreadable(f"nobody committed {name!r}")
        return self.values[name]

    # Conditions

    def holds(self, condition: str) -> bool:
        """Whether this is so now."""
        for pattern, question in _CONDITIONS:
            match = pattern.fullmatch(condition)
            if match is not None:
                return bool(question(self, *match.groups()))
        raise Unreadable(f"no such condition: {condition}")

    def _nodes(self, members: str) -> list[Node]:
        return [node for member, node in self.sim.nodes.items() if members == "all" or member in _numbers(members)]

    def _in_view(self, members: str, view: str) -> bool:
        return all(node.alive and node.state.view == int(view) for node in self._nodes(members))

    def _has_cast(self, members: str, negation: str | None, kind: str) -> bool:
        cast = [node.alive and KINDS[kind] in node.instances[0].own_votes for node in self._nodes(members)]
        return not any(cast) if negation else all(cast)

    def _hold(self, members: str, kind: str, view: str) -> bool:
        return all(node.alive and int(view) in getattr(node.instances[0], f"{kind}s") for node in self._nodes(members))

    def _have_decided(self, members: str, name: str) -> bool:
        return all(node.disk.applied[:1] == [self._value(name)] for node in self._nodes(members))

    def _undecided(self, members: str) -> bool:
        return all(0 not in node.disk.decisions for node in self._nodes(members))

    def _decided(self, negation: str | None, name: str) -> bool:
        return (self.sim.watch.decided[0].id == self._value(name)) != bool(negation)

    def _decided_in(self, word: str, view: str) -> bool:
        decided = self.sim.watch.decided[0].view
        return decided == int(view) if word == "in" else decided <= int(view)

    def _accuse(self, members: str, accused: str) -> bool:
        told = [(member, evidence.first.voter) for member, evidence in self.sim.watch.evidences]
        return all((node.member, voter) in told for node in self._nodes(members) for voter in _numbers(accused))

    def _froze(self, members: str) -> bool:
        frozen = [member for member, _ in self.sim.watch.freezes]
        return not frozen if members == "nobody" else all(node.member in frozen for node in self._nodes(members))

    def _abstained(self, members: str) -> bool:
        silent = self.sim.watch.abstentions
        return not silent if members == "nobody" else all(node.member in silent for node in self._nodes(members))

    def _took(self, seconds: str) -> bool:
        return self.sim.world.now_s - self._began_s < _seconds(seconds)

    def _views(self, count: str) -> bool:
        return max(self.sim.watch.view_max.values(), default=0) <= int(count)

    def _messages(self, count: str) -> bool:
        return self._sent <= int(count)


def names() -> list[str]:
    """All scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


Table = list[tuple[re.Pattern[str], Callable[..., Any]]]


def _compiled(table: Iterable[tuple[str, Callable[..., object]]]) -> Table:
    parts = {
        "MEMBERS": r"(all|\d+(?: \d+)*)",
        "MEMBER": r"(\d+)",
        "KIND": f"({'|'.join(KINDS)})",
        "CERTIFICATE": "(notarization|nullification)",
        "VIEW": r"(\d+)",
        "NAME": r"([a-z]\w*)",
        "TIME": r"([\d.]+s)",
    }
    compiled = []
    for text, action in table:
        for word, pattern in parts.items():
            text = re.sub(rf"\b{word}\b", lambda _, pattern=pattern: pattern, text)  # type: ignore[misc]
        compiled.append((re.compile(text), action))
    return compiled


_LINES: Final = _compiled(
    (
        (r"((?:seats|followers|epochs|seed|period|delta|bytes) .*)", Scenario._setting),
        (r"drop (.+)", Scenario._drop),
        (r"only (.+)", Scenario._pass_only),
        (r"split (.+)", Scenario._split),
        (r"heal", Scenario._heal),
        (r"MEMBER commits NAME ?(.*)", Scenario._commit),
        (r"MEMBERS restarts?", Scenario._restart),
        (r"MEMBER crashes at vote", Scenario._crash_at_vote),
        (r"MEMBERS dies?", Scenario._die),
        (r"MEMBER (tells|forges) MEMBERS: KIND VIEW(?: NAME)?", Scenario._tell),
        (r"MEMBER offers MEMBERS: NAME", Scenario._offer),
        (r"MEMBERS certify KIND VIEW(?: NAME)? to MEMBERS", Scenario._certify),
        (r"MEMBER shows MEMBERS: CERTIFICATE VIEW", Scenario._show),
        (r"wait TIME", Scenario._wait),
        (r"wait until (.+?)(?: within TIME)?", Scenario._wait_until),
        (r"expect (.+)", Scenario._expect),
        (r"finish(?: within TIME)?", Scenario._finish),
    )
)

_CONDITIONS: Final = _compiled(
    (
        (r"MEMBERS in view VIEW", Scenario._in_view),
        (r"MEMBERS (not )?cast KIND", Scenario._has_cast),
        (r"MEMBERS holds? CERTIFICATE VIEW", Scenario._hold),
        (r"MEMBERS decided NAME", Scenario._have_decided),
        (r"MEMBERS undecided", Scenario._undecided),
        (r"(not )?decided NAME", Scenario._decided),
        (r"decided (in|by) view VIEW", Scenario._decided_in),
        (r"MEMBERS accuses? MEMBERS", Scenario._accuse),
        (r"(all|nobody|\d+(?: \d+)*) froze", Scenario._froze),
        (r"(all|nobody|\d+(?: \d+)*) abstained", Scenario._abstained),
        (r"took less than TIME", Scenario._took),
        (r"at most VIEW views", Scenario._views),
        (r"at most VIEW messages", Scenario._messages),
    )
)
