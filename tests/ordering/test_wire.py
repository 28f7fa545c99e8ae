"""Encodings: one form per value, strict, bounded, versioned; whatever a peer sends, nothing but `MalformedError`."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from ordering import (
    Anchor,
    BenchEntry,
    Bundle,
    Candidate,
    Certificate,
    Chain,
    ChainRequest,
    Decision,
    Descriptor,
    Evidence,
    Freeze,
    FreezeReason,
    Guard,
    InstanceRecord,
    JoinProof,
    Justification,
    LogEntry,
    MalformedError,
    MessageKind,
    Model,
    Policy,
    Propose,
    SignedVote,
    Status,
    VoteKind,
    VoterExtension,
    decode_message,
    encode_message,
)
from ordering.limits import VIEW_MAX
from ordering.wire import Wire, framed
from tests.ordering.world import GROUP, Liar, Node, committee, config, facts, key, value

LIAR = Liar(4)
NOTARIZATION = LIAR.certificate(VoteKind.NOTARIZE, 0, (0, 1, 2), value("x"))
NULLIFICATION = LIAR.certificate(VoteKind.NULLIFY, 1, (0, 2, 3))
DECISION = LIAR.decision(0, (0, 1, 3), value("x"))
EVIDENCE = Evidence(
    LIAR.vote(VoteKind.FINALIZE, 0, 1, value("x")), LIAR.vote(VoteKind.NULLIFY, 0, 1), b"an encoded leaf node"
)
BUNDLE = Bundle(b"commit", (b"add", b"remove"), b"welcome", committee(4).descriptor, (EVIDENCE,))
CANDIDATE = Candidate(LIAR.instance, 12, 1, BUNDLE, b"signature")
ENTRY = LogEntry.of(DECISION, BUNDLE)
JUSTIFICATION = LIAR.justification(2, NOTARIZATION, [NULLIFICATION])


def a_record() -> InstanceRecord:
    node = Node(config(4, 0))
    node.open()
    node.learn(facts("x"))
    record = node.disk[InstanceRecord]
    assert isinstance(record, InstanceRecord)
    return record


VALUES: list[Wire] = [
    Policy(),
    Policy(model=Model.CRASH, size_max=31, pins=(b"a", b"b"), bench=(BenchEntry(1, 2), BenchEntry(3, 0))),
    VoterExtension(key(0).public, 7, b"p" * 64),
    committee(7).descriptor,
    LIAR.vote(VoteKind.NOTARIZE, 3, 2, value("x")),
    LIAR.vote(VoteKind.NULLIFY, 300, 2),
    NOTARIZATION,
    NULLIFICATION,
    JUSTIFICATION,
    LIAR.justification(0),
    LIAR.propose(2, value("x"), JUSTIFICATION),
    LIAR.status(1, 5, candidates=(value("x"), value("y"))),
    Status(LIAR.instance, 0, 0, None, 99, 1, (), b"", b"leaf signature"),
    DECISION,
    EVIDENCE,
    BUNDLE,
    CANDIDATE,
    ENTRY,
    Anchor.genesis(GROUP, b"tree", committee(4).descriptor),
    ChainRequest(GROUP, 5, 10),
    Chain(GROUP, (ENTRY,)),
    JoinProof(DECISION, CANDIDATE, b"i" * 32, (ENTRY,)),
    Guard(GROUP, 3, 1, 2, 0, b"signed", b"s" * 64, 0),
    Freeze(FreezeReason.HARD_INVALID, (DECISION,), NOTARIZATION),
    a_record(),
]
each = pytest.mark.parametrize("instance", VALUES, ids=lambda v: type(v).__name__)


@each
def test_round_trip(instance: Wire) -> None:
    assert type(instance).decode(instance.encode()) == instance


@each
def test_every_byte_is_needed(instance: Wire) -> None:
    data = instance.encode()
    for wrong in (data[:-1], data + b"\x00", data[1:], b""):
        with pytest.raises(MalformedError):
            type(instance).decode(wrong)


@each
def test_another_version_is_refused_by_name(instance: Wire) -> None:
    data = bytearray(instance.encode())
    data[1] = 2
    with pytest.raises(MalformedError, match=r"version 2; this node reads version 1"):
        type(instance).decode(bytes(data))


@each
def test_a_field_more_or_less_is_refused(instance: Wire) -> None:
    fields = msgpack.decode(instance.encode())
    for wrong in ([*fields, 0], [*fields, None], fields[:-1]):
        with pytest.raises(MalformedError):
            type(instance).decode(msgpack.encode(wrong))


@each
def test_no_second_encoding_is_read(instance: Wire) -> None:
    """The same value with its version written in two bytes: equal after decoding, so it must be refused."""
    data = instance.encode()
    with pytest.raises(MalformedError, match="canonical"):
        type(instance).decode(data[:1] + b"\xcc\x01" + data[2:])


@each
def test_oversize_is_refused_unread(instance: Wire) -> None:
    with pytest.raises(MalformedError, match="at most"):
        type(instance).decode(b"\x00" * (type(instance).SIZE_MAX + 1))


@each
def test_maps_are_refused(instance: Wire) -> None:
    with pytest.raises(MalformedError):
        type(instance).decode(msgpack.encode({"version": 1}))


@each
def test_no_flipped_bit_reads_as_the_same_value(instance: Wire) -> None:
    data = instance.encode()
    for position in range(0, len(data), max(1, len(data) // 200)):
        mutated = bytearray(data)
        mutated[position] ^= 1 << (position % 8)
        with suppress(MalformedError):
            assert type(instance).decode(bytes(mutated)) != instance


@given(st.binary(max_size=300))
def test_noise_is_malformed(data: bytes) -> None:
    for cls in {type(v) for v in VALUES}:
        with pytest.raises(MalformedError):
            cls.decode(data)
    with pytest.raises(MalformedError):
        decode_message(data)


def test_frames_carry_their_kind() -> None:
    messages: list[tuple[MessageKind, Wire]] = [
        (MessageKind.VOTE, VALUES[4]),
        (MessageKind.CERTIFICATE, NOTARIZATION),
        (MessageKind.PROOF, JUSTIFICATION),
        (MessageKind.DECISION, DECISION),
        (MessageKind.CANDIDATE, CANDIDATE),
    ]
    for kind, message in messages:
        data = encode_message(message)  # type: ignore[arg-type]
        assert data[0] == kind
        assert decode_message(data) == message


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x63\x91\x01", b"\x01"])
def test_a_bad_frame_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_message(data)


def reencoded(instance: Wire, index: int, field: object) -> bytes:
    fields = msgpack.decode(instance.encode())
    fields[index] = field
    return msgpack.encode(fields)


@pytest.mark.parametrize(
    ("instance", "index", "field"),
    [
        (NOTARIZATION, 5, [[1, b"s" * 64], [0, b"s" * 64]]),  # signatures out of order
        (NOTARIZATION, 5, [[1, b"s" * 64], [1, b"s" * 64]]),  # one voter twice
        (NOTARIZATION, 5, [[31, b"s" * 64]]),  # no committee is that large
        (NOTARIZATION, 5, []),
        (NOTARIZATION, 4, b""),  # a notarization of nothing
        (NULLIFICATION, 4, b"x" * 32),  # a nullification of something
        (NOTARIZATION, 2, 4),  # no such kind
        (JUSTIFICATION, 2, 3),  # a gap
        (JUSTIFICATION, 3, None),  # a gap at the bottom
        (LIAR.vote(VoteKind.NULLIFY, 0, 0), 5, b"x" * 32),
        (LIAR.vote(VoteKind.NOTARIZE, 0, 0, value("x")), 5, b""),
        (LIAR.vote(VoteKind.NOTARIZE, 0, 0, value("x")), 3, -1),
        (LIAR.vote(VoteKind.NOTARIZE, 0, 0, value("x")), 3, 1.0),
        (LIAR.vote(VoteKind.NOTARIZE, 0, 0, value("x")), 6, b"s" * 63),
        (DECISION, 2, 1),  # the certificate is of epoch 0's instance
        (DECISION, 3, b"p" * 32),  # … and follows another bundle
        (committee(4).descriptor, 3, 2),  # too small a quorum
        (committee(4).descriptor, 4, [key(0).public] * 4),  # one key, four seats
        (Policy(), 3, 32),
        (Policy(), 5, [b"a", b"a"]),
        (Policy(), 6, [[1, 3, 0], [1, 1, 0]]),  # bench out of order
        (CANDIDATE, 3, 2),  # ordinals are 0 and 1
        (LIAR.status(1, 1), 7, [b"x" * 32] * 9),  # more than it may offer
    ],
)
def test_a_broken_invariant_is_malformed(instance: Wire, index: int, field: object) -> None:
    with pytest.raises(MalformedError):
        type(instance).decode(reencoded(instance, index, field))


def test_a_proof_of_any_view_costs_what_it_brings() -> None:
    """Fifty bytes that name the last view of all must not make anyone count up to it."""
    claim = reencoded(LIAR.justification(0), 2, VIEW_MAX)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError, match="gap"):
            Justification.decode(claim)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_evidence_of_nothing_is_malformed() -> None:
    honest = LIAR.vote(VoteKind.NOTARIZE, 0, 1, value("x"))
    later = LIAR.vote(VoteKind.NULLIFY, 0, 1)
    fields = msgpack.encode([1, msgpack.decode(honest.encode()), msgpack.decode(later.encode()), b""])
    with pytest.raises(MalformedError, match="do not conflict"):
        Evidence.decode(fields)


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_framing_is_injective(left: list[bytes], right: list[bytes]) -> None:
    """Signed bytes of different fields differ, however the fields are cut."""
    assert (framed("label", *left) == framed("label", *right)) == (left == right)
    assert framed("label", *left) != framed("labe", b"l", *left)


def test_types_of_the_wire_are_what_they_say() -> None:
    assert all(isinstance(v, Wire) for v in VALUES)
    assert {SignedVote, Propose, Certificate, Justification, Descriptor, Decision} <= {type(v) for v in VALUES}
