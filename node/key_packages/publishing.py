"""An owner's side of its replicas: what it has is published there, what it wants back is withdrawn.

A manifest says everything that holds from now on and is signed; the packages it names are brought where they are
missing. What a replica says it has granted is somebody's from then on.
"""

from collections.abc import Callable, Sequence
from random import Random as Chance
from typing import Final

import trio
from msgspec import msgpack

from node.api import schema
from node.context import NodeContext
from node.key_packages.messages import (
    ENTRIES_MAX,
    PUBLISH_PROTOCOL,
    PUT_MAX,
    PUT_PROTOCOL,
    PUT_SIZE_MAX,
    Entry,
    Manifest,
    Published,
    Put,
    PutReply,
)
from node.key_packages.pool import Pool, package_of
from node.key_packages.quorum import ReplicaSet
from node.logs import logger
from node.peer_id import PeerId
from node.store_rows import KEY_PACKAGE_CLAIMED, KEY_PACKAGE_LAST_RESORT, KEY_PACKAGE_ONE_TIME, KeyPackageRow
from node.transport import PERSONA_SIZE, TransportError, peer_of
from ordering import MalformedError

PERIOD_S: Final = 600.0  # between two looks at what the replicas have granted, jittered
RETRY_S: Final = 30.0  # after one of them was not reached
SETTLE_S: Final = 1.0  # changes of the pool that come together are published together
GRANTED_LISTED_MS: Final = 120_000  # one that a replica has granted stays published so long, for claims under way
FORMER_MAX: Final = 16  # replicas of before that are still to be told that nothing lies with them any more
TIMEOUT_S: Final = 10.0
_FORMER: Final = "former replicas"
_SERIAL: Final = "manifest serial"

log = logger("packages")


