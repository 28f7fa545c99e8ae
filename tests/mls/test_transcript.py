"""Transcript hashes. The published vectors run where framing is tested, since they hold whole messages."""

from mls.crypto import suite
from mls.registry import WireFormat
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash

SUITE = suite(1)


def test_each_part_of_a_commit_enters_the_hash() -> None:
    """V161."""
    one = confirmed_transcript_hash(SUITE, b"i", WireFormat.MLS_PUBLIC_MESSAGE, b"content", b"signature")

    others = {
        confirmed_transcript_hash(SUITE, b"j", WireFormat.MLS_PUBLIC_MESSAGE, b"content", b"signature"),
        confirmed_transcript_hash(SUITE, b"i", WireFormat.MLS_PRIVATE_MESSAGE, b"content", b"signature"),
        confirmed_transcript_hash(SUITE, b"i", WireFormat.MLS_PUBLIC_MESSAGE, b"contents", b"ignature"),
        confirmed_transcript_hash(SUITE, b"i", WireFormat.MLS_PUBLIC_MESSAGE, b"content", b"signatures"),
    }

    assert len(others | {one}) == 5
    assert len(one) == SUITE.hash_size


def test_the_interim_hash_adds_the_tag_with_its_length() -> None:
    assert interim_transcript_hash(SUITE, b"c", b"tag") == SUITE.hash(b"c\x03tag")
