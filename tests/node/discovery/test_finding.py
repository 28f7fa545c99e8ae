"""Who is looked for and dialled, on running nodes, with kinds that a test speaks through."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.discovery import finding
from node.discovery.finding import LOOK_UPS_BURST_MAX, LOOK_UPS_PER_S, LOOK_UPS_WAITING_MAX
from node.discovery.port import FOUND_ADDRESSES_MAX, Discovery, DiscoveryError, Found
from node.discovery.reaching import FAILED_ADDRESSES_MAX, WAITING_ADDRESSES_MAX
from node.discovery.signposts import Signpost, make_signpost
from node.discovery.tally import DIALS_BURST_MAX, DIALS_PER_S, FOUND_BURST_MAX
from node.transport import DialError
from node.transport_memory_node import MemoryTransport
from tests.node.contacts.people import NOTHING, Person, open_people
from tests.node.discovery.cards import Somebody, addressless
from tests.node.world import until


class Told:
    """A kind that knows what a test tells it."""

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.counters: Counter[str] = Counter()
        self.known: dict[str, Found] = {}
        self.asked: list[str] = []
        self.announced: list[Signpost] = []
        self.fails: Exception | None = None
        self.say: Callable[[Found], None] = lambda _: None

    async def run(self, found: Callable[[Found], None]) -> None:
        self.say = found
        await trio.sleep_forever()

    async def look_up(self, peer: str) -> Found | None:
        self.asked.append(peer)
        if self.fails is not None:
            raise self.fails
        return self.known.get(peer)

    async def announce(self, signpost: Signpost) -> None:
        if self.fails is not None:
            raise self.fails
        self.announced.append(signpost)


@asynccontextmanager
async def finders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *kinds: Discovery
) -> AsyncIterator[tuple[Person, Person]]:
    """Ada, who finds by these kinds, and bob, whose card with no address in it she has. They are not connected."""
    async with open_people(folder) as (world, _):
        bob = Person(await world.member("bob", alone=True))
        with monkeypatch.context() as patch:
            patch.setattr("node.daemon.kinds_of", lambda *_: kinds)
            ada = Person(await world.member("ada", alone=True))
        ada.member.node.contacts.take_in(addressless(bob.member.node), "bob")
        bob.member.node.contacts.take_in(addressless(ada.member.node), "ada")
        yield ada, bob


def at(person: Person) -> Found:
    return Found.at(person.peer_id, (person.member.address,))


def is_connected(one: Person, other: Person) -> bool:
    return other.peer_id in one.member.node.context.transport.peers()


def dials(person: Person, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Every dial of a node from now on, by time and address; those of the test's own addresses fail."""
    made: list[tuple[float, str]] = []
    connect = MemoryTransport.connect

    async def counted(transport: MemoryTransport, address: str) -> str:
        if transport.peer_id != person.peer_id:
            return await connect(transport, address)
        made.append((trio.current_time(), address))
        if not address.startswith("/memory/"):
            await trio.sleep(1.0)
            raise DialError("nobody there")
        return await connect(transport, address)

    monkeypatch.setattr(MemoryTransport, "connect", counted)
    return made


async def test_a_contact_without_an_address_is_looked_for_dialled_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        await until(lambda: bob.peer_id in kind.asked)
        assert not is_connected(ada, bob)
        kind.known[bob.peer_id] = at(bob)
        await until(lambda: is_connected(ada, bob))
        row = ada.member.node.context.store.peer(bob.peer_id)
        assert row is not None
        assert row.addresses[0] == bob.member.address
        shown = (await ada.service.status(NOTHING)).finding
        assert [(one.name, one.found, one.reached) for one in shown] == [("told", 1, 1)]
        asked = len(kind.asked)
        await trio.sleep(600)
        assert len(kind.asked) == asked, "who is connected is not looked for"


async def test_a_silent_contact_is_asked_for_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (_, bob):
        await trio.sleep(3600)
        assert kind.asked.count(bob.peer_id) == len(kind.asked)
        assert 6 <= len(kind.asked) <= 9


