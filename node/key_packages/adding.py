"""Adding several peers at once: key packages claimed side by side, one commit for all that could be had.

A batch is durable before its caller hears of it: one open intent for each peer, without a key package yet. What has
been claimed when all claims of the batch have ended is handed to the group in one step, which makes one commit of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from node.adoption import write_end
from node.api.errors import ApiError
from node.context import NodeContext
from node.intents import ADD, FAILED, OPEN, READD, AddBody
from node.key_packages.checking import check_package
from node.key_packages.claiming import Claims, NoPackageError
from node.key_packages.tables import WantedRow
from node.key_packages.wanting import postpone, supply
from node.logs import logger, short
from node.peer_id import PeerId
from node.session import Session
from node.settling import wake

BATCH_MAX: Final = 128  # peers added together
CLAIMS_AT_ONCE_MAX: Final = 8  # of all groups; each has connections of its own
CLAIM_S: Final = 30.0  # for one claim; what its parts may take, `node.key_packages.claiming`, is less
BATCH_ID_SIZE: Final = 8
READDS_MAX: Final = 3  # of one newcomer whose Welcome was for a key package that it does not have any more
LOOK_S: Final = 2.0  # between two looks for what is due
IDLE_LOOK_S: Final = 10.0  # while nothing waits

log = logger("adding")


@dataclass(frozen=True, slots=True)
class _Result:
    """What a claim came to."""

    row: WantedRow
    package: bytes = b""
    reason: str = ""


class Adding:
    """Of a running node."""

    def __init__(self, context: NodeContext, sessions: Mapping[bytes, Session], claims: Claims) -> None:
        self._context = context
        self._sessions = sessions
        self._claims = claims
        self._limiter = trio.CapacityLimiter(CLAIMS_AT_ONCE_MAX)
        self._stirred = trio.Event()
        self._under_way: set[bytes] = set()  # intents whose packages are being claimed
        self._missed: set[bytes] = set()  # intents whose peers were not there when they were last looked for
        self._anew: dict[tuple[bytes, PeerId], int] = {}  # newcomers added again by ourselves

    async def begin(self, session: Session, peers: Sequence[PeerId], kind: str = ADD) -> bytes:
        """Want these peers added; the batch's id. Durable when this returns; raises `ApiError`."""
        batch = self._context.random(BATCH_ID_SIZE)
        await session.ask(lambda: self._begin(session, peers, kind, batch))
        self._stirred.set()
        return batch

    def _begin(self, session: Session, peers: Sequence[PeerId], kind: str, batch: bytes) -> None:
        session.check_changeable(len(peers))
        context, now_ms = self._context, self._context.now_ms()
        with context.store.transaction() as transaction:
            for peer in peers:
                intent = session.new_intent(kind, AddBody(peer, b"").encode())
                transaction.put_intent(intent)
                transaction.put_wanted_package(
                    WantedRow(intent.intent_id, session.group_id, batch, peer, 0, max(1, now_ms))
                )
            transaction.prune_wanted_packages(session.group_id)

    async def add_anew(self, session: Session, peer: PeerId) -> bool:
        """A newcomer cannot open its Welcome, since the key package is gone: claim another, and add it anew.

        Whether that is durable, or tried often enough: false where it cannot be wanted just now.
        """
        key = (session.group_id, peer)
        if self._anew.get(key, 0) >= READDS_MAX or peer not in session.agreement.roster:
            return True
        if any(
            each.kind == READD and AddBody.decode(each.body).peer == peer
            for each in self._context.store.open_intents(session.group_id)
        ):
            return True  # since before a restart
        try:
            await self.begin(session, (peer,), READD)
        except ApiError as error:
            log.info("not added anew", group=short(session.group_id), peer=peer, reason=error.message)
            return False
        self._anew[key] = self._anew.get(key, 0) + 1
        log.info("added anew", group=short(session.group_id), peer=peer)
        return True

    # --- the work ---

    async def run(self) -> None:
        """Claim what is due, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._stirred = trio.Event()
                for (group_id, _), rows in self._due().items():
                    self._under_way.update(row.intent_id for row in rows)
                    nursery.start_soon(self._claim_all, group_id, rows)
                with trio.move_on_after(LOOK_S if self._context.store.packages_waiting() else IDLE_LOOK_S):
                    await self._stirred.wait()

    def _due(self) -> dict[tuple[bytes, bytes], list[WantedRow]]:
        """What is to be claimed now, by group and batch; what nobody wants any more is done with."""
        store, now_ms, connected = self._context.store, self._context.now_ms(), self._context.transport.peers()
        found: dict[tuple[bytes, bytes], list[WantedRow]] = {}
        over: list[WantedRow] = []
        for row in store.packages_waiting():
            intent = store.intent(row.intent_id)
            if intent is None or intent.state != OPEN:
                self._missed.discard(row.intent_id)
                over.append(row)
                continue
            has_come = row.intent_id in self._missed and row.peer in connected
            is_due = row.due_ms <= now_ms or has_come
            if is_due and row.intent_id not in self._under_way and row.group_id in self._sessions:
                found.setdefault((row.group_id, row.batch), []).append(row)
        if over:
            with store.transaction() as transaction:
                for row in over:
                    done = WantedRow(row.intent_id, row.group_id, row.batch, row.peer, row.attempts, 0, row.reason)
                    transaction.put_wanted_package(done)
        return found

    async def _claim_all(self, group_id: bytes, rows: Sequence[WantedRow]) -> None:
        """The packages of a batch, claimed side by side; handed to the group in one step."""
        results: list[_Result] = []
        session = self._sessions[group_id]

        async def one(row: WantedRow) -> None:
            async with self._limiter:
                results.append(await self._claim(session, row))

        try:
            async with trio.open_nursery() as nursery:
                for row in rows:
                    nursery.start_soon(one, row)
            session = self._sessions[group_id]
            await session.ask(lambda: self._supply(session, results))
        except (ApiError, KeyError) as error:  # the group is being restarted, or is ours no more: the rows stay due
            log.info("claimed in vain", group=short(group_id), reason=str(error))
            await trio.sleep(LOOK_S)
        finally:
            self._under_way.difference_update(row.intent_id for row in rows)
            self._stirred.set()

    async def _claim(self, session: Session, row: WantedRow) -> _Result:
        group = session.holding.group
        if group is None:
            return _Result(row, reason="this node is no member of the group any more")
        suite, now_s = int(group.suite.id), self._context.now_ms() // 1000
        self._missed.discard(row.intent_id)
        with trio.move_on_after(CLAIM_S):
            try:
                claimed = await self._claims.claim(
                    row.peer, suite, lambda data: check_package(data, row.peer, suite, now_s, group.public)
                )
            except NoPackageError as error:
                if row.peer not in self._context.transport.peers():
                    self._missed.add(row.intent_id)
                return _Result(row, reason=str(error))
            return _Result(row, claimed.package)
        return _Result(row, reason=f"its key package could not be claimed in {CLAIM_S:.0f} s")

    def _supply(self, session: Session, results: Sequence[_Result]) -> None:
        """In the group's task: what was claimed is wanted now, the rest later or, tried often enough, not at all."""
        store, now_ms = self._context.store, self._context.now_ms()
        with store.together():
            with store.transaction() as transaction:
                for result in results:
                    intent = transaction.intent(result.row.intent_id)
                    if intent is None or intent.state != OPEN:
                        continue
                    if result.package:
                        supply(transaction, result.row, result.package)
                    elif not postpone(transaction, result.row, result.reason, now_ms):
                        epoch = session.holding.epoch
                        write_end(transaction, session.holding, intent, FAILED, epoch, now_ms, error=result.reason)
            session.agreement.pursue_intents(is_new=True)
        wake(self._context, session.group_id)
        self._context.feed.grew()
