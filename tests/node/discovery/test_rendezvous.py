"""Nodes that know each other's keys and one rendezvous point, and points that lie; on the in-memory network."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import trio
from trio.testing import MockClock

from node.config import DiscoverySection
from node.discovery.rendezvous import REGISTER_PERIOD_S
from node.discovery.rendezvous_messages import ASK_PROTOCOL, REGISTER_PROTOCOL, Answer, Registered
from node.discovery.signposts import SIGNPOST_SIZE_MAX, make_signpost
from node.intents import DONE
from node.store_rows import PeerRow
from node.transport import RESPONSE_SIZE_MAX, RefusedError
from tests.node.contacts.people import NOTHING, Person, open_people
from tests.node.discovery.cards import Somebody, addressless
from tests.node.discovery.test_finding import is_connected
from tests.node.world import Member, World, until

Serve = Literal["contacts", "anyone"]


async def point(world: World, name: str = "rose", serve: Serve = "anyone") -> Member:
    """A node that is a rendezvous point; those made after it use it."""
    used, world.discovery = world.discovery, DiscoverySection(rendezvous_serve=serve)
    made = await world.member(name, alone=True)
    world.discovery = DiscoverySection(rendezvous=(*used.rendezvous, made.address))
    return made


async def person(world: World, name: str) -> Person:
    return Person(await world.member(name, alone=True))


def befriend(one: Person, other: Person) -> None:
    """Each has the other's card, and no address."""
    one.member.node.contacts.take_in(addressless(other.member.node), other.member.name)
    other.member.node.contacts.take_in(addressless(one.member.node), one.member.name)


def counter(person: Person, name: str) -> int:
    return person.member.node.finding.tallies[1].counters[name]


@asynccontextmanager
async def open_meeting(folder: Path, *points: str) -> AsyncIterator[tuple[World, list[Member]]]:
    async with open_people(folder) as (world, _):
        yield world, [await point(world, name) for name in points]


