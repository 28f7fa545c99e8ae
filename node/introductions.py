"""Members of a group tell each other where they can be reached, so that a group needs only one acquaintance.

What is told is a hint: an address is dialled only for a peer that is a member, and the dial itself proves who answers.
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from node.context import NodeContext
from node.logs import logger
from node.peer_id import PeerId
from node.store_rows import PeerRow
from node.transport import DialError, peer_of
from ordering import Wire

ADDRESS_SIZE_MAX: Final = 256
ADDRESSES_MAX: Final = 8
INTRODUCTIONS_MAX: Final = 128

log = logger("introductions")


class Introduction(Wire, frozen=True):
    """Where a peer has been reached."""

    peer: Annotated[str, Meta(max_length=64)]
    addresses: Annotated[tuple[Annotated[str, Meta(max_length=ADDRESS_SIZE_MAX)], ...], Meta(max_length=ADDRESSES_MAX)]


class Introductions(Wire, frozen=True):
    """Some members' addresses."""

    SIZE_MAX: ClassVar[int] = 512 * 1024

    entries: Annotated[tuple[Introduction, ...], Meta(max_length=INTRODUCTIONS_MAX)]


def introduce(context: NodeContext, members: tuple[PeerId, ...], to: PeerId) -> Introductions:
    """Ourselves, and those members whose addresses we know."""
    known = {row.peer_id: row.addresses for row in context.store.peers()}
    entries = [Introduction(context.identity.peer_id, context.addresses()[:ADDRESSES_MAX])]
    entries += [Introduction(peer, known[peer][:ADDRESSES_MAX]) for peer in members if peer in known and peer != to]
    return Introductions(tuple(entries[:INTRODUCTIONS_MAX]))


def take_introductions(context: NodeContext, by: PeerId, members: frozenset[PeerId], told: Introductions) -> bool:
    """Remember and dial what a member tells about members; whether anything of it is new.

    Of itself a member knows best. What it says of others is added where there is room: it puts nobody's known
    address out of our reach.
    """
    fresh: list[PeerRow] = []
    for entry in told.entries:
        if entry.peer == context.identity.peer_id or entry.peer not in members:
            continue
        present = context.store.peer(entry.peer)
        had = present.addresses if present is not None else ()
        usable = tuple(address for address in entry.addresses if _names(address, entry.peer))
        order = (*usable, *had) if entry.peer == by else (*had, *usable)
        addresses = tuple(dict.fromkeys(order))[:ADDRESSES_MAX]
        if set(addresses) - set(had):
            fresh.append(PeerRow(entry.peer, addresses, present.name if present is not None else ""))
    if not fresh:
        return False
    with context.store.transaction() as transaction:
        for row in fresh:
            transaction.put_peer(row)
    for row in fresh:
        keep(context, row.addresses)
    return True


def keep(context: NodeContext, addresses: tuple[str, ...]) -> None:
    """Stay connected to these addresses; how many the transport keeps is its own affair, and no error of ours.

    Whom our user has blocked is not dialled.
    """
    for address in addresses:
        try:
            if peer_of(address) not in context.blocked:
                context.transport.keep(address)
        except DialError as error:
            log.info("address not kept", reason=str(error))


def _names(address: str, peer: PeerId) -> bool:
    try:
        return peer_of(address) == peer
    except DialError:
        return False