class Publishing:
    """Of a running node; `replicas` are those that its card names."""

    def __init__(self, context: NodeContext, pool: Pool, replicas: Callable[[], ReplicaSet | None]) -> None:
        self._context = context
        self._pool = pool
        self._replicas = replicas
        self._changed = trio.Event()
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter
        pool.on_change = self.stir
        self._held: dict[PeerId, frozenset[bytes]] = {}  # what each replica has of ours, as far as we know

    @property
    def is_complete(self) -> bool:
        """Whether every replica of ours has all that is to be claimed there."""
        return all(each.is_current for each in self.status())

    def status(self) -> tuple[schema.PackageReplica, ...]:
        """Our replicas, and which of them are up to date."""
        replicas = self._replicas()
        wanted = {row.digest for row in self._pool.published()}
        return tuple(
            schema.PackageReplica(peer_id=place.peer_id, is_current=wanted <= self._held.get(place.peer_id, set()))
            for place in (() if replicas is None else replicas.places)
        )

    def stir(self) -> None:
        """There is something to publish."""
        self._changed.set()

    async def run(self) -> None:
        """Keep the replicas up to date, until cancelled."""
        while True:
            self._changed = trio.Event()
            is_done = await self.publish()
            with trio.move_on_after((PERIOD_S if is_done else RETRY_S) * self._chance.uniform(0.75, 1.25)):
                await self._changed.wait()
                await trio.sleep(SETTLE_S)

    async def publish(self) -> bool:
        """Once at every replica, and at those of before; whether all were reached."""
        replicas = self._replicas()
        present = {} if replicas is None else {place.peer_id: place.dial for place in replicas.places}
        former = [each for each in self._former() if peer_of(each) not in present]
        self._remember((*(dial[0] for dial in present.values()), *former))
        if not present and not former:
            return True
        done: set[str] = set()

        async def one(dial: Sequence[str], rows: tuple[KeyPackageRow, ...], set_id: bytes) -> None:
            for address in dial:
                if await self._publish_at(address, rows, set_id):
                    done.add(peer_of(address))
                    return

        set_id = bytes(32) if replicas is None else replicas.id
        rows = () if replicas is None else self._rows(replicas.id)
        async with trio.open_nursery() as nursery:
            for dial in present.values():
                nursery.start_soon(one, dial, rows, set_id)
            for address in former:
                nursery.start_soon(one, (address,), (), set_id)
        self._held = {peer: held for peer, held in self._held.items() if peer in present}
        kept = [each for each in former if peer_of(each) not in done]
        self._remember((*(dial[0] for dial in present.values()), *kept))
        return len(done) == len(present) + len(former)

    def _rows(self, set_id: bytes) -> tuple[KeyPackageRow, ...]:
        """What is published: what nobody has, and what a claim may just be collecting its grants for."""
        since_ms = self._context.now_ms() - GRANTED_LISTED_MS
        lately = self._context.store.key_packages(KEY_PACKAGE_ONE_TIME, KEY_PACKAGE_CLAIMED)
        under_way = tuple(row for row in lately if row.place == set_id and row.changed_ms > since_ms)
        return (*self._pool.published(), *under_way)[:ENTRIES_MAX]

    async def _publish_at(self, address: str, rows: tuple[KeyPackageRow, ...], set_id: bytes) -> bool:
        """Whether the replica at an address has all of it now."""
        context, persona = self._context, self._context.random(PERSONA_SIZE)
        entries = tuple(
            Entry(row.digest, row.suite, row.kind == KEY_PACKAGE_LAST_RESORT, row.expires_s) for row in rows
        )
        manifest = Manifest.sign(context.identity, set_id, self._next_serial(), entries)
        by_digest = {row.digest: row for row in rows}
        try:
            published = Published.decode(await self._ask(address, PUBLISH_PROTOCOL, manifest.encode(), persona))
            if not by_digest.keys() >= {*published.missing, *published.granted}:
                raise MalformedError("it speaks of packages that were not published")
            granted = [by_digest[digest] for digest in published.granted]
            if any(row.state != KEY_PACKAGE_CLAIMED for row in granted):
                self._pool.note_granted(row for row in granted if row.state != KEY_PACKAGE_CLAIMED)
            packages = [package_of(by_digest[digest]) for digest in published.missing]
            for batch in _batches(packages):
                put = Put(context.identity.public_key, batch)
                reply = PutReply.decode(await self._ask(address, PUT_PROTOCOL, put.encode(), persona))
                if reply.kept != len(batch):
                    log.warning("replica is full", replica=peer_of(address))
                    return False
            self._held[peer_of(address)] = frozenset(by_digest)
        except (TransportError, MalformedError) as error:
            log.info("not published", replica=peer_of(address), reason=str(error))
            return False
        return True

    async def _ask(self, address: str, protocol: str, payload: bytes, persona: bytes) -> bytes:
        return await self._context.transport.request_unnamed(
            address, protocol, payload, persona=persona, timeout_s=TIMEOUT_S
        )

    def _next_serial(self) -> int:
        """Greater than any before, and than those of a copy that was restored: clocks go on."""
        store = self._context.store
        serial = max(self._context.now_ms(), int.from_bytes(store.meta(_SERIAL) or b"\0", "big") + 1)
        with store.transaction() as transaction:
            transaction.put_meta(_SERIAL, serial.to_bytes(8, "big"))
        return serial

    def _former(self) -> tuple[str, ...]:
        data = self._context.store.meta(_FORMER)
        return () if data is None else msgpack.decode(data, type=tuple[str, ...])

    def _remember(self, addresses: Sequence[str]) -> None:
        """Where something of ours lies, or may."""
        known = tuple(dict.fromkeys(addresses))[:FORMER_MAX]
        if known != self._former():
            with self._context.store.transaction() as transaction:
                transaction.put_meta(_FORMER, msgpack.encode(known))


def _batches(packages: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """As many at once as one request carries."""
    batches: list[tuple[bytes, ...]] = []
    batch: list[bytes] = []
    for package in packages:
        if batch and (len(batch) == PUT_MAX or sum(map(len, batch)) + len(package) > PUT_SIZE_MAX):
            batches.append(tuple(batch))
            batch = []
        batch.append(package)
    return [*batches, tuple(batch)] if batch else batches