async def test_many_who_are_missing_are_looked_for_at_a_rate_members_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind, crowd = Told(), sorted((Somebody(f"person {n}") for n in range(80)), key=lambda each: each.peer_id)
    async with finders(tmp_path, monkeypatch, kind) as (ada, _):
        monkeypatch.setattr(ada.member.node.finding, "_members", lambda: (crowd[-1].peer_id,))
        began_s = trio.current_time()
        for somebody in crowd:
            ada.member.node.contacts.take_in(somebody.card(), None)
        await until(lambda: crowd[-1].peer_id in kind.asked)
        assert len(kind.asked) <= LOOK_UPS_BURST_MAX
        await until(lambda: {each.peer_id for each in crowd} <= set(kind.asked), timeout_s=600)
        assert len(kind.asked) <= LOOK_UPS_BURST_MAX + LOOK_UPS_PER_S * (trio.current_time() - began_s) + 1


async def test_strangers_and_the_blocked_are_never_dialled_whatever_a_kind_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        made = dials(ada, monkeypatch)
        await ada.member.node.contacts.block(bob.peer_id)
        await trio.sleep(finding.WANTED_S + 1)
        stranger = Somebody().peer_id
        kind.say(at(bob))
        kind.say(Found.at(stranger, (f"/memory/{stranger}/p2p/{stranger}",)))
        await trio.sleep(60)
        assert made == []
        assert kind.counters["strangers"] == 2


async def test_a_kind_that_lies_costs_a_bounded_number_of_dials_and_delays_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Ten thousand lies about a contact; meanwhile an honest kind leads to it at once."""
    liar, honest = Told("liar"), Told("honest")
    async with finders(tmp_path, monkeypatch, liar, honest) as (ada, bob):
        made = dials(ada, monkeypatch)
        await until(lambda: bob.peer_id in honest.asked)
        for number in range(10_000):
            lies = [f"/ip4/192.0.2.{n}/tcp/{1 + number % 60_000}/p2p/{bob.peer_id}" for n in range(20)]
            liar.say(Found.at(bob.peer_id, lies))
        assert liar.counters["too_many"] == 10_000 - FOUND_BURST_MAX
        waiting = ada.member.node.finding._reaching["liar"]._waiting
        assert [len(addresses) for addresses in waiting.values()] == [WAITING_ADDRESSES_MAX]
        began_s = trio.current_time()
        for second in range(300):
            lies = [f"/ip4/192.0.2.{n}/tcp/{1 + second}/p2p/{bob.peer_id}" for n in range(20)]
            liar.say(Found.at(bob.peer_id, lies))
            await trio.sleep(1)
        lied = [when for when, address in made if address.startswith("/ip4/")]
        assert 0 < len(lied) <= DIALS_BURST_MAX + DIALS_PER_S * (trio.current_time() - began_s) + FOUND_ADDRESSES_MAX
        assert len(ada.member.node.finding._reaching["liar"]._failed) <= FAILED_ADDRESSES_MAX
        assert ada.member.node.finding.tallies[0].reached == 0

        honest.say(at(bob))
        said_s = trio.current_time()
        await until(lambda: is_connected(ada, bob))
        assert trio.current_time() - said_s < 1


async def test_an_address_that_failed_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        made = dials(ada, monkeypatch)
        await trio.sleep(finding.WANTED_S + 1)
        for _ in range(120):
            kind.say(Found.at(bob.peer_id, (f"/ip4/192.0.2.1/tcp/1/p2p/{bob.peer_id}",)))
            await trio.sleep(1)
        assert 2 <= len(made) <= 3


async def test_addresses_that_lead_back_here_or_to_names_of_others_choosing_are_not_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A liar shall not have our own services dialled, nor learn from a name server's log whom we look for."""
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        made = dials(ada, monkeypatch)
        await trio.sleep(finding.WANTED_S + 1)
        hosts = ("/ip4/127.0.0.1", "/ip4/0.0.0.0", "/ip6/::1", "/ip4/224.0.0.1", "/dns4/tell.example.org")
        bent = (
            "/tcp/22/ip4/127.0.0.1",
            "/ip4/192.0.2.7/ip4/127.0.0.1/tcp/22",
            "/ip4/192.0.2.7/dns4/tell.example.org/tcp/1",
        )
        places = (*(f"{host}/tcp/22" for host in hosts), *bent)
        kind.say(Found.at(bob.peer_id, [f"{place}/p2p/{bob.peer_id}" for place in places]))
        await trio.sleep(60)
        assert made == []
        assert kind.counters["addresses_refused"] == len(places)


