"""Any two sets find their difference, in few rounds and few bytes, whatever the other side says."""

import math
from collections.abc import Sequence
from hashlib import sha256
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.mailbox import reconciling
from node.mailbox.reconciling import BRANCHES, ROUNDS_MAX, Range, Reconciliation, respond
from ordering import MalformedError

Ids = st.frozensets(st.integers(0, 400).map(lambda number: sha256(number.to_bytes(4, "big")).digest()), max_size=300)
CLOSE = st.frozensets(st.binary(min_size=1, max_size=2).map(lambda tail: bytes(30) + tail.rjust(2, b"\0")), max_size=60)


def run(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[Reconciliation, int]:
    """A reconciliation to its end, and the bytes that both sides said; each message travels encoded."""
    asking, size = Reconciliation(sorted(ours)), 0
    question: tuple[Range, ...] | None = asking.begin()
    while question is not None:
        reply = respond(sorted(theirs), carried(question))
        size += len(msgspec.msgpack.encode(question)) + len(msgspec.msgpack.encode(reply))
        question = asking.take(carried(reply))
    return asking, size


def carried(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(ranges), type=tuple[Range, ...])


def ids(count: int, seed: str = "") -> list[bytes]:
    return [sha256(f"{seed}/{number}".encode()).digest() for number in range(count)]


@given(ours=Ids, theirs=Ids)
@settings(deadline=None, max_examples=150)
def test_any_two_sets_find_exactly_their_difference(ours: frozenset[bytes], theirs: frozenset[bytes]) -> None:
    """The one thing it is for."""
    found, _ = run(sorted(ours), sorted(theirs))
    assert found.need == theirs - ours
    assert found.have == ours - theirs


@given(ours=CLOSE, theirs=CLOSE)
@settings(deadline=None, max_examples=100)
def test_ids_that_lie_close_together_are_told_apart(ours: frozenset[bytes], theirs: frozenset[bytes]) -> None:
    """Whoever chooses ids may choose them so that their first thirty bytes are the same."""
    found, _ = run(sorted(ours), sorted(theirs))
    assert found.need == theirs - ours
    assert found.have == ours - theirs


@given(seed=st.integers(0, 2**32), count=st.integers(0, 1500), gone=st.integers(0, 40), fresh=st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_rounds_and_bytes_follow_the_difference(seed: int, count: int, gone: int, fresh: int) -> None:
    """Rounds grow with the logarithm of the set, bytes with the difference times that: not with the set."""
    common = ids(count, str(seed))
    chance = Random(seed)
    ours = set(common) - set(chance.sample(common, min(gone, count)))
    theirs = set(common) | set(ids(fresh, f"fresh {seed}"))
    found, size = run(sorted(ours), sorted(theirs))
    difference = len(found.need) + len(found.have)
    assert difference == len(ours ^ theirs)
    depth = 1 + math.ceil(math.log(max(count, 2), BRANCHES))
    assert found.rounds <= depth + 1
    assert size <= 1400 + 2500 * difference * depth


def test_equal_sets_of_any_size_cost_one_round() -> None:
    """The ordinary case: nothing is new."""
    for count in (0, 1, 24, 25, 5000):
        found, size = run(ids(count), ids(count))
        assert (found.rounds, found.need, found.have) == (1, set(), set())
        assert size < 2000


def test_what_does_not_fit_in_a_message_follows_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost at the bounds of a message, and each message keeps to them."""
    monkeypatch.setattr(reconciling, "IDS_MAX", 100)
    monkeypatch.setattr(reconciling, "RANGES_MAX", 40)
    ours, theirs = ids(900, "ours"), ids(1000, "theirs")
    found, _ = run([], theirs)
    assert found.need == set(theirs)
    monkeypatch.setattr(reconciling, "ROUNDS_MAX", 1000)
    found, _ = run(ours, theirs)
    assert (found.need, found.have) == (set(theirs), set(ours))


def test_a_partner_that_never_agrees_is_given_up() -> None:
    """Its digests may differ from ours for ever; it is asked so often and no more."""
    asking = Reconciliation(sorted(ids(5)))
    asking.begin()
    other = (Range(b"", digest=bytes(32)),)
    for _ in range(ROUNDS_MAX - 1):
        assert asking.take(other) is not None
    with pytest.raises(MalformedError, match="rounds"):
        asking.take(other)


@pytest.mark.parametrize(
    "ranges",
    [
        (Range(b"\x80"),),
        (Range(b""), Range(b"")),
        (Range(b"\x80"), Range(b"\x80"), Range(b"")),
        (Range(b"\x80"), Range(b"\x10"), Range(b"")),
        (Range(b"\x80", ids=(b"\x90" * 32,)), Range(b"")),
        (Range(b"\x10"), Range(b"", ids=(b"\x01" * 32,))),
        (Range(b"", ids=(b"\x02" * 32, b"\x01" * 32)),),
        (Range(b"", ids=(b"\x02" * 32, b"\x02" * 32)),),
    ],
)
def test_ranges_that_are_none_are_refused(ranges: tuple[Range, ...]) -> None:
    """Gaps, overlaps, and ids out of place: on either side."""
    with pytest.raises(MalformedError):
        respond(ids(3), ranges)
    with pytest.raises(MalformedError):
        Reconciliation(sorted(ids(3))).take(ranges)


def test_a_range_says_one_thing() -> None:
    """A digest beside a list could contradict it."""
    with pytest.raises(ValueError, match="not both"):
        Range(b"", digest=bytes(32), ids=())
