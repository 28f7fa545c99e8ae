"""This node's own key packages: made ahead, handed out once each, kept until the Welcome that uses them or their end.

For each cipher suite that the node founds groups with or is in a group of, there are some *one-time* packages and one
*last resort*. A one-time package belongs to one place for ever: to a set of replicas, which then grant it, or to
ourselves. So what we hand out when we are asked cannot have been granted by anybody else.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import trio
import trio.lowlevel

from mls import KeyPackageBundle, frame, supported_suites
from node.api import schema
from node.context import NodeContext
from node.directory import new_key_package
from node.key_packages.messages import digest_of
from node.logs import logger
from node.mailbox.rates import Bucket
from node.peer_id import PeerId
from node.peer_messages import KeyPackageRequest
from node.store import Transaction
from node.store_rows import (
    KEY_PACKAGE_AVAILABLE,
    KEY_PACKAGE_CLAIMED,
    KEY_PACKAGE_LAST_RESORT,
    KEY_PACKAGE_ONE_TIME,
    KeyPackageRow,
)
from node.transport import RefusedError

SUITES_MAX: Final = 4  # for which packages are made ahead: that of new groups, and of groups this node is in
OWN_SHARE: Final = 5  # one part in so many of a pool is never at a replica: we hand it out ourselves
REQUESTS_MAX: Final = 16
REQUESTS_WINDOW_S: Final = 60.0
"""At most so many key packages for one peer that asks us directly within this time."""
MADE_BURST_MAX: Final = 256  # packages made at once, for whatever reason; half of it is not for who asks directly
MADE_PER_S: Final = 120 / 3600  # and then so many
CLAIMED_MAX: Final = 8192
"""Packages handed out, or withdrawn, whose Welcome has not come; beyond, the oldest give way: more than two days of a
flood at the pace above."""
LAST_RESORT_KEPT_MS: Final = 7 * 24 * 3600 * 1000  # after it was used and replaced
PERIOD_S: Final = 600.0  # between two looks at the pool, if nothing happens
GAP_S: Final = 1.0  # and if much does
STEP: Final = 8  # packages made in one transaction, between two looks at the network
DAY_S: Final = 24 * 3600

log = logger("packages")


class Pool:
    """Of a running node. `place` is the set of replicas, empty for none; `suites` those of the node's groups."""

    def __init__(
        self,
        context: NodeContext,
        place: Callable[[], bytes] = lambda: b"",
        suites: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        self._context = context
        self._store = context.store
        self._settings = context.config.key_packages
        self._place = place
        self._suites_of_groups = suites
        self._pace = Bucket(MADE_PER_S, MADE_BURST_MAX)
        self._asked: dict[PeerId, deque[float]] = {}
        self._stirred = trio.Event()
        self.on_change: Callable[[], None] = lambda: None  # what is to be published has changed

    @property
    def suites(self) -> tuple[int, ...]:
        """For which cipher suites packages are made ahead."""
        wanted = (self._context.config.group.suite, *self._suites_of_groups())
        return tuple(dict.fromkeys(each for each in wanted if each in supported_suites()))[:SUITES_MAX]

    def published(self) -> tuple[KeyPackageRow, ...]:
        """What nobody has of those for our present replicas, and the last resorts."""
        rows, place = self._store.key_packages(None, KEY_PACKAGE_AVAILABLE), self._place()
        return tuple(row for row in rows if row.kind == KEY_PACKAGE_LAST_RESORT or (row.place and row.place == place))

    def status(self) -> tuple[schema.PackagePool, ...]:
        """How many are left, for each suite they are made for."""
        count = self._store.key_packages_available
        return tuple(
            schema.PackagePool(suite=suite, ready=count(KEY_PACKAGE_ONE_TIME, suite), size=self._settings.pool)
            for suite in self.suites
        )

    def note_granted(self, rows: Iterable[KeyPackageRow]) -> None:
        """A replica says that it has granted these: they are somebody's, whoever lies."""
        with self._store.transaction() as transaction:
            references = [row.reference for row in rows if row.kind == KEY_PACKAGE_ONE_TIME]
            transaction.mark_key_packages(references, KEY_PACKAGE_CLAIMED, self._context.now_ms())
        self.stir()

    # --- who asks us directly ---

    async def serve(self, peer: PeerId, payload: bytes) -> bytes:
        """A key package for a peer that wants to add us; `RefusedError` when it asks too often."""
        request = KeyPackageRequest.decode(payload)
        if request.suite not in supported_suites():
            raise RefusedError(f"no key packages for cipher suite {request.suite}")
        self._count(peer)
        return package_of(self._hand_out(request.suite))

    def _hand_out(self, suite: int) -> KeyPackageRow:
        """One of our own share, or one made now; where too many were, the last resort. Durable."""
        now_ms = self._context.now_ms()
        with self._store.transaction() as transaction:
            own = transaction.free_key_package(suite, self._fresh_until_s(now_ms))
            if own is None and self._pace.wait_s(MADE_BURST_MAX / 2, self._context.now_s()) == 0:
                own = self._make(transaction, suite, b"")
            if own is None:
                return self._last_resort(transaction, suite)
            transaction.mark_key_packages((own.reference,), KEY_PACKAGE_CLAIMED, now_ms)
            self._prune(transaction)
        self.stir()
        return own

    def _count(self, peer: PeerId) -> None:
        now = self._context.now_s()
        times = self._asked.setdefault(peer, deque())
        while times and now - times[0] > REQUESTS_WINDOW_S:
            times.popleft()
        if len(times) >= REQUESTS_MAX:
            raise RefusedError("too many key packages asked for; try again in a minute")
        times.append(now)
        for silent in [other for other, asked in self._asked.items() if now - asked[-1] > REQUESTS_WINDOW_S]:
            del self._asked[silent]

    # --- keeping it filled ---

    def stir(self) -> None:
        """Look at the pool soon."""
        self._stirred.set()

    async def run(self) -> None:
        """Keep the pool filled and fresh, until cancelled."""
        while True:
            self._stirred = trio.Event()
            await self.tend()
            with trio.move_on_after(PERIOD_S):
                await self._stirred.wait()
                await trio.sleep(GAP_S)

    async def tend(self) -> None:
        """Take out what is too old, and make what is missing, as far as the pace allows."""
        before = {row.reference for row in self.published()}
        now_ms = self._context.now_ms()
        with self._store.transaction() as transaction:
            is_gone = self._withdraw(transaction, now_ms)
            for suite in self.suites:
                self._last_resort(transaction, suite)
        if is_gone:
            self._context.clean()
        for suite in self.suites:
            for place, size in self._shares():
                await self._fill(suite, place, size)
        if {row.reference for row in self.published()} != before:
            self.on_change()

    def _shares(self) -> tuple[tuple[bytes, int], ...]:
        """The places of a suite's pool, and how many packages each has when it is full."""
        size, place = self._settings.pool, self._place()
        if not place:
            return ((b"", size),)
        own = max(1, size // OWN_SHARE)
        return ((b"", own), (place, max(1, size - own)))

    async def _fill(self, suite: int, place: bytes, size: int) -> None:
        """Up to its size, once it is below the share of it that the settings name."""
        count = self._store.key_packages_available(KEY_PACKAGE_ONE_TIME, suite, place)
        low = max(1, self._settings.replenish_below * size // self._settings.pool)
        if count >= min(low, size):
            return
        while count < size and self._pace.wait_s(1.0, self._context.now_s()) == 0:
            with self._store.transaction() as transaction:
                for _ in range(min(STEP, size - count)):
                    self._make(transaction, suite, place)
                    count += 1
            await trio.lowlevel.checkpoint()  # others' turn

    def _withdraw(self, transaction: Transaction, now_ms: int) -> bool:
        """Retire what expires soon or is for other replicas than ours, forget what is over; whether any was."""
        transaction.retire_key_packages(self._fresh_until_s(now_ms), self._place(), now_ms)
        return bool(transaction.drop_key_packages(now_ms // 1000, now_ms - LAST_RESORT_KEPT_MS)) | self._prune(
            transaction
        )

    def _prune(self, transaction: Transaction) -> bool:
        """Of too many that were handed out or withdrawn, forget the oldest; whether there were too many."""
        excess = transaction.key_packages_gone() - CLAIMED_MAX
        if excess > 0:
            transaction.drop_oldest_gone(excess)
        return excess > 0

    def _fresh_until_s(self, now_ms: int) -> int:
        """What expires by then is handed out no more."""
        return now_ms // 1000 + self._settings.rotate_days * DAY_S

    def _last_resort(self, transaction: Transaction, suite: int) -> KeyPackageRow:
        """The present one of a suite; made where there is none."""
        rows = transaction.key_packages(KEY_PACKAGE_LAST_RESORT, KEY_PACKAGE_AVAILABLE, suite)
        return rows[-1] if rows else self._make(transaction, suite, b"", is_last_resort=True)

    def _make(
        self, transaction: Transaction, suite: int, place: bytes, *, is_last_resort: bool = False
    ) -> KeyPackageRow:
        self._pace.owed += not is_last_resort
        bundle = new_key_package(self._context, suite, is_last_resort=is_last_resort)
        lifetime = bundle.key_package.leaf_node.lifetime
        assert lifetime is not None, "a key package's leaf has one"
        row = KeyPackageRow(
            bundle.reference,
            bundle.to_bytes(),
            KEY_PACKAGE_LAST_RESORT if is_last_resort else KEY_PACKAGE_ONE_TIME,
            KEY_PACKAGE_AVAILABLE,
            suite,
            digest_of(frame(bundle.key_package)),
            place,
            lifetime.not_after,
            self._context.now_ms(),
        )
        transaction.put_key_package(row)
        return row


def package_of(row: KeyPackageRow) -> bytes:
    """The public half, as it is given away."""
    return frame(KeyPackageBundle.from_bytes(row.bundle).key_package)