async def test_a_newer_card_comes_by_a_signpost_and_an_older_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Even of somebody who cannot be reached; and only from its own node."""
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        await trio.sleep(finding.WANTED_S + 1)
        identity, now_s = bob.member.node.context.identity, bob.member.node.context.now_ms() // 1000
        newer, older = addressless(bob.member.node, 7, "robert"), addressless(bob.member.node, 6, "rob")
        for card in (newer, older):
            kind.say(Found.by(make_signpost(identity, card, now_s)))
        known = await ada.contact("bob")
        assert (known.serial, known.claimed_name) == (7, "robert")
        eve = Somebody()
        assert ada.member.node.contacts.is_contact(eve.peer_id) is False
        kind.say(Found.by(eve.signpost()))
        assert (await ada.contact("bob")).serial == 7


async def test_a_kind_that_fails_or_breaks_is_shown_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    failing, broken, honest = Told("failing"), Told("broken"), Told("honest")
    failing.fails, broken.fails = DiscoveryError("the point is\x1b[31m down"), ZeroDivisionError("secret")
    async with finders(tmp_path, monkeypatch, failing, broken, honest) as (ada, bob):
        await until(lambda: bob.peer_id in honest.asked)
        honest.say(at(bob))
        await until(lambda: is_connected(ada, bob))
        shown = {one.name: one for one in (await ada.service.status(NOTHING)).finding}
        assert shown["failing"].failure == "the point is[31m down"
        assert shown["failing"].failures >= 2
        assert shown["broken"].failure == "ZeroDivisionError in this kind of finding"
        assert shown["honest"].failures == 0


async def test_a_disk_that_is_full_when_a_peer_was_reached_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Where it was reached cannot be written down; the next one can."""
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, bob):
        await until(lambda: bob.peer_id in kind.asked)

        def full(*_: object) -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr("node.discovery.reaching.PeerRow", full)
            kind.say(at(bob))
            await until(lambda: is_connected(ada, bob))
            await trio.sleep(1)
        (shown,) = (await ada.service.status(NOTHING)).finding
        assert shown.failure == "ExceptionGroup in this kind of finding"
        await ada.member.node.context.transport.disconnect(bob.peer_id)
        await trio.sleep(60)
        kind.say(at(bob))
        await until(lambda: is_connected(ada, bob))
        await until(lambda: ada.member.node.context.store.peer(bob.peer_id) is not None)


async def test_look_ups_that_take_long_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Four at once, twenty seconds each, are fewer than become due where many are missing."""
    kind = Told()

    async def never(peer: str) -> None:
        kind.asked.append(peer)
        await trio.sleep_forever()

    monkeypatch.setattr(kind, "look_up", never)
    async with finders(tmp_path, monkeypatch, kind) as (ada, _):
        missing = frozenset(Somebody().peer_id for _ in range(400))
        monkeypatch.setattr(ada.member.node.finding, "wanted", lambda: missing)
        await trio.sleep(3000)
        assert len(kind.asked) > 400, "all have their turn"
        assert ada.member.node.finding._room.statistics().tasks_waiting <= LOOK_UPS_WAITING_MAX


async def test_where_we_are_is_told_at_the_start_when_it_changes_and_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    kind = Told()
    async with finders(tmp_path, monkeypatch, kind) as (ada, _):
        await until(lambda: len(kind.announced) == 1)
        (first,) = kind.announced
        assert first.peer_id == ada.peer_id
        assert first.dial == (ada.member.address,)
        await trio.sleep(600)
        assert len(kind.announced) == 1
        transport = ada.member.node.context.transport
        assert isinstance(transport, MemoryTransport)
        transport.addresses = (f"/memory/elsewhere/p2p/{ada.peer_id}",)
        await until(lambda: len(kind.announced) == 2)
        assert kind.announced[1].addresses == ("/memory/elsewhere",)
        assert kind.announced[1].issued_s > first.issued_s


def test_a_hint_keeps_what_can_be_meant() -> None:
    ada, eve = Somebody().peer_id, Somebody().peer_id
    good = f"/ip4/192.0.2.7/tcp/4840/p2p/{ada}"
    relayed = f"/ip4/192.0.2.8/tcp/4840/p2p/{eve}/p2p-circuit/p2p/{ada}"
    bad = (f"/ip4/192.0.2.7/tcp/4840/p2p/{eve}", "", "nonsense", f"/x y/p2p/{ada}", f"/\u202ex/p2p/{ada}")
    assert Found.at(ada, (*bad, good, good, relayed, f"/{'x' * 300}/p2p/{ada}")).addresses == (good, relayed)
    many = [f"/ip4/192.0.2.{n}/tcp/1/p2p/{ada}" for n in range(100)]
    assert len(Found.at(ada, many).addresses) == FOUND_ADDRESSES_MAX
