"""Padding policies: what the size of a ciphertext still tells."""

import pytest

from mls.config import GroupConfig
from mls.errors import MisuseError
from mls.framing import MLSMessage, PrivateMessage
from mls.padding import MultipleOf, Padding, PowerOfTwo, no_padding
from mls.registry import WireFormat
from tests.mls.world import NOW, Members

TAG_SIZE = 16


def sealed_size(world: Members, plaintext: bytes) -> int:
    """Of the padded content; Bob reads it on the way."""
    world.groups["alice"], message = world["alice"].seal(plaintext, world.random)
    world.groups["bob"], opened = world["bob"].open(message, NOW)
    assert opened.plaintext == plaintext
    body = MLSMessage.decode(message).body
    assert isinstance(body, PrivateMessage)
    return len(body.ciphertext) - TAG_SIZE


@pytest.mark.parametrize(
    ("padding", "sizes"),
    [
        (no_padding, {1: 1, 100: 100}),
        (MultipleOf(64), {1: 64, 64: 64, 65: 128}),
        (PowerOfTwo(), {1: 256, 256: 256, 257: 512, 1025: 2048}),
        (PowerOfTwo(1), {1: 1, 2: 2, 3: 4, 1024: 1024}),
        (PowerOfTwo(100), {1: 128}),
    ],
)
def test_a_policy_turns_sizes_into_fewer_sizes(padding: Padding, sizes: dict[int, int]) -> None:
    assert {size: padding(size) for size in sizes} == sizes


@pytest.mark.parametrize("padding", [no_padding, MultipleOf(100), PowerOfTwo(512), lambda size: size + 7])
def test_sealed_content_has_the_size_its_policy_says(padding: Padding) -> None:
    """What it says and its signature inside, every message opens whatever its reader's own policy is."""
    bare = Members("alice", "bob", config=GroupConfig(padding=no_padding))
    world = Members("alice", "bob", config=GroupConfig(padding=padding))
    for plaintext in (b"", b"x", b"x" * 1000):
        assert sealed_size(world, plaintext) == padding(sealed_size(bare, plaintext))


def test_handshake_messages_are_padded_likewise() -> None:
    world = Members("alice", "bob", config=GroupConfig(padding=MultipleOf(4096)))
    made = world.commit("alice", wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    body = MLSMessage.decode(made.message).body
    assert isinstance(body, PrivateMessage)
    assert len(body.ciphertext) - TAG_SIZE == 4096
    assert world.agree()


def test_a_policy_that_would_cut_is_a_bug_of_the_application() -> None:
    world = Members("alice", "bob", config=GroupConfig(padding=lambda size: size - 1))
    with pytest.raises(MisuseError):
        world["alice"].seal(b"words", world.random)
    for wrong in (lambda: MultipleOf(0), lambda: PowerOfTwo(0)):
        with pytest.raises(MisuseError):
            wrong()
