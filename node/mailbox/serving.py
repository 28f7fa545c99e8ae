"""A mailbox at work: it answers who shows that it knows a topic's key, and learns nothing else about them.

Deposits that come while the disk is busy are written together, so that many of them wait for it once. What it logs are
counts: no topic, no id, no peer.
"""

import hmac
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

import trio

from mls import Random
from node.errors import NodeError
from node.identity import Identity
from node.logs import logger
from node.mailbox.inboxes import Inboxes
from node.mailbox.messages import (
    CHALLENGE_SIZE,
    COMPARE_PROTOCOL,
    COMPARED,
    DEPOSIT_PROTOCOL,
    FETCH_PROTOCOL,
    HELLO_PROTOCOL,
    RECEIVED,
    Asked,
    Compare,
    CompareReply,
    Deposit,
    DepositReply,
    Fetch,
    FetchReply,
    Hello,
    Outcome,
    Statement,
    Terms,
)
from node.mailbox.rates import Rates
from node.mailbox.reconciling import digest, respond
from node.mailbox.sealing import item_id
from node.mailbox.store import MailboxStore, TopicState
from node.peer_id import PeerId
from node.transport import MIB, RefusedError, Transport
from ordering import MalformedError

CHALLENGE_S: Final = 3600  # a challenge is good for so long, and as long again
PENDING_BYTES_MAX: Final = 64 * MIB  # deposits that wait for the disk
BATCH_BYTES_MAX: Final = 16 * MIB  # deposits in one transaction
GATHER_S: Final = 0.002  # a deposit waits so long for others that come along to the disk
EXPIRY_PERIOD_S: Final = 600.0
RETRY_S: Final = 1.0  # after the disk refused
REPORT_S: Final = 60.0

log = logger("mailbox")

Answer = Callable[[bytes, bytes], Awaitable[bytes]]


@dataclass(slots=True)
class _Waiting:
    """A deposit on its way to the disk."""

    topic: bytes
    deposit: Deposit
    size: int
    done: trio.Event = field(default_factory=trio.Event)
    result: tuple[tuple[Outcome, ...], TopicState] | None = None  # None once done: the disk refused


