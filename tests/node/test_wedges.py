"""Inputs that must not stop a group for ever: each was able to once, or looks as if it could."""

import os
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from mls import basic, create_key_package, frame, own_capabilities, suite
from node.api.errors import ApiError
from node.context import NodeContext
from node.directory import lifetime_from
from node.electorate import PRIVATE_EXTENSIONS
from node.holding import FROZEN
from node.identity import Identity
from node.intents import ADD, DONE, FAILED, UPDATE, AddBody
from node.peer_id import PeerId
from node.peer_messages import KEY_PACKAGE_PROTOCOL
from node.transport import FRAME_SIZE_MAX
from tests.node.test_session import message_count
from tests.node.world import HOLDS, SUITE, Member, committee_size, open_world, until

DAY_MS = 24 * 3600 * 1000


async def test_a_node_away_for_longer_than_a_lifetime_catches_up(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key package's lifetime is asked when it is added, never when the decided chain is followed later."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await cyn.stop()
        dan = await world.member("dan", always_on=False)
        assert (await ada.add(dan)).state in HOLDS
        await until(lambda: bool(dan.node.sessions))
        now_ms = NodeContext.now_ms
        monkeypatch.setattr(NodeContext, "now_ms", staticmethod(lambda: now_ms() + 400 * DAY_MS))

        await cyn.start()

        await until(lambda: cyn.epoch == ada.epoch and committee_size(cyn) == 3)
        await world.settled(ada, bob, cyn, dan)


async def test_however_many_epochs_one_was_away(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many bundles are held at once; those there was no room for were never asked for again."""
    monkeypatch.setattr("node.catching_up.HELD_MAX", 3)
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        await bob.stop()
        for _ in range(10):
            assert (await ada.update()).state == DONE

        await bob.start()

        await until(lambda: bob.epoch == ada.epoch)


def strange_key_package(identity: bytes | None) -> bytes:
    """Well made as far as MLS can tell; it names another peer, or none at all."""
    signer = suite(SUITE).generate_signature_key(os.urandom)
    credential = basic(identity if identity is not None else Identity.generate(os.urandom).bind(signer.public, SUITE))
    lifetime, capabilities = lifetime_from(NodeContext.now_ms() // 1000), own_capabilities(PRIVATE_EXTENSIONS)
    bundle = create_key_package(SUITE, credential, signer, lifetime, capabilities, (), (), os.urandom)
    return frame(bundle.key_package)


@pytest.mark.parametrize("identity", [b"nobody", None], ids=["nobody", "another"])
async def test_a_poisonous_key_package_fails_its_own_intent_only(
    tmp_path: Path, autojump_clock: MockClock, identity: bytes | None
) -> None:
    """Who we add chooses the bytes. What no commit can carry ends by itself, and the others go on."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        eve = await world.member("eve")

        async def poison(_peer: PeerId, _payload: bytes) -> bytes:
            return strange_key_package(identity)

        eve.node.context.transport.handle(KEY_PACKAGE_PROTOCOL, poison)
        with pytest.raises(ApiError, match="its key package is"):  # named before any commit is built on it
            await bob.node.key_package_of(eve.peer_id, SUITE)
        package = strange_key_package(identity)
        poisoned = await bob.submit(ADD, AddBody(eve.peer_id, package).encode())
        good = await bob.submit(UPDATE)

        with trio.fail_after(60):
            assert (await bob.session.intent_ended(poisoned.intent_id)).state == FAILED
            assert (await bob.session.intent_ended(good.intent_id)).state == DONE
        assert len(ada.session.agreement.roster.others) == 1


async def test_a_frozen_group_goes_on_talking_whoever_did_not_vote(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An always-on member without a seat wants one whenever its task starts; in a frozen group it gets none."""
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        bob = await world.member("bob", always_on=False)
        assert (await ada.add(bob)).state in HOLDS
        await until(lambda: bool(bob.node.sessions) and not bob.session.holding.unconfirmed)
        await bob.session.ask(lambda: bob.session.agreement.change_health(FROZEN, "frozen"))
        await bob.stop()
        bob.config = msgspec.structs.replace(bob.config, node=msgspec.structs.replace(bob.config.node, always_on=True))
        await bob.start()

        with trio.fail_after(30):
            await bob.session.send("still here")
            await until(lambda: message_count(ada) == 1)


async def test_a_bundle_larger_than_a_frame_is_fetched(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Welcome carries the tree, so a large group's bundle fits no frame. Its author must not die of it."""
    size = 4000
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", committee=3)
        assert size < FRAME_SIZE_MAX
        dan = await world.member("dan", always_on=False)
        monkeypatch.setattr("node.carrying.FRAME_SIZE_MAX", size)
        for member in members:
            refuse_large_frames(member, size)

        assert (await members[1].add(dan)).state in HOLDS

        await until(lambda: bool(dan.node.sessions))
        await world.settled(*members, dan)


def refuse_large_frames(member: Member, size_max: int) -> None:
    """What the transport does with a frame that is too large, at a size that tests can reach."""
    transport = member.node.context.transport
    send = transport.send

    async def sized(peer: PeerId, payload: bytes) -> bool:
        assert len(payload) <= size_max
        return await send(peer, payload)

    transport.send = sized  # type: ignore[method-assign]
