"""A member's conversation with one mailbox, under a throw-away identity, with everything it says checked.

What a mailbox hands out is held against what it was asked for, against its own signed statements, and against what it
said before; a `VisitError` says what it did wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from node.mailbox.messages import (
    COMPARE_PROTOCOL,
    COMPARED,
    DEPOSIT_PROTOCOL,
    FETCH_PROTOCOL,
    HELLO_PROTOCOL,
    ITEMS_MAX,
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
from node.mailbox.reconciling import DIFFERENCE_MAX, Range, Reconciliation, digest
from node.mailbox.sealing import Topic, item_id
from node.peer_id import PeerId, public_key_of
from node.transport import RequestError, RequestFailure, Transport, TransportError, peer_of
from ordering import LogEntry, MalformedError, Wire

TIMEOUT_S: Final = 10.0

W = TypeVar("W", bound=Wire)


class FaultKind(StrEnum):
    """What can be wrong with a mailbox."""

    UNREACHABLE = "unreachable"  # no connection, or no answer in time
    REFUSED = "refused"  # it does not serve us, or has no room
    GARBAGE = "garbage"  # what it says is no answer, or not of what was asked for
    WITHHELD = "withheld"  # it lists or has acknowledged something, and does not hand it out
    OLD_STATE = "old state"  # it has gone back behind what it said before


LIES: Final = (FaultKind.GARBAGE, FaultKind.WITHHELD, FaultKind.OLD_STATE)
"""What no honest mailbox in order does."""


class VisitError(Exception):
    """A mailbox is of no use just now; `kind` and the message say why."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found, and what the mailbox said about itself."""

    need: frozenset[bytes]  # ids of items that only it holds
    have: frozenset[bytes]  # that only we hold
    statement: Statement
    entries: tuple[LogEntry, ...]  # how the epoch ended, as it was told; to be verified
    rounds: int


