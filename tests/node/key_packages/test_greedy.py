"""Abuse of replicas and owners, on real nodes: each within its named bound, and nobody else notices."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.config import KeyPackagesSection
from node.data_dir import DataDir
from node.key_packages import pool, serving
from node.key_packages.claiming import NoPackageError, Source
from node.key_packages.messages import (
    ASK_PROTOCOL,
    CLAIM_PROTOCOL,
    PUBLISH_PROTOCOL,
    PUT_PROTOCOL,
    Ask,
    Claim,
    Grant,
    Manifest,
    Offered,
    Outcome,
    digest_of,
)
from node.key_packages.pool import package_of
from node.key_packages.quorum import replicas_of
from node.key_packages.store import GRANTS_PER_OWNER_MAX, open_replica
from node.peer_messages import KEY_PACKAGE_PROTOCOL, KeyPackageRequest
from node.store_rows import KEY_PACKAGE_CLAIMED
from node.transport import RequestError, RequestFailure
from tests.node.contacts.people import Person
from tests.node.key_packages.test_sleeping import acquainted, claimed
from tests.node.key_packages.world import configured, lent, replicas
from tests.node.world import SUITE, Member, open_world, until


async def asked(member: Member, box: Member, protocol: str, payload: bytes, persona: bytes) -> bytes:
    return await member.node.context.transport.request_unnamed(box.address, protocol, payload, persona=persona)


async def test_a_greedy_claimer_gets_so_many_and_the_others_what_they_need(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Under a new name each time. Its victim is added all the same, and other owners are not touched."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one", "two", "three")
        eve, bob, cyn, dan = await acquainted(world, "eve", "bob", "cyn", "dan")
        configured(bob, pool=60, replenish_below=60)
        await bob.stop()
        await bob.start(alone=True)
        await until(lambda: len(lent(bob)) == 48)
        await until(lambda: bob.node.publishing.is_complete)
        await bob.stop()
        await dan.stop()

        sources = Counter[Source]()
        packages = set()
        for _ in range(GRANTS_PER_OWNER_MAX + 10):
            one = await claimed(eve, bob)
            sources[one.source] += 1
            packages.add(one.package)
        assert sources == {Source.REPLICAS: GRANTS_PER_OWNER_MAX, Source.LAST_RESORT: 10}
        assert len(packages) == GRANTS_PER_OWNER_MAX + 1

        assert (await claimed(cyn, dan)).source is Source.REPLICAS, "another owner's are untouched"
        await Person(cyn).found()
        assert (await Person(cyn).add(Person(bob))).state == "certified", "by its last resort"
        await bob.start(alone=True)
        await until(lambda: bool(bob.node.sessions))
        await until(lambda: len(lent(bob, KEY_PACKAGE_CLAIMED)) == GRANTS_PER_OWNER_MAX)


async def test_one_connection_gets_few_and_is_still_told_the_last_resort(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        eve, bob = await acquainted(world, "eve", "bob")
        replica = replicas_of(bob.node.own_card.card)
        assert replica is not None
        owner = bob.node.context.identity.public_key
        outcomes = []
        for row in lent(bob)[:6]:
            claim = Claim(owner, replica.id, SUITE, row.digest[:16], row.digest)
            reply = await asked(eve, box, CLAIM_PROTOCOL, claim.encode(), bytes(32))
            outcomes.append(Grant.decode(reply).outcome)
        few = serving.GRANTS_PER_REQUESTER_MAX
        assert outcomes == [Outcome.GRANTED] * few + [Outcome.LATER] * (6 - few)
        ask = Ask(owner, replica.id, SUITE, bytes(16)).encode()
        offered = Offered.decode(await asked(eve, box, ASK_PROTOCOL, ask, bytes(32)))
        assert offered.digests == ()
        assert offered.last_resort
        other = Offered.decode(await asked(eve, box, ASK_PROTOCOL, ask, bytes(31) + b"o"))
        assert other.digests


async def test_who_asks_the_owner_itself_too_often_is_refused_and_others_are_not(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """By name and so by peer; what is made for such requests is bounded, and beyond it the last resort is given."""
    async with open_world(tmp_path) as world:
        await replicas(world, "one")
        eve, bob, cyn = await acquainted(world, "eve", "bob", "cyn")
        question = KeyPackageRequest(SUITE).encode()
        got = set()
        for _ in range(pool.REQUESTS_MAX):
            got.add(await eve.node.context.transport.request(bob.peer_id, KEY_PACKAGE_PROTOCOL, question))
        with pytest.raises(RequestError) as refused:
            await eve.node.context.transport.request(bob.peer_id, KEY_PACKAGE_PROTOCOL, question)
        assert refused.value.kind is RequestFailure.REFUSED
        assert len(got) == pool.REQUESTS_MAX
        assert (await claimed(cyn, bob)).source is Source.OWNER
        bob.node.packages._pace.owed = pool.MADE_BURST_MAX  # as after a flood by very many peers
        own = [await claimed(cyn, bob) for _ in range(3)]
        assert len({each.package for each in own}) == 1, "the last resort"


async def test_a_lying_replica_hands_nothing_out_twice(tmp_path: Path, autojump_clock: MockClock) -> None:
    """One of four grants the same to everybody, whatever it said before. No two claims end with one package."""
    async with open_world(tmp_path) as world:
        boxes = await replicas(world, "one", "two", "three", "four")
        ada, bob, cyn = await acquainted(world, "ada", "bob", "cyn")
        rows = lent(cyn)
        by_digest = {row.digest: package_of(row) for row in rows}
        offered = Offered(tuple(by_digest)[:8], b"").encode()
        told = Counter[bytes]()

        async def offer(_peer: str, _payload: bytes) -> bytes:
            return offered

        async def grant(_peer: str, payload: bytes) -> bytes:
            digest = Claim.decode(payload).digest
            told[digest] += 1
            return Grant(Outcome.GRANTED, by_digest[digest]).encode()

        boxes[0].node.context.transport.handle(ASK_PROTOCOL, offer)
        boxes[0].node.context.transport.handle(CLAIM_PROTOCOL, grant)
        await cyn.stop()
        found = []

        async def claim(claimer: Member) -> None:
            found.append(await claimed(claimer, cyn))

        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for claimer in (ada, bob, ada):
                    nursery.start_soon(claim, claimer)
        one_time = [each.package for each in found if each.source is Source.REPLICAS]
        assert one_time
        assert len(one_time) == len(set(one_time))
        assert told, "it was asked, and lied"


async def test_garbage_from_replicas_is_dropped(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What is no answer, or another owner's package, or a one-time one as a last resort, is of no use to a claim."""
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        ada, bob, cyn = await acquainted(world, "ada", "bob", "cyn")
        others, own = package_of(lent(cyn)[0]), package_of(lent(bob)[0])
        await bob.stop()
        replies = [b"garbage", Offered((digest_of(others),), others).encode(), Offered((), own).encode()]

        async def offer(_peer: str, _payload: bytes) -> bytes:
            return replies[0]

        async def grant(_peer: str, _payload: bytes) -> bytes:
            return Grant(Outcome.GRANTED, others).encode()

        box.node.context.transport.handle(ASK_PROTOCOL, offer)
        box.node.context.transport.handle(CLAIM_PROTOCOL, grant)
        reasons = ("none of the 1 replicas", "another peer's", "a one-time package as its last resort")
        for reason in reasons:
            with pytest.raises(NoPackageError, match=reason):
                await claimed(ada, bob)
            replies.pop(0)


