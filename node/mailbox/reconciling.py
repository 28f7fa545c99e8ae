"""Range-based set reconciliation (Aljoscha Meyer, 2022): two sets of ids find their difference, sans-I/O.

The id space is cut into consecutive ranges. For each a side says the digest of the ids it holds there, or lists
them, or skips it as settled. Where digests differ, who is asked cuts the range into `BRANCHES`, each with about as
many ids, or lists what it holds when that is little. One side asks and remembers what it found (`Reconciliation`); the
other answers from its set alone (`respond`) and keeps nothing between two questions.

The rounds grow with the logarithm of the set, the bytes with the difference. A message has room for `RANGES_MAX`
ranges and `IDS_MAX` ids; what does not fit is left for the next round as one range. A digest is a hash over the ids in
order, so nobody who chooses ids can make two sets look alike.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta

from ordering import MalformedError, Wire

ID_SIZE: Final = 32
BRANCHES: Final = 16
LISTED_MAX: Final = 24  # ids that are listed at once where digests differ, instead of cutting the range again
RANGES_MAX: Final = 1024  # in one message
IDS_MAX: Final = 8192  # in one message
ROUNDS_MAX: Final = 64  # questions before a reconciliation is given up: an honest partner needs a handful
DIFFERENCE_MAX: Final = 65_536  # ids found on one side before it is enough for one reconciliation

Hash = Annotated[bytes, Meta(min_length=ID_SIZE, max_length=ID_SIZE)]


class Range(Wire, frozen=True):
    """What one side says of the ids from the end of the range before it up to `upper`; settled if it says nothing."""

    upper: Annotated[bytes, Meta(max_length=ID_SIZE)]  # exclusive; empty: to the end
    digest: Hash | None = None
    ids: Annotated[tuple[Hash, ...], Meta(max_length=IDS_MAX)] | None = None

    def __post_init__(self) -> None:
        if self.digest is not None and self.ids is not None:
            raise ValueError("a range has a digest or a list, not both")


Ranges = Annotated[tuple[Range, ...], Meta(min_length=1, max_length=RANGES_MAX)]


@dataclass(slots=True)
class Reconciliation:
    """The asking side. `ids` are sorted, without repetition.

    Ask `begin()`, hand the answer to `take`, ask what it returns, until it returns None. Then `need` is what only the
    other side holds, `have` what only we do.
    """

    ids: Sequence[bytes]
    need: set[bytes] = field(default_factory=set)
    have: set[bytes] = field(default_factory=set)
    rounds: int = 0

    def begin(self) -> tuple[Range, ...]:
        """The first question."""
        answer = _Answer(self.ids)
        answer.differ(0, len(self.ids), b"")
        self.rounds = 1
        return answer.done()

    def take(self, ranges: Sequence[Range]) -> tuple[Range, ...] | None:
        """An answer; returns the next question, None when all is settled. Raises `MalformedError`."""
        answer, is_settled = _Answer(self.ids), True
        for lower, each in _checked(ranges):
            low, high = _slice(self.ids, lower, each.upper)
            if each.ids is not None:
                mine = set(self.ids[low:high])
                self.need.update(mine.symmetric_difference(each.ids).difference(mine))
                self.have.update(mine.difference(each.ids))
                answer.skip(each.upper)
            elif each.digest is None or each.digest == digest(self.ids[low:high]):
                answer.skip(each.upper)
            else:
                is_settled = False
                if not answer.differ(low, high, each.upper):
                    break
        if is_settled or max(len(self.need), len(self.have)) > DIFFERENCE_MAX:
            return None
        if self.rounds >= ROUNDS_MAX:
            raise MalformedError(f"sets that are not reconciled after {ROUNDS_MAX} rounds")
        self.rounds += 1
        return answer.done()


def respond(ids: Sequence[bytes], asked: Sequence[Range]) -> tuple[Range, ...]:
    """The answer to a question, from a sorted set. Raises `MalformedError` for ranges that are none."""
    answer = _Answer(ids)
    for lower, each in _checked(asked):
        low, high = _slice(ids, lower, each.upper)
        if each.ids is not None:
            if tuple(ids[low:high]) == each.ids:
                answer.skip(each.upper)
            elif not answer.list(low, high, each.upper):
                break
        elif each.digest is None or each.digest == digest(ids[low:high]):
            answer.skip(each.upper)
        elif not answer.differ(low, high, each.upper):
            break
    return answer.done()


def digest(ids: Sequence[bytes]) -> bytes:
    """Of the ids of a range, in order; 32 bytes."""
    return sha256(b"".join(ids)).digest()


class _Answer:
    """A message in the making: consecutive ranges, as many as it has room for."""

    def __init__(self, ids: Sequence[bytes]) -> None:
        self._ids = ids
        self._ranges: list[Range] = []
        self._at = 0  # where in the ids the next range begins
        self._room = IDS_MAX
        self._is_complete = True

    def skip(self, upper: bytes) -> None:
        """Nothing more to say up to here; two of these in a row are one."""
        if self._ranges and self._ranges[-1].digest is None and self._ranges[-1].ids is None:
            self._ranges.pop()
        self._put(Range(upper))

    def list(self, low: int, high: int, upper: bytes) -> bool:
        """What we hold in a range, as far as there is room; False when the rest has to wait."""
        if not self._has_room(1):
            return self._leave()
        if high - low > self._room:
            cut = low + self._room
            if cut > low:
                self._put(Range(_between(self._ids[cut - 1], self._ids[cut]), ids=tuple(self._ids[low:cut])))
            return self._leave()
        self._room -= high - low
        self._put(Range(upper, ids=tuple(self._ids[low:high])))
        return True

    def differ(self, low: int, high: int, upper: bytes) -> bool:
        """A range in which the other side holds something else: listed when we hold little there, else cut."""
        count = high - low
        if count <= LISTED_MAX:
            return self.list(low, high, upper)
        if not self._has_room(BRANCHES):
            return self._leave()
        begin = low
        for branch in range(1, BRANCHES + 1):
            end = low + count * branch // BRANCHES
            bound = upper if branch == BRANCHES else _between(self._ids[end - 1], self._ids[end])
            self._put(Range(bound, digest(self._ids[begin:end])))
            begin = end
        return True

    def done(self) -> tuple[Range, ...]:
        """The message."""
        if not self._is_complete:
            self._ranges.append(Range(b"", digest(self._ids[self._at :])))
        return tuple(self._ranges)

    def _has_room(self, count: int) -> bool:
        return len(self._ranges) + count < RANGES_MAX

    def _leave(self) -> bool:
        """No room: what comes after the last range is one range more, for the next round."""
        self._is_complete = False
        return False

    def _put(self, each: Range) -> None:
        self._ranges.append(each)
        self._at = len(self._ids) if not each.upper else bisect_left(self._ids, each.upper)


def _checked(ranges: Sequence[Range]) -> Iterator[tuple[bytes, Range]]:
    """Each range with where it begins; raises `MalformedError` unless they cover all ids, in order, once."""
    lower, listed = b"", 0
    for number, each in enumerate(ranges, 1):
        if (not each.upper) != (number == len(ranges)) or (each.upper and each.upper <= lower):
            raise MalformedError("ranges that do not follow one another to the end")
        ids = each.ids or ()
        listed += len(ids)
        if listed > IDS_MAX:
            raise MalformedError(f"more than {IDS_MAX} ids in one message")
        last = b""
        for id in ids:
            if id <= last or id < lower or (each.upper and id >= each.upper):
                raise MalformedError("ids that are not in order, or not in their range")
            last = id
        yield lower, each
        lower = each.upper


def _slice(ids: Sequence[bytes], lower: bytes, upper: bytes) -> tuple[int, int]:
    return bisect_left(ids, lower), bisect_left(ids, upper) if upper else len(ids)


def _between(before: bytes, after: bytes) -> bytes:
    """The shortest bound that parts two neighbouring ids."""
    size = next(index for index in range(ID_SIZE) if before[index] != after[index]) + 1
    return after[:size]
