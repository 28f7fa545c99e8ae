"""What a link pins, held against where its follower came in: the committee of the epoch that the link was made in.

Where the Welcome's own Decision is of that epoch, the two are compared before we come in. Where the group went on
in between, the decided chain from the link's epoch on is asked of members afterwards, and verified link by link: it has
to begin with the committee that the link names, and to end where we came in.
"""

from enum import Enum
from typing import Final

from mls import ed25519_verify
from node.contacts.invites import Invite
from node.joining import Arrival, WelcomeRefusedError
from node.logs import logger, short
from node.peer_id import PeerId
from node.peer_messages import CHAIN_PROTOCOL, ChainQuestion, group_tag
from node.session import Session
from node.transport import TransportError
from ordering import (
    CHAIN_ENTRIES_MAX,
    Anchor,
    Chain,
    ChainRequest,
    InvalidError,
    LogEntry,
    OrderingError,
    verify_chain,
)

COMPARED_MAX: Final = 4096  # decisions that are fetched to compare what a link pins

log = logger("pins")


class Verdict(Enum):
    """What members show of the chain since a link was made."""

    SAME = "same"  # it begins with the committee that the link names
    OTHER = "other"  # somebody shows one that does not, and nobody one that does
    UNKNOWN = "unknown"  # nobody who is there can show it
    TOO_LONG = "too long"


def check_arrival(invite: Invite, arrival: Arrival) -> None:
    """What can be compared before we come in; raises `WelcomeRefusedError`."""
    decision = arrival.proof.decision
    if decision.epoch < invite.epoch:
        raise WelcomeRefusedError("the Welcome is older than the invite that is followed")
    if decision.epoch == invite.epoch and decision.descriptor.hash != invite.descriptor_hash:
        raise WelcomeRefusedError("the committee that decided is not the one that the invite names")


async def compare_chain(session: Session, invite: Invite) -> Verdict:
    """Have the members who are there show the chain from the link's epoch to where we came in."""
    anchor = session.holding.extra.anchor
    if anchor.epoch <= invite.epoch + 1:
        return Verdict.SAME  # compared before we came in
    if anchor.epoch - invite.epoch > COMPARED_MAX:
        return Verdict.TOO_LONG
    others = session.context.connected(session.agreement.roster.others)
    answers = [await _leads(session, peer, invite, anchor) for peer in others]
    if True in answers:
        return Verdict.SAME
    return Verdict.OTHER if False in answers else Verdict.UNKNOWN


def warning(verdict: Verdict) -> str:
    """What our user is told, in the end; nothing where all is well."""
    return _WARNINGS.get(verdict, "")


async def _leads(session: Session, peer: PeerId, invite: Invite, anchor: Anchor) -> bool | None:
    """Whether the chain that a member shows leads from the link's committee to our anchor; None if it shows none."""
    place: Anchor | None = None
    while place is None or place.epoch < anchor.epoch:
        epoch = invite.epoch if place is None else place.epoch
        entries = await _entries(session, peer, epoch, min(CHAIN_ENTRIES_MAX, anchor.epoch - epoch))
        if not entries:
            return None
        try:
            place = verify_chain(place or _pinned(invite, entries[0]), entries, ed25519_verify)
        except OrderingError as error:
            log.info("chain refused", group=short(session.group_id), peer=peer, reason=str(error))
            return False
    return place == anchor


def _pinned(invite: Invite, first: LogEntry) -> Anchor:
    """Where the chain begins, if it begins with the committee that the link names; raises `InvalidError`."""
    claimed = Anchor.before(first.decision)
    if claimed.epoch != invite.epoch or claimed.descriptor.hash != invite.descriptor_hash:
        raise InvalidError("Log", "the chain begins with another committee than the invite names")
    return claimed


async def _entries(session: Session, peer: PeerId, epoch: int, count: int) -> tuple[LogEntry, ...]:
    request = ChainRequest(session.group_id, epoch, count).encode()
    question = ChainQuestion(group_tag(session.group_id), request).encode()
    try:
        told = Chain.decode(await session.context.transport.request(peer, CHAIN_PROTOCOL, question))
    except (TransportError, OrderingError) as error:
        log.info("chain not told", group=short(session.group_id), peer=peer, reason=str(error))
        return ()
    return told.entries[:count]


_WARNINGS: Final = {
    Verdict.OTHER: "the invite names another committee than this group had then, as far as members show: whoever gave"
    " it, or let this node in, may lie",
    Verdict.UNKNOWN: "what the invite pins was not compared: nobody shows what was decided since it was made",
    Verdict.TOO_LONG: "what the invite pins was not compared: it is too many changes old",
}
