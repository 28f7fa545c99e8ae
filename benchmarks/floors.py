"""The primitives that each operation cannot avoid, whatever the language: RFC 9420 counted step by step.

Where a count depends on the tree (how many keys a path is sealed to), it is taken from the message itself. Encoding,
decoding and snapshots need no primitive; their floor is nothing and they have no ratio.
"""

from collections import Counter

from benchmarks.primitives import Counts
from mls.framing import MLSMessage, PublicMessage
from mls.proposals import Commit
from mls.tree.kem import UpdatePath

EPOCH_STEPS = 13
"""HMACs from init and commit secret to the secrets of an epoch: two extracts, the joiner and epoch secrets, nine
derivations (RFC 9420 §8)."""


def create() -> Counts:
    """A leaf key, the leaf's signature, the secrets of epoch 0 with its tag, tree hash and transcript."""
    return Counter({"derive key": 1, "sign": 1, "HMAC": 10, "hash": 2})


def commit(message: bytes, *, added: int = 0, welcome: bytes | None = None, leaf_count: int = 0) -> Counts:
    """A Commit with a path; for `added` members also their packages' two signatures each, and the Welcome."""
    path, size = _path(message), len(message)
    steps, sealed = len(path.nodes), sum(len(node.encrypted_path_secret) for node in path.nodes)
    counts = Counter(
        {
            "HPKE seal": sealed,
            "derive key": steps + 1,
            "sign": 2,  # the leaf and the message
            "HMAC": 2 * steps + 1 + EPOCH_STEPS + 2,  # "node", "path"; the last secret; the two tags
            "hash": 2 * steps + 1 + 2,  # parent hashes, tree hashes, transcript
            "sign byte": size,
            "hash byte": 2 * size,  # membership tag and transcript
        }
    )
    if added:
        assert welcome is not None
        info = len(welcome)
        counts.update({"verify": 2 * added, "HPKE seal": added, "hash": added})  # each one's KeyPackageRef
        counts.update({"sign": 1, "HMAC": 4, "sign byte": info, "AEAD byte": info, "hash byte": info})
        counts.update({"hash": 2 * min(added, leaf_count)})  # new leaves and the parents above them
    return counts


def process(message: bytes, climbed: int) -> Counts:
    """Somebody's Commit with a path, of which we take `climbed` nodes."""
    steps, size = len(_path(message).nodes), len(message)
    return Counter(
        {
            "verify": 2,
            "HPKE open": 1,
            "derive key": climbed,
            "HMAC": 2 * climbed + 1 + EPOCH_STEPS + 2,
            "hash": 2 * steps + 1 + 2,
            "verify byte": size,
            "hash byte": 2 * size,
        }
    )


def join(member_count: int, parent_count: int, welcome: bytes, climbed: int) -> Counts:
    """A Welcome: every leaf's signature, every tree hash and parent hash, our own secrets."""
    return Counter(
        {
            "verify": member_count + 1,
            "HPKE open": 1,
            "derive key": climbed,
            "HMAC": 2 * climbed + 4 + EPOCH_STEPS - 2 + 1,
            "hash": 2 * member_count - 1 + parent_count + 2,
            "AEAD byte": len(welcome),
            "verify byte": len(welcome),
            "hash byte": 2 * len(welcome),  # as HPKE info, and the leaves in the tree hash
        }
    )


def seal() -> Counts:
    """A ratchet's three steps, sender data's two, two AEAD calls and the signature."""
    return Counter({"sign": 1, "HMAC": 5, "AEAD seal": 2})


def open() -> Counts:
    """As `seal`, with the check of the signature."""
    return Counter({"verify": 1, "HMAC": 5, "AEAD open": 2})


def nothing() -> Counts:
    return Counter()


def _path(message: bytes) -> UpdatePath:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    assert body.content.content.path is not None
    return body.content.content.path
