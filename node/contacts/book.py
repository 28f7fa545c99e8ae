"""Contacts: whom this node's user knows, by a name of their own, and whom they have blocked."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from node import feed
from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, pick
from node.contacts.cards import Card, CardError, CardExpiredError, card_from_text, check_current
from node.contacts.numbers import CodeError
from node.contacts.numbers import matches as code_matches
from node.contacts.rows import ContactRow
from node.contacts.text import MistypedError, TextError
from node.context import NodeContext
from node.introductions import ADDRESSES_MAX, keep
from node.names import Names
from node.peer_id import PeerId, PeerIdError, public_key_of
from node.store import Transaction
from node.store_rows import PeerRow

ACQUAINTANCES_MAX: Final = 1024
"""People met by invites whose cards are kept although they are no contacts."""
CONTACTS_MAX: Final = 4096
"""People whose cards are kept, and strangers that are blocked."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact with its card at hand."""

    row: ContactRow
    card: Card | None

    @classmethod
    def of(cls, row: ContactRow) -> "Contact":
        return cls(row, None if row.card is None else stored_card(row.card))


class Contacts:
    """Of a running node; raises `ApiError` for what a person should know."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._store = context.store

    # --- finding ---

    def all(self) -> tuple[Contact, ...]:
        """Contacts, and whoever is blocked, in the order they came; not those who were only met."""
        return tuple(Contact.of(row) for row in self._store.contacts() if row.petname or row.blocked)

    def find(self, reference: str) -> Contact:
        """The contact that a person means, by name or the beginning or end of the id."""
        rows = {row.peer_id: row for row in self._store.contacts()}
        names = Names.of(self._context)
        named = [Named(peer, names.of_peer(peer)) for peer in rows]
        return Contact.of(rows[pick("contact", reference, named).id])

    def is_contact(self, peer: PeerId) -> bool:
        """Known by card, and not blocked."""
        row = self._store.contact(peer)
        return row is not None and bool(row.petname) and row.card is not None and not row.blocked

    # --- changing ---

    def add(self, text: str, petname: str | None) -> Contact:
        """Take in a card that our user was given."""
        card = read_card(text)
        try:
            check_current(card, self._context.now_ms() // 1000)
        except CardExpiredError as error:
            raise ApiError(
                ErrorCode.EXPIRED, str(error), "cards are good for a year; `conclave contact card` makes one"
            ) from error
        return self.take_in(card, petname)

    def take_in(self, card: Card, petname: str | None) -> Contact:
        """A verified card becomes a contact, or renews the one there is."""
        peer = card.peer_id
        if peer == self._context.identity.peer_id:
            raise ApiError(ErrorCode.BAD_REQUEST, "this is this node's own card", "give it to others; add theirs here")
        present = self._store.contact(peer)
        if present is not None and present.blocked:
            raise ApiError(
                ErrorCode.BLOCKED, f"{present.petname or peer} is blocked here", "first: conclave contact unblock"
            )
        if present is not None and present.card is not None and present.petname:
            known = stored_card(present.card)
            newer = card if card.serial > known.serial else known
            name = present.petname if petname is None else self._free(petname, peer)
            row, news = replace(present, petname=name, card=newer.encode()), "has a card that was given anew"
        else:
            self._check_room()
            row = ContactRow(peer, self._name_for(card, petname), card.encode(), None, False, self._context.now_ms())
            news = "is a contact now"
        self._put(row, self._context.now_ms() // 1000, news)
        return Contact.of(row)

    def update(self, card: Card) -> bool:
        """A card of a contact that came by itself: the higher serial wins. Whether it is news."""
        row = self._store.contact(card.peer_id)
        now_s = self._context.now_ms() // 1000
        if row is None or row.card is None or not row.petname or row.blocked or now_s >= card.expires_s:
            return False
        if card.serial <= stored_card(row.card).serial:
            return False
        self._put(replace(row, card=card.encode()), now_s, "has a new card")
        return True

    def verify(self, reference: str, code: str | None, *, matches: bool) -> Contact:
        """Compare a code, or take our user's word that the numbers match, and mark the contact as verified."""
        found = self.find(reference)
        if found.card is None:
            raise ApiError(ErrorCode.REFUSED, "there is no card of this peer", "add its card: conclave contact add")
        if not found.row.petname:
            raise ApiError(ErrorCode.REFUSED, "this is no contact yet", "name it: conclave contact rename")
        if code is not None:
            try:
                matches = code_matches(code, self._context.identity.public_key, found.card.public_key)
            except CodeError as error:
                raise ApiError(ErrorCode.BAD_REQUEST, str(error)) from error
            if not matches:
                who = found.row.petname
                raise ApiError(
                    ErrorCode.MISMATCH,
                    f"the code is not the safety number with {who}: one of you has another's card",
                    f"do not trust this contact; remove it, and ask {who} for the card on another way",
                )
        if not matches or found.row.verified_ms is not None:
            return found
        return self._replaced(found, replace(found.row, verified_ms=self._context.now_ms()), "is verified")

    def rename(self, reference: str, petname: str) -> Contact:
        """Another name of our user's own; who was only met becomes a contact by it."""
        found = self.find(reference)
        row = replace(found.row, petname=self._free(petname, found.row.peer_id))
        if found.row.petname or found.row.card is None:
            return self._replaced(found, row, f"was called {found.row.petname} before")
        self._check_room()
        self._put(row, self._context.now_ms() // 1000, "is a contact now")
        return Contact(row, found.card)

    async def block(self, peer: PeerId) -> Contact:
        """Nothing more from this peer, contact or stranger: no connection, no key package, no Welcome."""
        row = self._store.contact(peer) or self._stranger(peer)
        if row.peer_id == self._context.identity.peer_id:
            raise ApiError(ErrorCode.BAD_REQUEST, "that is this node")
        blocked = replace(row, blocked=True)
        with self._store.transaction() as transaction:
            transaction.put_contact(blocked)
            self._tell(transaction, row, "is blocked")
        self._context.feed.grew()
        self._context.blocked.add(row.peer_id)
        self._forget_addresses(row.peer_id)
        await self._context.transport.disconnect(row.peer_id)
        return Contact.of(blocked)

    def unblock(self, reference: str) -> Contact:
        """As it was before; a stranger is forgotten."""
        found = self.find(reference)
        row = replace(found.row, blocked=False)
        self._context.blocked.discard(row.peer_id)
        with self._store.transaction() as transaction:
            if not row.petname:
                transaction.delete_contact(row.peer_id)
            else:
                transaction.put_contact(row)
            self._tell(transaction, row, "is not blocked any more")
        self._context.feed.grew()
        known = self._store.peer(row.peer_id)
        keep(self._context, known.addresses if known else ())
        return Contact.of(row)

    def remove(self, reference: str, *, is_shared: bool) -> Contact:
        """Forget a contact, its verification too. `is_shared`: it is in a group of ours, so its addresses stay."""
        found = self.find(reference)
        peer = found.row.peer_id
        if found.row.blocked:
            raise ApiError(
                ErrorCode.BLOCKED, f"{found.row.petname or peer} is blocked", "first: conclave contact unblock"
            )
        if not is_shared:
            self._forget_addresses(peer)
        with self._store.transaction() as transaction:
            transaction.delete_contact(peer)
            if not is_shared:
                transaction.delete_peer(peer)
            self._tell(transaction, found.row, "is no contact any more")
        self._context.feed.grew()
        return found

    def acquaint(self, card: Card) -> None:
        """Remember the card of somebody met by an invite: no contact, but what they call themselves can be shown.

        Naming an acquaintance makes it a contact. The oldest gives way, and a card is renewed by the next meeting.
        """
        present = self._store.contact(card.peer_id)
        if card.peer_id == self._context.identity.peer_id or (present is not None and present.blocked):
            return
        if present is not None and present.petname:
            self.update(card)
            return
        known = self._store.peer(card.peer_id)
        addresses = tuple(dict.fromkeys((*card.dial, *(known.addresses if known else ()))))[:ADDRESSES_MAX]
        with self._store.transaction() as transaction:
            strangers = [row for row in transaction.contacts() if not row.petname and not row.blocked]
            for row in strangers[: max(0, len(strangers) + 1 - ACQUAINTANCES_MAX)]:
                transaction.delete_contact(row.peer_id)
            transaction.put_contact(ContactRow(card.peer_id, "", card.encode(), None, False, self._context.now_ms()))
            transaction.put_peer(PeerRow(card.peer_id, addresses, known.name if known else ""))
        keep(self._context, card.dial)

    # --- names ---

    def _name_for(self, card: Card, petname: str | None) -> str:
        """What a new contact is called: as our user says, as it was called here before, as it calls itself."""
        if petname is not None:
            return self._free(petname, card.peer_id)
        known = self._store.peer(card.peer_id)
        if known is not None and known.name:
            return known.name
        claimed = " ".join(card.name.replace("/", " ").split())
        if not claimed:
            raise ApiError(ErrorCode.BAD_REQUEST, "the card gives no name", "name the contact: --name NAME")
        return self._free(claimed, card.peer_id)

    def _free(self, petname: str, peer: PeerId) -> str:
        """The name, if it can be told from every other name here and from ids and links."""
        if not petname.isprintable() or petname.strip() != petname or petname[:1] in "#~" or ":" in petname:
            raise ApiError(ErrorCode.BAD_REQUEST, f"{petname!r} cannot be a name", "plain words, please")
        if _is_peer_id(petname):
            raise ApiError(ErrorCode.BAD_REQUEST, "a peer id cannot be a name", "plain words, please")
        taken = {**Names.of(self._context).petnames}
        taken.pop(peer, None)
        if taken_by := name_holder(petname, taken):
            whose = "this node" if taken_by == self._context.identity.peer_id else f"another peer ({taken_by[-6:]})"
            raise ApiError(ErrorCode.NAME_TAKEN, f"{whose} is called {petname!r} here", "choose another: --name NAME")
        return petname

    # --- rows ---

    def _put(self, row: ContactRow, now_s: int, news: str) -> None:
        """Store a contact, tell of it, and stay connected to where its card says it is."""
        assert row.card is not None, "a contact has a card"
        card = stored_card(row.card)
        known = self._store.peer(row.peer_id)
        had = known.addresses if known is not None else ()
        dial = card.dial if now_s < card.expires_s else ()
        addresses = tuple(dict.fromkeys((*dial, *had)))[:ADDRESSES_MAX]
        with self._store.transaction() as transaction:
            transaction.put_contact(row)
            transaction.put_peer(PeerRow(row.peer_id, addresses, known.name if known else ""))
            self._tell(transaction, row, news)
        self._context.feed.grew()
        keep(self._context, dial)

    def _replaced(self, found: Contact, row: ContactRow, news: str) -> Contact:
        with self._store.transaction() as transaction:
            transaction.put_contact(row)
            self._tell(transaction, row, news)
        self._context.feed.grew()
        return Contact(row, found.card)

    def _tell(self, transaction: Transaction, row: ContactRow, news: str) -> None:
        text = f"{row.petname or row.peer_id} {news}"
        transaction.append_feed(feed.news(feed.CONTACT, text, self._context.now_ms(), peer=row.peer_id))

    def _stranger(self, peer: PeerId) -> ContactRow:
        self._check_room()
        return ContactRow(peer, "", None, None, False, self._context.now_ms())

    def _check_room(self) -> None:
        if len(self.all()) >= CONTACTS_MAX:
            raise ApiError(ErrorCode.REFUSED, f"there are {CONTACTS_MAX} contacts already", "remove one")

    def _forget_addresses(self, peer: PeerId) -> None:
        row, known = self._store.contact(peer), self._store.peer(peer)
        dial = () if row is None or row.card is None else stored_card(row.card).dial
        for address in {*dial, *(known.addresses if known else ())}:
            self._context.transport.forget(address)


def stored_card(data: bytes) -> Card:
    """A card as this store keeps it, which was verified when it came."""
    return Card.decode(data)


def read_card(text: str) -> Card:
    """A card that a person pasted; `ApiError` says what is wrong with it."""
    try:
        return card_from_text(text)
    except MistypedError as error:
        raise ApiError(ErrorCode.MISTYPED, str(error)) from error
    except (TextError, CardError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, str(error), "`conclave contact card` prints one") from error


def name_holder(name: str, names: Mapping[PeerId, str]) -> PeerId | None:
    """Who has that name already, however it is written."""
    wanted = _folded(name)
    return next((peer for peer, taken in names.items() if _folded(taken) == wanted), None)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _is_peer_id(text: str) -> bool:
    try:
        public_key_of(text)
    except PeerIdError:
        return False
    return True
