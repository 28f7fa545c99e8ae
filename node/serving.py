"""Answering other members' questions about a group, as far as they were members of what they ask about."""

from typing import Final

from node.peer_id import PeerId
from node.peer_messages import Kept
from node.session import Session
from node.transport import RESPONSE_SIZE_MAX, RefusedError
from ordering import BundleId, Candidate, Chain, ChainRequest, Decision, LogEntry

_ROOM: Final = 4096  # for the frame around an answer


def candidate_of(session: Session, peer: PeerId, id: bytes) -> bytes:
    """The bytes of a candidate of the running epoch, or of the bundle that began it."""
    holding = session.holding
    known = session.agreement.known.get(BundleId(id))
    if known is not None and peer in session.agreement.roster:
        return known.candidate.encode()
    latest = session.context.store.latest_decision(holding.group_id)
    if (
        latest is not None
        and latest.candidate_id == id
        and latest.candidate is not None
        and session.agreement.may_serve(peer, latest.epoch)
    ):
        return latest.candidate
    raise RefusedError("no such candidate here")


def kept_of(session: Session, peer: PeerId) -> Kept:
    """From which epoch on the decided chain is kept here."""
    first = session.context.store.decisions(session.group_id, 0, 1)
    here = session.agreement.epoch_told(peer)
    return Kept(min(here, first[0].epoch if first else here), here)


def bundle_of(session: Session, peer: PeerId, epoch: int) -> bytes:
    """The candidate that ended an epoch."""
    if not session.agreement.may_serve(peer, epoch):
        raise RefusedError("no such group for you here")
    row = session.context.store.decision(session.group_id, epoch)
    if row is None or row.candidate is None:
        raise RefusedError("no such decision here")
    return row.candidate


def group_info_of(session: Session, peer: PeerId, epoch: int) -> bytes:
    """A GroupInfo of the present epoch for a member that has lost its secrets; made once for all who ask."""
    holding = session.holding
    able = holding.group is not None and not holding.is_cut_off and not session.agreement.is_frozen
    if not able or epoch != holding.epoch or peer not in session.agreement.roster:
        raise RefusedError("no GroupInfo for you here")
    return session.agreement.group_info


def chain_of(session: Session, peer: PeerId, question: bytes) -> bytes:
    """The decided log from an epoch on, up to the last epoch that concerns the asker."""
    request = ChainRequest.decode(question)
    if session.context.store.decision(session.group_id, request.from_epoch) is None:
        return Chain(session.group_id, ()).encode()  # not here any more, or not yet; `kept_of` says which
    entries: list[LogEntry] = []
    size = 0
    for row in session.context.store.decisions(session.group_id, request.from_epoch, request.entry_count):
        if row.candidate is None or not session.agreement.may_serve(peer, row.epoch):
            break
        entry = LogEntry.of(Decision.decode(row.decision), Candidate.decode(row.candidate).bundle)
        size += len(entry.encode())
        if size > RESPONSE_SIZE_MAX - _ROOM:
            break
        entries.append(entry)
    return Chain(session.group_id, tuple(entries)).encode()
