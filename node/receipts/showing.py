"""Receipts as the local API shows them: what has become of a message of ours."""

from dataclasses import dataclass
from typing import Final

from node.api import schema
from node.api.words import mailboxes
from node.context import NodeContext
from node.feed import MessageBody
from node.names import Names
from node.peer_id import PeerId
from node.receipts.ranges import Ranges, contains
from node.session import Session
from node.store_reads import StoreReads
from node.store_rows import FeedRow

NOT_KEPT: Final = "who has it is not known any more, or never was: it is too old"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known about one message of ours."""

    places: tuple[PeerId, ...] = ()  # the mailboxes that have acknowledged it
    audience: frozenset[PeerId] | None = None  # the other members of its epoch; None when that is not kept
    delivered: frozenset[PeerId] = frozenset()  # those of them who have said that they have it


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What is known of an epoch with messages of ours."""

    spoken: Ranges
    audience: frozenset[PeerId]
    deliveries: dict[PeerId, Ranges]


class Receipts:
    """Those of one page of messages: what is known of an epoch is read once."""

    def __init__(self, context: NodeContext, session: Session | None) -> None:
        self._store: StoreReads = context.store
        self._epochs: dict[tuple[bytes, int], _Epoch | None] = {}
        if session is not None and session.is_sound:
            session.receipts.keep()

    def of(self, row: FeedRow) -> Receipt | None:
        """Of a message in the feed; None of another's."""
        body = MessageBody.decode(row.body)
        if not body.is_own or row.message_id is None:
            return None
        deposit = self._store.deposit(row.group_id, row.message_id)
        places = () if deposit is None else deposit.places
        known = self._epoch(row.group_id, row.epoch)
        if known is None or not contains(known.spoken, body.generation):
            return Receipt(places)
        has_it = (peer for peer in known.audience if contains(known.deliveries.get(peer, ()), body.generation))
        return Receipt(places, known.audience, frozenset(has_it))

    def _epoch(self, group_id: bytes, epoch: int) -> "_Epoch | None":
        if (group_id, epoch) not in self._epochs:
            rows = self._store.spoken(group_id, epoch, epoch)
            self._epochs[group_id, epoch] = (
                _Epoch(
                    rows[0].generations,
                    self._store.audience(group_id, rows[0].audience),
                    self._store.deliveries(group_id, epoch),
                )
                if rows
                else None
            )
        return self._epochs[group_id, epoch]


def message_receipt(context: NodeContext, session: Session | None, row: FeedRow) -> schema.MessageReceipt:
    """Everything about one message of ours."""
    names, receipt = Names.of(context), Receipts(context, session).of(row)
    assert receipt is not None, "somebody else's message"
    audience = receipt.audience or frozenset()
    here = frozenset[PeerId]() if session is None or session.agreement.is_over else session.agreement.roster.others
    listed = sorted(audience, key=lambda peer: (peer not in receipt.delivered, names.of_peer(peer), peer))
    return schema.MessageReceipt(
        message_id=(row.message_id or b"").hex(),
        group_id=row.group_id.hex(),
        seq=row.seq,
        epoch=row.epoch,
        at=row.at_ms / 1000,
        text=_words(receipt),
        stored_at=len(receipt.places),
        delivered_to=len(receipt.delivered),
        recipients=None if receipt.audience is None else len(audience),
        mailboxes=receipt.places,
        members=tuple(
            schema.Recipient(
                peer_id=peer,
                name=names.of_peer(peer),
                is_delivered=peer in receipt.delivered,
                is_member=peer in here,
            )
            for peer in listed
        ),
    )


def _words(receipt: Receipt) -> str:
    """One line: sealed, stored, delivered."""
    said = ["sealed"]
    if receipt.places:
        said.append(f"stored at {mailboxes(len(receipt.places))}")
    if receipt.audience is None:
        said.append(NOT_KEPT)
    elif not receipt.audience:
        said.append("nobody else was in the group")
    else:
        said.append(f"delivered to {len(receipt.delivered)} of {len(receipt.audience)}")
    return ", ".join(said)
