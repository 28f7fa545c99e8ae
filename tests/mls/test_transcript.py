"""Transcript hashes against the published vectors, and what enters them."""

from mls.crypto import suite
from mls.framing import AuthenticatedContent
from mls.registry import WireFormat
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from tests.vectors import EVERY_SOURCE, Source

SUITE = suite(1)


@EVERY_SOURCE
def test_hashes_match_the_published_vectors(source: Source) -> None:
    for case in source.cases("transcript-hashes"):
        row, commit = (
            suite(case["cipher_suite"]),
            AuthenticatedContent.decode(bytes.fromhex(case["authenticated_content"])),
        )
        interim_before, tag = bytes.fromhex(case["interim_transcript_hash_before"]), commit.auth.confirmation_tag

        confirmed = confirmed_transcript_hash(
            row, interim_before, commit.wire_format, commit.content.encode(), commit.auth.signature
        )

        assert tag is not None
        assert confirmed == bytes.fromhex(case["confirmed_transcript_hash_after"])
        assert row.mac_verify(bytes.fromhex(case["confirmation_key"]), confirmed, tag)
        assert interim_transcript_hash(row, confirmed, tag) == bytes.fromhex(case["interim_transcript_hash_after"])
        source.ran("transcript-hashes")


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
