"""The members' side of one group's mailboxes: bring what is ours, fetch what is others', follow the decided chain.

A *round* asks all mailboxes side by side about the epoch we stand in: what they have and we lack is fetched and taken
in, what we have and they lack is brought. When one of them shows how the epoch ended, certified by the committee that
we know, and has the bundle that was decided, the group goes on to the next epoch, and the round with it. So members
who are never awake together follow one another through a mailbox alone, and what one mailbox withholds another makes
up for.

What changes the group happens in the group's own task (`ask`); only the waiting for mailboxes happens here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random as Chance
from typing import Final, Protocol, TypeVar

import trio

from mls import ed25519_verify
from node.api.errors import ApiError
from node.caution import Caution
from node.conversation import Conversation
from node.draining import Patience
from node.logs import logger, short
from node.mailbox.bringing import Bringing
from node.mailbox.judging import Judge
from node.mailbox.places import mailboxes_of
from node.mailbox.releasing import Releasing
from node.mailbox.sealing import ItemKind, Topic
from node.mailbox.shelf import Shelf, note_keys
from node.mailbox.visiting import FaultKind, Visit
from node.peer_id import PeerId
from ordering import Anchor, Candidate, InvalidError, LogEntry, MalformedError, verify_entry

PULL_PERIOD_S: Final = 15.0  # between two rounds when nothing happens, jittered
PUSH_DELAY_S: Final = 0.2  # what is said within it goes to the mailboxes together
DRAIN_S: Final = 15.0  # for members who are there, before an epoch is left
PAST_EPOCHS: Final = 2  # epochs before ours that a round looks at too: something may have come late
PAST_EPOCHS_FIRST: Final = 20  # and the first round after a start
JUNK_MAX: Final = 4096  # ids of items that are no such thing, which are not fetched again

T = TypeVar("T")
log = logger("mailboxes")


class Ask(Protocol):
    """Have something done in the group's task (`Session.ask`)."""

    def __call__(self, act: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(slots=True)
class _Gathered:
    """What one mailbox had of an epoch and we had not."""

    mailbox: PeerId
    messages: list[bytes] = field(default_factory=list)
    marks: list[tuple[bytes, bytes]] = field(default_factory=list)  # with their ids
    bundles: list[Candidate] = field(default_factory=list)
    entries: tuple[LogEntry, ...] = ()


class Mailboxes:
    """Of one group."""

    def __init__(self, conversation: Conversation, caution: Caution, ask: Ask) -> None:
        self.conversation = conversation
        self.agreement = conversation.agreement
        self.context = conversation.context
        self._caution = caution
        self._ask = ask
        self._group_id = self.agreement.holding.group_id
        self._shelf = Shelf(self.context, self._group_id)
        self.judge = Judge(self.context, self._group_id)
        self._releasing = Releasing(conversation, self._shelf, self.judge)
        self._bringing = Bringing(self.context, self._group_id, self._shelf, self.judge, lambda: self.addresses)
        self._stirred = trio.Event()
        self._chance = Chance(self.context.random(8))  # noqa: S311 - jitter
        self._junk: dict[bytes, None] = {}
        self._past_epochs = PAST_EPOCHS_FIRST
        self.addresses: tuple[str, ...] = ()
        self.ended_epoch = -1  # an epoch that is known to have ended, though what was decided is at no mailbox
        self._look_around()

    # --- in the group's task ---

    def _look_around(self) -> None:
        """Which mailboxes the group has now."""
        self._members = () if self.agreement.is_over else self.agreement.roster.others
        self.addresses = mailboxes_of(self.context, self._members)
        if self.addresses:
            self.context.with_mailboxes.add(self._group_id)
        else:
            self.context.with_mailboxes.discard(self._group_id)

    def entered(self) -> None:
        """The group stands in an epoch, perhaps a new one: its topic's keys are kept, and it is time to look."""
        holding = self.agreement.holding
        if holding.group is None or holding.is_cut_off:
            return
        if self.context.store.topic_keys(self._group_id, holding.epoch) is None:
            with self.context.store.transaction() as transaction:
                note_keys(transaction, holding.group)
        if self.addresses or self._members != self.agreement.roster.others:
            self.stir()

    def stir(self) -> None:
        """There is something to bring, or to look for."""
        self._stirred.set()

    @property
    def backlog(self) -> int:
        """How much of ours is not at every mailbox yet."""
        return self.context.store.open_deposit_count(self._group_id)

    def stored_at(self, message_id: bytes) -> int:
        """How many mailboxes have acknowledged a message of ours."""
        row = self.context.store.deposit(self._group_id, message_id)
        return 0 if row is None else len(row.places)

    # --- rounds ---

    async def run(self) -> None:
        """Round after round, until the group's task ends or we are no member any more."""
        try:
            while not self.agreement.is_over:
                self._stirred = trio.Event()
                self._look_around()
                if self.addresses:
                    await self._round()
                if not self.agreement.is_over:
                    self.judge.keep()
                await self._pause()
        except ApiError:
            log.debug("group task has ended", group=short(self._group_id))
        self._shelf.forget()

    async def _pause(self) -> None:
        """Until something is to be brought, or it is time to look again."""
        until_s = self.context.now_s() + PULL_PERIOD_S * self._chance.uniform(0.75, 1.25)
        if not self._bringing.is_waiting:
            with trio.move_on_at(until_s):
                await self._stirred.wait()
        await trio.sleep(PUSH_DELAY_S)

    async def _round(self) -> None:
        """Bring what is ours, follow the chain as far as the mailboxes lead, look at what came late."""
        began = self.agreement.holding.epoch
        awake = [address for address in self.addresses if not self.judge.is_resting(address)]
        visits = await self._bringing.bring([self.judge.visit(address, began) for address in awake])
        patience = Patience()
        went_on = True
        while went_on and visits and not self.agreement.is_over and not self.agreement.holding.is_cut_off:
            epoch = self.agreement.holding.epoch
            visits, gathered = await self._gather(visits, epoch)
            went_on = await self._take(epoch, gathered, patience)
        if self.agreement.is_over or not visits:
            return
        newest = self.agreement.holding.epoch
        for epoch in range(newest - 1, max(-1, newest - 1 - self._past_epochs), -1):
            visits, gathered = await self._gather(visits, epoch)
            await self._take(epoch, gathered, patience)
        if visits and not self.agreement.is_over:
            self._past_epochs = PAST_EPOCHS
            await self._ask(self._vouch)
            if await self._ask(self.conversation.receipts.mark):
                visits = await self._bringing.bring(visits)
            await self._releasing.tell(visits)

    def _vouch(self) -> None:
        """We have what the mailboxes have: who was restored from a backup has met what it had said since."""
        if not self.context.connected(self.agreement.roster.others):
            self._caution.vouched(self.agreement.holding.epoch)

    # --- fetching ---

    async def _gather(self, visits: list[Visit], epoch: int) -> tuple[list[Visit], list[_Gathered]]:
        """What each mailbox has of an epoch and we have not; the visits that went well."""
        topic = self._shelf.topic(epoch)
        if topic is None:
            return visits, []
        went_well: list[Visit] = []
        gathered: list[_Gathered] = []

        async def one(visit: Visit) -> None:
            with self.judge.judging(visit, went_well):
                gathered.append(await self._reconcile(visit, topic, epoch))

        async with trio.open_nursery() as nursery:
            for visit in visits:
                nursery.start_soon(one, visit)
        return [visit for visit in visits if visit in went_well], gathered

    async def _reconcile(self, visit: Visit, topic: Topic, epoch: int) -> _Gathered:
        """Make a mailbox and us equal, as far as it goes."""
        held = self._shelf.held(epoch)
        compared = await visit.compare(topic, sorted({*held, *self._shelf.seen(epoch)}))
        self.judge.hold_to_its_word(visit.mailbox, epoch, compared.statement)
        items, missing = await visit.fetch(topic, sorted(compared.need.difference(self._junk)))
        found = self._opened(visit.mailbox, topic, items)
        found.entries = compared.entries
        if missing:
            known = {*held, *self._shelf.seen(epoch), *items}
            still = (await visit.compare(topic, sorted(known))).need.intersection(missing)
            if still:
                self.judge.blame(visit.mailbox, FaultKind.WITHHELD, f"items listed and not handed out: {len(still)}")
        lost = self._bringing.mark(visit.mailbox, held, compared.have)
        if lost:
            self.judge.blame(visit.mailbox, FaultKind.WITHHELD, f"items acknowledged and not there: {lost}")
        ours = sorted(compared.have.intersection(held))
        lacking = [ref for id in ours if self._bringing.is_due(epoch, ref := held[id])]
        if lacking:
            await self._bringing.leave(visit, topic, epoch, lacking)
        return found

    def _opened(self, mailbox: PeerId, topic: Topic, items: dict[bytes, bytes]) -> _Gathered:
        """What is in the items; junk is remembered, and is not the mailbox's fault but a member's."""
        found = _Gathered(mailbox)
        for id, item in items.items():
            try:
                kind, body = topic.open(item)
                if kind is ItemKind.MESSAGE:
                    found.messages.append(body)
                elif kind is ItemKind.MARK:
                    found.marks.append((id, body))
                else:
                    found.bundles.append(Candidate.decode(body))
            except MalformedError as error:
                log.info("item dropped", group=short(self._group_id), reason=str(error))
                self._drop(id)
        return found

    def _drop(self, id: bytes) -> None:
        """Remember an item that is no such thing."""
        self._junk[id] = None
        if len(self._junk) > JUNK_MAX:
            del self._junk[next(iter(self._junk))]

    async def _take(self, epoch: int, gathered: list[_Gathered], patience: Patience) -> bool:
        """Take in what was gathered; whether the group went on to another epoch by it."""
        if not gathered:
            return False
        await self._ask(partial(self._take_messages, epoch, gathered))
        if self.agreement.is_over or self.agreement.holding.epoch != epoch:
            return not self.agreement.is_over and self.agreement.holding.epoch > epoch
        ending = await self._ask(partial(self._ending, gathered))
        if ending is None:
            return False
        await self._drain(epoch, patience)
        return await self._ask(partial(self._decide, epoch, *ending))

    def _take_messages(self, epoch: int, gathered: list[_Gathered]) -> None:
        for each in gathered:
            if each.messages and not self.agreement.is_over:
                self.conversation.receive_all(each.mailbox, each.messages)
        marks = dict(mark for each in gathered for mark in each.marks)
        if marks and not self.agreement.is_over:
            for id in self.conversation.receipts.take_marks(epoch, tuple(marks.items())):
                self._drop(id)

    def _ending(self, gathered: list[_Gathered]) -> tuple[PeerId, Candidate, LogEntry] | None:
        """How our epoch ended, if one of them shows it: certified by the committee we know, with what it decided."""
        if self.agreement.is_over or self.agreement.is_frozen:
            return None
        holding = self.agreement.holding
        descriptor = self.agreement.epoch.voting.committee.descriptor
        anchor = Anchor(holding.group_id, holding.epoch, holding.extra.prev, descriptor)
        bundles = {bundle.id: (each.mailbox, bundle) for each in gathered for bundle in each.bundles}
        for entry in {entry.encode(): entry for each in gathered for entry in each.entries}.values():
            found = bundles.get(entry.decision.id)
            try:
                verify_entry(anchor, entry, ed25519_verify, None if found is None else found[1].bundle)
            except InvalidError as error:  # a member's doing: the mailbox does not know our committee
                log.info("entry refused", group=short(self._group_id), reason=str(error))
                continue
            if found is not None:
                return (*found, entry)
            self.ended_epoch = holding.epoch
        return None

    async def _drain(self, epoch: int, patience: Patience) -> None:
        """Before an epoch is left: what members who are there hold of it. With nobody there it is over at once."""
        drained = trio.Event()
        others = self.context.connected(self.agreement.roster.others)
        if not others:
            return
        await self._ask(lambda: self.conversation.drain(others, epoch, lambda _: drained.set(), patience))
        with trio.move_on_after(DRAIN_S):
            await drained.wait()

    def _decide(self, epoch: int, mailbox: PeerId, candidate: Candidate, entry: LogEntry) -> bool:
        if not self.agreement.is_over and self.agreement.holding.epoch == epoch:
            self.agreement.decide_from_log(mailbox, candidate.encode(), entry.decision)
        return not self.agreement.is_over and self.agreement.holding.epoch > epoch
