"""Walking along a decided chain: each entry against what the one before it announced, its signatures, its bundle.

Every problem is noted under the epoch that the decision *begins*, and the walk goes on behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mls import MlsError, ed25519_verify, peek
from node.api.schema import VerifyProblem, VerifyReport
from node.store_rows import DecisionRow
from ordering import Anchor, Candidate, Decision, Descriptor, InvalidError, LogEntry, OrderingError, verify_entry


class Problems:
    """What was found, in the order it was found."""

    def __init__(self) -> None:
        self.found: list[VerifyProblem] = []

    def add(self, epoch: int, text: str) -> None:
        """`epoch` as `group log` counts."""
        self.found.append(VerifyProblem(epoch=epoch, text=text))


@dataclass(frozen=True, slots=True)
class Expected:
    """What the next decision has to build on; None where damage before it left us without knowledge."""

    epoch: int
    prev: bytes | None
    descriptor: Descriptor | None

    def anchor(self, group_id: bytes, decision: Decision) -> Anchor:
        """The anchor to check a decision against; unknown parts are taken from the decision itself."""
        prev = decision.prev if self.prev is None else self.prev
        return Anchor(group_id, self.epoch, prev, self.descriptor or decision.descriptor)


@dataclass(slots=True)
class Walk:
    """Along the chain, entry by entry, from an anchor."""

    problems: Problems
    group_id: bytes
    anchor: Anchor | None
    expected: Expected = field(default_factory=lambda: Expected(0, None, None))
    decision_count: int = 0
    signature_count: int = 0
    first_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.anchor is not None:
            self.expected = Expected(self.anchor.epoch, self.anchor.prev, self.anchor.descriptor)
            if self.anchor.group_id != self.group_id:
                self.problems.add(self.anchor.epoch, "the anchor is of another group")

    @property
    def start_epoch(self) -> int:
        """The first epoch whose end is checked; what lies before it belongs to an earlier membership."""
        return self.expected.epoch

    def take(self, row: DecisionRow, *, needs_candidate: bool = True) -> None:
        """One stored decision, with its bundle."""
        try:
            decision = Decision.decode(row.decision)
        except OrderingError as error:
            self.jump(row.epoch)
            self.problems.add(row.epoch + 1, f"the stored Decision cannot be read: {error}")
            self.expected = Expected(row.epoch + 1, row.candidate_id, None)
            return
        if row.candidate_id != decision.id:
            self.problems.add(row.epoch + 1, "the row names another candidate than its Decision decided")
        candidate = self.candidate_of(row, decision, needs_candidate)
        if candidate is None:
            self.follow_alone(row.epoch, decision)
        else:
            self.follow(LogEntry.of(decision, candidate.bundle), row.epoch)

    def candidate_of(self, row: DecisionRow, decision: Decision, is_needed: bool) -> Candidate | None:
        """The decided candidate of a row, if that is what is stored there."""
        if row.candidate is None:
            if is_needed:
                self.problems.add(row.epoch + 1, "the decided bundle is not stored")
            return None
        try:
            candidate = Candidate.decode(row.candidate)
        except OrderingError as error:
            self.problems.add(row.epoch + 1, f"the stored candidate cannot be read: {error}")
            return None
        if (candidate.instance, candidate.id) != (decision.instance, decision.id):
            self.problems.add(row.epoch + 1, "the stored candidate is not the decided one")
            return None
        for text in faults_of(candidate, self.group_id, decision.epoch):
            self.problems.add(row.epoch + 1, text)
        return candidate

    def follow(self, entry: LogEntry, epoch: int | None = None) -> None:
        """One entry: its links, then its signatures; after it the next is expected, whatever was wrong with it.

        `epoch` is where it is stored; without one it is the epoch the entry names.
        """
        decision = entry.decision
        self.jump(decision.epoch if epoch is None else epoch)
        place = self.expected.epoch
        try:
            verify_entry(self.expected.anchor(self.group_id, decision), entry, self.verify)
        except InvalidError as error:
            self.problems.add(place + 1, in_words(error, decision))
            if error.rule == "Log":  # not linked; is it at least certified?
                self.check_certificate(place, decision)
        self.count(place)
        self.expected = Expected(place + 1, decision.id, entry.announced)

    def follow_alone(self, epoch: int, decision: Decision) -> None:
        """A decision whose bundle is not at hand: everything but what the bundle announces."""
        self.jump(epoch)
        expected = self.expected.anchor(self.group_id, decision)
        if (decision.group_id, decision.epoch) != (expected.group_id, expected.epoch):
            self.problems.add(epoch + 1, "the Decision is of another group or epoch than its row")
        if decision.prev != expected.prev:
            self.problems.add(epoch + 1, "the Decision does not follow the bundle decided before it")
        if decision.descriptor != expected.descriptor:
            self.problems.add(epoch + 1, "the Decision is by another committee than its predecessor announced")
        self.check_certificate(epoch, decision)
        self.count(epoch)
        self.expected = Expected(epoch + 1, decision.id, None)

    def check_certificate(self, epoch: int, decision: Decision) -> None:
        try:
            decision.check(self.verify)
        except InvalidError as error:
            self.problems.add(epoch + 1, in_words(error, decision))

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """One signature; counted when it holds."""
        is_valid = ed25519_verify(public_key, message, signature)
        self.signature_count += is_valid
        return is_valid

    def jump(self, epoch: int) -> None:
        """Go to an epoch; a gap before it is a problem, and leaves us without knowledge of what led there."""
        if epoch == self.expected.epoch:
            return
        if epoch < self.expected.epoch:
            self.problems.add(epoch + 1, "a second decision of one epoch, or one out of order")
        elif self.anchor is not None or self.decision_count:
            self.problems.add(self.expected.epoch + 1, missing(self.expected.epoch + 1, epoch))
        self.expected = Expected(epoch, None, None)

    def end(self, head_epoch: int) -> None:
        """The chain has to lead to the epoch the group stands in."""
        if self.expected.epoch < head_epoch:
            self.jump(head_epoch)

    def count(self, epoch: int) -> None:
        self.decision_count += 1
        if self.first_epoch is None:
            self.first_epoch = epoch + 1

    def report(self, name: str, epoch_fingerprint: str) -> VerifyReport:
        """What was found."""
        head = self.expected
        start = head.epoch if self.anchor is None else self.anchor.epoch
        return VerifyReport(
            group_id=self.group_id.hex(),
            name=name,
            ok=not self.problems.found,
            anchor=anchor_in_words(self.anchor),
            first_epoch=start if self.first_epoch is None else self.first_epoch,
            last_epoch=head.epoch,
            decision_count=self.decision_count,
            signature_count=self.signature_count,
            head_id=head.prev.hex() if head.prev is not None and head.epoch > 0 else "",
            epoch_fingerprint=epoch_fingerprint,
            problems=tuple(self.problems.found),
        )


def faults_of(candidate: Candidate, group_id: bytes, epoch: int) -> Iterator[str]:
    """What is wrong with a decided candidate on its face.

    Its author's leaf key is in the tree of that epoch, which is gone: that the signature verifies was checked when the
    candidate arrived. What is left to see is that there is one, by the committer, over a commit of this instance.
    """
    if not candidate.signature:
        yield "the decided candidate is not signed by its author"
    try:
        commit = peek(candidate.bundle.commit)
    except MlsError as error:
        yield f"the decided commit cannot be read: {error}"
        return
    if (commit.group_id, commit.epoch) != (group_id, epoch):
        yield "the decided commit is of another group or epoch"
    if commit.authenticated_data != candidate.instance:
        yield "the decided commit was made for another instance"
    committer = None if commit.sender is None else commit.sender.leaf_index  # none where a member came back by it
    if committer is not None and committer != candidate.author:
        yield "the decided commit is by another leaf than the candidate's author"


def in_words(error: InvalidError, decision: Decision) -> str:
    """What is wrong with a Decision, without the epoch it ends: problems stand under the one it begins."""
    ended = f"epoch {decision.epoch}"
    return str(error).removeprefix(f"{ended}: ").replace(f"the Decision of {ended}", "the Decision")


def missing(first: int, last: int) -> str:
    """A gap in words, by the epochs that nothing is known to have begun."""
    return (
        f"the decision that began epoch {first} is missing"
        if first == last
        else (f"the decisions that began epochs {first} to {last} are missing")
    )


def anchor_in_words(anchor: Anchor | None) -> str:
    """Where the check starts."""
    if anchor is None:
        return "unknown"
    return "genesis" if anchor.epoch == 0 else f"joined at epoch {anchor.epoch}"