async def test_nobody_publishes_for_another_and_nothing_old_counts(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        eve, bob = await acquainted(world, "eve", "bob")
        owner, replica = bob.node.context.identity.public_key, replicas_of(bob.node.own_card.card)
        assert replica is not None
        mine = Manifest.sign(eve.node.context.identity, replica.id, 2**50, ())
        forged = Manifest(owner, mine.replicas, mine.serial, (), mine.signature)
        old = Manifest.sign(bob.node.context.identity, replica.id, 1, ())
        for manifest in (forged, old):
            with pytest.raises(RequestError, match="the peer refuses"):
                await asked(eve, box, PUBLISH_PROTOCOL, manifest.encode(), bytes(32))
        for protocol in (PUBLISH_PROTOCOL, PUT_PROTOCOL, ASK_PROTOCOL, CLAIM_PROTOCOL):
            with pytest.raises(RequestError) as caught:
                await asked(eve, box, protocol, b"garbage", bytes(32))
            assert caught.value.kind is RequestFailure.REFUSED
        await bob.stop()
        assert (await claimed(eve, bob)).source is Source.REPLICAS


async def test_a_replica_learns_owners_and_nothing_of_claimers(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Everything it was sent, and everything it keeps: no claimer, no group, no name in it."""
    async with open_world(tmp_path) as world:
        (box,) = await replicas(world, "box")
        (bob,) = await acquainted(world, "bob")
        world.key_packages = KeyPackagesSection(pool=1)  # ada herself is nobody's owner there
        ada = await world.member("ada")
        await Person(ada).meet(Person(bob), "bob")
        heard: list[tuple[str, bytes]] = []
        transport = box.node.context.transport
        for protocol in (ASK_PROTOCOL, CLAIM_PROTOCOL):
            handler = transport._handlers[protocol]  # type: ignore[attr-defined]

            async def listening(peer: str, payload: bytes, handler: Callable[..., Awaitable[bytes]] = handler) -> bytes:
                heard.append((peer, payload))
                return await handler(peer, payload)

            transport.handle(protocol, listening)
        await bob.stop()
        await Person(ada).found("a secret circle")
        result = await Person(ada).add(Person(bob), "a secret circle")
        assert result.state == "certified"
        group_id = ada.session.group_id
        key = box.node.context.store.meta("replica key")
        await box.stop()
        assert key is not None
        with open_replica(DataDir(box.config.data_dir).replica_path, key, 2**20) as store:
            rows = [store._rows(f"SELECT * FROM {table}") for table in ("owners", "packages")]
        kept = repr(rows).encode() + b"".join(value for row in rows[1] for value in row if isinstance(value, bytes))
        sent = b"".join(peer.encode() + payload for peer, payload in heard)
        assert heard
        for data in (kept, sent):
            for secret in (ada.peer_id.encode(), ada.node.context.identity.public_key, group_id, b"secret circle"):
                assert secret not in data
            assert b"ada" not in sent