class Mailbox:
    """The mailbox of a running node."""

    def __init__(
        self,
        store: MailboxStore,
        identity: Identity,
        random: Random,
        now_ms: Callable[[], int],
        admits: Callable[[bytes], bool] = lambda _topic: True,
    ) -> None:
        self.store = store
        self._identity = identity
        self._random = random
        self._secret = random(32)  # of the challenges; a restart makes them void, and they are asked for again
        self._now_ms = now_ms
        self.admits = admits  # whether notes are kept under a topic
        self._rates = Rates()
        self._pending: deque[_Waiting] = deque()
        self._pending_bytes = 0
        self._wake = trio.Event()
        self._taken = 0
        self._is_open = True

    def answer(self, transport: Transport) -> None:
        """From now on members are served."""
        Inboxes(self, self._identity.public_key, self._random).answer(transport)
        transport.handle(HELLO_PROTOCOL, self._hello)
        for protocol, act in (
            (DEPOSIT_PROTOCOL, self._deposit),
            (COMPARE_PROTOCOL, self._compare),
            (FETCH_PROTOCOL, self._fetch),
        ):
            transport.handle(protocol, partial(self._checked, protocol, act))

    def close(self) -> None:
        """From now on nobody is served: the store is about to be closed."""
        self._is_open = False
        for waiting in self._pending:
            waiting.done.set()
        self._pending.clear()

    async def run(self) -> None:
        """Write what is deposited and forget what is past its time, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire)
            nursery.start_soon(self._report)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._pending:
                    await trio.sleep(GATHER_S)
                    if not self._write():
                        await trio.sleep(RETRY_S)

    # --- questions ---

    async def turn(self, peer: PeerId, size: int) -> None:
        """Wait for this connection's turn; raises `RefusedError` when that takes too long, or we are closed."""
        await self._rates.turn(peer, size)
        if not self._is_open:
            raise RefusedError("the node stops")

    def challenges(self, peer: PeerId, about: bytes = b"") -> tuple[bytes, bytes]:
        """What this connection has to sign or show: the present one, and the one before, which is still good."""
        now_ms = self._now_ms()
        return self._challenge(peer, now_ms, about), self._challenge(peer, now_ms - CHALLENGE_S * 1000, about)

    async def _hello(self, peer: PeerId, payload: bytes) -> bytes:
        await self.turn(peer, 0)
        try:
            Hello.decode(payload)
        except MalformedError as error:
            raise RefusedError(str(error)) from error
        limits = self.store.limits
        return Terms(self.challenges(peer)[0], limits.retention_days, limits.owner_quota).encode()

    def _challenge(self, peer: PeerId, now_ms: int, about: bytes) -> bytes:
        """What this connection signs: nobody else's signature can be passed on to us, and none of long ago."""
        period = (now_ms // 1000 // CHALLENGE_S).to_bytes(8, "big")
        return hmac.digest(self._secret, period + about + peer.encode(), sha256)[:CHALLENGE_SIZE]

    async def _checked(self, protocol: str, act: Answer, peer: PeerId, payload: bytes) -> bytes:
        """Serve who holds the topic's key; all others are refused."""
        await self.turn(peer, len(payload) if protocol == DEPOSIT_PROTOCOL else 0)
        try:
            asked = Asked.decode(payload)
            public_key = self._identity.public_key
            if not any(asked.is_signed(protocol, public_key, each) for each in self.challenges(peer)):
                raise RefusedError("not signed by the topic's key, for this mailbox and connection")
            return await act(asked.topic, asked.body)
        except MalformedError as error:
            raise RefusedError(str(error)) from error

    async def _compare(self, topic: bytes, body: bytes) -> bytes:
        question = Compare.decode(body)
        ids, state = self.store.ids(topic), self.store.state(topic)
        statement = self._statement(COMPARED, topic, state, digest(ids))
        return CompareReply(respond(ids, question.ranges), statement, state.entries).encode()

    async def _fetch(self, topic: bytes, body: bytes) -> bytes:
        considered, items = self.store.items(topic, Fetch.decode(body).ids)
        return FetchReply(considered, items).encode()

    async def _deposit(self, topic: bytes, body: bytes) -> bytes:
        deposit = Deposit.decode(body)
        outcomes, state = await self.take(topic, deposit, len(body))
        kept = [
            item_id(item)
            for item, outcome in zip(deposit.items, outcomes, strict=True)
            if outcome in (Outcome.STORED, Outcome.HELD)
        ]
        return DepositReply(outcomes, self._statement(RECEIVED, topic, state, digest(kept))).encode()

    async def take(self, topic: bytes, deposit: Deposit, size: int) -> tuple[tuple[Outcome, ...], TopicState]:
        """Returns once it is durable; raises `RefusedError` when too much is waiting."""
        waiting = _Waiting(topic, deposit, size)
        if self._pending_bytes + waiting.size > PENDING_BYTES_MAX:
            raise RefusedError("too much is waiting for the disk")
        self._pending_bytes += waiting.size
        self._pending.append(waiting)
        self._wake.set()
        await waiting.done.wait()
        if waiting.result is None:
            raise NodeError("the disk did not take it")
        return waiting.result

    def _statement(self, kind: bytes, topic: bytes, state: TopicState, about: bytes) -> Statement:
        return Statement.sign(
            self._identity.sign,
            kind,
            topic,
            self.store.born,
            state.serial,
            state.count,
            bool(state.entries),
            about,
        )

    # --- the disk ---

    def _write(self) -> bool:
        """One transaction with what waits; False when the disk refused it, and whoever waits is told."""
        batch: list[_Waiting] = []
        size = 0
        while self._pending and (not batch or size + self._pending[0].size <= BATCH_BYTES_MAX):
            batch.append(self._pending.popleft())
            size += batch[-1].size
        self._pending_bytes -= size
        try:
            results = self.store.take([(each.topic, each.deposit) for each in batch], self._now_ms() // 1000)
        except NodeError as error:
            log.error("deposits lost", count=len(batch), reason=str(error))
            results = []
        for each, result in zip(batch, results, strict=False):
            each.result = result
        for each in batch:
            each.done.set()
        self._taken += sum(len(each.deposit.items) for each in batch)
        return bool(results)

    async def _expire(self) -> None:
        while True:
            try:
                more = True
                while more:
                    more = self.store.expire(self._now_ms() // 1000)
                    await trio.lowlevel.checkpoint()
            except NodeError as error:
                log.error("nothing could be deleted", reason=str(error))
            await trio.sleep(EXPIRY_PERIOD_S)

    async def _report(self) -> None:
        while True:
            await trio.sleep(REPORT_S)
            if self._taken:
                log.info("items taken", count=self._taken, size=self.store.size)
                self._taken = 0
