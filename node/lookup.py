"""What a person means: the group, the peer or the member that a name, an id or an address stands for."""

import re
from typing import TYPE_CHECKING, Final

from mls import Group
from node import views
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.select import Named, matches, pick
from node.names import Names
from node.peer_id import PeerId, PeerIdError, public_key_of
from node.session import Session
from node.store_rows import FeedRow, GroupRow

if TYPE_CHECKING:
    from node.daemon import Node


OWN_MESSAGES_MAX: Final = 10_000  # the latest of a group, among which one is looked for
WHOLE_ID: Final = re.compile(r"(?:[0-9a-f]{2}){1,255}")


class Lookup:
    """On a running node; raises `ApiError` for what means nothing here, or several things."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._context = node.context
        self._store = node.context.store

    def row(self, reference: str) -> GroupRow:
        """The group a person means; one we are in is meant before one we were removed from."""
        row = self._by_whole_id(reference)
        if row is not None:
            return row
        rows = {row.group_id.hex(): row for row in self._store.groups()}
        named = [Named(id, row.name) for id, row in rows.items()]
        live = [each for each in named if not rows[each.id].removed]
        return rows[pick("group", reference, live if len(matches(reference, live)) == 1 else named).id]

    def _by_whole_id(self, reference: str) -> GroupRow | None:
        """What the rules would find too, without reading all groups for it: a program names a group by its whole id."""
        if not WHOLE_ID.fullmatch(reference):
            return None
        row = self._store.group(bytes.fromhex(reference))
        return None if row is None or row.removed else row

    def live(self, reference: str) -> Session:
        """The session of a group that can be changed and talked in."""
        row = self.row(reference)
        if row.removed:
            raise not_member()
        session = self.session(row)
        refusal = self._context.refused_groups.get(row.group_id)
        if session is None and refusal is not None:
            raise ApiError(ErrorCode.UNSUPPORTED, refusal, "what was received can still be read")
        if session is None:
            raise ApiError(ErrorCode.BUSY, "the group is being opened from the store", "try again in a moment")
        return session

    def session(self, row: GroupRow) -> Session | None:
        """The session of a group that we are in."""
        return None if row.removed else self._node.sessions.get(row.group_id)

    async def peer(self, reference: str) -> PeerId:
        """The peer a person means; an address is dialled, and so is a known one of a peer that is not connected."""
        if reference.startswith("/"):
            return await self._node.connect(reference)
        peer = self.known_peer(reference)
        known = self._store.peer(peer)
        if peer != self._context.identity.peer_id and peer not in self._context.transport.peers() and known is not None:
            for address in known.addresses:
                try:
                    return await self._node.connect(address)
                except ApiError:
                    continue  # the next address; the request for a key package says that none answered
        return peer

    def known_peer(self, reference: str) -> PeerId:
        """The same without dialling anybody."""
        names = self.names()
        known = {*self._context.transport.peers(), *names.petnames, *(row.peer_id for row in self._store.peers())}
        found = matches(reference, [Named(peer, names.of_peer(peer)) for peer in sorted(known)])
        if len(found) == 1:
            return found[0].id
        try:
            public_key_of(reference)
        except PeerIdError as error:
            several = f"{reference!r} means {len(found)} peers" if found else f"no peer {reference!r} is known here"
            raise ApiError(ErrorCode.BAD_REQUEST, several, "give its whole peer id, or its address") from error
        return reference

    def member(self, session: Session, reference: str) -> schema.Member:
        """The member a person means: by its name here, its id, or its leaf."""
        (found,) = self.members(session, (reference,))
        return found

    def members(self, session: Session, references: tuple[str, ...]) -> tuple[schema.Member, ...]:
        """The same of several, each once."""
        listed = {one.peer_id: one for one in views.members(self._context, session, self.names())}
        named = [Named(one.peer_id, one.name, one.leaf_index) for one in listed.values()]
        meant = dict.fromkeys(pick("member", reference, named).id for reference in references)
        return tuple(listed[id] for id in meant)

    def own_message(self, group_id: bytes, reference: str | None) -> FeedRow:
        """A message of this node's own: the latest, or the one a person means by its id or `#` and its feed number."""
        own = self._context.identity.peer_id
        listed = self._store.own_message_ids(group_id, own, 1 if reference is None else OWN_MESSAGES_MAX)
        if not listed:
            raise ApiError(ErrorCode.MESSAGE_NOT_FOUND, "this node has said nothing in this group")
        ids = {id.hex(): id for id, _ in listed}
        named = [Named(id.hex(), "", seq) for id, seq in listed]
        id = listed[0][0] if reference is None else ids[pick("message", reference, named).id]
        row = self._store.feed_message(group_id, id)
        assert row is not None, "it was listed just now"
        return row

    def pins(self, references: tuple[str, ...]) -> tuple[PeerId, ...]:
        """The peers that are to be pinned, each once."""
        return tuple(dict.fromkeys(self.known_peer(reference) for reference in references))

    def sessions(self) -> tuple[Session, ...]:
        """Of the groups that we are in."""
        return tuple(session for session in self._node.sessions.values() if session.holding.group is not None)

    def names(self) -> Names:
        """What peers are called here."""
        return Names.of(self._context)


def group_of(session: Session) -> Group:
    """The group as its members see it; raises `ApiError` when this node is none of them any more."""
    if session.holding.group is None:
        raise not_member()
    return session.holding.group


def not_member() -> ApiError:
    """What is answered to changes and messages in a group we were removed from."""
    return ApiError(
        ErrorCode.NOT_MEMBER, "this node was removed from the group", "what was received can be read: group read"
    )