@dataclass(frozen=True, slots=True)
class Visit:
    """To the mailbox at an address; what is said under one `persona` can be tied together, and to nothing else."""

    transport: Transport
    address: str
    persona: bytes = field(repr=False)
    _challenge: list[bytes] = field(default_factory=list, repr=False)

    @property
    def mailbox(self) -> PeerId:
        """Whose mailbox it is."""
        return peer_of(self.address)

    async def compare(self, topic: Topic, ids: Sequence[bytes]) -> Compared:
        """Find out which of a topic's items only one of us holds; `ids` are ours, sorted."""
        asking = Reconciliation(ids)
        question: tuple[Range, ...] | None = asking.begin()
        said: list[Statement] = []
        while question is not None:
            body = Compare(question).encode()
            reply = _decoded(CompareReply, await self._ask(COMPARE_PROTOCOL, topic, body))
            self._check(reply.statement, COMPARED, topic)
            said.append(reply.statement)
            try:
                question = asking.take(reply.ranges)
            except MalformedError as error:
                raise VisitError(FaultKind.GARBAGE, str(error)) from error
        need, have = frozenset(asking.need), frozenset(asking.have)
        stood_still = len({(each.serial, each.count) for each in said}) == 1  # nobody else deposited meanwhile
        is_whole = stood_still and max(len(need), len(have)) < DIFFERENCE_MAX
        if is_whole and digest(sorted({*ids, *need} - have)) != said[-1].about:
            raise VisitError(FaultKind.GARBAGE, "the set it signed is not the set it described")
        return Compared(need, have, reply.statement, tuple(_entries(reply.entries)), asking.rounds)

    async def fetch(self, topic: Topic, ids: Sequence[bytes]) -> tuple[dict[bytes, bytes], tuple[bytes, ...]]:
        """Items by id, and the ids that it has not handed out."""
        wanted, found, missing = list(ids), dict[bytes, bytes](), list[bytes]()
        while wanted:
            asked = wanted[:ITEMS_MAX]
            reply = _decoded(FetchReply, await self._ask(FETCH_PROTOCOL, topic, Fetch(tuple(asked)).encode()))
            if not 0 < reply.considered <= len(asked):
                raise VisitError(FaultKind.GARBAGE, "it hands out nothing and says that there is more")
            considered, wanted = asked[: reply.considered], wanted[reply.considered :]
            items = {item_id(item): item for item in reply.items}
            if not items.keys() <= set(considered):
                raise VisitError(FaultKind.GARBAGE, "it handed out what was not asked for")
            found |= items
            missing += [id for id in considered if id not in items]
        return found, tuple(missing)

    async def deposit(self, topic: Topic, deposit: Deposit) -> tuple[tuple[Outcome, ...], Statement]:
        """Leave items; what became of each, and the receipt. Durable there when this returns."""
        reply = _decoded(DepositReply, await self._ask(DEPOSIT_PROTOCOL, topic, deposit.encode()))
        if len(reply.outcomes) != len(deposit.items):
            raise VisitError(FaultKind.GARBAGE, "a receipt for other items")
        self._check(reply.receipt, RECEIVED, topic)
        kept = [
            item_id(item)
            for item, outcome in zip(deposit.items, reply.outcomes, strict=True)
            if outcome in (Outcome.STORED, Outcome.HELD)
        ]
        if reply.receipt.about != digest(kept):
            raise VisitError(FaultKind.GARBAGE, "a receipt for other items")
        return reply.outcomes, reply.receipt

    def _check(self, statement: Statement, kind: bytes, topic: Topic) -> None:
        if not statement.is_signed(kind, topic.id, public_key_of(self.mailbox)):
            raise VisitError(FaultKind.GARBAGE, "a statement that it has not signed")

    async def _ask(self, protocol: str, topic: Topic, body: bytes) -> bytes:
        """Sign and ask; when it refuses, once more with a fresh challenge, since they do not last for ever."""
        mailbox = public_key_of(self.mailbox)
        for attempt in range(2):
            if not self._challenge:
                reply = await self._request(HELLO_PROTOCOL, Hello().encode())
                self._challenge.append(_decoded(Terms, reply).challenge)
            asked = Asked.sign(topic.key, protocol, mailbox, self._challenge[0], body)
            try:
                return await self._request(protocol, asked.encode())
            except VisitError as error:
                if error.kind is not FaultKind.REFUSED or attempt:
                    raise
                self._challenge.clear()
        raise AssertionError("the second attempt returns or raises")

    async def _request(self, protocol: str, payload: bytes) -> bytes:
        try:
            return await self.transport.request_unnamed(
                self.address, protocol, payload, persona=self.persona, timeout_s=TIMEOUT_S
            )
        except RequestError as error:
            raise VisitError(_REASONS.get(error.kind, FaultKind.UNREACHABLE), str(error)) from error
        except TransportError as error:
            raise VisitError(FaultKind.UNREACHABLE, str(error)) from error


_REASONS: Final = {
    RequestFailure.UNSUPPORTED: FaultKind.REFUSED,
    RequestFailure.REFUSED: FaultKind.REFUSED,
    RequestFailure.BUSY: FaultKind.REFUSED,
    RequestFailure.TOO_LARGE: FaultKind.GARBAGE,
    RequestFailure.MALFORMED: FaultKind.GARBAGE,
}


def check_succession(before: Statement | None, now: Statement) -> None:
    """Whether a statement can follow an earlier one of the same mailbox and topic; raises `VisitError`."""
    if before is None:
        return
    if now.born != before.born:
        raise VisitError(FaultKind.OLD_STATE, "it has lost its store, and with it what it had acknowledged")
    if now.serial < before.serial or (before.has_entry and not now.has_entry):
        raise VisitError(FaultKind.OLD_STATE, "it holds less than it said before")


def _decoded(kind: type[W], reply: bytes) -> W:
    try:
        return kind.decode(reply)
    except MalformedError as error:
        raise VisitError(FaultKind.GARBAGE, str(error)) from error


def _entries(encoded: Sequence[bytes]) -> list[LogEntry]:
    entries = []
    for each in encoded:
        try:
            entries.append(LogEntry.decode(each))
        except MalformedError as error:
            raise VisitError(FaultKind.GARBAGE, str(error)) from error
    return entries
