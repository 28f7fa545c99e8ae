"""How the mailboxes of one group are doing: what they do wrong is remembered, and shown; none of it stops the group."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from node.context import NodeContext
from node.logs import logger
from node.mailbox.messages import Statement
from node.mailbox.tables import FaultRow
from node.mailbox.visiting import LIES, FaultKind, Visit, VisitError, check_succession
from node.peer_id import PeerId
from node.transport import PERSONA_SIZE, peer_of

PERSONA_S: Final = 60.0  # a throw-away identity serves no longer, and for two epochs only while we catch up
REST_MIN_S: Final = 15.0  # for a mailbox that could not be reached or did not take what was brought; then twice that
REST_MAX_S: Final = 60.0
SAID_MAX: Final = 256  # statements of mailboxes that are not durable yet

log = logger("mailboxes")


@dataclass(slots=True)
class Standing:
    """How one mailbox is doing."""

    address: str
    fault: FaultKind | None = None  # in the last round
    is_clean: bool = True  # nothing was wrong in this round so far
    detail: str = ""
    reached_ms: int = 0  # when it last answered as it should
    persona: bytes = field(default=b"", repr=False)
    persona_epoch: int = -1
    persona_until_s: float = float("-inf")
    rests_until_s: float = float("-inf")  # it was of no use, and is left alone till then
    rest_s: float = REST_MIN_S


class Judge:
    """Of one group's mailboxes."""

    def __init__(self, context: NodeContext, group_id: bytes) -> None:
        self._context = context
        self._group_id = group_id
        self.standings: dict[str, Standing] = {}
        self._said: dict[tuple[int, PeerId], Statement] = {}  # not durable yet

    def visit(self, address: str, epoch: int) -> Visit:
        """To this mailbox, under an identity that is thrown away with the epoch, or after a minute."""
        standing = self.standings.setdefault(address, Standing(address))
        standing.is_clean = True
        now_s = self._context.now_s()
        if standing.persona_epoch != epoch or now_s >= standing.persona_until_s:
            standing.persona = self._context.random(PERSONA_SIZE)
            standing.persona_epoch, standing.persona_until_s = epoch, now_s + PERSONA_S
        return Visit(self._context.transport, address, standing.persona)

    def is_resting(self, address: str) -> bool:
        """Whether a mailbox was of no use just now: it is not asked again at once, or it would hold up the others."""
        standing = self.standings.get(address)
        return standing is not None and self._context.now_s() < standing.rests_until_s

    @contextmanager
    def judging(self, visit: Visit, went_well: list[Visit]) -> Iterator[None]:
        """Around a visit: what the mailbox does wrong ends the visit and nothing else."""
        standing = self.standings[visit.address]
        try:
            yield
        except VisitError as error:
            standing.fault, standing.detail, standing.is_clean = error.kind, str(error), False
            if error.kind in LIES:
                self.blame(visit.mailbox, error.kind, str(error))
            else:
                log.info("mailbox not used", mailbox=visit.mailbox, reason=str(error))
            standing.rests_until_s = self._context.now_s() + standing.rest_s
            standing.rest_s = min(REST_MAX_S, 2 * standing.rest_s)
        else:
            went_well.append(visit)
            standing.rest_s = REST_MIN_S
            if standing.is_clean:
                standing.fault, standing.detail, standing.reached_ms = None, "", self._context.now_ms()

    def hold_to_its_word(self, mailbox: PeerId, epoch: int, now: Statement) -> None:
        """A mailbox cannot go back behind what it said: if it does it is blamed, and what it says now is remembered."""
        before = self._said.get((epoch, mailbox))
        if before is None and (stored := self._context.store.statement(self._group_id, epoch, mailbox)) is not None:
            before = Statement.decode(stored)
        try:
            check_succession(before, now)
        except VisitError as error:
            self.blame(mailbox, error.kind, str(error))
        if before is None or now.serial != before.serial or now.born != before.born:
            self._said[epoch, mailbox] = now
        if len(self._said) >= SAID_MAX:
            self.keep()

    def keep(self) -> None:
        """Make durable what the mailboxes said since the last time."""
        if not self._said:
            return
        with self._context.store.transaction() as transaction:
            for (epoch, mailbox), statement in self._said.items():
                transaction.put_statement(self._group_id, epoch, mailbox, statement.encode())
        self._said.clear()

    def blame(self, mailbox: PeerId, kind: FaultKind, detail: str) -> None:
        """Remember what a mailbox did wrong; it is asked again all the same, since others make up for it."""
        log.warning("mailbox at fault", mailbox=mailbox, kind=kind.value, reason=detail)
        known = self._context.store.mailbox_fault(mailbox)
        count = 1 if known is None else known.count + 1
        with self._context.store.transaction() as transaction:
            transaction.put_mailbox_fault(FaultRow(mailbox, kind.value, detail, count, self._context.now_ms()))
        for standing in self.standings.values():
            if peer_of(standing.address) == mailbox:
                standing.fault, standing.detail, standing.is_clean = kind, detail, False
