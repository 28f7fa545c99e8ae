"""What one peer can make of a node's queues, timers and address book: its own share, and no more."""

import re
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from node import joining
from node.building import build_plain
from node.candidacy import KNOWN_PER_AUTHOR_MAX, KNOWN_SIZE_PER_AUTHOR_MAX
from node.context import HEARD_MAX
from node.fetching import OFFERS_ASKED_MAX
from node.inbox import WAITING_PER_PEER_MAX, FrameIn
from node.intents import ADD, DONE, AddBody
from node.introductions import ADDRESSES_MAX, Introduction, Introductions, take_introductions
from node.outward import Ask
from node.peer_messages import Frame, FrameKind, group_tag
from node.session import Session
from node.store_rows import PeerRow
from node.transport import KEPT_ADDRESSES_MAX
from ordering import BUNDLE_SIZE_MAX, BundleId, Policy
from tests.bounds import PAGE, page
from tests.node.world import SUITE, Member, World, open_world


def idle_session(member: Member) -> Session:
    """The member's group as its task would open it, with nobody at work in it."""
    return Session(member.node.context, member.session.holding)


async def test_one_peer_fills_its_own_share_of_the_inbox(tmp_path: Path, autojump_clock: MockClock) -> None:
    """4 096 frames of a megabyte each would be all the memory there is; and nobody else's votes would get in."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        session = idle_session(ada)
        large = Frame(group_tag(session.group_id), FrameKind.ORDERING, bytes(500_000))
        small = Frame(group_tag(session.group_id), FrameKind.ORDERING, b"")

        for number in range(5000):
            session.post(FrameIn(bob.peer_id, large if number % 2 else small))
            session.post(FrameIn(f"stranger {number}", small))
        waiting = len(session.inbox)
        session.post(FrameIn(cyn.peer_id, large))

        assert len(session.inbox) == waiting + 1
        assert sum(session.inbox._waiting.values()) <= 3 * WAITING_PER_PEER_MAX
        while session.inbox:
            assert await session.inbox.next(float("inf")) is not None
        session.post(FrameIn(bob.peer_id, large))
        assert len(session.inbox) == 1


async def test_timers_run_while_the_inbox_is_never_empty(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whoever sends without pause could otherwise keep a node from every timeout and every repetition."""
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        session = idle_session(ada)
        garbage = FrameIn("a stranger", Frame(group_tag(session.group_id), FrameKind.ORDERING, b"garbage"))
        session.post(garbage)
        session.post(garbage)

        taken = []
        for _ in range(4):
            item = await session._next()
            taken.append(item)
            if item is None:
                await trio.lowlevel.checkpoint()
                session._next_sync_s = session.cleaning.due_at_s = session.context.now_s() + 1
                session.agreement.tick()

        assert taken == [None, garbage, garbage, None]


async def test_what_a_member_says_of_others_hides_nobody(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Addresses a member makes up for others come behind those known, and never in their place."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        context, members = ada.node.context, frozenset((bob.peer_id, cyn.peer_id))
        with context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(cyn.peer_id, (cyn.address,)))
        invented = tuple(f"/memory/{number}/p2p/{cyn.peer_id}" for number in range(ADDRESSES_MAX))

        take_introductions(context, bob.peer_id, members, Introductions((Introduction(cyn.peer_id, invented),)))
        known = context.store.peer(cyn.peer_id)
        assert known is not None
        assert known.addresses[0] == cyn.address

        moved = f"/memory/moved/p2p/{cyn.peer_id}"
        take_introductions(context, cyn.peer_id, members, Introductions((Introduction(cyn.peer_id, (moved,)),)))
        known = context.store.peer(cyn.peer_id)
        assert known is not None
        assert known.addresses[:2] == (moved, cyn.address)


