"""A replica's own store: the packages that owners publish here, and to which claim each was granted.

A package is granted to one claim at most, for ever: the row that says so is durable before anybody hears of it, and
outlives the package's withdrawal. Nothing here is secret or says who claimed: of a claim there is a hash of its nonce.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mls import sha256
from node.key_packages.messages import OFFERED_MAX, Claim, Grant, Manifest, Outcome, Published, digest_of
from node.key_packages.store_schema import REPLICA_MIGRATIONS, REPLICA_SCHEMA, REPLICA_SCHEMA_VERSION
from node.store import Database, Schema, open_database
from node.transport import MIB

OWNERS_MAX: Final = 16_384
OWNER_COST: Final = 512  # what an owner costs besides its packages
ENTRY_COST: Final = 256  # what an entry costs besides its package
OWNER_SIZE_MAX: Final = 3 * MIB  # of one owner, costs included
LIFETIME_S_MAX: Final = 366 * 24 * 3600  # nothing is kept for longer, whatever its manifest says
STRANGERS_SHARE: Final = 2  # who is no contact of this node's user fills one part in so many at most, all together
GRANTS_PER_OWNER_MAX: Final = 32
"""One-time packages of one owner that are granted within `GRANTS_WINDOW_S`, whoever asks; then only its last resort."""
GRANTS_WINDOW_S: Final = 3600
GRANTS_KEPT_MAX: Final = 4096  # grants of packages that their owner has withdrawn; the oldest are forgotten
EXPIRED_PER_STEP: Final = 512
USABLE_S: Final = 3600  # a package that expires sooner is not granted any more

_CLAIMER: Final = b"conclave/key-package-claimer/v1\0"


class FullError(Exception):
    """There is no room for this owner."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to claim of an owner."""

    digests: tuple[bytes, ...] = ()
    last_resort: bytes = b""


