"""Asking under a throw-away identity, over both adapters."""

from __future__ import annotations

import os

import pytest
import trio

from node import transport_unnamed
from node.transport import DialError, PeerId, RequestError, RequestFailure
from tests.node.transport_worlds import open_world, until

pytestmark = pytest.mark.parametrize("kind", ["memory", "libp2p"])


async def test_who_asks_unnamed_is_somebody_else_each_time(kind: str) -> None:
    """The same under one persona, on one connection; another under the next; never the node itself."""
    seen: list[PeerId] = []

    async def handler(peer: PeerId, payload: bytes) -> bytes:
        seen.append(peer)
        return payload[::-1]

    with trio.fail_after(20):
        async with open_world(kind) as world:
            alice, box = await world.add("alice"), await world.add("box")
            box.handle("ask", handler)
            one, two = os.urandom(32), os.urandom(32)
            for persona in (one, two, one):
                assert await alice.request_unnamed(box.addresses[0], "ask", b"abc", persona=persona) == b"cba"
            assert seen[0] == seen[2] != seen[1]
            assert alice.peer_id not in seen
            assert alice.peer_id not in box.peers()
            assert box.peer_id not in alice.peers()


async def test_what_fails_unnamed_fails_as_it_does_by_name(kind: str) -> None:
    """So whoever asks need not care which it was."""

    async def hang(peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    with trio.fail_after(30):
        async with open_world(kind) as world:
            alice, box = await world.add("alice"), await world.add("box")
            box.handle("hang", hang)
            persona = os.urandom(32)
            with pytest.raises(RequestError) as caught:
                await alice.request_unnamed(box.addresses[0], "hang", b"", persona=persona, timeout_s=1.5)
            assert caught.value.kind is RequestFailure.TIMEOUT
            with pytest.raises(RequestError) as caught:
                await alice.request_unnamed(box.addresses[0], "nothing", b"", persona=persona)
            assert caught.value.kind is RequestFailure.UNSUPPORTED
            await world.remove("box")
            with pytest.raises((DialError, RequestError)):
                await alice.request_unnamed(box.addresses[0], "hang", b"", persona=os.urandom(32))


async def test_idle_identities_are_closed_and_their_number_is_bounded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs the other side a connection."""
    monkeypatch.setattr(transport_unnamed, "PERSONAS_MAX", 2)
    monkeypatch.setattr(transport_unnamed, "IDLE_S", 0.3)

    async def echo(peer: PeerId, payload: bytes) -> bytes:
        return payload

    with trio.fail_after(30):
        async with open_world(kind) as world:
            alice, box = await world.add("alice"), await world.add("box")
            box.handle("echo", echo)
            for number in range(4):
                assert await alice.request_unnamed(box.addresses[0], "echo", b"x", persona=bytes([number]) * 32) == b"x"
            await until(lambda: len(box.peers()) <= 2)
            await until(lambda: not box.peers())
