"""Who cannot open a decided commit votes on and comes back by itself: a hostile member's commit on real nodes."""

import itertools
import os
from pathlib import Path

import trio
from trio.testing import MockClock

from mls import Extension, ExtensionType, Group
from mls.framing import MLSMessage, frame
from mls.group_info import GroupInfo, external_pub_extension, sign_group_info
from node import feed
from node.feed import DecisionBody, NoticeBody
from node.holding import CUT_OFF, OK
from node.inbox import FrameIn
from node.intents import DONE, UPDATE
from node.ordering_records import stored_decision
from node.peer_id import PeerId
from node.peer_messages import GROUP_INFO_PROTOCOL, Frame, FrameKind, group_tag
from node.resync import build_resync
from node.transport import RefusedError
from tests.node.hostile import offer, opens_for_some
from tests.node.test_session import message_count
from tests.node.world import HOLDS, Member, World, open_world, until

FOUR = ("ada", "bob", "cyn", "dan")
SEVEN = (*FOUR, "eve", "fay", "gus")


async def cut_off(world: World, liar: Member, others: list[Member], victims: list[Member], *silent: Member) -> int:
    """A commit of the liar's that the victims cannot open is decided, and the liars go silent; the epoch it ended."""
    agreement = liar.session.agreement
    closed = {victim.session.agreement.own_leaf for victim in victims}
    now = liar.node.context.now_ms() // 1000
    ended = liar.epoch
    await offer(liar, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
    await until(lambda: all(member.epoch > ended for member in (*others, *victims)))
    for member in (liar, *silent):
        await member.stop()
    return ended


def told(member: Member) -> list[str]:
    rows = member.node.context.store.feed(0, 1000, member.session.group_id)
    return [NoticeBody.decode(row.body).text for row in rows if row.kind == feed.HEALTH]


async def test_cut_off_then_silent_of_four(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It opens for q - f honest voters, then the liar is gone: without the victim's votes nothing would be decided."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        ended = await cut_off(world, dan, [ada, bob], [cyn])

        await world.settled(ada, bob, cyn)
        await until(lambda: cyn.session.holding.health == OK)

        assert ada.epoch == ended + 2, "the very next epoch brought it back"
        assert not ada.session.agreement.candidacy.may_hurry, "or two members who come back in turn were always first"
        assert (await cyn.update()).state == DONE
        await cyn.session.send("I am back")
        await until(lambda: message_count(ada) == 1)
        await bob.session.send("welcome")
        await until(lambda: message_count(cyn) == 2)
        assert any("could not open" in text for text in told(cyn))
        assert any(f"epoch {ended + 1} cannot be read" in text for text in told(cyn))


async def test_cut_off_then_silent_of_seven(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two victims, two liars: each victim takes an epoch."""
    async with open_world(tmp_path) as world:
        members = await world.group_of(*SEVEN, committee=7)
        ada, bob, cyn, dan, eve, fay, gus = members
        ended = await cut_off(world, gus, [bob, cyn, dan], [eve, fay], ada)

        await world.settled(bob, cyn, dan, eve, fay)

        assert bob.epoch == ended + 3
        assert (await eve.update()).state == DONE


async def test_who_has_no_seat_comes_back_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nobody waits for its vote, and it makes its resync all the same."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        eve = await world.member("eve", always_on=False)
        assert (await ada.add(eve)).state in HOLDS
        await until(lambda: bool(eve.node.sessions) and not eve.session.holding.unconfirmed)
        assert (await eve.update()).state == DONE  # or its leaf would share its secrets with nobody
        await world.settled(ada, bob, cyn, dan, eve)
        ended = await cut_off(world, dan, [ada, bob, cyn], [eve])

        await world.settled(ada, bob, cyn, eve)

        assert ada.epoch == ended + 2
        assert (await eve.update()).state == DONE


async def test_it_may_come_back_at_another_place(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The tree puts who comes back on its leftmost free leaf: the seat moves there with it, and so does its history."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan, eve = await world.group_of(*SEVEN[:5], committee=4)
        assert (await ada.remove(bob)).state == DONE
        await world.settled(ada, cyn, dan, eve)
        assert (await cyn.update()).state == DONE
        await world.settled(ada, cyn, dan, eve)
        ended = await cut_off(world, dan, [ada, eve], [cyn])

        await world.settled(ada, cyn, eve)

        assert ada.epoch == ended + 2
        assert cyn.session.agreement.own_leaf == 1
        rows = ada.node.context.store.feed_of_kind(ada.session.group_id, feed.DECISION, 0, 1000)
        (change,) = DecisionBody.decode(rows[-1].body).changes
        assert (change.kind, change.leaf_index, change.peer) == ("resync", 1, cyn.peer_id)
        assert cyn.session.agreement.instance.config.own_voter is not None
        assert (await cyn.update()).state == DONE
        await ada.stop()
        await ada.start()
        await world.settled(ada, cyn, eve)


async def test_a_commit_for_fewer_than_a_quorum_is_never_decided(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Ada could apply it; Bob and Cyn could not. It costs a view, and the honest change after it goes through."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        agreement, began = dan.session.agreement, ada.epoch
        closed = {member.session.agreement.own_leaf for member in (bob, cyn)}
        now = dan.node.context.now_ms() // 1000
        built = opens_for_some(agreement.group, agreement.epoch.instance, closed, now)
        await offer(dan, built)
        await until(lambda: built.id in ada.session.agreement.known and built.id in bob.session.agreement.known)

        assert (await ada.update()).state == DONE

        await world.settled(ada, bob, cyn, dan)
        decision = stored_decision(bob.node.context.store, bob.session.group_id, began)
        assert decision is not None
        assert decision.id != built.id
        assert decision.view <= 3, "f + 2"
        assert all(member.session.holding.health == OK for member in (ada, bob, cyn, dan))


async def test_killed_while_cut_off(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What it needs is on its disk: the public state it follows, its vote key, and later the resync it has made."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        await bob.session.send("before")
        await until(lambda: message_count(cyn) == 1)
        agreement = dan.session.agreement
        closed = {cyn.session.agreement.own_leaf}
        now = dan.node.context.now_ms() // 1000
        ended = dan.epoch
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
        await until(lambda: cyn.session.holding.is_cut_off)
        await cyn.stop()  # at once
        await until(lambda: ada.epoch > ended and bob.epoch > ended)
        await dan.stop()
        await bob.stop()  # so that nothing can be decided
        await cyn.start()
        assert cyn.session.holding.health == CUT_OFF
        assert cyn.session.holding.epoch == ended + 1
        await until(lambda: bool(cyn.session.agreement.candidacy.own))
        (made,) = cyn.session.agreement.candidacy.own
        await cyn.stop()
        await cyn.start()
        assert list(cyn.session.agreement.candidacy.own) == [made], "the same one"
        await bob.start()

        await world.settled(ada, bob, cyn)

        assert ada.epoch == ended + 2
        decision = stored_decision(ada.node.context.store, ada.session.group_id, ended + 1)
        assert decision is not None
        assert decision.id == made
        assert message_count(cyn) == 1
        assert (await cyn.update()).state == DONE


async def test_what_was_said_meanwhile_stays_closed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It neither opens nor is asked for again. What who is cut off says is kept, and sent in order once it is back."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, refuse)
        ended = await cut_off(world, dan, [ada, bob], [cyn])
        await ada.session.send("you cannot read this")
        await until(lambda: message_count(bob) == 1)
        for text in ("hello?", "anybody?"):
            assert (await cyn.session.send(text)).message_id is None, "kept, unsealed"
        await trio.sleep(10)
        assert cyn.epoch == ended + 1
        assert any("could not open the change" in text for text in told(ada)), "it said so, signed"
        row = await cyn.submit(UPDATE)

        for member in (ada, bob):
            await member.stop()
            await member.start()
        await world.settled(ada, bob, cyn)

        assert (await cyn.session.intent_ended(row.intent_id)).state == DONE, "what was wanted meanwhile is done now"
        await until(lambda: message_count(ada) == message_count(bob) == 3)
        rows = cyn.node.context.store.feed_of_kind(cyn.session.group_id, feed.MESSAGE, 0, 1000)
        assert [feed.MessageBody.decode(row.body).text for row in rows] == ["hello?", "anybody?"]
        await ada.session.send("but this")
        await until(lambda: message_count(cyn) == 3)


async def refuse(peer: PeerId, payload: bytes) -> bytes:
    raise RefusedError("not now")


async def test_a_false_group_info_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Of another epoch, of another history, signed by nobody: none of them leads to a commit."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        old = dan.session.agreement.group.group_info(inline_tree=False, external_pub=True)
        others = Group.from_bytes(dan.session.agreement.group.to_bytes())
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, refuse)
        agreement, ended = dan.session.agreement, dan.epoch
        now = dan.node.context.now_ms() // 1000
        elsewhere = others.commit(os.urandom, now).successor.group_info(inline_tree=False, external_pub=True)
        closed, forged = {cyn.session.agreement.own_leaf}, [old, elsewhere]

        async def lie(peer: PeerId, payload: bytes) -> bytes:
            served.append(next(numbers) % len(forged))
            return forged[served[-1]]

        served: list[int] = []
        numbers = itertools.count()
        dan.node.context.transport.handle(GROUP_INFO_PROTOCOL, lie)
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
        await until(lambda: all(member.epoch > ended for member in (ada, bob, cyn, dan)))
        true = ada.session.agreement.group.group_info(inline_tree=False, external_pub=True)
        forged += [true[:-1] + bytes([true[-1] ^ 1]), true[:40], b"", os.urandom(300)]
        await trio.sleep(20)

        assert cyn.epoch == ended + 1
        assert not cyn.session.agreement.candidacy.own
        assert set(served) == set(range(len(forged)))
        bob.node.context.transport.handle(GROUP_INFO_PROTOCOL, bob.node._doors._group_info)
        await world.settled(ada, bob, cyn)


async def test_a_lie_about_the_key_costs_one_attempt(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nothing public shows which external key is the right one. While the liar alone answers its word is taken in the
    end; the resync opens for nobody, and the next one is made with what others say."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, refuse)
        agreement, ended = dan.session.agreement, dan.epoch
        now = dan.node.context.now_ms() // 1000
        closed = {cyn.session.agreement.own_leaf}
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
        await until(lambda: all(member.epoch > ended for member in (ada, bob, cyn, dan)))

        async def lie(peer: PeerId, payload: bytes) -> bytes:
            return with_another_key(dan.session.agreement.group)

        dan.node.context.transport.handle(GROUP_INFO_PROTOCOL, lie)
        await until(lambda: len(cyn.session.agreement.candidacy.own) == 1)
        await dan.stop()
        assert cyn.epoch == ended + 1
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, member.node._doors._group_info)

        await world.settled(ada, bob, cyn)
        assert ada.epoch == ended + 2


async def test_f_and_one_honest_answers_are_believed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The liar answers first, and with a lie; nothing is made of it while others may say otherwise."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)

        async def lie(peer: PeerId, payload: bytes) -> bytes:
            return with_another_key(dan.session.agreement.group)

        dan.node.context.transport.handle(GROUP_INFO_PROTOCOL, lie)
        agreement, ended = dan.session.agreement, dan.epoch
        now = dan.node.context.now_ms() // 1000
        closed = {cyn.session.agreement.own_leaf}
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, closed, now))
        await until(lambda: all(member.epoch > ended for member in (ada, bob, cyn, dan)))

        await world.settled(ada, bob, cyn, dan)
        assert ada.epoch == ended + 2
        decision = stored_decision(ada.node.context.store, ada.session.group_id, ended + 1)
        assert decision is not None
        assert decision.view == 0


async def test_a_group_info_that_leads_nowhere_is_passed_over(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The liar names the right key, beside a tree that is another's: what the others gave is taken instead."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)

        async def lie(peer: PeerId, payload: bytes) -> bytes:
            return with_another_tree(dan.session.agreement.group)

        dan.node.context.transport.handle(GROUP_INFO_PROTOCOL, lie)
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, refuse)
        agreement, ended = dan.session.agreement, dan.epoch
        now = dan.node.context.now_ms() // 1000
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, {2}, now))
        await until(lambda: all(member.epoch > ended for member in (ada, bob, cyn, dan)))
        await trio.sleep(10)
        assert not cyn.session.agreement.candidacy.own
        for member in (ada, bob):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, member.node._doors._group_info)

        await world.settled(ada, bob, cyn, dan)
        assert ada.epoch == ended + 2


def with_another_tree(group: Group) -> bytes:
    info = MLSMessage.decode(group.group_info(inline_tree=False, external_pub=True)).body
    assert isinstance(info, GroupInfo)
    tree = Extension(ExtensionType.RATCHET_TREE, group.public.tree.remove(0).encode())
    signed = sign_group_info(
        group.suite,
        group.state.signer,
        info.group_context,
        (*info.extensions, tree),
        info.confirmation_tag,
        group.own_leaf,
    )
    return frame(signed)


def with_another_key(group: Group) -> bytes:
    """A GroupInfo that is right in all but the external key."""
    info = MLSMessage.decode(group.group_info(inline_tree=False)).body
    assert isinstance(info, GroupInfo)
    wrong = external_pub_extension(group.suite.generate_hpke_key(os.urandom).public)
    signed = sign_group_info(
        group.suite, group.state.signer, info.group_context, (wrong,), info.confirmation_tag, group.own_leaf
    )
    return frame(signed)


async def test_the_blind_do_not_help_who_blinded_them(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Or one liar could cut off a quorum step by step: with each commit more of those who vote could open none of them.

    Nor do they help back who cannot be cut off, since its own commit began the epoch."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        for member in (ada, bob, dan):
            member.node.context.transport.handle(GROUP_INFO_PROTOCOL, refuse)
        agreement, ended = dan.session.agreement, dan.epoch
        now = dan.node.context.now_ms() // 1000
        await offer(dan, opens_for_some(agreement.group, agreement.epoch.instance, {2}, now))
        await until(lambda: all(member.epoch > ended for member in (ada, bob, cyn, dan)))
        assert cyn.session.holding.is_cut_off
        assert soft_of(cyn, dan) is None
        assert soft_of(cyn, bob) is True
        assert soft_of(ada, dan) is True, "who can open it speaks for itself"

        assert (await ada.update()).state == DONE
        await until(lambda: cyn.epoch == ada.epoch == bob.epoch)
        assert soft_of(cyn, ada) is None
        assert soft_of(cyn, dan) is None, "for good"
        assert soft_of(cyn, bob) is True
        await cyn.stop()
        await cyn.start()
        assert soft_of(cyn, dan) is None, "after a restart too"


def soft_of(judge: Member, member: Member) -> bool | None:
    """What one makes of another's resync."""
    agreement = member.session.agreement
    key = member.session.holding.vote_key
    info = agreement.group.group_info(inline_tree=False, external_pub=True)
    built = build_resync(member.node.context, agreement.epoch, agreement.own_leaf, key, info, 0)
    known = judge.session.agreement.candidacy.admit(built.candidate)
    assert known.valid is not None
    return known.soft


async def test_two_copies_do_not_chase_each_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Another copy of Cyn takes her leaf. She follows from outside, and comes back when somebody else has committed:
    a group in which two copies run goes on no faster than the others make it."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of(*FOUR, committee=4)
        agreement, began = cyn.session.agreement, cyn.epoch
        key, info = cyn.session.holding.vote_key, agreement.group_info
        built = build_resync(cyn.node.context, agreement.epoch, agreement.own_leaf, key, info, 0)
        frame_of = Frame(group_tag(ada.session.group_id), FrameKind.CANDIDATE, built.candidate.encode())
        for member in (ada, bob, dan):
            member.session.post(FrameIn(cyn.peer_id, frame_of))
        await until(lambda: all(member.epoch == began + 1 for member in (ada, bob, cyn, dan)))
        assert cyn.session.holding.is_cut_off
        await trio.sleep(30)
        assert cyn.epoch == began + 1

        assert (await ada.update()).state == DONE
        await world.settled(ada, bob, cyn, dan)
        assert ada.epoch == began + 3
