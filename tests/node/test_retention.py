"""What is kept, and for how long; and the way back for who was away for longer than anybody keeps it."""

from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from node import feed, retention
from node.api import schema
from node.api.errors import ApiError
from node.config import RetentionSection
from node.context import NodeContext
from node.holding import OK
from node.intents import DONE, READD, AddBody
from node.joining import WelcomeRefusedError, join_by_welcome
from node.peer_messages import KEPT_PROTOCOL, Kept, KeptRequest, group_tag
from node.returning import is_vouched_for
from node.service import NodeService
from node.store_rows import OutboxRow
from node.verify import check_stored
from node.welcoming import WELCOME_KIND
from tests.node.test_restored_backup import texts
from tests.node.world import SUITE, Member, World, open_world, until

DAY_MS = 24 * 3600 * 1000


def keep_little(*members: Member) -> None:
    for member in members:
        settings = RetentionSection(messages_days=1, decisions_days=1, decisions_epochs=32)
        member.config = msgspec.structs.replace(member.config, retention=settings)
        if member._running is not None:
            member.node.context.config = member.config


def days_pass(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    now_ms = NodeContext.now_ms
    monkeypatch.setattr(NodeContext, "now_ms", staticmethod(lambda: now_ms() + days * DAY_MS))


def prune(*members: Member) -> None:
    for member in members:
        member.session.agreement.holding = retention.prune(member.node.context, member.session.holding)


async def health(member: Member) -> schema.GroupDetail:
    return await NodeService(member.node).group_show(schema.GroupRequest(group="test"))


async def test_old_decisions_and_ciphertexts_go_and_the_feed_stays(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, bob = await world.group_of("ada", "bob", committee=1)
        for number in range(80):
            if number % 8 == 0:
                await ada.session.send(str(number))
            assert (await ada.update()).state == DONE
        await world.settled(ada, bob)
        keep_little(ada)
        store, group_id = ada.node.context.store, ada.session.group_id
        before = len(store.decisions(group_id, 0, 1000))

        prune(ada)
        assert len(store.decisions(group_id, 0, 1000)) == before, "nothing is a day old"
        days_pass(monkeypatch, 2)
        prune(ada)

        kept = store.decisions(group_id, 0, 1000)
        assert 32 <= len(kept) <= 34
        assert kept[-1].epoch == ada.epoch - 1
        assert ada.session.holding.extra.anchor.epoch == kept[0].epoch
        assert not any(store.message_ids(group_id, epoch) for epoch in range(ada.epoch))
        assert len(texts(ada)) == 10
        row = store.group(group_id)
        assert row is not None
        report = check_stored(store, row)
        assert report.ok, report.problems
        assert report.decision_count == len(kept)
        await ada.stop()
        await ada.start()
        assert (await bob.update()).state == DONE


async def stranded(world: World, monkeypatch: pytest.MonkeyPatch, *, voters: int = 4) -> list[Member]:
    """A group whose last member was away until nobody kept what leads from its epoch to theirs."""
    names = ("ada", "bob", "cyn", "dan")[:voters]
    members = await world.group_of(*names, committee=voters)
    away = members[-1]
    await members[0].session.send("before")
    await until(lambda: texts(away) == ["before"])
    await away.stop()
    for number in range(40):
        assert (await members[number % (voters - 1)].update()).state == DONE
    await members[0].session.send("meanwhile")
    await world.settled(*members[:-1])
    keep_little(*members)
    days_pass(monkeypatch, 2)
    prune(*members[:-1])
    await away.start()
    await until(lambda: away.session.catching_up.is_stranded)
    return members


async def test_who_was_away_too_long_is_told_and_added_again_by_one_action(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await stranded(world, monkeypatch)
        epoch, now = dan.epoch, ada.epoch
        told = await health(dan)
        assert told.health == "needs_rejoin"
        first = ada.node.context.store.decisions(ada.session.group_id, 0, 1)[0].epoch
        assert f"gone on from epoch {epoch}; nobody keeps what leads from there to {first}" in told.health_text

        package = await bob.node.key_package_of(dan.peer_id, SUITE)
        row = await bob.change(READD, AddBody(dan.peer_id, package).encode())

        assert (row.state, row.epoch) == (DONE, now + 1)
        await until(lambda: dan.epoch >= now + 1 and not dan.session.holding.unconfirmed)
        await until(lambda: dan.session.holding.health == OK)
        await ada.session.send("after")
        await until(lambda: "after" in texts(dan))
        assert texts(dan) == ["before", "after"], "the old feed is kept, what was said between is not to be had"
        assert (await dan.update()).state == DONE
        await world.settled(ada, bob, cyn, dan)
        stored = dan.node.context.store.group(dan.session.group_id)
        assert stored is not None
        assert check_stored(dan.node.context.store, stored).ok


async def test_a_welcome_that_our_voters_do_not_vouch_for_brings_nobody_back(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Welcome with our group's id can be made up: nobody's word but that of voters we knew is taken for it, and only
    while we are stranded."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await stranded(world, monkeypatch)
        epoch = dan.epoch
        offers: list[bytes] = []
        for member in (ada, bob, cyn):
            monkeypatch.setattr(member.session.deliveries, "start", lambda _: None)
        package = await ada.node.key_package_of(dan.peer_id, SUITE)
        assert (await ada.change(READD, AddBody(dan.peer_id, package).encode())).state == DONE
        rows: tuple[OutboxRow, ...] = ada.node.context.store.outbox(ada.session.group_id)
        offers += [row.payload for row in rows if row.kind == WELCOME_KIND]
        (welcome,) = offers

        for member in (bob, cyn):
            await member.stop()
        await until(lambda: not dan.node.context.transport.peers() & {bob.peer_id, cyn.peer_id})
        monkeypatch.setattr(type(dan.session.catching_up), "is_stranded", True)
        with pytest.raises(Exception, match="vouch for the Welcome, and it takes 2"):
            await is_vouched_for(dan.node.sessions, welcome)
        with pytest.raises(WelcomeRefusedError, match="we are a member"):
            join_by_welcome(dan.node.context, welcome)
        assert dan.epoch == epoch

        await NodeService(dan.node).group_rejoin(schema.GroupRequest(group="test"))
        assert await is_vouched_for(dan.node.sessions, welcome), "the user takes the word of one member"
        monkeypatch.setattr(type(dan.session.catching_up), "is_stranded", False)
        assert not await is_vouched_for(dan.node.sessions, welcome), "who can follow needs nobody's word"
        with pytest.raises(ApiError, match="can follow"):
            await NodeService(dan.node).group_rejoin(schema.GroupRequest(group="test"))


async def test_one_member_that_says_it_is_all_gone_strands_nobody(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who has the chain is enough, and of four voters two have to say that it is gone."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await dan.stop()
        for number in range(40):
            assert (await (ada, bob, cyn)[number % 3].update()).state == DONE
        await world.settled(ada, bob, cyn)
        for member in (ada, bob):
            keep_little(member)
        days_pass(monkeypatch, 2)
        prune(ada, bob)

        await dan.start()

        await until(lambda: dan.epoch == cyn.epoch)
        with trio.fail_after(5):
            request = KeptRequest(group_tag(dan.session.group_id)).encode()
            kept = Kept.decode(await dan.node.context.transport.request(ada.peer_id, KEPT_PROTOCOL, request))
        assert kept.first > 1
        rows = [row for row in dan.node.context.store.feed(0, 1000, dan.session.group_id) if row.kind == feed.DECISION]
        assert len({row.epoch for row in rows}) == len(rows)
