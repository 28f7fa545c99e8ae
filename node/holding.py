"""What one node holds of one group: the MLS value, and the little state of ours beside it.

A `Holding` changes only together with its row: `put` writes it inside a transaction, and the fields are set by the
caller after that transaction is durable. So memory never runs ahead of the disk.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final, Self

from msgspec import Meta

from mls import Group, GroupConfig, Parts, PublicGroup, SignaturePrivateKey, ed25519_load
from node.ordering_records import FOLLOWED
from node.peer_id import PeerId
from node.store_reads import StoreReads
from node.store_rows import GroupRow, Pieces
from node.store_writes import Transaction
from ordering import Anchor, BundleId, Wire

EPOCH_KEYS_MAX: Final = 21  # the present epoch and the past ones whose messages can still be opened
DEPARTED_MAX: Final = 256
EXTRA_SIZE_MAX: Final = 1024 * 1024

OK: Final = "ok"
UNCONFIRMED: Final = "unconfirmed"
ABSTAINING: Final = "abstaining"
CUT_OFF: Final = "cut_off"
FROZEN: Final = "frozen"
RESCUING: Final = "rescuing"
SUPERSEDED: Final = "superseded"
REMOVED: Final = "removed"

CLOSED: Final = (FROZEN, RESCUING, SUPERSEDED)
"""In these a group's membership changes no more here: nothing is voted for, built or adopted."""


class EpochKey(Wire, frozen=True):
    """The gossip key of an epoch."""

    epoch: int
    key: bytes

    def __repr__(self) -> str:
        return f"EpochKey(epoch={self.epoch})"


class Won(Wire, frozen=True):
    """The last epoch that a leaf's commit ended, or that the leaf was let in by."""

    leaf: int
    epoch: int


class Departed(Wire, frozen=True):
    """A peer that is no member any more, and the epoch its removal ended: the last one we serve it."""

    peer: str
    epoch: int


class Extra(Wire, frozen=True):
    """What the node remembers of a group beside the MLS value; one blob in the group's row."""

    SIZE_MAX: ClassVar[int] = EXTRA_SIZE_MAX

    prev: Annotated[bytes, Meta(min_length=32, max_length=32)]  # the bundle decided in epoch - 1, or the genesis hash
    anchor: Anchor  # where our own knowledge of the decided chain begins
    vote_key: Annotated[bytes, Meta(max_length=32)]  # Ed25519 seed; in the tree once we opted in; empty once removed
    welcomed_by: int | None = None  # the leaf that signed the GroupInfo we joined by
    keys: Annotated[tuple[EpochKey, ...], Meta(max_length=EPOCH_KEYS_MAX)] = ()  # newest first
    won: tuple[Won, ...] = ()
    departed: Annotated[tuple[Departed, ...], Meta(max_length=DEPARTED_MAX)] = ()

    def __repr__(self) -> str:
        return "Extra(hidden)"

    def last_won(self, leaf: int) -> int:
        """The last epoch this leaf's commit ended, -1 for none we know of."""
        return max((won.epoch for won in self.won if won.leaf == leaf), default=-1)

    def key_of(self, epoch: int) -> bytes | None:
        """The gossip key of an epoch that is still kept."""
        return next((each.key for each in self.keys if each.epoch == epoch), None)


