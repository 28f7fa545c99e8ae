"""The secret tree (RFC 9420 §9): every message key of an epoch, each derivable once.

The encryption secret stands at the root of a binary tree over the members' leaves. A node's secret yields its
children's and is then forgotten; a leaf's yields two *ratchets*, for handshake and application messages; a ratchet
yields a key, a nonce and its own next secret per *generation*. So whoever takes a device later finds only secrets of
messages not yet sent or not yet received (V050).

Here the tree is a frozen value whose branches are opened when first used. Taking a key returns it with the next tree,
which shares everything off the path to that leaf: O(log n) per message, whatever the group's size. A caller whose AEAD
then fails keeps the tree it had (V217).

Messages may come late or never. A receiver that sees a generation ahead of its ratchet derives the ones between and
keeps their keys, within bounds: no further ahead than `forward_max` (V047), of generations passed by only the last
`window`, and none for longer than `age_max_s` (V048). Of a key too old only its generation is remembered, so that a
late message is not taken for a copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from mls.codec import Opaque, Reader, Struct, Uint32, Uint64, Vector, Writer, struct
from mls.crypto import CipherSuite
from mls.errors import DuplicateError, MalformedError, MisuseError, UnopenableError
from mls.registry import ContentType
from mls.tree.math import least_power_of_two

GENERATION_MAX = 0xFFFFFFFF
_NO_KEYS: Mapping[int, "SkippedKey"] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RatchetBounds:
    """How far a receiver follows a sender, in generations of one ratchet, and for how long it waits for late ones."""

    window: int = 1024
    forward_max: int = 1024
    age_max_s: int = 1 << 40
    now: int = 0  # Unix seconds


DEFAULT_BOUNDS = RatchetBounds()


@struct
class MessageKey(Struct):
    """A key and nonce for one message. The reuse guard is still to be mixed into the nonce."""

    generation: Uint32
    key: Opaque = field(repr=False)
    nonce: Opaque = field(repr=False)


@struct
class SkippedKey(Struct):
    """The key of a message that has not come, and since when we know it. Too old, it is a generation without a key."""

    key: MessageKey
    skipped_at: Uint64  # Unix seconds

    @property
    def is_old(self) -> bool:
        return not self.key.key

    def aged(self) -> "SkippedKey":
        return SkippedKey(MessageKey(self.key.generation, b"", b""), self.skipped_at)


@dataclass(frozen=True, slots=True)
class Ratchet:
    """One sender's keys of one kind: the secret of the next generation, and keys of earlier ones not yet used.

    `secret` is empty once the last generation has been taken: the counter never wraps (V044).
    """

    generation: int
    secret: bytes = field(repr=False)
    skipped: Mapping[int, SkippedKey] = field(default_factory=lambda: _NO_KEYS, repr=False)

    def next(self, suite: CipherSuite) -> tuple[MessageKey, "Ratchet"]:
        """The next generation's key, to send with."""
        if not self.secret:
            raise MisuseError("a ratchet whose generations are used up (V044)")
        key, secret = self._step(suite, self.generation, self.secret)
        return key, Ratchet(self.generation + 1, secret, self.skipped)

    def take(self, suite: CipherSuite, generation: int, bounds: RatchetBounds) -> tuple[MessageKey, "Ratchet"]:
        """A given generation's key, to open with. Raises DuplicateError (V044) or UnopenableError (V047, V048)."""
        if generation < self.generation:
            return self.without_old_keys(bounds.now - bounds.age_max_s)._take_skipped(generation, bounds)
        if generation - self.generation > bounds.forward_max:
            raise UnopenableError(f"generation {generation}, and the ratchet is at {self.generation}", "V047")
        skipped, secret = dict(self.without_old_keys(bounds.now - bounds.age_max_s).skipped), self.secret
        for passed in range(self.generation, generation):
            key, secret = self._step(suite, passed, secret)
            skipped[passed] = SkippedKey(key, bounds.now)
        key, secret = self._step(suite, generation, secret)
        oldest = generation + 1 - bounds.window
        kept = {passed: each for passed, each in skipped.items() if passed >= oldest}  # V048
        return key, Ratchet(generation + 1, secret, MappingProxyType(kept) if kept else _NO_KEYS)

    def _take_skipped(self, generation: int, bounds: RatchetBounds) -> tuple[MessageKey, "Ratchet"]:
        kept = self.skipped.get(generation)
        if kept is None and generation < self.generation - bounds.window:
            raise UnopenableError(f"generation {generation} is too long ago to tell a late message from a copy", "V048")
        if kept is None:
            raise DuplicateError(f"generation {generation} has been used (V044)")
        if kept.is_old:
            raise UnopenableError(f"generation {generation} has come too late for its key", "V048")
        rest = {passed: each for passed, each in self.skipped.items() if passed != generation}
        return kept.key, Ratchet(self.generation, self.secret, MappingProxyType(rest))

    def without_old_keys(self, before: int) -> "Ratchet":
        """Without the keys skipped before that moment (V048); this very value where there are none."""
        if not any(each.skipped_at < before and not each.is_old for each in self.skipped.values()):
            return self
        kept = {passed: each.aged() if each.skipped_at < before else each for passed, each in self.skipped.items()}
        return Ratchet(self.generation, self.secret, MappingProxyType(kept))

    @staticmethod
    def _step(suite: CipherSuite, generation: int, secret: bytes) -> tuple[MessageKey, bytes]:
        key = suite.derive_tree_secret(secret, "key", generation, suite.key_size)
        nonce = suite.derive_tree_secret(secret, "nonce", generation, suite.nonce_size)
        if generation == GENERATION_MAX:
            return MessageKey(generation, key, nonce), b""
        return MessageKey(generation, key, nonce), suite.derive_tree_secret(
            secret, "secret", generation, suite.hash_size
        )


