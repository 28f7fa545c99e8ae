"""Who brings a newcomer its Welcome, and when the others stop meaning to."""

from pathlib import Path
from typing import Any, cast

from trio.testing import MockClock

from node.peer_id import PeerId
from node.peer_messages import WELCOME_PROTOCOL
from node.transport import Transport
from node.welcoming import WELCOME_KIND
from tests.node.world import HOLDS, Member, open_world, until


class Counted:
    """A transport that counts the Welcomes it carries."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.welcomes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, **options: Any) -> bytes:
        self.welcomes += protocol == WELCOME_PROTOCOL
        return await self._inner.request(peer, protocol, payload, **options)


def waiting_welcomes(member: Member) -> int:
    return sum(row.kind == WELCOME_KIND for row in member.node.context.store.outbox(member.session.group_id))


async def test_who_has_heard_the_newcomer_speak_brings_it_no_welcome(tmp_path: Path, autojump_clock: MockClock) -> None:
    """All voters hold it, in case the committer dies; the newcomer is in at once, and the others' turns lapse."""
    async with open_world(tmp_path) as world:
        voters = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        wires: list[Counted] = []

        def counted(inner: Transport) -> Transport:
            wires.append(Counted(inner))
            return cast(Transport, wires[-1])

        for voter in voters:
            await voter.stop()
            voter.wrap_transport = counted
            await voter.start()
        await world.settled(*voters)
        eve = await world.member("eve", always_on=False)

        assert (await voters[0].add(eve)).state in HOLDS
        await until(lambda: bool(eve.node.sessions))
        await until(lambda: not any(map(waiting_welcomes, voters)))

        assert sum(wire.welcomes for wire in wires) == 1
