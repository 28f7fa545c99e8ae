"""What the local API can ask about adding several peers, one method per operation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.changing import answered
from node.context import NodeContext
from node.intents import ALREADY, DONE, OPEN
from node.key_packages.tables import WantedRow
from node.lookup import Lookup, group_of
from node.peer_id import PeerId
from node.session import Session

if TYPE_CHECKING:
    from node.daemon import Node

POLL_S: Final = 0.05
_ENDED: Final[dict[str, schema.AddState]] = {DONE: "certified", ALREADY: "already"}
UNDER_WAY: Final = ("claiming", "pending")


class AddingService:
    """A part of the Service of a running node."""

    _node: "Node"
    _context: NodeContext
    _lookup: Lookup

    async def group_add_many(self, request: schema.GroupAddManyRequest) -> schema.AddManyResult:
        """Add several peers. Who cannot be meant, or is in already, is named and keeps nobody else waiting."""
        session = self._lookup.live(request.group)
        group_of(session)
        peers: dict[PeerId, str] = {}
        others: dict[str, schema.AddOutcome] = {}
        for reference in dict.fromkeys(request.peers):
            try:
                peer = await self._meant(reference)
            except ApiError as error:
                others[reference] = schema.AddOutcome(
                    reference=reference, peer_id="", name="", state="refused", reason=error.message
                )
                continue
            if peer in session.agreement.roster:
                name, epoch = self._lookup.names().shown(peer), session.holding.epoch
                others[reference] = schema.AddOutcome(
                    reference=reference, peer_id=peer, name=name, state="already", epoch=epoch
                )
            else:
                peers.setdefault(peer, reference)
        batch = b"" if not peers else await answered(self._node.adding.begin(session, tuple(peers)))
        result = await self._settled(session, batch, request)
        begun = {one.peer_id: one for one in result.outcomes}
        listed = others | {
            reference: msgspec.structs.replace(begun[peer], reference=reference)
            for peer, reference in peers.items()
            if peer in begun
        }
        outcomes = tuple(listed[reference] for reference in dict.fromkeys(request.peers) if reference in listed)
        return msgspec.structs.replace(result, outcomes=outcomes)

    async def group_adds(self, request: schema.GroupAddsRequest) -> schema.AddManyResult:
        """How an earlier add of several is doing."""
        session = self._lookup.live(request.group)
        try:
            batch = bytes.fromhex(request.batch_id)
        except ValueError:
            batch = b""
        if not self._context.store.wanted_packages(session.group_id, batch):
            raise ApiError(ErrorCode.INTENT_NOT_FOUND, "there is no such add of several peers", "it may be long over")
        return await self._settled(session, batch, request)

    async def _meant(self, reference: str) -> PeerId:
        """The peer; only an address is dialled: who is away is claimed for at its replicas."""
        peer = await self._lookup.peer(reference) if reference.startswith("/") else self._lookup.known_peer(reference)
        if peer in self._context.blocked:
            raise ApiError(ErrorCode.BLOCKED, "it is blocked here", "first: conclave contact unblock")
        return peer

    async def _settled(self, session: Session, batch: bytes, request: schema.ChangeRequest) -> schema.AddManyResult:
        """How a batch stands; waits until nothing is under way, if the caller wants to."""
        with trio.move_on_after(request.timeout_s if request.wait else 0):
            while any(one.state in UNDER_WAY for one in self._outcomes(session, batch)):  # noqa: ASYNC110 - rows
                await trio.sleep(POLL_S)
        outcomes = tuple(self._outcomes(session, batch))
        return schema.AddManyResult(
            group_id=session.group_id.hex(),
            batch_id=batch.hex(),
            outcomes=outcomes,
            is_settled=not any(one.state in UNDER_WAY for one in outcomes),
            epochs=tuple(sorted({one.epoch for one in outcomes if one.state == "certified" and one.epoch is not None})),
        )

    def _outcomes(self, session: Session, batch: bytes) -> Iterator[schema.AddOutcome]:
        names = self._lookup.names()
        for row in self._context.store.wanted_packages(session.group_id, batch):
            intent = self._context.store.intent(row.intent_id)
            if intent is None:
                continue
            is_open = intent.state == OPEN
            state = self._state(row) if is_open else _ENDED.get(intent.state, "refused")
            waits_s = max(0.0, (row.due_ms - self._context.now_ms()) / 1000)
            name = names.shown(row.peer)
            yield schema.AddOutcome(
                reference=name,
                peer_id=row.peer,
                name=name,
                state=state,
                reason=row.reason if is_open else (intent.error or "") if state == "refused" else "",
                epoch=intent.epoch,
                intent_id=row.intent_id.hex(),
                attempts=row.attempts,
                retry_s=waits_s if state == "retrying" else None,
            )

    def _state(self, row: WantedRow) -> schema.AddState:
        if not row.due_ms:
            return "pending"
        return "retrying" if row.attempts else "claiming"