@dataclass(frozen=True, slots=True)
class LeafRatchets:
    """A member's two ratchets (RFC 9420 §9.1)."""

    handshake: Ratchet
    application: Ratchet

    def of(self, content_type: ContentType) -> Ratchet:
        return self.application if content_type is ContentType.APPLICATION else self.handshake  # V041

    def with_ratchet(self, content_type: ContentType, ratchet: Ratchet) -> "LeafRatchets":
        if content_type is ContentType.APPLICATION:
            return LeafRatchets(self.handshake, ratchet)
        return LeafRatchets(ratchet, self.application)


class Branch(NamedTuple):
    """An opened node: its secret is gone, its children's are here until they are opened too."""

    left: "SecretNode"
    right: "SecretNode"

    def __repr__(self) -> str:
        return "Branch(hidden)"


SecretNode = bytes | Branch | LeafRatchets
"""An unopened node's secret, an opened parent, or an opened leaf."""


@dataclass(frozen=True, slots=True)
class SecretTree:
    """Every key still to come in an epoch, for all senders."""

    suite: CipherSuite
    leaf_count: int
    root: SecretNode = field(repr=False)

    @classmethod
    def start(cls, suite: CipherSuite, encryption_secret: bytes, leaf_count: int) -> "SecretTree":
        """The tree of a new epoch; `leaf_count` is the ratchet tree's, a power of two."""
        if leaf_count != least_power_of_two(leaf_count):
            raise MisuseError(f"a tree of {leaf_count} leaves")
        return cls(suite, leaf_count, encryption_secret)

    def next_key(self, leaf_index: int, content_type: ContentType) -> tuple[MessageKey, "SecretTree"]:
        """The sender's own next key, and the tree to keep before anything sealed with it leaves (V045)."""
        leaf, beside = self._open(leaf_index)
        key, ratchet = leaf.of(content_type).next(self.suite)
        return key, self._closed(leaf_index, leaf.with_ratchet(content_type, ratchet), beside)

    def take_key(
        self, leaf_index: int, content_type: ContentType, generation: int, bounds: RatchetBounds = DEFAULT_BOUNDS
    ) -> tuple[MessageKey, "SecretTree"]:
        """The key of a received message, and the tree to keep once the message has opened (V217).

        Raises DuplicateError for a generation already used (V044), UnopenableError for one beyond the bounds
        (V047, V048).
        """
        leaf, beside = self._open(leaf_index)
        key, ratchet = leaf.of(content_type).take(self.suite, generation, bounds)
        return key, self._closed(leaf_index, leaf.with_ratchet(content_type, ratchet), beside)

    def without_old_keys(self, before: int) -> "SecretTree":
        """Without application keys skipped before that moment (V048); this very value where there are none."""
        root = _without_old_keys(self.root, before)
        return self if root is self.root else SecretTree(self.suite, self.leaf_count, root)

    def generation(self, leaf_index: int, content_type: ContentType) -> int:
        """The next generation of a sender's ratchet."""
        return self._open(leaf_index)[0].of(content_type).generation

    def to_bytes(self) -> bytes:
        """Secret. For snapshots."""
        writer = Writer()
        writer.uint(self.leaf_count, 4)
        _write_node(writer, self.root)
        return bytes(writer)

    @classmethod
    def from_bytes(cls, suite: CipherSuite, data: bytes) -> "SecretTree":
        """Raises MalformedError."""
        reader = Reader(data)
        leaf_count = reader.uint(4)
        if leaf_count != least_power_of_two(leaf_count):
            raise MalformedError(f"a secret tree of {leaf_count} leaves")
        root = _read_node(reader, leaf_count)
        reader.finish()
        return cls(suite, leaf_count, root)

    def _open(self, leaf_index: int) -> tuple[LeafRatchets, list[SecretNode]]:
        """A leaf's ratchets, and the nodes beside the way to it, the root's child first."""
        if not 0 <= leaf_index < self.leaf_count:
            raise MisuseError(f"no leaf {leaf_index} in a tree of {self.leaf_count}")
        here, size, beside = self.root, self.leaf_count, []
        while size > 1:
            size //= 2
            left, right = self._halves(here)
            here, other = (right, left) if leaf_index & size else (left, right)
            beside.append(other)
        if isinstance(here, bytes):
            return self._ratchets(here), beside
        assert isinstance(here, LeafRatchets)
        return here, beside

    def _closed(self, leaf_index: int, leaf: LeafRatchets, beside: list[SecretNode]) -> "SecretTree":
        """The tree with other ratchets at a leaf; the secrets above it are gone (V050)."""
        here: SecretNode = leaf
        for height, other in enumerate(reversed(beside)):
            here = Branch(other, here) if leaf_index >> height & 1 else Branch(here, other)
        return SecretTree(self.suite, self.leaf_count, here)

    def _halves(self, node: SecretNode) -> tuple[SecretNode, SecretNode]:
        if isinstance(node, Branch):
            return node.left, node.right
        assert isinstance(node, bytes)
        size = self.suite.hash_size
        left = self.suite.expand_with_label(node, "tree", b"left", size)
        return left, self.suite.expand_with_label(node, "tree", b"right", size)

    def _ratchets(self, secret: bytes) -> LeafRatchets:
        size = self.suite.hash_size
        handshake = self.suite.expand_with_label(secret, "handshake", b"", size)
        application = self.suite.expand_with_label(secret, "application", b"", size)
        return LeafRatchets(Ratchet(0, handshake), Ratchet(0, application))


