"""A group with MLS: every member has a real `mls.Group`, commits are real, and the node's own judgement judges them.

It stands in the place of the toy group. Hard validity is `node.judgement.judge_hard`, soft validity is whether the
member's own group can stage the commit; commits that open for some only have their path secrets spoilt. Who is cut off
by one votes on, and comes back by a resync made from the GroupInfo of a member that is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec

from mls import Group as MlsGroup
from mls import MlsError, PublicGroup
from node.building import Built, build_for_intents, build_plain
from node.config import Config
from node.context import NodeContext, group_config
from node.electorate import RuleError, voting_of
from node.judgement import CANDIDATE_LABEL, Epoch, HardValid, judge_hard, stage
from node.planning import Plan as CommitPlan
from node.resync import build_resync
from ordering import (
    PLAIN_ORDINAL,
    BundleId,
    Candidate,
    Committee,
    Model,
    Policy,
    ProposalClass,
    candidate_bytes,
)
from tests.node.chain_world import NOW_MS
from tests.node.hostile import opens_for_some
from tests.node.test_joining import Circle, Person
from tests.sim.draw import draw
from tests.sim.plan import Plan
from tests.sim.show import Tape
from tests.sim.simulation import Simulation
from tests.sim.toy import Group, TrueKeys, Verdict

NOW: Final = NOW_MS // 1000
SIZES: Final = (1, 3, 4, 4, 4, 7)


class Chance:
    """Repeatable randomness for the engine."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"mls {seed}")

    def __call__(self, size: int) -> bytes:
        return self._random.randbytes(size)


@cache
def founded(seated: int, model: Model) -> tuple[Person, ...]:
    """So many members, all of them voters: member i sits on leaf i. Their groups are values, shared by all runs."""
    people = [Person("a" * (number + 1)) for number in range(seated)]
    circle = Circle(people[0], Policy(model=model, size_max=seated))
    for person in people[1:]:
        circle.let_in(person, votes=True)
    for person in people:  # or some leaves would share their secrets with nobody
        circle.adopt(person, circle.build(person, CommitPlan()))
    for person in people:
        assert person.group is not None
        person.group = MlsGroup.from_bytes(person.group.to_bytes(), group_config(Config()))
    return tuple(people)


@dataclass(frozen=True, slots=True)
class RealVerdict(Verdict):
    """What the node's judgement says of a candidate; whom it opens for is asked of each member's own group."""

    group: RealGroup
    valid: HardValid | None

    def soft(self, member: int) -> bool | None:
        """As the node reports it: who is cut off knows a seated member's resync for good, and nothing else."""
        return self.group.opens(self, member)

    @property
    def resync(self) -> bool:
        """Whether a member comes back by it."""
        return self.valid is not None and self.valid.is_resync


