"""The tables of contacts, invitations and invites, and what can be asked of them and changed in them."""

from abc import abstractmethod
from dataclasses import fields
from typing import Any, Final

from node.contacts.cards import Card
from node.contacts.rows import ContactRow, InvitationRow, InviteRow, JoinRow, RequestRow

TABLES: Final = """
CREATE TABLE contacts (
    peer_id TEXT PRIMARY KEY,
    petname TEXT NOT NULL,
    card BLOB,
    verified_ms INTEGER,
    blocked INTEGER NOT NULL,
    added_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE invitations (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    name TEXT NOT NULL,
    adder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    member_count INTEGER NOT NULL,
    payload BLOB NOT NULL,
    bundle BLOB NOT NULL,
    arrived_ms INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    token BLOB NOT NULL,
    uses_left INTEGER NOT NULL,
    is_auto INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE requests (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    invite_id BLOB NOT NULL,
    peer_id TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    intent_id BLOB,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE joins (
    group_id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    link BLOB NOT NULL,
    body BLOB NOT NULL,
    bundle BLOB NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
"""


class ContactReads:
    """The questions. Whoever derives from it knows how to run a statement."""

    __slots__ = ()

    @abstractmethod
    def _rows(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        """Run one statement and return every row."""

    def contact(self, peer_id: str) -> ContactRow | None:
        rows = self._rows(f"{_CONTACT} WHERE peer_id = ?", peer_id)
        return _contact(rows[0]) if rows else None

    def contacts(self) -> tuple[ContactRow, ...]:
        """Everybody, in the order they came."""
        return tuple(map(_contact, self._rows(f"{_CONTACT} ORDER BY added_ms, rowid")))

    def petnames(self) -> dict[str, str]:
        """What contacts are called here, by peer id."""
        return dict(self._rows("SELECT peer_id, petname FROM contacts WHERE petname <> ''"))

    def claimed_names(self) -> dict[str, str]:
        """What those call themselves who were met and not named, by peer id."""
        rows = self._rows("SELECT peer_id, card FROM contacts WHERE petname = '' AND card IS NOT NULL AND NOT blocked")
        return {peer: name for peer, card in rows if (name := Card.decode(card).name)}

    def blocked_peers(self) -> frozenset[str]:
        """Whom our user wants nothing from."""
        return frozenset(row[0] for row in self._rows("SELECT peer_id FROM contacts WHERE blocked"))

    def invitation(self, id_: bytes) -> InvitationRow | None:
        rows = self._rows(f"{_INVITATION} WHERE id = ?", id_)
        return InvitationRow(*rows[0]) if rows else None

    def invitations(self) -> tuple[InvitationRow, ...]:
        """Those that wait, and those that were declined lately; oldest first."""
        return tuple(InvitationRow(*row) for row in self._rows(f"{_INVITATION} ORDER BY rowid"))

    def invite(self, id_: bytes) -> InviteRow | None:
        rows = self._rows(f"{_INVITE} WHERE id = ?", id_)
        return _invite(rows[0]) if rows else None

    def invites(self, group_id: bytes | None = None) -> tuple[InviteRow, ...]:
        """The links given out, of one group or of all, oldest first."""
        rows = self._rows(f"{_INVITE} WHERE group_id = coalesce(?, group_id) ORDER BY created_ms, rowid", group_id)
        return tuple(map(_invite, rows))

    def request(self, id_: bytes) -> RequestRow | None:
        rows = self._rows(f"{_REQUEST} WHERE id = ?", id_)
        return RequestRow(*rows[0]) if rows else None

    def requests(self, group_id: bytes | None = None) -> tuple[RequestRow, ...]:
        """Who asked to be let in, into one group or all, oldest first."""
        rows = self._rows(f"{_REQUEST} WHERE group_id = coalesce(?, group_id) ORDER BY created_ms, rowid", group_id)
        return tuple(RequestRow(*row) for row in rows)

    def join(self, group_id: bytes) -> JoinRow | None:
        rows = self._rows(f"{_JOIN} WHERE group_id = ?", group_id)
        return JoinRow(*rows[0]) if rows else None

    def joins(self) -> tuple[JoinRow, ...]:
        """The links that are or were followed, oldest first."""
        return tuple(JoinRow(*row) for row in self._rows(f"{_JOIN} ORDER BY created_ms, rowid"))


class ContactWrites(ContactReads):
    """The changes, for use inside a transaction."""

    __slots__ = ()

    def put_contact(self, row: ContactRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT INTO contacts VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (peer_id) DO UPDATE SET"
            " petname = ?2, card = ?3, verified_ms = ?4, blocked = ?5, added_ms = ?6",
            *_values(row),
        )

    def delete_contact(self, peer_id: str) -> None:
        self._rows("DELETE FROM contacts WHERE peer_id = ?", peer_id)

    def put_invitation(self, row: InvitationRow) -> None:
        self._rows("INSERT OR REPLACE INTO invitations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *_values(row))

    def delete_invitation(self, id_: bytes) -> None:
        self._rows("DELETE FROM invitations WHERE id = ?", id_)

    def put_invite(self, row: InviteRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT INTO invites VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET"
            " group_id = ?2, token = ?3, uses_left = ?4, is_auto = ?5, expires_ms = ?6, created_ms = ?7",
            *_values(row),
        )

    def delete_invite(self, id_: bytes) -> None:
        self._rows("DELETE FROM invites WHERE id = ?", id_)

    def put_request(self, row: RequestRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET"
            " group_id = ?2, invite_id = ?3, peer_id = ?4, body = ?5, state = ?6, intent_id = ?7, created_ms = ?8",
            *_values(row),
        )

    def delete_request(self, id_: bytes) -> None:
        self._rows("DELETE FROM requests WHERE id = ?", id_)

    def put_join(self, row: JoinRow) -> None:
        """Insert or replace."""
        self._rows(
            "INSERT INTO joins VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (group_id) DO UPDATE SET"
            " name = ?2, link = ?3, body = ?4, bundle = ?5, state = ?6, reason = ?7, created_ms = ?8",
            *_values(row),
        )

    def delete_join(self, group_id: bytes) -> None:
        self._rows("DELETE FROM joins WHERE group_id = ?", group_id)


_CONTACT: Final = "SELECT peer_id, petname, card, verified_ms, blocked, added_ms FROM contacts"
_INVITATION: Final = (
    "SELECT id, group_id, name, adder, epoch, member_count, payload, bundle, arrived_ms, state FROM invitations"
)
_INVITE: Final = "SELECT id, group_id, token, uses_left, is_auto, expires_ms, created_ms FROM invites"
_REQUEST: Final = "SELECT id, group_id, invite_id, peer_id, body, state, intent_id, created_ms FROM requests"
_JOIN: Final = "SELECT group_id, name, link, body, bundle, state, reason, created_ms FROM joins"


def _contact(row: tuple[Any, ...]) -> ContactRow:
    peer_id, petname, card, verified_ms, blocked, added_ms = row
    return ContactRow(peer_id, petname, card, verified_ms, bool(blocked), added_ms)


def _invite(row: tuple[Any, ...]) -> InviteRow:
    id_, group_id, token, uses_left, is_auto, expires_ms, created_ms = row
    return InviteRow(id_, group_id, token, uses_left, bool(is_auto), expires_ms, created_ms)


def _values(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, field.name) for field in fields(row))
