"""Coming back into a group that went on for longer than anybody keeps: whom we believe that it is the same group.

A node that is *stranded* has the group's state of an old epoch, and no chain leads from there to the present one. A
Welcome with our group's id proves nothing: anybody who has a key package of ours can make one up, with a committee of
its own. So those are asked whom we knew: f+1 of the voters of our last committee, over links that prove their peer ids,
have to answer with the very bundle that the Welcome's Decision decided. One of them is honest, by the bound that the
group relied on all along. Where too few of them are left, the user may take the word of any one member we knew.
"""

from collections.abc import Mapping
from typing import Final

import trio

from node.candidacy import is_candidate
from node.electorate import RuleError
from node.logs import logger, short
from node.peer_id import PeerId
from node.peer_messages import BUNDLE_PROTOCOL, BundleRequest, WelcomeDelivery, group_tag
from node.session import Session
from node.transport import TransportError
from ordering import Decision, JoinProof

VOUCH_TIMEOUT_S: Final = 5.0

log = logger("return")


def rejoin_mark(group_id: bytes) -> str:
    """Where the store keeps that the user takes any one member's word."""
    return f"rejoin/{group_id.hex()}"


async def is_vouched_for(sessions: Mapping[bytes, Session], payload: bytes) -> bool:
    """Whether a Welcome may bring us back into a group that we are in and cannot follow.

    False for every other Welcome. Raises `RuleError` naming what is missing, `OrderingError` for bytes that are none.
    """
    decision = JoinProof.decode(WelcomeDelivery.decode(payload).join_proof).decision
    session = sessions.get(decision.group_id)
    if session is None or session.holding.removed or not session.catching_up.is_stranded:
        return False
    if decision.epoch <= session.holding.epoch:
        return False
    agreement, context = session.agreement, session.context
    committee, own = agreement.epoch.voting.committee, context.identity.peer_id
    voters = {seat.identity.decode() for seat in committee.seats} - {own}
    needed, asked = committee.faults + 1, tuple(voters)
    if context.store.meta(rejoin_mark(decision.group_id)) is not None:
        needed, asked = 1, agreement.roster.others
    vouching = await _vouching(session, asked, decision)
    if len(vouching) < needed:
        raise RuleError(f"{len(vouching)} of the members this node knew vouch for the Welcome, and it takes {needed}")
    if not session.catching_up.is_stranded or sessions.get(decision.group_id) is not session:
        return False
    log.info("vouched for", group=short(decision.group_id), epoch=decision.epoch, by=len(vouching))
    return True


async def _vouching(session: Session, peers: tuple[PeerId, ...], decision: Decision) -> frozenset[PeerId]:
    """Those of the connected peers who hold the decided bundle of that epoch."""
    transport = session.context.transport
    request = BundleRequest(group_tag(decision.group_id), decision.epoch).encode()
    found: set[PeerId] = set()

    async def ask(peer: PeerId) -> None:
        try:
            reply = await transport.request(peer, BUNDLE_PROTOCOL, request, timeout_s=VOUCH_TIMEOUT_S)
        except TransportError as error:
            log.info("does not vouch", group=short(decision.group_id), peer=peer, reason=str(error))
            return
        if is_candidate(reply, decision.id):
            found.add(peer)

    async with trio.open_nursery() as nursery:
        for peer in transport.peers().intersection(peers):
            nursery.start_soon(ask, peer)
    return frozenset(found)