async def test_addresses_without_end_stop_neither_the_group_nor_the_node(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The transport keeps so many addresses; a member may tell more, and they are remembered across restarts."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        for round_ in range(KEPT_ADDRESSES_MAX // ADDRESSES_MAX + 2):
            told = tuple(f"/memory/{round_}-{n}/p2p/{bob.peer_id}" for n in range(ADDRESSES_MAX))
            post_introduction(bob, ada, told)
            await trio.testing.wait_all_tasks_blocked()
        assert (await ada.update()).state == DONE
        fill_address_book(world, ada)
        await ada.stop()
        await ada.start()
        assert (await ada.update()).state == DONE


def post_introduction(by: Member, to: Member, addresses: tuple[str, ...]) -> None:
    told = Introductions((Introduction(by.peer_id, addresses),))
    to.session.post(FrameIn(by.peer_id, Frame(group_tag(to.session.group_id), FrameKind.INTRODUCTIONS, told.encode())))


def fill_address_book(world: World, member: Member) -> None:
    with member.node.context.store.transaction() as transaction:
        for number in range(KEPT_ADDRESSES_MAX // ADDRESSES_MAX + 2):
            addresses = tuple(f"/memory/{number}-{n}/p2p/peer{number}" for n in range(ADDRESSES_MAX))
            transaction.put_peer(PeerRow(f"peer{number}", addresses))


async def test_peers_without_number_are_forgotten(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        context = ada.node.context

        for number in range(HEARD_MAX + 10):
            context.hear(f"peer {number}")

        assert len(context.heard_s) == HEARD_MAX
        assert context.heard_within(f"peer {HEARD_MAX + 9}", 1)


async def test_a_bundle_is_asked_for_once_at_a_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Fetches are repeated each Status period; who does not answer must not pile up questions."""
    async with open_world(tmp_path) as world:
        ada, bob, _ = await world.group_of("ada", "bob", "cyn", committee=3)
        session = idle_session(ada)
        session.outward.clear()
        for _ in range(5):
            session.agreement.nominations.fetch(BundleId(bytes(32)), (bob.peer_id,))

        (ask,) = [each for each in session.outward if isinstance(each, Ask)]
        ask.then(bob.peer_id, None)
        session.agreement.nominations.fetch(BundleId(bytes(32)), ())
        assert len([each for each in session.outward if isinstance(each, Ask)]) == 2


async def test_what_one_member_makes_up_is_not_asked_of_everybody(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A Status may offer any eight ids: one liar would have every node ask every other for each of them."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        session = idle_session(ada)
        session.outward.clear()
        for number in range(1000):
            session.agreement.nominations.fetch(BundleId(number.to_bytes(32, "big")), (bob.peer_id,))

        asks = [each for each in session.outward if isinstance(each, Ask)]
        assert len(asks) == OFFERS_ASKED_MAX
        assert {ask.peers for ask in asks} == {(bob.peer_id,)}
        wanted = BundleId(b"w" * 32)
        session.agreement.instance = replace(session.agreement.instance, proposal=wanted)
        session.agreement.nominations.fetch(wanted, (bob.peer_id,))
        ask = session.outward[-1]
        assert isinstance(ask, Ask)
        assert set(ask.peers) == {bob.peer_id, cyn.peer_id, dan.peer_id}


async def test_one_members_candidates_fill_a_share_of_the_memory(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Eight of four megabytes each would be 32, for every member of the group."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        author, candidacy = bob.session.agreement, ada.session.agreement.candidacy
        now = bob.node.context.now_ms() // 1000
        plain = build_plain(author.group, author.epoch.instance, bob.node.context.random, now).candidate
        assert candidacy.has_room(plain)
        for number in range(KNOWN_PER_AUTHOR_MAX):
            welcome = number.to_bytes(BUNDLE_SIZE_MAX // 2, "big")
            large = replace(plain, bundle=replace(plain.bundle, welcome=welcome))
            if candidacy.has_room(large):
                candidacy.admit(large)
        assert len(candidacy.known) == 4
        assert sum(known.size for known in candidacy.known.values()) < KNOWN_SIZE_PER_AUTHOR_MAX + BUNDLE_SIZE_MAX


async def test_others_bring_us_into_so_many_groups(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody who can dial a node may add it to groups of its own making; each costs a task and a place on the disk."""
    monkeypatch.setattr(joining, "GROUPS_MAX", 1)
    async with open_world(tmp_path) as world:
        ada, bob = await world.member("ada"), await world.member("bob")
        for name in ("first", "second"):
            session = await ada.node.create_group(name, SUITE, Policy(delta_ms=200))
            package = await ada.node.key_package_of(bob.peer_id, SUITE)
            row = await session.submit(ADD, AddBody(bob.peer_id, package).encode())
            assert (await session.intent_ended(row.intent_id)).state == DONE
            await trio.sleep(5)
        assert [row.name for row in bob.node.context.store.groups()] == ["first"]
        assert len(ada.node.sessions) == 2, "founding one's own is not limited by others"


def test_every_bound_is_on_its_page() -> None:
    """A size without a name is a size that nobody thought about."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.bounds"
    assert len(re.findall(r"^\| `", page(), re.MULTILINE)) > 100
