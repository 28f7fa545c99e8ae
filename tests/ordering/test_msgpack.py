"""What goes on the wire is msgpack as another implementation reads it, and only its canonical form is taken back."""

from __future__ import annotations

import msgpack
import pytest

from ordering import BenchEntry, MalformedError, Model, Policy, VoterExtension


def test_another_implementation_reads_what_we_write() -> None:
    policy = Policy(model=Model.CRASH, size_max=4, delta_ms=70_000 % 60_000, pins=(b"peer",), bench=(BenchEntry(3, 9),))
    assert msgpack.unpackb(policy.encode()) == [1, 2, 2, 4, 10_000, [b"peer"], [[1, 3, 9]], False]


def test_we_read_what_another_implementation_writes() -> None:
    voter = VoterExtension(bytes(32), 7, bytes(64))
    assert VoterExtension.decode(msgpack.packb([1, bytes(32), 7, bytes(64)])) == voter


@pytest.mark.parametrize(
    "other",
    [
        b"\xdc\x00\x04" + VoterExtension(bytes(32), 7, bytes(64)).encode()[1:],  # a longer array header
        VoterExtension(bytes(32), 7, bytes(64)).encode().replace(b"\x07", b"\xcc\x07", 1),  # a longer integer
        msgpack.packb([1, "k" * 32, 7, bytes(64)]),  # text where bytes belong
        msgpack.packb({0: 1, 1: bytes(32), 2: 7, 3: bytes(64)}),  # a map
    ],
    ids=["array", "integer", "text", "map"],
)
def test_equal_content_in_another_form_is_refused(other: bytes) -> None:
    """Two encodings of one value would have two hashes."""
    assert isinstance(msgpack.unpackb(other, strict_map_key=False), list | dict)
    with pytest.raises(MalformedError):
        VoterExtension.decode(other)
