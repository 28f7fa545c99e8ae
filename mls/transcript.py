"""Transcript hashes (RFC 9420 §8.2): each epoch agrees on every commit since the group began.

The confirmed hash covers a commit up to and including its signature; the interim hash adds its confirmation tag, which
is a MAC under a key that depends on the confirmed hash. A commit enters exactly as it was received (V161), so these
functions take bytes.
"""

from mls.codec import varint
from mls.crypto import CipherSuite
from mls.registry import WireFormat


def confirmed_transcript_hash(
    suite: CipherSuite, interim_before: bytes, wire_format: WireFormat, content: bytes, signature: bytes
) -> bytes:
    """KDF.Nh bytes. `content` is the commit's encoded FramedContent; `interim_before` that of the epoch it ends."""
    commit = wire_format.to_bytes(2, "big") + content + varint(len(signature)) + signature
    return suite.hash(interim_before + commit)


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """KDF.Nh bytes; epoch 0's too is made from its confirmation tag (§11 governs over §8.2, V204)."""
    return suite.hash(confirmed + varint(len(confirmation_tag)) + confirmation_tag)