async def test_two_who_know_only_a_point_find_each_other_and_chat(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_meeting(tmp_path, "rose") as (world, (rose,)):
        ada, bob = await person(world, "ada"), await person(world, "bob")
        befriend(ada, bob)
        await until(lambda: is_connected(ada, bob))
        kinds = [one for each in (ada, bob) for one in (await each.service.status(NOTHING)).finding]
        assert sum(one.reached for one in kinds if one.name == "rendezvous") >= 1
        assert sum(one.reached for one in kinds if one.name == "static") == 0
        assert (await Person(rose).service.status(NOTHING)).rendezvous_count == 2

        await ada.found()
        await until(lambda: bool(ada.member.node.sessions))
        assert (await ada.member.add(bob.member)).state == DONE
        await bob.ends_in("lunch")
        await bob.say("soup at noon?")
        await ada.hears("soup at noon?")


async def test_members_of_a_group_find_each_other_without_being_contacts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Both have moved and know no address any more: that they are in one tree is enough."""
    async with open_meeting(tmp_path, "rose") as (world, _):
        world.accept = "anyone"
        ada, bob = await world.group_of("ada", "bob", committee=1)
        for one, other in ((ada, bob), (bob, ada)):
            with one.node.context.store.transaction() as transaction:
                transaction.put_peer(PeerRow(other.peer_id, (), ""))
        await ada.stop()
        await bob.stop()
        await ada.start(alone=True)
        await bob.start(alone=True)
        await until(lambda: is_connected(Person(ada), Person(bob)))


async def test_a_signpost_brings_the_newer_card_of_who_is_away(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_meeting(tmp_path, "rose") as (world, (rose,)):
        ada, bob = await person(world, "ada"), await person(world, "bob")
        await until(lambda: rose.node.point is not None and len(rose.node.point) == 2)
        first, serial = addressless(bob.member.node), bob.member.node.own_card.card.serial
        await bob.member.stop()
        ada.member.node.contacts.take_in(first, "bob")
        with trio.fail_after(600):
            while (await ada.contact("bob")).serial != serial:  # noqa: ASYNC110 - nobody signals it
                await trio.sleep(1)


async def test_a_point_that_forgot_everybody_knows_them_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_meeting(tmp_path, "rose") as (world, (rose,)):
        await person(world, "ada")
        await until(lambda: rose.node.point is not None and len(rose.node.point) == 1)
        await rose.stop()
        await rose.start(alone=True)
        assert rose.node.point is not None
        assert len(rose.node.point) == 0
        await trio.sleep(1.3 * REGISTER_PERIOD_S)
        assert len(rose.node.point) == 1


async def test_whom_the_points_user_has_blocked_is_not_served(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_meeting(tmp_path, "rose") as (world, (rose,)):
        ada = await person(world, "ada")
        await until(lambda: rose.node.point is not None and len(rose.node.point) == 1)
        await rose.node.contacts.block(ada.peer_id)
        await trio.sleep(2 * REGISTER_PERIOD_S)
        assert counter(ada, "not_registered") > 0
        failure = (await ada.service.status(NOTHING)).finding[1].failure
        assert failure in ("", "no rendezvous point has taken where we are")


async def test_a_point_for_contacts_turns_strangers_away_and_they_are_told(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_people(tmp_path) as (world, _):
        rose = await point(world, serve="contacts")
        ada = await person(world, "ada")
        await until(lambda: counter(ada, "not_registered") > 0)
        assert (await ada.service.status(NOTHING)).finding[1].failure == "no rendezvous point has taken where we are"
        rose.node.contacts.take_in(addressless(ada.member.node), "ada")
        await until(lambda: rose.node.point is not None and len(rose.node.point) == 1, timeout_s=2000)


async def test_points_that_lie_are_seen_through_counted_and_made_up_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Each kind of lie by a point of its own; beside them an honest one. Nobody is dialled but who is looked for."""
    eve = Somebody("eve")

    async with open_people(tmp_path) as (world, _):
        bob = await person(world, "bob")
        identity, now_s = bob.member.node.context.identity, bob.member.node.context.now_ms() // 1000
        expired = make_signpost(identity, addressless(bob.member.node), now_s - 10 * 24 * 3600).encode()
        true = make_signpost(identity, addressless(bob.member.node), now_s).encode()

        async def hang() -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        async def oversize() -> bytes:
            return bytes(RESPONSE_SIZE_MAX)

        async def refuse() -> bytes:
            raise RefusedError("no")

        answers: dict[str, Callable[[], Awaitable[bytes]]] = {
            "foreign": _always(Answer(eve.signpost("/memory/eve").encode()).encode()),
            "expired": _always(Answer(expired).encode()),
            "forged": _always(Answer(true[:-1] + bytes((true[-1] ^ 1,))).encode()),
            "garbage": _always(bytes(SIGNPOST_SIZE_MAX)),
            "oversize": oversize,
            "hanging": hang,
            "refusing": refuse,
        }
        for name, answer in answers.items():
            liar(world, name, answer)
        addresses = tuple(f"/memory/{name}/p2p/{name}" for name in answers)
        await point(world, "honest")
        world.discovery = DiscoverySection(rendezvous=(*addresses, *world.discovery.rendezvous))
        assert len(world.discovery.rendezvous) == 8
        ada = await person(world, "ada")
        ada.member.node.contacts.take_in(addressless(bob.member.node), "bob")
        await until(lambda: counter(ada, "lies") >= 5)
        assert not is_connected(ada, bob)  # bob has not registered anywhere
        peers = ada.member.node.context.transport.peers()
        assert eve.peer_id not in peers
        assert counter(ada, "strangers") == 0

        await bob.member.stop()
        bob.member.config = bob.member.config.__class__(
            node=bob.member.config.node, group=bob.member.config.group, discovery=world.discovery
        )
        await bob.member.start(alone=True)
        await until(lambda: is_connected(ada, bob), timeout_s=4000)


def _always(answer: bytes) -> Callable[[], Awaitable[bytes]]:
    async def give() -> bytes:
        return answer

    return give


def liar(world: World, name: str, answer: Callable[[], Awaitable[bytes]]) -> None:
    """A point that takes every signpost and answers like this."""
    transport = world.network.add(name)

    async def ask(_peer: str, _payload: bytes) -> bytes:
        return await answer()

    async def register(_peer: str, _payload: bytes) -> bytes:
        return Registered(1800).encode()

    transport.handle(ASK_PROTOCOL, ask)
    transport.handle(REGISTER_PROTOCOL, register)
