"""Real nodes over the in-memory network: groups form, change, talk, and survive."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import ed25519_sign, supported_suites
from node import feed
from node.api.errors import ApiError
from node.holding import FROZEN
from node.intents import ADD, ALREADY, DONE, OPT_OUT, UPDATE, AddBody
from node.peer_messages import Frame, FrameKind, group_tag
from node.transport_memory import Conditions
from ordering import Certificate, Decision, Policy, VoteKind, encode_message, vote_bytes
from tests.node.world import HOLDS, SUITE, Member, committee_size, open_world, until


async def test_a_group_grows_from_one_voter_to_four(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)

        epochs = {m.epoch for m in members}
        authenticators = {m.session.holding.group.epoch_authenticator for m in members if m.session.holding.group}
        assert len(epochs) == 1
        assert len(authenticators) == 1
        assert all(not m.session.holding.unconfirmed for m in members)


async def test_rival_changes_of_one_epoch_are_all_done_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Intents survive lost races: each is certified exactly once, by its own member's commit."""
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        before = members[0].epoch

        rows = [(m, await m.submit(UPDATE)) for m in members]
        ended = [await m.session.intent_ended(row.intent_id) for m, row in rows]

        assert [row.state for row in ended] == [DONE] * 4
        assert sorted(row.epoch for row in ended if row.epoch) == list(range(before + 1, before + 5))
        await world.settled(*members)


async def test_messages_reach_every_member_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)

        sent = {(await m.session.send(f"{m.name} {n}")).message_id for n in range(5) for m in members}
        await members[0].update()
        sent |= {(await m.session.send(f"{m.name} later")).message_id for m in members}

        def read(m: Member) -> list[bytes | None]:
            rows = m.node.context.store.feed(0, 1000, m.session.group_id)
            return [row.message_id for row in rows if row.kind == feed.MESSAGE]

        await until(lambda: all(len(read(m)) >= len(sent) for m in members))
        assert all(sorted(filter(None, read(m))) == sorted(filter(None, sent)) for m in members)