class RealGroup(Group):
    """Every bundle ever made, and every member's group in every epoch."""

    def __init__(self, plan: Plan) -> None:
        self.people = founded(plan.seated, plan.model)
        keys = TrueKeys()
        super().__init__(plan.members, plan.seated, plan.model, keys=keys)
        self.vote_keys = tuple(person.vote_key.public for person in self.people)
        for person in self.people:
            keys.hold(person.vote_key)
        self.random = Chance(plan.seed)
        self._public: list[PublicGroup] = [self._founded(0).public]  # by epoch of the simulation
        self._decided: list[BundleId] = []
        self._own: dict[tuple[int, int], MlsGroup | None] = {}
        self._successors: dict[BundleId, MlsGroup] = {}
        self._opens: dict[tuple[BundleId, int], bool | None] = {}
        self.cut_off = 0
        self.resyncs = 0

    def _founded(self, member: int) -> MlsGroup:
        group = self.people[member].group
        assert group is not None, "everyone came in"
        return group

    # Epochs

    def committee(self, epoch: int) -> Committee:
        """As the tree of that epoch elects it."""
        if not hasattr(self, "_public"):  # the toy asks while it is being made
            return super().committee(epoch)
        return voting_of(self._public[min(epoch, len(self._public) - 1)]).committee

    def applied(self, epoch: int, id: BundleId) -> None:
        """An epoch is over; the first to say so brings the public state along for all."""
        if epoch < len(self._decided):
            return
        verdict = self.verdicts[id]
        assert isinstance(verdict, RealVerdict)
        if verdict.valid is None:
            raise AssertionError(f"{verdict.name} was applied, and is not hard-valid")
        self.resyncs += verdict.resync
        self._decided.append(id)
        self._public.append(verdict.valid.staged.successor)

    def reads(self, member: int, epoch: int) -> bool:
        """Whether it is not cut off."""
        return self.own(member, epoch) is not None

    def own(self, member: int, epoch: int) -> MlsGroup | None:
        """A member's own group in an epoch; None where it is cut off."""
        if (member, epoch) not in self._own:
            self._own[member, epoch] = self._founded(member) if epoch == 0 else self._follow(member, epoch)
        return self._own[member, epoch]

    def _follow(self, member: int, epoch: int) -> MlsGroup | None:
        verdict = self.verdicts[self._decided[epoch - 1]]
        assert isinstance(verdict, RealVerdict)
        assert verdict.valid is not None
        if verdict.candidate.author == member:
            return self._successors[verdict.candidate.id]
        before = self.own(member, epoch - 1)
        if before is None:
            return None
        try:
            return stage(verdict.valid, before, NOW, decided=True).successor
        except MlsError:
            self.cut_off += 1
            return None

    # Candidates

    def make(
        self,
        instance: bytes,
        epoch: int,
        author: int,
        ordinal: int,
        *,
        nonce: str = "",
        hard: bool = True,
        opens_for: tuple[int, ...] | None = None,
        proposal_class: ProposalClass = ProposalClass.ORDINARY,
        bytes_s: float = 0.0,
    ) -> Candidate:
        """A new commit of this member; of one that is cut off, the resync it comes back by."""
        built = self._build(
            Epoch(self._public[epoch], instance, voting_of(self._public[epoch])), epoch, author, ordinal, opens_for
        )
        candidate = built.candidate if hard else self._broken(built, self.own(author, epoch))
        verdict = self._judged(epoch, candidate, f"c{author}.{ordinal}{nonce}@{epoch}", max(bytes_s, self.bytes_s))
        self.verdicts.setdefault(candidate.id, verdict)
        self._successors[candidate.id] = built.successor
        return candidate

    def _build(self, epoch: Epoch, number: int, author: int, ordinal: int, opens_for: tuple[int, ...] | None) -> Built:
        person, group = self.people[author], self.own(author, number)
        if group is None:
            return self._resync(epoch, number, author, ordinal)
        if ordinal == PLAIN_ORDINAL:
            return build_plain(group, epoch.instance, self.random, NOW)
        if opens_for is None:
            return build_for_intents(group, epoch.instance, CommitPlan(), person.vote_key, self.random, NOW)
        closed = [member for member in range(self.members) if member not in (author, *opens_for)]
        return opens_for_some(group, epoch.instance, closed, NOW, random=self.random)

    def _resync(self, epoch: Epoch, number: int, author: int, ordinal: int) -> Built:
        person = self.people[author]
        able = next(group for member in range(self.members) if (group := self.own(member, number)) is not None)
        context = SimpleNamespace(random=self.random, now_ms=lambda: NOW_MS, identity=person.identity, config=Config())
        info = able.group_info(inline_tree=False, external_pub=True)
        return build_resync(cast(NodeContext, context), epoch, author, person.vote_key, info, ordinal)

    def _broken(self, built: Built, group: MlsGroup | None) -> Candidate:
        """The same with a bit of its commit changed, and signed as it is."""
        candidate = built.candidate
        commit = candidate.bundle.commit
        bundle = msgspec.structs.replace(
            candidate.bundle, commit=commit[:-40] + bytes((commit[-40] ^ 1,)) + commit[-39:]
        )
        signed = candidate_bytes(bundle.id(candidate.instance), candidate.ordinal)
        signature = b"" if group is None else group.sign(CANDIDATE_LABEL, signed)
        return Candidate(candidate.instance, candidate.author, candidate.ordinal, bundle, signature)

    def _judged(self, epoch: int, candidate: Candidate, name: str, bytes_s: float) -> RealVerdict:
        public = self._public[epoch]
        valid: HardValid | None
        try:
            valid = judge_hard(Epoch(public, candidate.instance, voting_of(public)), candidate)
        except (MlsError, RuleError):
            valid = None
        kind = ProposalClass.ORDINARY if valid is None else valid.class_after(-1)
        return RealVerdict(name, epoch, candidate, valid is not None, None, kind, bytes_s, self, valid)

    def opens(self, verdict: RealVerdict, member: int) -> bool | None:
        """Whether this member can apply it; None where it cannot know."""
        place = (verdict.candidate.id, member)
        if place not in self._opens:
            self._opens[place] = self._asked(verdict, member)
        return self._opens[place]

    def _asked(self, verdict: RealVerdict, member: int) -> bool | None:
        if verdict.valid is None:
            return False
        if verdict.candidate.author == member:
            return True
        group = self.own(member, verdict.epoch)
        if group is None:
            seated = self.committee(verdict.epoch).voter_of_leaf(verdict.candidate.author) is not None
            return True if verdict.resync and seated else None
        try:
            return not stage(verdict.valid, group, NOW).removed
        except MlsError:
            return False

    def verify_member(self, leaf: int, message: bytes, signature: bytes) -> bool:
        """Whether this leaf, as it was in any epoch, signed this as the author of a candidate."""
        leaves = [found for public in self._public if (found := public.leaf(leaf)) is not None]
        suite = self._public[0].suite
        return any(suite.verify_with_label(each.signature_key, CANDIDATE_LABEL, message, signature) for each in leaves)

    def fingerprints(self, epoch: int) -> set[bytes]:
        """The epoch authenticators of all who can open an epoch: never two."""
        groups = [self.own(member, epoch) for member in range(self.members)]
        return {group.epoch_authenticator for group in groups if group is not None}


class MlsRun(Simulation):
    """A drawn run of real groups."""

    group: RealGroup

    def __init__(self, plan: Plan, tape: Tape | None = None) -> None:
        super().__init__(plan, tape, group=RealGroup(plan))

    def chains(self) -> str | None:
        """The decided logs verify, and whoever can open an epoch is in the same one."""
        for epoch in range(len(self.group._public)):
            if len(self.group.fingerprints(epoch)) != 1:
                return f"fragmented: members are in different groups in epoch {epoch}"
        return super().chains()


def draw_mls(seed: int, **fixed: Any) -> Plan:
    """Two to five epochs, all faults; no followers, whose Statuses the toy signs."""
    chance = Random(f"mls plan {seed}")
    settings: dict[str, Any] = {
        "seated": chance.choice(SIZES),
        "followers": 0,
        "rotate": False,
        "epochs": chance.randint(2, 5),
        "partial_chance": chance.choice((0.0, 0.5, 0.8)),
    }
    return draw(seed, **(settings | fixed))
