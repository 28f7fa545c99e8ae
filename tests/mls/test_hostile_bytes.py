"""Whatever bytes arrive, an entry point answers with an error of ours: no other exception, no changed state."""

import random
from collections.abc import Callable

import pytest

from mls.crypto import suite
from mls.entry import join
from mls.errors import MlsError
from mls.framing import frame
from mls.observe import observe
from mls.outside import group_context_of, propose_own_add
from mls.peek import confirmed_transcript_hash, decode_key_package, key_package_reference, peek, welcome_references
from mls.proposals import add
from mls.registry import WireFormat
from mls.validation.key_packages import check_key_package
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, Members

ROUNDS = 150


def edited(data: bytes, dice: random.Random) -> bytes:
    """One to three cuts, repetitions, insertions or changes."""
    made = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(made) or 1)
        stop = min(len(made), start + dice.choice((1, 1, 2, 4, 33, 100)))
        match dice.randrange(4):
            case 0:
                del made[start:stop]
            case 1:
                made[start:start] = made[start:stop]
            case 2:
                made[start:start] = dice.randbytes(dice.randint(1, 5))
            case _:
                made[start:stop] = dice.randbytes(stop - start)
    return bytes(made)


class Scene:
    """A group, one message of each kind for Bob or Carol, and what takes it in."""

    def __init__(self) -> None:
        world = Members("alice", "bob")
        bundle = world.client("carol").package()
        made = world["alice"].commit(world.random, NOW, proposals=[add(bundle.key_package)])
        private = world["alice"].commit(world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
        _, update = world["alice"].propose_update(world.random)
        _, words = world["alice"].seal(b"words", world.random)
        referring = Members.commit(world, "bob", adopt=False, references=[update])
        assert made.welcome is not None
        bob, welcome = world["bob"], made.welcome
        zoe = Stranger.named(world, "zoe")
        joined = zoe.joins()
        asked = propose_own_add(world["alice"].context, world.client("dave").package())
        adding = Members.commit(world, "bob", adopt=False, references=[asked])
        self.kept = bob.to_bytes
        self.before = bob.to_bytes()
        self.entries: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
            "stage": (made.message, lambda data: bob.stage(data, now=NOW)),
            "stage private": (private.message, lambda data: bob.stage(data, now=NOW)),
            "check commit": (made.message, bob.public.check_commit),
            "proposal": (update, lambda data: world["alice"].public.check_commit(referring.message, [data])),
            "open": (words, lambda data: bob.open(data, NOW)),
            "join": (welcome, lambda data: join(data, [bundle], tree=None, now=NOW)),
            "tree": (
                made.successor.tree_bytes(),
                lambda data: observe(made.successor.group_info(inline_tree=False), tree=data),
            ),
            "observe": (made.successor.group_info(), observe),
            "key package": (
                frame(bundle.key_package),
                lambda data: check_key_package(suite(1), decode_key_package(data)),
            ),
            "welcome references": (welcome, welcome_references),
            "key package reference": (frame(bundle.key_package), key_package_reference),
            "peek": (words, peek),
            "external commit": (joined.message, lambda data: bob.stage(data, now=NOW)),
            "external commit, checked": (joined.message, bob.public.check_commit),
            "external join": (world["alice"].group_info(external_pub=True), zoe.enters),
            "proposal from outside": (asked, lambda data: bob.public.check_commit(adding.message, [data])),
            "group context": (world["alice"].group_info(), group_context_of),
            "transcript": (made.message, lambda data: confirmed_transcript_hash(1, bytes(32), data)),
        }


SCENE = Scene()
UNAUTHENTICATED = {"group context", "welcome references", "key package reference", "peek", "transcript"}
"""These answer whatever decodes: they say so, and nothing is believed for it."""
TAGGED = {"check commit", "external commit, checked", "proposal"}


@pytest.mark.parametrize("entry", sorted(SCENE.entries))
def test_edited_bytes_are_refused_by_an_error_of_ours(entry: str) -> None:
    data, take = SCENE.entries[entry]
    take(data)
    dice = random.Random(entry)
    for _ in range(ROUNDS):
        hostile = edited(data, dice)
        if hostile == data:
            continue
        try:
            take(hostile)
        except MlsError:
            continue
        # What is left is a tag that an observer cannot judge.
        assert entry in UNAUTHENTICATED or (entry in TAGGED and len(hostile) == len(data))
    assert SCENE.kept() == SCENE.before


@pytest.mark.parametrize("entry", sorted(SCENE.entries))
def test_arbitrary_bytes_are_refused_by_an_error_of_ours(entry: str) -> None:
    _, take = SCENE.entries[entry]
    dice = random.Random(entry)
    for size in (0, 1, 2, 3, 4, 5, 8, 40, 400):
        for head in (b"", b"\x00\x01\x00" + bytes([dice.randint(1, 5)])):
            with pytest.raises(MlsError):
                take((head + dice.randbytes(size))[: size or None] if size else b"")