async def test_lost_hints_are_repaired(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Gossip is a hint: with half of it lost, comparing sets still brings every message to everyone."""
    async with open_world(tmp_path, conditions=Conditions(gossip_loss=0.5)) as world:
        members = await world.group_of("ada", "bob", "cyn", committee=3)

        for n in range(20):
            await members[n % 3].session.send(str(n))

        await until(lambda: all(message_count(m) == 20 for m in members))


async def test_a_removed_member_reads_nothing_and_can_come_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await ada.session.send("before")
        await until(lambda: message_count(dan) == 1)

        assert (await ada.remove(dan)).state == DONE
        await until(lambda: dan.session.holding.removed)
        await bob.session.send("secret")
        await until(lambda: message_count(cyn) == 2)
        await trio.sleep(5)

        assert message_count(dan) == 1
        row = dan.node.context.store.group(dan.session.group_id)
        assert row is not None
        assert row.snapshot is None

        assert (await bob.add(dan)).state in HOLDS
        await until(lambda: not dan.session.holding.removed and committee_size(dan) == 4)
        await ada.session.send("again")
        await until(lambda: message_count(dan) == 2)
        await world.settled(ada, bob, cyn, dan)


async def test_three_of_four_go_on_and_the_fourth_catches_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        dan = members.pop()
        await dan.stop()

        for n in range(6):
            assert (await members[n % 3].update()).state == DONE
            await members[n % 3].session.send(str(n))
        await dan.start()

        await world.settled(*members, dan)
        await until(lambda: message_count(dan) == 6)


async def test_who_was_away_for_many_epochs_misses_no_message(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Catching up drains each epoch before it leaves it: keys of long past epochs are not kept."""
    async with open_world(tmp_path) as world:
        members = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        dan = members.pop()
        await dan.stop()

        for n in range(30):
            assert (await members[n % 3].update()).state == DONE
            await members[(n + 1) % 3].session.send(str(n))
        await dan.start()

        await world.settled(*members, dan)
        await until(lambda: message_count(dan) == 30)


async def test_an_intent_that_is_already_true_needs_no_commit(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)

        rows = [await ada.remove(cyn), await bob.remove(cyn)]

        assert sorted(row.state for row in rows) == sorted([DONE, ALREADY])


@pytest.mark.parametrize("suite_id", supported_suites())
async def test_a_group_of_every_suite_decides_and_restarts(
    tmp_path: Path, autojump_clock: MockClock, suite_id: int
) -> None:
    """Keys and signatures of some suites are a hundred times those of others."""
    async with open_world(tmp_path) as world:
        ada, bob = await world.member("ada"), await world.member("bob", always_on=False)
        await ada.node.create_group("test", suite_id, Policy(delta_ms=200))
        package = await ada.node.key_package_of(bob.peer_id, suite_id)
        assert (await ada.change(ADD, AddBody(bob.peer_id, package).encode())).state == DONE
        await until(lambda: bool(bob.node.sessions) and not bob.session.holding.unconfirmed)

        assert (await bob.update()).state == DONE
        await ada.stop()
        await bob.submit(UPDATE)
        await ada.start()

        await world.settled(ada, bob)


async def test_one_acquaintance_is_enough(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Members tell each other where they can be reached: knowing the one who adds you, you meet the rest."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada", alone=True)
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        others = [await world.member(name, alone=True) for name in ("bob", "cyn", "dan")]
        for other in others:
            await other.node.connect(ada.address)
            assert (await ada.add(other)).state in HOLDS

        await until(lambda: all(committee_size(m) == 4 for m in (ada, *others)))
        await until(lambda: all(len(m.node.context.transport.peers()) == 3 for m in (ada, *others)))


def message_count(member: Member) -> int:
    rows = member.node.context.store.feed(0, 1000, member.session.group_id)
    return sum(row.kind == feed.MESSAGE for row in rows)


async def test_two_decisions_of_one_epoch_freeze_the_group_for_good(tmp_path: Path, autojump_clock: MockClock) -> None:
    """R9: more liars than the committee tolerates. Never pick: nothing is adopted any more, and chat goes on."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        group_id = ada.session.group_id
        row = ada.node.context.store.decision(group_id, ada.epoch - 1)
        assert row is not None
        known = Decision.decode(row.decision)
        keys = {m.session.holding.vote_key.public: m.session.holding.vote_key for m in (ada, bob, cyn)}

        signatures = []
        for voter, _ in known.certificate.signatures:
            message = vote_bytes(known.instance, VoteKind.FINALIZE, 0, voter, b"\7" * 32)
            signatures.append((voter, ed25519_sign(keys[known.descriptor.vote_keys[voter]], message)))
        certificate = Certificate(known.instance, VoteKind.FINALIZE, 0, b"\7" * 32, tuple(signatures))
        other = Decision(group_id, known.epoch, known.prev, known.descriptor, certificate)
        frame = Frame(group_tag(group_id), FrameKind.ORDERING, encode_message(other))
        await bob.node.context.transport.send(ada.peer_id, frame.encode())
        await until(lambda: ada.session.holding.health == FROZEN)

        await ada.stop()
        await ada.start()
        epoch = ada.epoch
        assert (await bob.update()).state == DONE
        await trio.sleep(10)
        assert ada.session.holding.health == FROZEN
        assert ada.epoch == epoch
        with pytest.raises(ApiError, match="cannot be changed"):
            await ada.update()
        await ada.session.send("still here")
        await until(lambda: message_count(bob) == 1)


async def test_who_opts_out_stays_out(tmp_path: Path, autojump_clock: MockClock) -> None:
    """An always-on node volunteers by itself, but not against its user's word."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)

        assert (await dan.change(OPT_OUT)).state == DONE
        for member in (ada, bob, cyn):
            assert (await member.update()).state == DONE
        await world.settled(ada, bob, cyn, dan)

        assert committee_size(dan) == 3
        assert (await dan.opt_in()).state == DONE
        await until(lambda: committee_size(ada) == 4)
