"""One group's task: it owns the group's agreement and conversation outright, so nothing here needs a lock.

Frames, hints, answers and the wishes of local callers come in through one bounded inbox; each is one synchronous step
with at most a few transactions. After every step what the step wants done in the world is carried out, in order.
An error of our own ends the task; the daemon starts it again from the disk.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random as Chance
from typing import Final, TypeVar

import trio

from mls import MlsError
from node.agreement import Agreement
from node.api.errors import ApiError, ErrorCode
from node.carrying import Carrier
from node.catching_up import CatchingUp
from node.caution import Caution
from node.cleaning import Cleaning
from node.comparing import Comparing
from node.context import NodeContext
from node.conversation import Conversation
from node.delivering import Deliveries
from node.electorate import RuleError
from node.holding import FROZEN, SUPERSEDED, Holding
from node.inbox import Answer, FrameIn, HintIn, Inbox, Item, PeerIn, Stepped, Wish
from node.instance_setup import fingerprint
from node.intents import ALREADY, DONE, FAILED, OPEN, OPEN_INTENTS_MAX
from node.introducing import Introducing
from node.logs import logger, short
from node.mailbox.using import Mailboxes
from node.outward import Outward
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, Sealed, topic_of
from node.rescuing import Rescuing
from node.sealing import open_sealed
from node.standing_wishes import StandingWishes
from node.store import StoreError
from node.store_rows import FeedRow, IntentRow
from ordering import Evidence, MalformedError, MessageKind, OrderingError

SYNC_PERIOD_S: Final = 2.0  # between two comparisons of message sets with one member, jittered
SYNC_RATE_MAX: Final = 10.0  # such comparisons in a second, of all groups of the node
SYNC_EPOCHS_MAX: Final = 8  # and no more epochs than this: many before a message could fall out of what is compared
INTENT_ID_SIZE: Final = 16
CAUTION_WAIT_S: Final = 2.0  # for a member to compare with, before a message is kept unsealed
DRAFTS_MAX: Final = 100
LONELY_WAITS: Final = "since this node was started it has met no other member"
CUT_OFF_WAITS: Final = "this node could not open the last change of the group, and has no key to speak with"
CONFIRM_S: Final = 0.5  # unconfirmed in an epoch for so long, we ask where the others stand; then every other period
TOGETHER_MAX: Final = 32  # frames taken in with one wait for the disk

_OWN_WORDS: Final = frozenset(bytes((kind,)) for kind in (MessageKind.VOTE, MessageKind.PROPOSE, MessageKind.STATUS))

T = TypeVar("T")
log = logger("session")


class Session:
    """A group on a running node."""

    def __init__(self, context: NodeContext, holding: Holding) -> None:
        self.context = context
        self.group_id = holding.group_id
        self._nursery_or_none: trio.Nursery | None = None
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter
        self._next_sync_s = 0.0
        self._speak_s = float("inf")  # when we ask the others where they stand, if we are unconfirmed then
        self._epochs_not_compared = 0
        self._new_epoch = True
        self._was_cut_off = holding.is_cut_off
        self._held: Item | None = None  # taken out of the inbox, and next
        self._error: Exception | None = None  # what went wrong in a step that another task took for this one
        self._is_running = self._is_retired = False
        self.agreement = Agreement(context, holding)
        self.agreement.on_epoch = self._note_epoch
        self.agreement.on_turn = self._note_turn
        self.outward: deque[Outward] = self.agreement.outward
        self.inbox = Inbox(self.group_id, lambda: self.agreement.roster)
        self.conversation = Conversation(self.agreement, self.outward)
        self.receipts = self.conversation.receipts
        self.comparing = Comparing(self.conversation)
        self.catching_up = CatchingUp(self.agreement, self.conversation, self.outward)
        self.conversation.behind = self.catching_up.peer_ahead
        self.caution = Caution(self.conversation, self.catching_up)
        self.rescuing = Rescuing(self.agreement, self.outward)
        self.introducing = Introducing(self.agreement, self.outward)
        self.cleaning = Cleaning(self.agreement)
        self.wishes = StandingWishes(self.agreement, self._submit)
        self.deliveries = Deliveries(self.agreement, self.submit)
        self._carrier = Carrier(self.agreement, self.outward, self.inbox)
        self.mailboxes = Mailboxes(self.conversation, self.caution, self.ask)
        self.conversation.on_sealed = self.mailboxes.stir

    @property
    def holding(self) -> Holding:
        """What this node holds of the group."""
        return self.agreement.holding

    def fingerprint(self) -> bytes:
        """Of the present epoch; empty once removed, and while cut off."""
        group = None if self.holding.is_cut_off else self.holding.group
        return b"" if group is None else fingerprint(group)

    @property
    def _nursery(self) -> trio.Nursery:
        """Where what a step starts goes on."""
        assert self._nursery_or_none is not None, "the task is not running"
        return self._nursery_or_none

    # --- local callers ---

    async def submit(self, kind: str, body: bytes) -> IntentRow:
        """Make an intent durable and start on it; raises `ApiError` when the group cannot take it now."""
        return await self.inbox.wish(lambda: self._submit(kind, body))

    async def send(self, text: str) -> FeedRow:
        """Send a message to the group; returns once it is durable, which after a start may be before it is sealed."""
        with trio.move_on_after(CAUTION_WAIT_S):
            await self.caution.over.wait()
        return await self.inbox.wish(lambda: self._send(text))

    async def intent_ended(self, intent_id: bytes) -> IntentRow:
        """Wait until an intent is done, already so, or failed."""
        while True:
            row = self.context.store.intent(intent_id)
            if row is None:
                raise ApiError(ErrorCode.INTENT_NOT_FOUND, "there is no such intent")
            if row.state in (DONE, ALREADY, FAILED):
                return row
            of_group = self.context.intent_ended.setdefault(row.group_id, {})
            await of_group.setdefault(intent_id, trio.Event()).wait()

    async def ask(self, act: Callable[[], T]) -> T:
        """Have something done in the session's task, between two of its steps."""
        return await self.inbox.wish(act)

    def check_changeable(self, count: int = 1) -> None:
        """That so many more changes of the group can be wanted now; raises `ApiError`."""
        self._must_be_member()
        if self.holding.health == FROZEN:
            raise ApiError(ErrorCode.FROZEN, "the members of this group cannot be changed from here any more")
        if self.agreement.is_frozen:
            raise ApiError(ErrorCode.FROZEN, self.rescuing.describe())
        if len(self.context.store.open_intents(self.group_id)) + count > OPEN_INTENTS_MAX:
            raise ApiError(ErrorCode.BUSY, "too many changes are waiting already", "wait for some of them to end")

    def new_intent(self, kind: str, body: bytes) -> IntentRow:
        """A change that is wanted from now on; not yet durable."""
        id, now_ms = self.context.random(INTENT_ID_SIZE), self.context.now_ms()
        return IntentRow(id, self.group_id, kind, body, OPEN, None, None, now_ms)

    def _submit(self, kind: str, body: bytes, *, is_new: bool = True) -> IntentRow:
        self.check_changeable()
        store, row = self.context.store, self.new_intent(kind, body)
        with store.together():  # the intent, and the commit for it if it is made now; what is to be told of it waits
            with store.transaction() as transaction:
                transaction.put_intent(row)
            self.agreement.pursue_intents(is_new=is_new)
        return row

    def _send(self, text: str) -> FeedRow:
        self._must_be_member()
        if self.holding.health == SUPERSEDED:
            raise ApiError(ErrorCode.REFUSED, self.rescuing.describe(), "say it there")
        if self._may_seal:
            return self.conversation.send(text)
        if len(self.conversation.drafts) >= DRAFTS_MAX:
            is_cut_off = self.holding.is_cut_off
            raise ApiError(
                ErrorCode.BUSY,
                f"{DRAFTS_MAX} messages wait already: {CUT_OFF_WAITS if is_cut_off else LONELY_WAITS}",
                f"they leave as soon as {'it is back' if is_cut_off else 'a member is connected'}",
            )
        return self.conversation.keep(text)

    @property
    def _may_seal(self) -> bool:
        """Whether a message can leave now; else it is kept, unsealed and durable, until it can."""
        return self.caution.is_over and not self.holding.is_cut_off

    def _must_be_member(self) -> None:
        if self.agreement.is_over:
            raise ApiError(ErrorCode.NOT_MEMBER, "this node was removed from the group")

    # --- from the network ---

    def post(self, item: FrameIn | HintIn | PeerIn) -> None:
        """Hand over something from the network; dropped when there is no room for it, since all of it is repeated."""
        self.inbox.post(item)
        if self.inbox.is_resting:
            self.context.joint.offer(self)

    # --- the task ---

    async def run(self) -> None:
        """Until cancelled. Raises what is a bug of ours; bad input from peers is dropped here."""
        self._is_running = True
        self.context.running.add(self.group_id)
        try:
            await self._run()
        finally:
            self._is_running = False
            if isinstance(self._held, Wish):
                self._held.done.set()
            self.inbox.close()
            self.context.joint.withdraw(self)
            if not self._is_retired:
                self.context.running.discard(self.group_id)
                self.context.turns.end(self.group_id, self.context.now_s())

    @property
    def is_sound(self) -> bool:
        """Whether its memory is no further than the disk. It may be once the task has died of the disk: then nothing is
        to be told or written from it, until another has taken its place."""
        return self._is_running and self._error is None

    def retire(self) -> None:
        """Another takes this one's place, and the disk may tell of it already: nothing is taken in here any more.

        The task has been cancelled; until it notices, it sleeps, or is about to wake to a frame.
        """
        self._is_retired = True

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery_or_none = nursery
            try:
                await self._work(nursery)
            finally:
                self._nursery_or_none = None

    async def _work(self, nursery: trio.Nursery) -> None:
        self.context.transport.subscribe(topic_of(self.group_id))
        self.conversation.resume()
        if self._may_seal:
            self.conversation.send_drafts()  # an earlier task of this process may have died on the way
        self.conversation.open_parked()
        self.agreement.pursue_intents()
        await self._after_step()
        self.mailboxes.entered()
        nursery.start_soon(self.mailboxes.run)
        while not self.agreement.is_over:
            item = await self._next()
            if isinstance(item, FrameIn | HintIn):
                self.context.joint.run(self.context.store, partial(self._take_frames, item))
            elif not isinstance(item, Stepped):
                self._take(item)
            await self._after_step()
        self.cleaning.clean()
        self.context.transport.unsubscribe(topic_of(self.group_id))
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """We were removed: answer what local callers still ask, and nobody else."""
        async for wish in self.inbox.wishes():
            wish.grant()

    async def _next(self) -> Item | Stepped | None:
        """The next item, or None when a timer is due; raises what went wrong in a step taken for us (`node.joint`)."""
        if self._held is None:
            deadlines = [self._next_sync_s, self._speak_s, self.cleaning.due_at_s, self.introducing.due_at_s]
            deadlines += [self.agreement.telling.sparing.due_at_s]
            deadlines += [each for each in (self.agreement.wake_at_s, self.catching_up.wake_at_s) if each is not None]
            item = await self.inbox.next(min(deadlines))
            self.context.joint.withdraw(self)
            if self._error is not None:
                raise self._error
            if isinstance(item, Stepped):
                return item  # what follows from that comes before what may be held since
            self._held = item
        await trio.lowlevel.checkpoint_if_cancelled()  # it may have been woken just before: see `retire`
        held, self._held = self._held, None
        return held

    def _take_frames(self, item: FrameIn | HintIn) -> None:
        """What came in and lies here, in order, up to the end of an epoch; durable with the block this is done in."""
        self._take(item)
        for _ in range(TOGETHER_MAX - 1):
            if self._new_epoch or self.agreement.is_over:
                return
            self._held = self.inbox.at_once()
            if not isinstance(self._held, FrameIn | HintIn):
                return
            item, self._held = self._held, None
            self._take(item)

    def step(self) -> bool:
        """Take in the frames that lie here, for the task, which sleeps (`node.joint`)."""
        if self._is_retired or not self.inbox.is_resting or self._held is not None:
            return False
        item = self.inbox.at_once()
        if item is None:
            return False
        self.inbox.stepped()
        if not isinstance(item, FrameIn | HintIn):
            self._held = item
            return False
        try:
            self._take_frames(item)
        except Exception as error:  # noqa: BLE001 - a bug of ours, or the disk: the task ends of it, and this one goes on
            self._error = error
        return True

    def fail(self, error: BaseException) -> None:
        """What was taken in for the task is not on the disk."""
        self._error = self._error or StoreError(f"what was taken in for this group was lost: {error}")

    def _take(self, item: Item | None) -> None:
        match item:
            case None:
                self._tick()
            case Wish():
                item.grant()
            case FrameIn(peer, frame):
                self.context.hear(peer)
                if not _is_own_word(frame):
                    self.agreement.hear(peer)
                self._guarded(peer, lambda: self._take_frame(peer, frame))
                self.agreement.hear(peer)
            case HintIn(peer, sealed):
                self._guarded(peer, lambda: self._take_hint(peer, sealed))
            case Answer(peer, ask, reply):
                self._guarded(peer, lambda: ask.then(peer, reply))
            case PeerIn(peer):
                self.agreement.hear(peer)
                if peer in self.agreement.roster:
                    self.conversation.compare_with(peer)
                    self.caution.pursue()
                    self.agreement.pursuit.tell(peer)
                    self.rescuing.telling.connected(peer)
                    self.introducing.introduce((peer,))
                    self.agreement.eviction.connected(peer)
                    if self.holding.unconfirmed:
                        self.agreement.speak()  # who hears from us for the first time answers where it stands

    def _take_frame(self, peer: PeerId, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.ORDERING:
                self.agreement.receive(peer, frame.body)
                self.catching_up.notice(peer, frame.body)
            case FrameKind.CANDIDATE:
                self.agreement.nominations.receive(peer, frame.body)
            case FrameKind.EVIDENCE if peer in self.agreement.roster:
                self.agreement.eviction.take(Evidence.decode(frame.body), peer)
            case FrameKind.INTENTS:
                self.agreement.receive_offer(peer, frame.body)
            case FrameKind.MESSAGE:
                self.conversation.receive(peer, frame.body)
            case FrameKind.INTRODUCTIONS if peer in self.agreement.roster:
                self.introducing.receive(peer, frame.body)
            case FrameKind.HOLDS if peer in self.agreement.roster:
                self.comparing.take(peer, frame.body)
            case FrameKind.INTRODUCTIONS | FrameKind.EVIDENCE | FrameKind.HOLDS:
                pass  # from a stranger

    def _take_hint(self, peer: PeerId, sealed: Sealed) -> None:
        key = self.holding.extra.key_of(sealed.epoch)
        if key is None:  # of an epoch we are not in yet, or have long left: comparison of sets finds it
            return
        self._take_frame(peer, open_sealed(sealed, key))

    def _guarded(self, peer: PeerId, act: Callable[[], object]) -> None:
        """Bad bytes and broken rules are the peer's: dropped and logged. Everything else is a bug of ours."""
        try:
            act()
        except (MalformedError, OrderingError, MlsError, RuleError) as error:
            log.info("dropped", group=short(self.group_id), peer=peer, reason=str(error))

    def _tick(self) -> None:
        now = self.context.now_s()
        self.context.listen()
        if self.agreement.wake_at_s is not None and now >= self.agreement.wake_at_s:
            self.agreement.tick()
        self.agreement.telling.sparing.tick(now)
        self.catching_up.tick(now)
        self.cleaning.tick(now)
        self.introducing.tick(now)
        if now >= self._speak_s:
            self._speak_s = float("inf")
            if self.holding.unconfirmed:
                self._speak_s = now + SYNC_PERIOD_S
                self.agreement.speak()  # who has not heard us in this epoch answers
        if now >= self._next_sync_s:
            period_s = max(SYNC_PERIOD_S, len(self.context.running) / SYNC_RATE_MAX)
            self.receipts.keep()
            self._next_sync_s = now + period_s * self._chance.uniform(0.75, 1.25)
            self._epochs_not_compared = 0
            self.agreement.reconsider()
            self.wishes.keep_silence(now)
            self.wishes.keep_bench(now)
            self.caution.pursue()
            self.rescuing.telling.pursue()
            if not self.catching_up.is_behind:  # each epoch is drained by itself when we lag
                self.comparing.next()
            self.deliveries.start(self._nursery)

    def _note_turn(self) -> None:
        if self._nursery_or_none is not None:
            self._nursery_or_none.start_soon(self._have_turn)

    async def _have_turn(self) -> None:
        with suppress(ApiError):  # the task was interrupted meanwhile: the turn passes by
            await self.ask(self.agreement.pursue_intents)

    def _note_epoch(self) -> None:
        self._new_epoch = True
        self.cleaning.entered()
        self.mailboxes.entered()
        self.receipts.entered()
        self._epochs_not_compared += 1
        if self.holding.unconfirmed:
            self._speak_s = min(self._speak_s, self.context.now_s() + CONFIRM_S)
        if self._epochs_not_compared >= SYNC_EPOCHS_MAX:
            self._next_sync_s = self.context.now_s()

    async def _after_step(self) -> None:
        """What follows from a step: our own standing wishes, then the world, then the disk's hygiene."""
        while self._new_epoch:
            self._new_epoch = False
            if not self.agreement.is_over:
                self.catching_up.entered()
                self.conversation.open_parked()
                self.caution.pursue()
                if self._was_cut_off and self._may_seal:
                    self.conversation.send_drafts()
                self._was_cut_off = self.holding.is_cut_off
                self.wishes.opt_in()
                self.deliveries.start(self._nursery)
                self.introducing.entered()
        await self._carrier.flush(self._nursery)


def _is_own_word(frame: Frame) -> bool:
    """Whether a frame is itself a sign of life to the instance, if it is true: then no other is needed."""
    return frame.kind is FrameKind.ORDERING and frame.body[:1] in _OWN_WORDS
