"""Bringing what is ours to the mailboxes: from a durable outbox, until each of them has acknowledged it.

A row is written in the transaction that seals a message or adopts a decision. What others said or decided is brought
too, if after a while nobody else has.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random as Chance
from typing import Final

import trio

from node.context import NodeContext
from node.mailbox.judging import Judge
from node.mailbox.messages import ITEMS_MAX, ITEMS_SIZE_MAX, Deposit, Outcome
from node.mailbox.sealing import ItemKind, Topic, item_id
from node.mailbox.shelf import Ref, Shelf
from node.mailbox.tables import DepositRow
from node.mailbox.visiting import FaultKind, Visit, VisitError
from node.peer_id import PeerId
from node.transport import peer_of

OTHERS_S: Final = 10.0  # what is not ours is left to others for so long, and up to twice as long
ROWS_MAX: Final = 512  # of the outbox, brought in one go


class Bringing:
    """Of one group."""

    def __init__(
        self,
        context: NodeContext,
        group_id: bytes,
        shelf: Shelf,
        judge: Judge,
        addresses: Callable[[], Sequence[str]],
    ) -> None:
        self._context = context
        self._group_id = group_id
        self._shelf = shelf
        self._judge = judge
        self._addresses = addresses
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter
        self._patience_s = OTHERS_S * self._chance.uniform(1.0, 2.0)

    @property
    def is_waiting(self) -> bool:
        """Whether a mailbox that is not resting lacks something of ours."""
        return any(
            self._context.store.open_deposits(self._group_id, peer_of(address), 1)
            for address in self._addresses()
            if not self._judge.is_resting(address)
        )

    def is_due(self, epoch: int, ref: Ref) -> bool:
        """Whether a mailbox that lacks something should get it from us: it is ours, or nobody else has brought it."""
        row = self._context.store.deposit(self._group_id, ref.id)
        if row is not None and row.is_own:
            return True
        return self._shelf.held_for_s(epoch, ref) >= self._patience_s

    async def bring(self, visits: list[Visit]) -> list[Visit]:
        """What is ours, to each mailbox that has not acknowledged it; the visits that went well."""
        went_well: list[Visit] = []

        async def one(visit: Visit) -> None:
            with self._judge.judging(visit, went_well):
                while rows := self._context.store.open_deposits(self._group_id, visit.mailbox, ROWS_MAX):
                    self._close_what_is_gone(rows)
                    for epoch in dict.fromkeys(row.epoch for row in rows):
                        topic = self._shelf.topic(epoch)
                        if topic is not None:
                            refs = [Ref(ItemKind(row.kind), row.ref) for row in rows if row.epoch == epoch]
                            await self.leave(visit, topic, epoch, refs)

        async with trio.open_nursery() as nursery:
            for visit in visits:
                nursery.start_soon(one, visit)
        return [visit for visit in visits if visit in went_well]

    async def leave(self, visit: Visit, topic: Topic, epoch: int, refs: Iterable[Ref]) -> None:
        """Leave these at a mailbox, with how the epoch ended, and note what it acknowledged."""
        entry = self._shelf.entry(epoch)
        following = self._shelf.topic(epoch + 1) if entry else None
        next = () if following is None else (following.id,)
        waiting = [(ref, item) for ref in refs if (item := self._shelf.item(epoch, ref)) is not None]
        while entry or waiting:
            batch = _batch(waiting)
            del waiting[: len(batch)]
            items = tuple(item for _, item in batch)
            decided = tuple(item_id(item) for ref, item in batch if ref.kind is ItemKind.BUNDLE)
            outcomes, receipt = await visit.deposit(topic, Deposit(items, entry, decided, next))
            kept = [
                ref
                for (ref, _), outcome in zip(batch, outcomes, strict=True)
                if outcome in (Outcome.STORED, Outcome.HELD)
            ]
            self._judge.hold_to_its_word(visit.mailbox, epoch, receipt)
            self._acknowledged(visit.mailbox, kept)
            if len(kept) < len(batch):
                raise VisitError(FaultKind.REFUSED, "it has no room")
            entry, next = b"", ()

    def mark(self, mailbox: PeerId, held: dict[bytes, Ref], lacking: frozenset[bytes]) -> int:
        """Note what a mailbox turned out to have; how much of what it had acknowledged it has not."""
        there: list[DepositRow] = []
        gone: list[DepositRow] = []
        for id, ref in held.items():
            row = self._context.store.deposit(self._group_id, ref.id)
            if row is None:
                continue
            if id in lacking:
                gone += [row] if mailbox in row.places else []
            elif mailbox not in row.places:
                there.append(row)
        self._put(there, mailbox)
        if gone:
            with self._context.store.transaction() as transaction:
                for row in gone:
                    places = tuple(place for place in row.places if place != mailbox)
                    transaction.put_deposit(replace(row, places=places, is_open=True))
        return len(gone)

    def _acknowledged(self, mailbox: PeerId, refs: Iterable[Ref]) -> None:
        rows = [self._context.store.deposit(self._group_id, ref.id) for ref in refs]
        self._put([row for row in rows if row is not None and mailbox not in row.places], mailbox)

    def _put(self, rows: list[DepositRow], mailbox: PeerId) -> None:
        if not rows:
            return
        wanted = {peer_of(address) for address in self._addresses()}
        with self._context.store.transaction() as transaction:
            for row in rows:
                places = (*row.places, mailbox)
                transaction.put_deposit(replace(row, places=places, is_open=not wanted <= set(places)))

    def _close_what_is_gone(self, rows: Sequence[DepositRow]) -> None:
        """What is not kept here any more cannot be brought."""
        gone = [row for row in rows if self._shelf.item(row.epoch, Ref(ItemKind(row.kind), row.ref)) is None]
        if gone:
            with self._context.store.transaction() as transaction:
                for row in gone:
                    transaction.put_deposit(replace(row, is_open=False))


def _batch(waiting: Sequence[tuple[Ref, bytes]]) -> list[tuple[Ref, bytes]]:
    """As many as fit into one deposit, one at least; two of the same decision never do."""
    batch: list[tuple[Ref, bytes]] = []
    size = 0
    for ref, item in waiting[:ITEMS_MAX]:
        if batch and size + len(item) > ITEMS_SIZE_MAX:
            break
        batch.append((ref, item))
        size += len(item)
    return batch
