"""Consent: whose Welcome brings this node into a group by itself, and what becomes of the others.

Anybody who has a key package of ours can make a Welcome for us. By default (`group.accept = "contacts"`) only that of a
contact is followed at once; any other waits, with the key package it is for, until our user accepts or declines. What
waits is bounded for each adder and in all, and the oldest gives way.
"""

from enum import Enum
from typing import Final

from node import feed
from node.contacts.book import Contacts
from node.contacts.invites import Invite
from node.contacts.pins import check_arrival
from node.contacts.rows import INVITATION_DECLINED, INVITATION_WAITING, JOINS_OPEN, InvitationRow
from node.context import NodeContext
from node.joining import Arrival
from node.logs import logger, short
from node.names import Names
from node.peer_messages import WelcomeDelivery
from node.store import Transaction
from ordering import JoinProof

INVITATIONS_MAX: Final = 32
"""Invitations that wait, and those declined lately."""
INVITATIONS_PER_ADDER_MAX: Final = 4  # of one adder; it pushes out its own
INVITATIONS_SIZE_MAX: Final = 64 * 1024 * 1024  # bytes of Welcomes that wait
INVITATION_LIFETIME_MS: Final = 30 * 24 * 3600 * 1000
"""What was neither accepted nor declined for so long is dropped; nobody could lead us on from there."""

log = logger("consent")


class Verdict(Enum):
    """What is done with a Welcome that checks out."""

    ENTER = "enter"
    WAIT = "wait"
    REFUSE = "refuse"


class Consent:
    """Of a running node."""

    def __init__(self, context: NodeContext, contacts: Contacts) -> None:
        self._context = context
        self._contacts = contacts

    def known(self, payload: bytes) -> Verdict | None:
        """What was said about this very Welcome before; None for a new one. Raises `OrderingError` for what is none."""
        id_ = JoinProof.decode(WelcomeDelivery.decode(payload).join_proof).decision.id
        row = self._context.store.invitation(id_)
        if row is None:
            return None
        return Verdict.WAIT if row.state == INVITATION_WAITING else Verdict.REFUSE

    def judge(self, arrival: Arrival) -> Verdict:
        """By who made the commit that adds us; who brought it does not matter."""
        if arrival.is_return:  # members whom we knew vouch for it
            return Verdict.ENTER
        if arrival.adder in self._context.blocked:
            return Verdict.REFUSE
        accept = self._context.config.group.accept
        if self._is_followed(arrival) or accept == "anyone":
            return Verdict.ENTER
        if accept == "nobody":
            return Verdict.REFUSE
        return Verdict.ENTER if self._contacts.is_contact(arrival.adder) else Verdict.WAIT

    def _is_followed(self, arrival: Arrival) -> bool:
        """Whether our user follows a link into this group; raises `WelcomeRefusedError` where it leads elsewhere."""
        row = self._context.store.join(arrival.holding.group_id)
        if row is None or row.state not in JOINS_OPEN:
            return False
        check_arrival(Invite.decode(row.link), arrival)
        arrival.holding.name = row.name
        return True

    def keep(self, arrival: Arrival) -> InvitationRow:
        """Let it wait for our user. Its key package is kept with it, and for nothing else."""
        row = InvitationRow(
            arrival.id,
            arrival.holding.group_id,
            arrival.holding.name,
            arrival.adder,
            arrival.holding.epoch,
            arrival.member_count,
            arrival.payload,
            arrival.bundle.to_bytes(),
            self._context.now_ms(),
        )
        with self._context.store.transaction() as transaction:
            transaction.put_invitation(row)
            transaction.use_key_package(arrival.bundle.reference, row.arrived_ms)
            self._prune(transaction)
            text = f"{Names.of(self._context).shown(row.adder)} adds this node to {row.name}: group invitations"
            self._tell(transaction, row, text)
        self._context.feed.grew()
        self._context.stir_packages()
        log.info("invitation", group=short(row.group_id), adder=row.adder)
        return row

    def waiting(self) -> tuple[InvitationRow, ...]:
        """Those that our user may accept or decline, oldest first."""
        fresh = self._context.now_ms() - INVITATION_LIFETIME_MS
        rows = self._context.store.invitations()
        return tuple(row for row in rows if row.state == INVITATION_WAITING and row.arrived_ms >= fresh)

    def decline(self, row: InvitationRow) -> None:
        """Remember no more than that it was declined, to tell whoever brings it again."""
        declined = InvitationRow(
            row.id, row.group_id, "", row.adder, row.epoch, 0, b"", b"", self._context.now_ms(), INVITATION_DECLINED
        )
        with self._context.store.transaction() as transaction:
            transaction.put_invitation(declined)
            self._tell(transaction, row, f"declined to be in {row.name}")
        self._context.feed.grew()

    def _tell(self, transaction: Transaction, row: InvitationRow, text: str) -> None:
        now_ms, group_id = self._context.now_ms(), row.group_id
        transaction.append_feed(feed.news(feed.INVITATION, text, now_ms, group_id=group_id, peer=row.adder))

    def _prune(self, transaction: Transaction) -> None:
        oldest = self._context.now_ms() - INVITATION_LIFETIME_MS
        rows = list(transaction.invitations())
        by_adder: dict[str, int] = {}
        count = size = 0
        for row in reversed(rows):  # the newest first
            by_adder[row.adder] = by_adder.get(row.adder, 0) + 1
            size += len(row.payload) + len(row.bundle)
            is_excess = by_adder[row.adder] > INVITATIONS_PER_ADDER_MAX or count >= INVITATIONS_MAX
            if row.arrived_ms < oldest or is_excess or size > INVITATIONS_SIZE_MAX:
                transaction.delete_invitation(row.id)
                size -= len(row.payload) + len(row.bundle)
            else:
                count += 1