class ReplicaStore:
    """An open replica store."""

    def __init__(self, database: Database, quota: int) -> None:
        self._database = database
        self._rows = database.rows
        self._quota = quota

    @property
    def size(self) -> int:
        """Bytes kept in all, costs included."""
        return int(self._rows("SELECT coalesce(sum(bytes), 0) FROM owners")[0][0])

    @property
    def owner_count(self) -> int:
        return int(self._rows("SELECT count(*) FROM owners")[0][0])

    # --- owners ---

    def publish(self, manifest: Manifest, now_s: int, *, is_known: bool = False) -> Published | None:
        """Take in a manifest that was verified; None for one that is not newer than the last. Durable.

        Raises `FullError` when there is no room for the owner.
        """
        owner = manifest.owner
        with self._database.transaction():
            present = self._rows("SELECT replicas, serial FROM owners WHERE owner = ?", owner)
            if present and manifest.serial <= present[0][1]:
                return None
            if not present and self._has_many_owners(is_known=is_known):
                raise FullError("this replica serves as many owners as it can")
            if present and present[0][0] != manifest.replicas:  # what another set may have granted is not ours to grant
                self._withdraw(owner, set(), now_s)
            self._rows(
                "INSERT INTO owners VALUES (?1, ?2, ?3, ?4, 0, ?5) ON CONFLICT (owner) DO UPDATE SET"
                " replicas = ?2, serial = ?3, is_known = ?4, at_s = ?5",
                owner,
                manifest.replicas,
                manifest.serial,
                is_known,
                now_s,
            )
            self._withdraw(owner, {each.digest for each in manifest.entries}, now_s)
            for each in manifest.entries:
                self._rows(
                    "INSERT INTO packages VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, 0, 0)"
                    " ON CONFLICT (owner, digest) DO UPDATE SET withdrawn_s = 0",
                    owner,
                    each.digest,
                    each.suite,
                    each.is_last_resort,
                    min(each.expires_s, now_s + LIFETIME_S_MAX),
                )
            self._measure(owner)
            self._check_room(owner)
            return Published(
                self._digests("body IS NULL AND claimer IS NULL", owner), self._digests("claimer IS NOT NULL", owner)
            )

    def put(self, owner: bytes, packages: Sequence[bytes], now_s: int) -> int:
        """Keep those of these packages that the owner's manifest names and that fit; how many. Durable."""
        kept = 0
        with self._database.transaction():
            for package in packages:
                changed = self._rows(
                    "UPDATE packages SET body = ?3 WHERE owner = ?1 AND digest = ?2 AND body IS NULL"
                    " AND claimer IS NULL AND withdrawn_s = 0 RETURNING 1",
                    owner,
                    digest := digest_of(package),
                    package,
                )
                if not changed:
                    continue
                self._measure(owner)
                try:
                    self._check_room(owner)
                except FullError:
                    self._rows("UPDATE packages SET body = NULL WHERE owner = ? AND digest = ?", owner, digest)
                    self._measure(owner)
                    break
                kept += 1
            self._rows("UPDATE owners SET at_s = ? WHERE owner = ?", now_s, owner)
        return kept

    def _withdraw(self, owner: bytes, listed: set[bytes], now_s: int) -> None:
        """What is not listed any more goes; that it was granted is remembered."""
        rows = self._rows("SELECT digest, claimer IS NOT NULL FROM packages WHERE owner = ? AND withdrawn_s = 0", owner)
        for digest, is_granted in rows:
            if digest in listed:
                continue
            sql = "UPDATE packages SET body = NULL, withdrawn_s = ?3 WHERE owner = ?1 AND digest = ?2"
            if not is_granted:
                sql = "DELETE FROM packages WHERE owner = ?1 AND digest = ?2 AND ?3"
            self._rows(sql, owner, digest, max(1, now_s))
        self._rows(
            "DELETE FROM packages WHERE owner = ?1 AND withdrawn_s > 0 AND digest NOT IN (SELECT digest FROM packages"
            " WHERE owner = ?1 AND withdrawn_s > 0 ORDER BY granted_s DESC LIMIT ?2)",
            owner,
            GRANTS_KEPT_MAX,
        )

    def _digests(self, where: str, owner: bytes) -> tuple[bytes, ...]:
        sql = f"SELECT digest FROM packages WHERE owner = ? AND withdrawn_s = 0 AND {where}"  # noqa: S608 - ours
        return tuple(row[0] for row in self._rows(sql, owner))

    def _measure(self, owner: bytes) -> None:
        self._rows(
            "UPDATE owners SET bytes = ?2 + (SELECT coalesce(sum(?3 + coalesce(length(body), 0)), 0) FROM packages"
            " WHERE owner = ?1) WHERE owner = ?1",
            owner,
            OWNER_COST,
            ENTRY_COST,
        )

    def _has_many_owners(self, *, is_known: bool) -> bool:
        """Whether there is no place for another one: strangers have their share of the places, as of the room."""
        strangers = self._rows("SELECT count(*) FROM owners WHERE is_known = 0")[0][0]
        return self.owner_count >= OWNERS_MAX or (not is_known and strangers >= OWNERS_MAX // STRANGERS_SHARE)

    def _check_room(self, owner: bytes) -> None:
        """Raises `FullError`; nobody else's packages give way."""
        own, is_known = self._rows("SELECT bytes, is_known FROM owners WHERE owner = ?", owner)[0]
        strangers = self._rows("SELECT coalesce(sum(bytes), 0) FROM owners WHERE is_known = 0")[0][0]
        if own > OWNER_SIZE_MAX:
            raise FullError("too much for one owner")
        if self.size > self._quota or (not is_known and strangers > self._quota // STRANGERS_SHARE):
            raise FullError("this replica is full")

    # --- claimers ---

    def offer(self, owner: bytes, replicas: bytes, suite: int, nonce: bytes, now_s: int) -> Offer:
        """What a claim can choose from: in an order of its own, so that two claims at once seldom want the same."""
        if not self._rows("SELECT 1 FROM owners WHERE owner = ? AND replicas = ?", owner, replicas):
            return Offer()
        usable = "owner = ? AND suite = ? AND withdrawn_s = 0 AND body IS NOT NULL AND expires_s > ?"
        limits = (owner, suite, now_s + USABLE_S)
        last = self._rows(
            f"SELECT body FROM packages WHERE {usable} AND is_last_resort = 1 ORDER BY expires_s DESC LIMIT 1",  # noqa: S608 - ours
            *limits,
        )
        found: tuple[bytes, ...] = ()
        if self._granted_lately(owner, now_s) < GRANTS_PER_OWNER_MAX:
            sql = f"SELECT digest FROM packages WHERE {usable} AND is_last_resort = 0 AND claimer IS NULL"  # noqa: S608 - ours
            free = (row[0] for row in self._rows(sql, *limits))
            found = tuple(sorted(free, key=lambda digest: sha256(nonce + digest))[:OFFERED_MAX])
        return Offer(found, last[0][0] if last else b"")

    def grant(self, claim: Claim, now_s: int) -> Grant:
        """Grant a package to a claim, once and for all; the same claim is answered the same. Durable."""
        claimer = sha256(_CLAIMER + claim.nonce)
        rows = self._rows(
            "SELECT body, claimer FROM packages WHERE owner = ? AND digest = ? AND suite = ? AND is_last_resort = 0"
            " AND withdrawn_s = 0 AND body IS NOT NULL AND expires_s > ?"
            " AND EXISTS (SELECT 1 FROM owners WHERE owner = packages.owner AND replicas = ?)",
            claim.owner,
            claim.digest,
            claim.suite,
            now_s + USABLE_S,
            claim.replicas,
        )
        if not rows:
            return Grant(Outcome.UNKNOWN, b"")
        body, present = rows[0]
        if present is not None:
            return Grant(Outcome.GRANTED, body) if present == claimer else Grant(Outcome.TAKEN, b"")
        if self._granted_lately(claim.owner, now_s) >= GRANTS_PER_OWNER_MAX:
            return Grant(Outcome.LATER, b"")
        with self._database.transaction():
            self._rows(
                "UPDATE packages SET claimer = ?, granted_s = ? WHERE owner = ? AND digest = ?",
                claimer,
                now_s,
                claim.owner,
                claim.digest,
            )
        return Grant(Outcome.GRANTED, body)

    def _granted_lately(self, owner: bytes, now_s: int) -> int:
        sql = "SELECT count(*) FROM packages WHERE owner = ? AND claimer IS NOT NULL AND granted_s > ?"
        return int(self._rows(sql, owner, now_s - GRANTS_WINDOW_S)[0][0])

    # --- time ---

    def expire(self, now_s: int) -> bool:
        """Forget packages past their time, grants too, and owners that have none; whether there may be more."""
        with self._database.transaction():
            gone = self._rows(
                "DELETE FROM packages WHERE (owner, digest) IN (SELECT owner, digest FROM packages WHERE expires_s < ?"
                " LIMIT ?) RETURNING owner",
                now_s,
                EXPIRED_PER_STEP,
            )
            for owner in {row[0] for row in gone}:
                self._measure(owner)
            self._rows(
                "DELETE FROM owners WHERE at_s < ? AND NOT EXISTS (SELECT 1 FROM packages WHERE owner = owners.owner)",
                now_s - GRANTS_WINDOW_S,
            )
        return len(gone) == EXPIRED_PER_STEP


@contextmanager
def open_replica(path: Path, key: bytes, quota: int) -> Iterator[ReplicaStore]:
    """Open the replica store at a path, or make it; errors are those of `node.store.open_store`."""
    schema = Schema(REPLICA_SCHEMA_VERSION, REPLICA_SCHEMA, REPLICA_MIGRATIONS)
    with open_database(path, key, schema) as database:
        yield ReplicaStore(database, quota)
