"""A quorum lost for ever: survivors found a successor, and no two of them count."""

import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from node import feed
from node.api import schema
from node.api.errors import ApiError
from node.data_dir import DataDir
from node.electorate import RuleError
from node.holding import RESCUING, SUPERSEDED
from node.intents import ADD, DONE, AddBody
from node.peer_id import PeerId
from node.peer_messages import RESCUE_PROTOCOL, group_tag
from node.rescue import Offer, Recognition, RescueReply, RescueRequest, check_recognition, needed
from node.rescue_telling import AGAIN_MAX_S, AGAIN_MIN_S
from node.service import NodeService
from node.session import SYNC_PERIOD_S, Session
from ordering import EPOCH_MAX
from tests.node.world import HOLDS, SUITE, Member, World, open_world, until

AFTER_S = 60
"""How long a quorum is missed before nodes agree alone: the same rule as for an hour, and less of a day to play."""


@asynccontextmanager
async def open_hasty_world(folder: Path) -> AsyncIterator[World]:
    """Whose nodes wait that long only."""
    async with open_world(folder) as world:
        world.ordering = msgspec.structs.replace(world.ordering, rescue_after_s=AFTER_S)
        yield world


def old_session(member: Member) -> Session:
    (found,) = (each for each in member.node.sessions.values() if each.holding.health in (RESCUING, SUPERSEDED))
    return found


def new_session(member: Member) -> Session:
    (found,) = (each for each in member.node.sessions.values() if each.holding.health not in (RESCUING, SUPERSEDED))
    return found


def notices(member: Member, group_id: bytes) -> list[str]:
    rows = member.node.context.store.feed(0, 1000, group_id)
    return [feed.NoticeBody.decode(row.body).text for row in rows if row.kind in (feed.GROUP, feed.HEALTH)]


