"""Rival changes by the members of one group: how many epochs they take, and how long each waits.

Run as a program it prints a table: `python -m tests.node.contention 2 8 32 100`. Nodes are real and run in one
process, the network is in memory with one to two milliseconds of delay, newcomers are key packages of peers that do
not run. The clock is a virtual one, as if computing took no time; what it took is in the last column.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trio
from trio.testing import MockClock

from mls import Lifetime, basic, create_key_package, frame, own_capabilities, suite
from node.electorate import PRIVATE_EXTENSIONS
from node.identity import Identity
from node.intents import ADD, ALREADY, DONE, AddBody
from node.store_rows import IntentRow
from tests.node.world import SUITE, Member, World, open_world

NAMES = ("ada", "bob", "cyn", "dan", "eve", "fay", "gus", "hal")


@dataclass(frozen=True)
class Contest:
    """How a contest went; waits are in epochs, from asking to holding."""

    epochs: int
    waits: tuple[int, ...]
    candidates: int  # built by anybody
    took_s: float  # on the virtual clock
    cpu_s: float  # of all nodes together

    @property
    def unfairness(self) -> float:
        """The longest wait as a multiple of the median one."""
        return max(self.waits) / median(self.waits)


def add_body(lifetime: Lifetime | None = None, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The wish to add a peer that is nowhere, but has given away a key package; its HPKE keys come out of `random`."""
    identity = Identity.generate(os.urandom)
    signer = suite(SUITE).generate_signature_key(os.urandom)
    credential = basic(identity.bind(signer.public, SUITE))
    now = int(time.time())
    lifetime = lifetime or Lifetime(now - 3600, now + 3600)
    bundle = create_key_package(
        SUITE, credential, signer, lifetime, own_capabilities(PRIVATE_EXTENSIONS), (), (), random
    )
    return AddBody(identity.peer_id, frame(bundle.key_package)).encode()


async def contend(world: World, members: Sequence[Member], bodies: Sequence[bytes], *, settles: bool = True) -> Contest:
    """All adds at once, dealt out over the members; returns when all are certified everywhere."""
    before, began_s, began_cpu_s = members[0].epoch, trio.current_time(), time.process_time()
    rows: list[tuple[Member, IntentRow]] = []

    async def ask(member: Member, wishes: Sequence[bytes]) -> None:
        rows.extend([(member, await member.submit(ADD, body)) for body in wishes])

    async with trio.open_nursery() as nursery:
        for place, member in enumerate(members):
            nursery.start_soon(ask, member, bodies[place :: len(members)])
    ended = [await member.session.intent_ended(row.intent_id) for member, row in rows]
    took_s, cpu_s = trio.current_time() - began_s, time.process_time() - began_cpu_s
    if settles:
        await world.settled(*members)
    assert {row.state for row in ended} <= {DONE, ALREADY}, {row.error for row in ended}
    waits = tuple((row.epoch or 0) - before for row in ended)
    built = sum(getattr(member, "built", 0) for member in members)
    return Contest(members[0].epoch - before, waits, built, took_s, cpu_s)


async def main(counts: Sequence[int]) -> None:
    """One contest after the other, each in a new group of eight."""
    print("rival adds  epochs  worst wait  median  worst/median  candidates  seconds  CPU s")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            async with open_world(Path(folder)) as world:
                members = await world.group_of(*NAMES, committee=7)
                bodies = [add_body() for _ in range(count)]
                count_built(members)
                result = await contend(world, members, bodies)
                print(
                    f"{count:10}{result.epochs:8}{max(result.waits):12}{median(result.waits):8g}"
                    f"{result.unfairness:14.2f}{result.candidates:12}{result.took_s:9.3f}{result.cpu_s:7.2f}"
                )


def count_built(members: Sequence[Member]) -> None:
    """Count the candidates each member tells the others of from now on."""
    for member in members:
        agreement = member.session.agreement
        announce = agreement.telling.candidate
        member.built = 0  # type: ignore[attr-defined]

        def counted(*given: object, member: Member = member, announce: object = announce) -> None:
            member.built += 1  # type: ignore[attr-defined]
            announce(*given)  # type: ignore[operator]

        agreement.telling.candidate = counted  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    trio.run(main, [int(each) for each in sys.argv[1:]] or [2, 8, 32, 100], clock=MockClock(autojump_threshold=0))