def _without_old_keys(node: SecretNode, before: int) -> SecretNode:
    match node:
        case Branch(left, right):
            children = _without_old_keys(left, before), _without_old_keys(right, before)
            return node if children[0] is left and children[1] is right else Branch(*children)
        case LeafRatchets(application=ratchet):
            kept = ratchet.without_old_keys(before)
            return node if kept is ratchet else node.with_ratchet(ContentType.APPLICATION, kept)
        case _:
            return node


# --- snapshots --------------------------------------------------------------------------------------------------------


@struct
class StoredRatchet(Struct):
    generation: Uint64  # one past GENERATION_MAX when used up
    secret: Opaque = field(repr=False)
    skipped: Vector[SkippedKey] = field(repr=False)


_UNOPENED, _OPENED = 0, 1


def _write_node(writer: Writer, node: SecretNode) -> None:
    if isinstance(node, bytes):
        writer.uint(_UNOPENED, 1)
        writer.opaque(node)
        return
    writer.uint(_OPENED, 1)
    if isinstance(node, Branch):
        _write_node(writer, node.left)
        _write_node(writer, node.right)
        return
    for ratchet in (node.handshake, node.application):
        StoredRatchet(ratchet.generation, ratchet.secret, tuple(ratchet.skipped.values())).write(writer)


def _read_node(reader: Reader, size: int) -> SecretNode:
    if reader.uint(1) == _UNOPENED:
        return reader.opaque()
    if size > 1:
        left = _read_node(reader, size // 2)
        return Branch(left, _read_node(reader, size // 2))
    return LeafRatchets(_read_ratchet(reader), _read_ratchet(reader))


def _read_ratchet(reader: Reader) -> Ratchet:
    stored = StoredRatchet.read(reader)
    skipped = MappingProxyType({each.key.generation: each for each in stored.skipped}) if stored.skipped else _NO_KEYS
    return Ratchet(stored.generation, stored.secret, skipped)
