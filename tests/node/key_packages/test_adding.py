"""Several peers in one change: who can be had is in, the others are named with the reason, and come later."""

import dataclasses
import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mls import open_welcome, suite
from node.api import schema
from node.context import group_config
from node.key_packages import wanting
from node.peer_messages import WelcomeDelivery
from node.welcoming import WELCOME_KIND
from ordering import JoinProof
from tests.node.contacts.people import Person
from tests.node.key_packages.sleepers import Sleeper
from tests.node.key_packages.world import replicas
from tests.node.world import SUITE, Member, open_world, until


async def add(person: Person, *names: str, timeout_s: float = 120) -> schema.AddManyResult:
    request = schema.GroupAddManyRequest(group="lunch", peers=names, timeout_s=timeout_s)
    return await person.service.group_add_many(request)


def by_state(result: schema.AddManyResult) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in result.outcomes:
        found.setdefault(one.state, []).append(one.reference)
    return found


async def sleepers(ada: Member, boxes: list[Member], count: int, expired: set[int]) -> list[Sleeper]:
    """Contacts of a member's; each has packages at the replicas, some nothing but expired ones."""
    transport, now_s = ada.node.context.transport, ada.node.context.now_ms() // 1000
    found = [Sleeper.of(f"p{number}", boxes, now_s) for number in range(count)]
    for number, sleeper in enumerate(found):
        is_expired = number in expired
        last_resort = sleeper.make(is_expired=is_expired, is_last_resort=True)
        await sleeper.publish(transport, [sleeper.make(is_expired=is_expired)], last_resort)
        ada.node.contacts.take_in(sleeper.card, sleeper.name)
    return found


async def test_a_hundred_are_added_in_one_commit_and_three_expired_ones_later(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """97 in, by one commit; 3 named with the reason, and added by themselves once they have published new ones."""
    monkeypatch.setattr(wanting, "RETRY_MIN_MS", 1)
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        ada = await world.member("ada")
        people = await sleepers(ada, [box], 100, expired={7, 42, 99})
        person = Person(ada)
        await person.found()
        names = [each.name for each in people]

        monkeypatch.setattr(wanting, "ATTEMPTS_MAX", 10**6)
        result = await add(person, *names)

        assert [one.reference for one in result.outcomes] == names
        found = by_state(result)
        assert len(found["certified"]) == 97
        assert {*found} <= {"certified", "retrying", "claiming"}
        missed = [one for one in result.outcomes if one.state != "certified"]
        assert [one.reference for one in missed] == ["p7", "p42", "p99"]
        assert all("its key package expired on 2" in one.reason for one in missed), missed
        assert result.epochs == (1,), "one commit"
        assert {one.epoch for one in result.outcomes if one.state == "certified"} == {1}
        detail = await person.group()
        assert detail.member_count == 98
        assert {one.text for one in detail.pending} == {"add p7", "add p42", "add p99"}
        assert all("expired" in one.reason and one.claims for one in detail.pending)

        for name in ("p7", "p42", "p99"):
            sleeper = people[names.index(name)]
            await sleeper.publish(ada.node.context.transport, [sleeper.make()])
        await until(lambda: len(ada.session.agreement.roster.others) == 100)
        again = await person.service.group_adds(
            schema.GroupAddsRequest(group="lunch", batch_id=result.batch_id, timeout_s=60)
        )
        assert by_state(again) == {"certified": names}
        assert again.is_settled
        assert again.epochs[0] == 1 < again.epochs[1]
        assert (await person.group()).pending == ()

        welcomed = {row.recipient: row for row in ada.node.context.store.outbox() if row.kind == WELCOME_KIND}
        assert len(welcomed) == 100
        for name in ("p0", "p98", "p42"):  # real MLS: the Welcome opens for whom it is for
            sleeper = people[names.index(name)]
            proof = JoinProof.decode(WelcomeDelivery.decode(welcomed[sleeper.identity.peer_id].payload).join_proof)
            joined = open_welcome(
                proof.candidate.bundle.welcome,
                list(sleeper.bundles.values()),
                tree=None,
                now=sleeper.now_s,
                config=group_config(ada.config),
            )
            assert joined.group.group_id == ada.session.group_id


async def test_who_cannot_be_meant_or_is_in_keeps_nobody_waiting(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told by itself; after so many attempts an add ends with the last reason."""
    monkeypatch.setattr(wanting, "RETRY_MIN_MS", 1)
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        ada = await world.member("ada")
        await sleepers(ada, [box], 3, expired={1})
        person = Person(ada)
        await person.found()
        assert (await person.service.group_add(schema.GroupAddRequest(group="lunch", peer="p0"))).state == "certified"

        result = await add(person, "p0", "nobody", "p1", "p2", "p2")

        found = by_state(result)
        assert (found["already"], found["refused"], found["certified"]) == (["p0"], ["nobody"], ["p2"])
        assert "no peer 'nobody' is known here" in result.outcomes[1].reason

        with trio.fail_after(600):
            while True:
                request = schema.GroupAddsRequest(group="lunch", batch_id=result.batch_id, wait=False)
                last = next(one for one in (await person.service.group_adds(request)).outcomes if one.reference == "p1")
                if last.state == "refused":
                    break
                await trio.sleep(1)
        assert last.attempts == wanting.ATTEMPTS_MAX
        assert "its key package expired on" in last.reason


async def test_what_is_wanted_outlives_a_restart(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An add that was accepted is claimed for by the next start, too."""
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        ada = await world.member("ada")
        await sleepers(ada, [box], 2, expired=set())
        await box.stop()
        await Person(ada).found()
        monkeypatch.setattr(wanting, "RETRY_MIN_MS", 1)
        result = await add(Person(ada), "p0", "p1", timeout_s=30)
        assert {one.state for one in result.outcomes} <= {"retrying", "claiming"}
        assert "none of the 1 replicas" in result.outcomes[0].reason
        await ada.stop()
        await box.start()
        await ada.start()
        await until(lambda: len(ada.session.agreement.roster.others) == 2)


async def test_what_spoils_the_commit_is_left_out_of_it_and_named(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good by itself, and not beside another: two peers with one signature key. The others do not wait for it."""
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        ada = await world.member("ada")
        people = await sleepers(ada, [box], 12, expired=set())
        shared = suite(SUITE).generate_signature_key(os.urandom)
        for number in (3, 8):
            package = people[number].make(signer=shared)
            await people[number].publish(ada.node.context.transport, [package])
        person = Person(ada)
        await person.found()

        result = await add(person, *(each.name for each in people))

        found = by_state(result)
        assert len(found["certified"]) == 11
        (left,) = found["retrying"]
        assert left in ("p3", "p8")
        assert result.epochs == (1,)
        (pending,) = (await person.group()).pending
        assert "two Adds of one client" in pending.reason
        sleeper = people[int(left[1:])]
        await sleeper.publish(ada.node.context.transport, [sleeper.make()])
        with ada.node.context.store.transaction() as transaction:
            (row,) = transaction.packages_waiting()
            transaction.put_wanted_package(dataclasses.replace(row, due_ms=1))
        await until(lambda: len(ada.session.agreement.roster.others) == 12)