@dataclass(slots=True)
class Holding:
    """One group on this node."""

    group_id: bytes
    name: str = field(repr=False)
    epoch: int
    group: Group | None = field(repr=False)  # None once removed; while cut off the last value that we could open
    extra: Extra = field(repr=False)
    health: str = OK
    unconfirmed: bool = False
    removed: bool = False
    followed: PublicGroup | None = field(default=None, repr=False)  # while cut off: the epoch we stand in

    @classmethod
    def from_row(cls, row: GroupRow, config: GroupConfig, followed: bytes | None = None) -> Self:
        """The holding a row describes. Raises what `Group.from_bytes` and `Extra.decode` raise for damaged bytes."""
        group = stored_group(row, config)
        extra = Extra.decode(row.extra)
        public = None if followed is None else PublicGroup.from_bytes(followed)
        return cls(row.group_id, row.name, row.epoch, group, extra, row.health, row.unconfirmed, row.removed, public)

    @classmethod
    def load(cls, store: StoreReads, row: GroupRow, config: GroupConfig) -> Self:
        """The same, with what stands beside the row when we are cut off."""
        records = dict(store.ordering_records(row.group_id, row.epoch))
        return cls.from_row(row, config, None if row.removed else records.get(FOLLOWED))

    @property
    def is_cut_off(self) -> bool:
        """Whether we have no secret of the epoch we stand in: a commit was decided that we could not open."""
        return self.followed is not None

    @property
    def public(self) -> PublicGroup | None:
        """The epoch we stand in as the public sees it; None once removed."""
        if self.followed is not None:
            return self.followed
        return None if self.group is None else self.group.public

    def with_changes(self, **changes: object) -> "Holding":
        """A copy with some fields changed, to be put and then adopted."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def put(self, transaction: Transaction) -> None:
        """Write the row."""
        transaction.put_group(
            GroupRow(
                group_id=self.group_id,
                name=self.name,
                epoch=self.epoch,
                snapshot=None if self.group is None else _pieces(self.group.to_parts()),
                health=self.health,
                unconfirmed=self.unconfirmed,
                removed=self.removed,
                extra=self.extra.encode(),
            )
        )
        if self.followed is not None:
            transaction.put_ordering_record(self.group_id, self.epoch, FOLLOWED, self.followed.to_bytes())

    @property
    def vote_key(self) -> SignaturePrivateKey:
        """Our vote key in this group; kept alive by the caller where it signs often."""
        return ed25519_load(self.extra.vote_key)


def stored_group(row: GroupRow, config: GroupConfig) -> Group | None:
    """The MLS value in a row; None once removed. Raises an `MlsError` for bytes that are none."""
    match row.snapshot:
        case None:
            return None
        case Pieces(public, past, present):
            return Group.from_parts(Parts(public, past, present), config)
        case bytes() as whole:
            return Group.from_bytes(whole, config)


def _pieces(parts: Parts) -> Pieces:
    return Pieces(parts.public, parts.past, parts.present)


def after_decision(
    extra: Extra,
    *,
    decided: BundleId,
    committer: int,
    epoch: int,
    gone: tuple[PeerId, ...],
    changed: Collection[int] = (),
    added: Collection[int] = (),
) -> Extra:
    """The extra state after `epoch` was ended by a bundle: who won, who left, what the next epoch builds on.

    `changed` are the leaves that were emptied or filled: what their former member won is not the next one's. Who was
    `added` counts as one who has just won, or each newcomer would go before everybody who has waited.
    """
    last = (*added, committer)
    won = (*(each for each in extra.won if each.leaf not in (*changed, *last)), *(Won(leaf, epoch) for leaf in last))
    departed = (*(each for each in extra.departed if each.peer not in gone), *(Departed(peer, epoch) for peer in gone))
    return Extra(decided, extra.anchor, extra.vote_key, extra.welcomed_by, extra.keys, won, departed[-DEPARTED_MAX:])


def without_secrets(extra: Extra) -> Extra:
    """What may be remembered of a group that we are no member of any more: the public chain, and no key."""
    return Extra(extra.prev, extra.anchor, b"", None, (), extra.won, extra.departed)


def with_key(extra: Extra, epoch: int, key: bytes) -> Extra:
    """With the gossip key of an epoch just entered; the oldest gives way."""
    keys = (EpochKey(epoch, key), *(each for each in extra.keys if each.epoch != epoch))[:EPOCH_KEYS_MAX]
    return Extra(extra.prev, extra.anchor, extra.vote_key, extra.welcomed_by, keys, extra.won, extra.departed)