async def test_two_thirds_are_not_enough(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Four of six leaves; it takes five, however long the others are away."""
    async with open_hasty_world(tmp_path) as world:
        voters = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        eve, fay = [await world.member(name, always_on=False) for name in ("eve", "fay")]
        for other in (eve, fay):
            assert (await voters[0].add(other)).state in HOLDS
        ada, _, cyn, dan = voters
        everyone = [*voters, eve, fay]
        await until(lambda: all(m.node.sessions and not m.session.holding.unconfirmed for m in everyone))
        await world.settled(*everyone)
        group_id = ada.session.group_id
        await ada.session.send("before")
        await until(lambda: all(said(m, group_id) == ["before"] for m in everyone))

        with pytest.raises(ApiError, match="voters are here"):
            await ada.node.rescue(ada.session, ())
        await dan.stop()
        await cyn.stop()
        await trio.sleep(AFTER_S + 10)

        await ada.node.rescue(ada.session, ())
        await until(lambda: old_session(ada).rescuing.endorsed_count == 4)
        assert old_session(ada).rescuing.needed == 5
        await trio.sleep(30)
        assert old_session(ada).holding.health == RESCUING


async def test_more_than_two_thirds_make_it_the_successor(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_hasty_world(tmp_path) as world:
        ada, bob, cyn, dan, eve, fay, gil = await seven(world)
        group_id, here = ada.session.group_id, (ada, bob, eve, fay, gil)
        await ada.session.send("before")
        await until(lambda: all(said(m, group_id) == ["before"] for m in here))
        await cyn.stop()
        await dan.stop()
        await trio.sleep(AFTER_S + 10)

        await ada.node.rescue(ada.session, ())

        await until(lambda: all(len(m.node.sessions) == 2 for m in here))
        await until(lambda: all(not new_session(m).holding.unconfirmed for m in here))
        successor = new_session(ada)
        assert successor.group_id != group_id
        assert all(new_session(m).group_id == successor.group_id for m in here)
        assert all(old_session(m).holding.health == SUPERSEDED for m in here)
        assert all(said(m, group_id) == ["before"] for m in here)
        assert all("new group, same people" in " ".join(notices(m, successor.group_id)) for m in here)

        row = await successor.submit("update", b"")
        assert (await successor.intent_ended(row.intent_id)).state == DONE
        await new_session(eve).send("after")
        await until(lambda: all(said(m, successor.group_id) == ["after"] for m in here))
        with pytest.raises(ApiError, match="has gone on as"):
            await old_session(bob).send("to the old one")
        with pytest.raises(ApiError, match="has gone on as"):
            await old_session(bob).submit("update", b"")

        await bob.stop()
        await bob.start()
        await until(lambda: new_session(bob).holding.epoch == successor.holding.epoch)
        assert old_session(bob).holding.health == SUPERSEDED

        await dan.start()  # two more are there again, a quorum of the old group; it does not go on
        await cyn.start()
        await until(lambda: any("ask" in text and "without this node" in text for text in notices(dan, group_id)))
        row = await dan.session.submit("update", b"")
        await trio.sleep(60)
        assert dan.node.context.store.intent(row.intent_id).state == "open"  # type: ignore[union-attr]
        assert dan.epoch == old_session(ada).holding.epoch

        package = await ada.node.key_package_of(dan.peer_id, SUITE)
        added = await successor.submit(ADD, AddBody(dan.peer_id, package).encode())
        assert (await successor.intent_ended(added.intent_id)).state == DONE
        await until(lambda: successor.group_id in dan.node.sessions)


async def test_who_endorsed_never_votes_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Durable with the endorsement, in the guard: not after a restart either, and not after a withdrawal."""
    async with open_hasty_world(tmp_path) as world:
        ada, _, cyn, dan, *_ = await seven(world)
        await cyn.stop()
        await dan.stop()
        await ada.node.rescue(ada.session, ())
        group_id = ada.session.group_id

        await ada.stop()
        await ada.start()

        guard = ada.node.context.store.guard(group_id)
        assert guard is not None
        assert guard.abstain_below == EPOCH_MAX
        assert ada.session.agreement.instance.guard.abstains(EPOCH_MAX - 1)
        await ada.session.ask(ada.session.rescuing.withdraw)
        assert ada.session.rescuing.record.endorsed is None
        await cyn.start()
        await dan.start()
        row = await cyn.submit("update")
        assert (await cyn.session.intent_ended(row.intent_id)).state == DONE, (
            "three voters are left, and ada is one more"
        )
        assert ada.session.holding.health == RESCUING
        assert ada.epoch < cyn.epoch


async def test_of_two_rescues_at_once_one_counts_and_the_other_moves_over(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_hasty_world(tmp_path) as world:
        ada, bob, cyn, dan, eve, fay, gil = await seven(world)
        group_id, here = ada.session.group_id, (ada, bob, eve, fay, gil)
        await cyn.stop()
        await dan.stop()
        await trio.sleep(AFTER_S + 10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ada.node.rescue, ada.session, ())
            nursery.start_soon(bob.node.rescue, bob.session, ())
        await trio.sleep(60)

        assert all(len(m.node.sessions) == 1 for m in here), "neither has five of seven"
        founders = {m: m.session.rescuing for m in (ada, bob)}
        assert all("has endorsed another" in each.describe() for each in founders.values())
        assert sum(each.endorsed_count for each in founders.values()) == 5
        assert any("it cannot get enough any more: move over" in each.describe() for each in founders.values())

        winner = founders[ada].record.founded
        assert winner is not None
        id = winner.offer.successor.hex()
        for member in (bob, eve, fay, gil):
            rescuing = member.session.rescuing
            endorsed = rescuing.record.endorsed
            if endorsed is not None and endorsed.successor != winner.offer.successor:
                await member.session.ask(lambda rescuing=rescuing: rescuing.follow(id[:8]))  # type: ignore[misc]

        await until(lambda: all(len(m.node.sessions) == 2 for m in here))
        assert {new_session(m).group_id for m in here} == {winner.offer.successor}
        assert all(old_session(m).group_id == group_id for m in here)


async def test_in_a_group_of_three_every_user_agrees(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The one lost voter does not count; of the two others each is asked, however long the quorum is gone."""
    async with open_hasty_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        await cyn.stop()
        with pytest.raises(ApiError, match="voters are here"):
            await ada.node.rescue(ada.session, (cyn.peer_id,))
        await bob.stop()
        await ada.node.rescue(ada.session, (cyn.peer_id,))
        assert old_session(ada).rescuing.needed == 2
        record = old_session(ada).rescuing.record
        assert record.founded is not None
        assert record.founded.offer.members == (ada.peer_id,), "founded with whoever was there"
        await ada.session.ask(ada.session.rescuing.withdraw)

        await bob.start()
        await until(lambda: bob.peer_id in ada.node.context.transport.peers())
        await trio.sleep(AFTER_S + 10)
        await ada.node.rescue(ada.session, (cyn.peer_id,))
        await until(lambda: any("--follow" in text for text in notices(bob, bob.session.group_id)))
        await trio.sleep(30)
        assert len(bob.node.sessions) == 1
        (offer,) = bob.session.rescuing.record.offers

        await bob.session.ask(lambda: bob.session.rescuing.follow(offer.successor.hex()))

        await until(lambda: len(ada.node.sessions) == len(bob.node.sessions) == 2)
        assert old_session(bob).holding.health == SUPERSEDED


async def restored(world: World, folder: Path, by: str) -> tuple[Member, Member]:
    """A group of two with one voter, ada, whose folder is put back to what it was before a change made by `by`."""
    ada, bob = await world.group_of("ada", "bob", committee=1)
    live = DataDir(ada.config.data_dir).path
    await ada.stop()
    shutil.copytree(live, folder / "backup")
    await ada.start()
    assert (await world.members[by].update()).state == DONE
    await world.settled(ada, bob)
    await ada.stop()
    shutil.rmtree(live)
    shutil.copytree(folder / "backup", live)
    await ada.start()
    await until(lambda: ada.session.rescuing.is_dead)
    status = await NodeService(ada.node).group_show(schema.GroupRequest(group="test"))
    assert status.health == "abstaining"
    assert "found a successor" in status.next_step
    row = await ada.submit("update")
    await trio.sleep(30)
    assert ada.node.context.store.intent(row.intent_id).state == "open"  # type: ignore[union-attr]
    return ada, bob


async def test_the_only_voter_restored_from_a_backup_founds_a_successor(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """n = 1 and a vote that is forgotten: dead, and says so; the successor goes on."""
    async with open_hasty_world(tmp_path) as world:
        ada, bob = await restored(world, tmp_path, by="bob")

        await ada.node.rescue(ada.session, ())
        await until(lambda: bool(bob.session.rescuing.record.offers))
        (offer,) = bob.session.rescuing.record.offers
        await bob.session.ask(lambda: bob.session.rescuing.follow(offer.successor.hex()[:12]))

        await until(lambda: len(ada.node.sessions) == len(bob.node.sessions) == 2)
        row = await new_session(ada).submit("update", b"")
        assert (await new_session(ada).intent_ended(row.intent_id)).state == DONE


async def test_the_only_voter_that_forgot_its_own_change_is_left_behind_and_added_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It has no secret of the present epoch, so another member founds the successor, and names it lost."""
    async with open_hasty_world(tmp_path) as world:
        ada, bob = await restored(world, tmp_path, by="ada")

        with pytest.raises(ApiError, match="no secret of the epoch"):
            await ada.node.rescue(ada.session, ())
        with pytest.raises(ApiError, match="voters are here"):
            await bob.node.rescue(bob.session, ())
        await bob.node.rescue(bob.session, (ada.peer_id,))

        await until(lambda: len(bob.node.sessions) == 2)
        package = await bob.node.key_package_of(ada.peer_id, SUITE)
        row = await new_session(bob).submit(ADD, AddBody(ada.peer_id, package).encode())
        assert (await new_session(bob).intent_ended(row.intent_id)).state == DONE
        await until(lambda: new_session(bob).group_id in ada.node.sessions)


async def test_who_does_not_agree_is_asked_less_and_less(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An offer and a recognition are large, and its user may be away for days; who connects is told at once."""
    async with open_hasty_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        asked_s: list[float] = []

        async def hesitate(peer: PeerId, payload: bytes) -> bytes:
            asked_s.append(trio.current_time())
            return RescueReply(text="its user has to agree").encode()

        bob.node.context.transport.handle(RESCUE_PROTOCOL, hesitate)
        package = await ada.node.key_package_of(bob.peer_id, SUITE)
        await ada.session.ask(lambda: ada.session.rescuing.found((package,), ()))
        await trio.sleep(3 * AGAIN_MAX_S)

        pauses = [later - sooner for sooner, later in itertools.pairwise(asked_s)]
        jitter_s = 1.5 * SYNC_PERIOD_S
        assert pauses[:3] == pytest.approx([AGAIN_MIN_S, 2 * AGAIN_MIN_S, 4 * AGAIN_MIN_S], abs=jitter_s)
        assert pauses[-1] == pytest.approx(AGAIN_MAX_S, abs=jitter_s)

        await bob.stop()
        await bob.start()
        bob.node.context.transport.handle(RESCUE_PROTOCOL, hesitate)
        connected_s, known = trio.current_time(), len(asked_s)
        await ada.session.ask(lambda: ada.session.rescuing.telling.connected(bob.peer_id))
        await until(lambda: len(asked_s) > known)
        assert asked_s[-1] - connected_s < 1


async def test_what_does_not_check_out_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A founder names other members than it brings in, counts a leaf twice, forges one, or brings too few."""
    async with open_hasty_world(tmp_path) as world:
        ada, bob, cyn, dan, eve, *_ = await seven(world)
        await cyn.stop()
        await dan.stop()
        await ada.node.rescue(ada.session, ())
        await until(lambda: bool(bob.session.rescuing.record.offers))
        session = ada.session
        founded = session.rescuing.record.founded
        assert founded is not None
        public, prev = session.agreement.public, session.rescuing.prev
        committee = session.agreement.epoch.voting.committee
        assert needed(public, committee, ()) == 5
        offer, own = founded.offer, founded.offer.endorsement

        for forged in (
            Recognition(offer, (own, own, own, own, own)),
            Recognition(offer, tuple(replace(own, leaf=leaf) for leaf in range(7))),
            Recognition(replace(offer, members=offer.members[:-1]), (own,)),
            Recognition(replace(offer, lost=(ada.peer_id,)), (own,)),
        ):
            with pytest.raises(RuleError):
                check_recognition(forged, public, prev, committee)
            reply = bob.session.rescuing.take(ada.peer_id, rescue_request(session, recognition=forged))
            assert reply.text
        stolen = rescue_request(session, offer=offer)
        assert "by its founder" in bob.session.rescuing.take(eve.peer_id, stolen).text
        other_epoch = replace(offer, endorsement=replace(own, epoch=own.epoch + 1))
        assert (
            "another group, epoch"
            in bob.session.rescuing.take(ada.peer_id, rescue_request(session, offer=other_epoch)).text
        )
        assert bob.session.rescuing.record.endorsed is None
        assert len(bob.node.sessions) == 1


def rescue_request(
    session: Session, *, offer: Offer | None = None, recognition: Recognition | None = None
) -> RescueRequest:
    return RescueRequest(group_tag(session.group_id), offer=offer, recognition=recognition)


async def seven(world: World) -> list[Member]:
    """Seven members, of whom the first four vote; the others do not."""
    voters = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
    others = [await world.member(name, always_on=False) for name in ("eve", "fay", "gil")]
    for other in others:
        assert (await voters[0].add(other)).state in HOLDS
    everyone = [*voters, *others]
    await until(lambda: all(m.node.sessions and not m.session.holding.unconfirmed for m in everyone))
    await world.settled(*everyone)
    return everyone


def said(member: Member, group_id: bytes) -> list[str]:
    rows = member.node.context.store.feed_of_kind(group_id, feed.MESSAGE, 0, 1000)
    return [feed.MessageBody.decode(row.body).text for row in rows]
