"""Committees of real nodes: they grow and shrink with the group, and go on meanwhile."""

from pathlib import Path

from trio.testing import MockClock

from node.intents import ADD, DONE, FAILED, REMOVE, AddBody, RemoveBody
from ordering import Policy
from tests.node.world import HOLDS, SUITE, Member, World, committee_size, open_world, until


async def grown(world: World, *members: Member, to: int) -> None:
    """Until everyone stands in an epoch with a committee of that size, and nothing is under way."""
    await until(lambda: all(m.node.sessions for m in members))
    await until(lambda: all(committee_size(m) == to for m in members))
    await world.settled(*members)


async def test_a_committee_grows_with_the_group_and_shrinks_with_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """1 → 3 → 4 → 7 as members come and opt in; back as they leave, the leader among them; never two."""
    async with open_world(tmp_path) as world:
        members = [await world.member("a")]
        await members[0].node.create_group("test", SUITE, Policy(delta_ms=200))
        for number, size in ((2, 1), (3, 3), (4, 4), (5, 4), (6, 4), (7, 7)):
            members.append(await world.member("abcdefg"[number - 1]))
            assert (await members[0].add(members[-1])).state in HOLDS
            await until(lambda: all(len(m.session.agreement.roster) == number for m in members if m.node.sessions))  # noqa: B023
            await grown(world, *members, to=size)
        assert members[0].voters == list("abcdefg")

        for size in (4, 4, 4, 3, 1, 1):
            leader = members[-1].committee.leader(members[-1].epoch, 0) if size != 1 else 0
            gone = next(m for m in members if m.name == members[-1].voters[leader])
            by = next(m for m in members if m is not gone)
            assert (await by.remove(gone)).state == DONE
            members.remove(gone)
            await grown(world, *members, to=size)
            assert (await members[-1].update()).state == DONE
        assert len(members) == 1


async def test_half_the_committee_removed_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Those removed still vote in the epoch that ends; those left go on by themselves."""
    async with open_world(tmp_path) as world:
        members = await world.group_of(*"abcdefg", committee=7)
        rows = [await members[0].submit(REMOVE, RemoveBody(other.peer_id).encode()) for other in members[3:6]]
        for row in rows:
            assert (await members[0].session.intent_ended(row.intent_id)).state == DONE
        left = [*members[:3], members[6]]
        await grown(world, *left, to=4)
        assert left[0].voters == ["a", "b", "c", "g"]
        assert (await members[6].update()).state == DONE


async def test_a_voter_leaves_and_comes_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It comes back at the end of the order, under a new offer."""
    async with open_world(tmp_path) as world:
        a, b, c, d = await world.group_of(*"abcd", committee=4)
        assert (await b.remove(a)).state == DONE
        await grown(world, b, c, d, to=3)
        assert (await b.add(a)).state in HOLDS
        await grown(world, a, b, c, d, to=4)
        assert d.voters == ["b", "c", "d", "a"]


async def test_opting_out_and_in(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        a, b, c, d = await world.group_of(*"abcd", committee=4)
        assert (await a.opt_out()).state == DONE
        await grown(world, a, b, c, d, to=3)
        assert a.voters == ["b", "c", "d"]
        assert (await a.update()).state == DONE, "who has no seat may change the group all the same"
        assert (await c.opt_out()).state == DONE
        await grown(world, a, b, c, d, to=1)
        assert (await a.opt_in()).state == DONE
        await grown(world, a, b, c, d, to=3)
        assert d.voters == ["b", "d", "a"]


async def test_last_willing_removed_and_sole_voter_leaves(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A committee of nobody is hard-invalid."""
    async with open_world(tmp_path) as world:
        a, b = await world.group_of("a", "b", committee=1)
        assert (await b.opt_out()).state == DONE
        await world.settled(a, b)
        refused = await a.opt_out()
        assert refused.state == FAILED
        assert "committee would be empty" in (refused.error or "")
        removal = await b.remove(a)
        assert removal.state == FAILED
        assert "committee would be empty" in (removal.error or "")


async def test_add_three_absent(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Absent newcomers get no seat: three are added and never come; the one who is there goes on alone."""
    async with open_world(tmp_path) as world:
        (a,) = await world.group_of("a", committee=1)
        for name in "bcd":
            absent = await world.member(name)
            package = await a.node.key_package_of(absent.peer_id, SUITE)
            await absent.stop()
            assert (await a.change(ADD, AddBody(absent.peer_id, package).encode())).state == DONE
        assert a.committee.size == 1
        assert (await a.update()).state == DONE


async def test_two_devices_of_one_person_are_two_identities(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A peer id is a device, and nothing proves that two belong together. Each that opts in has a seat; a person who
    wants one seat lets one device opt in, and a peer cannot have a second leaf."""
    async with open_world(tmp_path) as world:
        desk, bob, cyn = await world.group_of("desk", "bob", "cyn", committee=3)
        phone = await world.member("phone", always_on=False)
        assert (await desk.add(phone)).state in HOLDS
        await grown(world, desk, bob, cyn, phone, to=3)
        assert phone.voters == ["desk", "bob", "cyn"]
        assert (await phone.opt_in()).state == DONE
        await grown(world, desk, bob, cyn, phone, to=4)
        twice = await bob.add(phone)
        assert twice.state == "already"
