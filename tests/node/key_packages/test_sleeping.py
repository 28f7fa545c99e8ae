"""Real nodes and their replicas: who sleeps is added all the same, by a package that nobody else has."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api.errors import ApiError, ErrorCode
from node.data_dir import DataDir
from node.key_packages.adding import CLAIM_S
from node.key_packages.checking import check_package
from node.key_packages.claiming import Claimed, NoPackageError, Source
from node.key_packages.messages import CLAIM_PROTOCOL
from node.store import Store, open_store
from node.store_rows import KEY_PACKAGE_AVAILABLE, KEY_PACKAGE_CLAIMED, KEY_PACKAGE_LAST_RESORT, KEY_PACKAGE_RETIRED
from tests.node.contacts.people import Person
from tests.node.key_packages.world import OWN, POOL, configured, lent, packages, published, replicas
from tests.node.test_delivering import waiting_welcomes
from tests.node.world import SUITE, Member, World, open_world, until


async def claimed(claimer: Member, owner: Member) -> Claimed:
    """A key package, as `group add` has it."""
    peer, now_s = owner.peer_id, claimer.node.context.now_ms() // 1000
    return await claimer.node.claims.claim(peer, SUITE, lambda data: check_package(data, peer, SUITE, now_s))


async def acquainted(world: World, *names: str) -> list[Member]:
    """Members who have each other's cards; their packages are at the replicas."""
    members = [await world.member(name, always_on=False) for name in names]
    await published(*members)
    people = [Person(member) for member in members]
    for one in people:
        for other in people:
            if one is not other:
                await one.meet(other, other.member.name)
    return members


