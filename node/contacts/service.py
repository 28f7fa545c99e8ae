"""What the local API can ask about contacts and invitations, one method per operation."""

from typing import TYPE_CHECKING

from mls import KeyPackageBundle
from node import views
from node.api import contact_schema, schema
from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, matches, pick
from node.contacts.book import Contact
from node.contacts.numbers import safety_digits, safety_words
from node.contacts.rows import JOIN_IN, InvitationRow
from node.joining import REFUSALS, read_welcome
from node.lookup import Lookup
from node.peer_id import PeerId
from node.returning import is_vouched_for

if TYPE_CHECKING:
    from node.daemon import Node


class ContactService:
    """A part of the Service of a running node."""

    _node: "Node"
    _lookup: Lookup

    async def contact_card(self, request: schema.Nothing) -> contact_schema.OwnCard:  # noqa: ARG002
        """Our own card."""
        card = self._node.own_card.card
        return contact_schema.OwnCard(
            card=card.to_text(),
            peer_id=card.peer_id,
            name=card.name,
            addresses=card.dial,
            mailboxes=tuple(place.peer_id for place in card.mailboxes),
            serial=card.serial,
            expires_at=card.expires_s,
        )

    async def contact_list(self, request: schema.Nothing) -> contact_schema.ContactList:  # noqa: ARG002
        """Everybody, in the order they came."""
        return contact_schema.ContactList(contacts=tuple(self._shown(each) for each in self._node.contacts.all()))

    async def contact_add(self, request: contact_schema.ContactAddRequest) -> contact_schema.Contact:
        """Take in a card."""
        added = self._node.contacts.add(request.card, request.name)
        self._node.cards.begin(added.row.peer_id)
        return self._shown(added)

    async def contact_show(self, request: contact_schema.ContactRequest) -> contact_schema.Contact:
        """One contact."""
        return self._shown(self._node.contacts.find(request.contact))

    async def contact_verify(self, request: contact_schema.ContactVerifyRequest) -> contact_schema.Contact:
        """Compare, and mark as verified."""
        return self._shown(self._node.contacts.verify(request.contact, request.code, matches=request.matches))

    async def contact_rename(self, request: contact_schema.ContactRenameRequest) -> contact_schema.Contact:
        """Another name."""
        return self._shown(self._node.contacts.rename(request.contact, request.name))

    async def contact_block(self, request: contact_schema.ContactRequest) -> contact_schema.Contact:
        """Take nothing more from a contact, or from any peer that is known here or named by its whole id."""
        return self._shown(await self._node.contacts.block(self._peer(request.contact)))

    async def contact_unblock(self, request: contact_schema.ContactRequest) -> contact_schema.Contact:
        """As it was before."""
        return self._shown(self._node.contacts.unblock(request.contact))

    async def contact_remove(self, request: contact_schema.ContactRequest) -> contact_schema.Contact:
        """Forget a contact."""
        peer = self._node.contacts.find(request.contact).row.peer_id
        return self._shown(self._node.contacts.remove(request.contact, is_shared=bool(self._shared(peer))))

    async def group_invitations(self, request: schema.Nothing) -> contact_schema.InvitationList:  # noqa: ARG002
        """Those that wait for our user."""
        names = self._lookup.names()
        return contact_schema.InvitationList(
            invitations=tuple(
                contact_schema.Invitation(
                    invitation_id=row.id.hex(),
                    group_id=row.group_id.hex(),
                    name=row.name,
                    adder=row.adder,
                    adder_name=names.of_peer(row.adder),
                    member_count=row.member_count,
                    arrived_at=row.arrived_ms / 1000,
                )
                for row in self._node.consent.waiting()
            )
        )

    async def group_accept(self, request: contact_schema.InvitationRequest) -> schema.GroupDetail:
        """Enter the group; everything is checked again, for time has passed."""
        context, row = self._node.context, self._invitation(request.invitation)
        try:
            vouched = await is_vouched_for(self._node.sessions, row.payload)
            bundle = KeyPackageBundle.from_bytes(row.bundle)
            arrival = read_welcome(context, row.payload, is_vouched_for=vouched, bundle=bundle)
        except REFUSALS as error:
            raise ApiError(
                ErrorCode.REFUSED, f"the invitation is no good any more: {error}", "ask to be added anew"
            ) from error
        if arrival is not None:
            await self._node.enter(arrival)
        found = context.store.group(row.group_id)
        assert found is not None, "just entered, or been in before"
        return views.group_detail(context, found, self._node.sessions.get(row.group_id))

    async def group_decline(self, request: contact_schema.InvitationRequest) -> schema.Done:
        """Do not enter it, or follow a link no further."""
        joins = {row.group_id.hex(): row for row in self._node.context.store.joins() if row.state != JOIN_IN}
        followed = matches(request.invitation, [Named(id_, row.name) for id_, row in joins.items()])
        if len(followed) == 1:
            self._node.following.give_up(joins[followed[0].id])
        else:
            self._node.consent.decline(self._invitation(request.invitation))
        return schema.Done()

    def _invitation(self, reference: str) -> InvitationRow:
        rows = {row.id.hex(): row for row in self._node.consent.waiting()}
        return rows[pick("invitation", reference, [Named(id_, row.name) for id_, row in rows.items()]).id]

    def _peer(self, reference: str) -> PeerId:
        """A contact, or any other peer that may be meant."""
        named = [Named(each.row.peer_id, each.row.petname) for each in self._node.contacts.all()]
        found = matches(reference, named)
        return found[0].id if len(found) == 1 else self._lookup.known_peer(reference)

    def _shared(self, peer: PeerId) -> tuple[str, ...]:
        context = self._node.context
        return views.peer_info(context, peer, self._lookup.sessions(), self._lookup.names()).groups

    def _shown(self, contact: Contact) -> contact_schema.Contact:
        context, row, card = self._node.context, contact.row, contact.card
        own = context.identity.public_key
        return contact_schema.Contact(
            peer_id=row.peer_id,
            name=row.petname,
            claimed_name="" if card is None else card.name,
            is_verified=row.verified_ms is not None,
            verified_at=None if row.verified_ms is None else row.verified_ms / 1000,
            is_blocked=row.blocked,
            is_connected=row.peer_id in context.transport.peers(),
            added_at=row.added_ms / 1000,
            is_expired=card is not None and context.now_ms() >= card.expires_s * 1000,
            expires_at=None if card is None else card.expires_s,
            serial=0 if card is None else card.serial,
            addresses=() if card is None else card.dial,
            mailboxes=() if card is None else tuple(place.peer_id for place in card.mailboxes),
            safety_number="" if card is None else safety_digits(own, card.public_key),
            safety_words="" if card is None else safety_words(own, card.public_key),
            card="" if card is None else card.to_text(),
            groups=self._shared(row.peer_id),
        )