async def test_who_sleeps_is_added_and_is_in_when_it_wakes(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Claimed at three replicas, welcomed through mailboxes; the private half is gone once it is in."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        ada, bob = await acquainted(world, "ada", "bob")
        assert (len(lent(bob)), len(packages(bob)) - len(lent(bob))) == (POOL - OWN, OWN)
        await bob.stop()
        await Person(ada).found()

        result = await Person(ada).add(Person(bob))

        assert result.state == "certified"
        await trio.sleep(5)  # the Welcome is left at its mailboxes
        await bob.start(alone=True)
        await until(lambda: bool(bob.node.sessions))
        await until(lambda: bob.epoch == ada.epoch)
        assert len(packages(bob, KEY_PACKAGE_CLAIMED)) + len(packages(bob)) == POOL - 1, "the one it was added with"
        assert not bob.node.context.store.key_packages(KEY_PACKAGE_LAST_RESORT, KEY_PACKAGE_RETIRED)


async def test_no_two_claims_have_the_same_package(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Side by side and one after the other, until there are none; then everybody has the same last resort."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        ada, bob, cyn = await acquainted(world, "ada", "bob", "cyn")
        await cyn.stop()
        found: list[Claimed] = []

        async def claim(claimer: Member) -> None:
            found.append(await claimed(claimer, cyn))

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for claimer in (ada, bob, ada, bob):
                    nursery.start_soon(claim, claimer)
        one_time = [each.package for each in found if each.source is Source.REPLICAS]
        last = {each.package for each in found if each.source is Source.LAST_RESORT}
        assert len(one_time) == len(set(one_time)) >= 4, "some are lost where two wanted the same at once"
        assert len(last) == 1

        await cyn.start(alone=True)
        await until(lambda: bool(lent(cyn, KEY_PACKAGE_CLAIMED)))  # its replicas have told what they granted
        await published(cyn)
        await cyn.stop()
        assert (await claimed(ada, cyn)).source is Source.REPLICAS


async def test_the_owner_hands_out_nothing_that_its_replicas_have(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Asked directly it gives of its own share, then what it makes; never what a replica may have granted."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        ada, bob, cyn = await acquainted(world, "ada", "bob", "cyn")
        digests = {row.digest for row in lent(cyn)}
        direct = [await claimed(claimer, cyn) for claimer in (ada, bob) for _ in range(6)]
        assert {each.source for each in direct} == {Source.OWNER}
        assert len({each.package for each in direct}) == len(direct)
        assert digests == {row.digest for row in lent(cyn)}
        given = cyn.node.context.store.key_packages(None, KEY_PACKAGE_CLAIMED)
        assert not digests & {row.digest for row in given}


async def test_a_quorum_is_needed_and_the_last_resort_helps_where_there_is_none(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Of three replicas all have to grant, of four three; any one that answers gives the last resort."""
    async with open_world(tmp_path) as world:
        boxes = await replicas(world, "one", "two", "three", "four")
        ada, bob = await acquainted(world, "ada", "bob")
        await bob.stop()
        await boxes[0].stop()
        assert (await claimed(ada, bob)).source is Source.REPLICAS
        await boxes[1].stop()
        assert (await claimed(ada, bob)).source is Source.LAST_RESORT
        await boxes[2].stop()
        await boxes[3].stop()
        with pytest.raises(NoPackageError, match="none of the 4 replicas of its key packages answers") as caught:
            await claimed(ada, bob)
        assert caught.value.is_unreachable
        with pytest.raises(ApiError) as told:
            await ada.node.key_package_of(bob.peer_id, SUITE)
        assert told.value.code is ErrorCode.PEER_UNREACHABLE


async def test_a_replica_that_keeps_claims_waiting_leaves_the_last_resort(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It says what it has and then nothing more: within the time of one claim the others' last resort is used."""
    async with open_world(tmp_path) as world:
        boxes = await replicas(world, "one", "two", "three")
        ada, bob = await acquainted(world, "ada", "bob")
        await bob.stop()

        async def wait(_peer: str, _payload: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        boxes[0].node.context.transport.handle(CLAIM_PROTOCOL, wait)
        with trio.fail_after(CLAIM_S):
            assert (await claimed(ada, bob)).source is Source.LAST_RESORT


async def test_other_replicas_get_other_packages(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who moves leaves nothing behind that could be claimed, and takes along nothing that may have been."""
    async with open_world(tmp_path) as world:
        boxes = await replicas(world, "one", "two", "three", "four")
        ada, bob = await acquainted(world, "ada", "bob")
        before = {row.digest for row in lent(bob)}
        await bob.stop()
        configured(bob, replicas=tuple(box.address for box in boxes[:3]))
        await bob.start()
        await published(bob)
        await until(lambda: len(lent(bob)) == POOL - OWN)
        assert not before & {row.digest for row in lent(bob)}
        assert before == {row.digest for row in lent(bob, KEY_PACKAGE_RETIRED)}, "a Welcome may still come for one"
        await Person(ada).meet(Person(bob))
        await until(lambda: bob.node.publishing._former() == tuple(box.address for box in boxes[:3]))
        await bob.stop()
        assert (await claimed(ada, bob)).source is Source.REPLICAS


async def test_packages_are_withdrawn_a_fortnight_before_they_expire(tmp_path: Path, autojump_clock: MockClock) -> None:
    """And their private halves are kept until they do: a Welcome may be on its way."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one")
        (bob,) = await acquainted(world, "bob")
        before = {row.digest for row in packages(bob)}
        await bob.stop()
        configured(bob, rotate_days=60)
        await bob.start()
        await until(lambda: len(packages(bob)) == POOL)
        assert before == {row.digest for row in packages(bob)}, "ninety days are left"
        await bob.stop()
        with open_store_of(bob) as store:
            store._rows("UPDATE key_packages SET expires_s = expires_s - ?", 31 * 24 * 3600)
        await bob.start()
        await until(lambda: len(packages(bob)) == POOL and not before & {row.digest for row in packages(bob)})
        assert before == {row.digest for row in packages(bob, KEY_PACKAGE_RETIRED)}
        rows = bob.node.context.store.key_packages(KEY_PACKAGE_LAST_RESORT, KEY_PACKAGE_AVAILABLE, SUITE)
        assert len(rows) == 1


async def test_a_welcome_for_keys_that_are_gone_makes_the_adder_claim_others(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It fails clearly at the newcomer, and who made the commit adds it anew."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        ada, bob = await acquainted(world, "ada", "bob")
        await bob.stop()
        await Person(ada).found()
        with open_store_of(bob) as store:  # a disk that was restored, say
            store._rows("DELETE FROM key_packages")
        assert (await Person(ada).add(Person(bob))).state == "certified"
        await bob.start()
        await until(lambda: bool(bob.node.sessions))
        await until(lambda: bob.epoch == ada.epoch > 1)
        assert len(ada.session.agreement.roster.others) == 1


async def test_who_cannot_be_added_anew_just_now_is_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The Welcome that told so lies there until the wish to add the newcomer anew is durable: a crash loses nothing."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        ada, bob = await acquainted(world, "ada", "bob")
        await bob.stop()
        await Person(ada).found()
        with open_store_of(bob) as store:
            store._rows("DELETE FROM key_packages")
        assert (await Person(ada).add(Person(bob))).state == "certified"
        context, waiting = ada.node.context, list[int]()
        add_anew = context.add_anew

        async def busy_at_first(group_id: bytes, peer: str) -> bool:
            waiting.append(waiting_welcomes(ada))
            return len(waiting) > 1 and await add_anew(group_id, peer)

        context.add_anew = busy_at_first
        await bob.start()
        await until(lambda: bool(bob.node.sessions))
        await until(lambda: bob.epoch == ada.epoch > 1)
        assert waiting == [1, 1]


def open_store_of(member: Member) -> AbstractContextManager[Store]:
    """The store of a node that is not running."""
    return open_store(DataDir(member.config.data_dir).store_path, member.key.value)
