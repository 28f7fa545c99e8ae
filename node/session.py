"""One group's task: it owns the group's agreement and conversation outright, so nothing here needs a lock.

Frames, hints, answers and the wishes of local callers come in through one bounded inbox; each is one synchronous step
with at most a few transactions. After every step what the step wants done in the world is carried out, in order.
An error of our own ends the task; the daemon starts it again from the disk.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random as Chance
from typing import Any, ClassVar, Final, TypeVar, cast

import trio

from mls import MlsError
from node.agreement import Agreement, fingerprint
from node.api.errors import ApiError, ErrorCode
from node.benching import period_s, wishes
from node.catching_up import CatchingUp
from node.caution import Caution
from node.context import NodeContext
from node.conversation import Conversation
from node.electorate import RuleError, voter_of
from node.holding import CLOSED, FROZEN, OK, SUPERSEDED, Holding
from node.intents import ALREADY, DONE, FAILED, OPEN, OPEN_INTENTS_MAX, OPT_IN, OPT_OUT
from node.introductions import Introductions, introduce, take_introductions
from node.logs import logger, short
from node.outward import Ask, Outward, Publish, Tell
from node.peer_id import PeerId
from node.peer_messages import SYNC_PROTOCOL, WELCOME_PROTOCOL, Frame, FrameKind, Sealed, group_tag, topic_of
from node.rescuing import Rescuing
from node.retention import prune
from node.round_trips import REPLY_SIZE_MAX
from node.sealing import open_sealed, seal
from node.store_rows import FeedRow, IntentRow
from node.transport import FRAME_SIZE_MAX, GOSSIP_SIZE_MAX, KIB, MIB, RequestError, RequestFailure, TransportError
from node.welcoming import ALREADY_IN, GIVE_UP_MS, JOINED, RETRY_MS, WELCOME_KIND
from ordering import Evidence, MalformedError, OrderingError

INBOX_MAX: Final = 4096
WAITING_PER_PEER_MAX: Final = 4 * MIB  # of one peer in the inbox; all who are no members have one such share together
ITEM_COST: Final = 8 * KIB  # what even an empty frame counts for
INTRODUCE_PERIOD_S: Final = 1.0  # news of where members are is passed on at most this often
CLEAN_RETRY_S: Final = 10.0
SYNC_PERIOD_S: Final = 2.0  # between two comparisons of message sets with one member, jittered
SYNC_EPOCHS_MAX: Final = 8  # and no more epochs than this: many before a message could fall out of what is compared
CLEAN_DELAY_S: Final = 0.5  # from the end of an epoch until its secrets leave the disk; not in the way of the next
PRUNE_PERIOD_S: Final = 60.0  # between two looks for what is past its time
INTENT_ID_SIZE: Final = 16
CAUTION_WAIT_S: Final = 2.0  # for a member to compare with, before a message is kept unsealed
DRAFTS_MAX: Final = 100

T = TypeVar("T")
log = logger("session")


def _interrupted() -> ApiError:
    return ApiError(
        ErrorCode.BUSY,
        "the group's task was interrupted while it was at this",
        "look what became of it, then try again",
    )


@dataclass(frozen=True, slots=True)
class FrameIn:
    """A frame from a peer's kept stream."""

    peer: PeerId
    frame: Frame

    @property
    def size(self) -> int:
        return len(self.frame.body)


@dataclass(frozen=True, slots=True)
class HintIn:
    """A sealed frame from the group's topic; `peer` is only the neighbour that passed it on."""

    peer: PeerId
    sealed: Sealed

    @property
    def size(self) -> int:
        return len(self.sealed.ciphertext)


@dataclass(frozen=True, slots=True)
class PeerIn:
    """A peer has connected."""

    peer: PeerId
    size: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer answered to a question of ours; None when nobody did."""

    peer: PeerId
    ask: Ask
    reply: bytes | None


@dataclass(slots=True)
class Wish:
    """Something a local caller wants done in the session's task."""

    act: Callable[[], Any]
    done: trio.Event
    value: Any = None
    error: Exception | None = None


Item = FrameIn | HintIn | PeerIn | Answer | Wish


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something from the network in the inbox, and in whose share of it."""

    item: FrameIn | HintIn | PeerIn
    share: PeerId


class Session:
    """A group on a running node."""

    def __init__(self, context: NodeContext, holding: Holding) -> None:
        self.context = context
        self.group_id = holding.group_id
        self._inbox_in, self._inbox_out = trio.open_memory_channel[Item | Waiting](INBOX_MAX)
        self._nursery: trio.Nursery | None = None
        self._chance = Chance(context.random(8))  # noqa: S311 - jitter
        self._next_sync_s = 0.0
        self._next_bench_s = 0.0
        self._epochs_not_compared = 0
        self._sync_turn = self._chance.randrange(1 << 16)
        self._introduced_s = float("-inf")
        self._introduce_at_s = float("inf")
        self._waiting: dict[PeerId, int] = {}  # what of each peer lies in the inbox, in bytes
        self._clean_at_s = float("-inf")  # a crash may have left the log untruncated
        self._pruned_s = float("-inf")
        self._entered_s = float("-inf")  # when an epoch last ended, and its secrets left the tables
        self._delivering: set[int] = set()
        self._new_epoch = True
        self._members: set[PeerId] = set()
        self.agreement = Agreement(context, holding)
        self.agreement.on_epoch = self._note_epoch
        self.outward: deque[Outward] = self.agreement.outward
        self.conversation = Conversation(self.agreement, self.outward)
        self.catching_up = CatchingUp(self.agreement, self.conversation, self.outward)
        self.conversation.behind = self.catching_up.peer_ahead
        self.caution = Caution(self.conversation, self.catching_up)
        self.rescuing = Rescuing(self.agreement, self.outward)

    @property
    def holding(self) -> Holding:
        """What this node holds of the group."""
        return self.agreement.holding

    def fingerprint(self) -> bytes:
        """Of the present epoch; empty once removed, and while cut off."""
        group = None if self.holding.is_cut_off else self.holding.group
        return b"" if group is None else fingerprint(group)

    # --- local callers ---

    async def submit(self, kind: str, body: bytes) -> IntentRow:
        """Make an intent durable and start on it; raises `ApiError` when the group cannot take it now."""
        return await self._wish(lambda: self._submit(kind, body))

    async def send(self, text: str) -> FeedRow:
        """Send a message to the group; returns once it is durable, which after a start may be before it is sealed."""
        with trio.move_on_after(CAUTION_WAIT_S):
            await self.caution.over.wait()
        return await self._wish(lambda: self._send(text))

    async def intent_ended(self, intent_id: bytes) -> IntentRow:
        """Wait until an intent is done, already so, or failed."""
        while True:
            row = self.context.store.intent(intent_id)
            if row is None:
                raise ApiError(ErrorCode.INTENT_NOT_FOUND, "there is no such intent")
            if row.state in (DONE, ALREADY, FAILED):
                return row
            await self.context.intent_ended.setdefault(intent_id, trio.Event()).wait()
            self.context.intent_ended.pop(intent_id, None)

    async def ask(self, act: Callable[[], T]) -> T:
        """Have something done in the session's task, between two of its steps."""
        return await self._wish(act)

    async def _wish(self, act: Callable[[], T]) -> T:
        wish = Wish(act, trio.Event(), error=_interrupted())
        try:
            await self._inbox_in.send(wish)
        except trio.ClosedResourceError:
            raise _interrupted() from None
        await wish.done.wait()
        if wish.error is not None:
            raise wish.error
        return cast(T, wish.value)

    def _submit(self, kind: str, body: bytes, *, is_new: bool = True) -> IntentRow:
        self._must_be_member()
        if self.holding.health == FROZEN:
            raise ApiError(ErrorCode.FROZEN, "the members of this group cannot be changed from here any more")
        if self.agreement.is_frozen:
            raise ApiError(ErrorCode.FROZEN, self.rescuing.describe())
        store = self.context.store
        if len(store.open_intents(self.group_id)) >= OPEN_INTENTS_MAX:
            raise ApiError(ErrorCode.BUSY, "too many changes are waiting already", "wait for some of them to end")
        row = IntentRow(
            self.context.random(INTENT_ID_SIZE),
            self.group_id,
            kind,
            body,
            OPEN,
            None,
            None,
            self.context.now_ms(),
        )
        with store.together():  # the intent, and the commit for it if it is made now; what is to be told of it waits
            with store.transaction() as transaction:
                transaction.put_intent(row)
            self.agreement.pursue_intents(is_new=is_new)
        return row

    def _send(self, text: str) -> FeedRow:
        self._must_be_member()
        if self.holding.health == SUPERSEDED:
            raise ApiError(ErrorCode.REFUSED, self.rescuing.describe(), "say it there")
        if self.caution.is_over:
            return self.conversation.send(text)
        if len(self.conversation.drafts) >= DRAFTS_MAX:
            raise ApiError(
                ErrorCode.BUSY,
                f"{DRAFTS_MAX} messages wait already: since this node was started it has met no other member",
                "they leave as soon as a member is connected",
            )
        return self.conversation.keep(text)

    def _must_be_member(self) -> None:
        if self.agreement.is_over:
            raise ApiError(ErrorCode.NOT_MEMBER, "this node was removed from the group")

    # --- from the network ---

    def post(self, item: FrameIn | HintIn | PeerIn) -> None:
        """Hand over something from the network; dropped when there is no room for it, since all of it is repeated."""
        share = item.peer if item.peer in self.agreement.roster else ""
        after = self._waiting.get(share, 0) + ITEM_COST + item.size
        if after > WAITING_PER_PEER_MAX:
            return
        try:
            self._inbox_in.send_nowait(Waiting(item, share))
            self._waiting[share] = after
        except trio.WouldBlock:
            log.warning("inbox full", group=short(self.group_id))
        except trio.ClosedResourceError:
            log.debug("group task has ended", group=short(self.group_id))

    # --- the task ---

    async def run(self) -> None:
        """Until cancelled. Raises what is a bug of ours; bad input from peers is dropped here."""
        try:
            await self._run()
        finally:
            self._refuse_the_rest()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.context.transport.subscribe(topic_of(self.group_id))
            self.conversation.resume()
            if self.caution.is_over and not self.holding.is_cut_off:
                self.conversation.send_drafts()  # an earlier task of this process may have died on the way
            self.conversation.open_parked()
            self.agreement.pursue_intents()
            await self._after_step()
            while not self.agreement.is_over:
                item = await self._next()
                self._take(item)
                await self._after_step()
            self._clean()
            self.context.transport.unsubscribe(topic_of(self.group_id))
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """We were removed: answer what local callers still ask, and nobody else."""
        async for item in self._inbox_out:
            if isinstance(item, Wish):
                self._take(item)

    def _refuse_the_rest(self) -> None:
        """The task ends: whoever still waits for it is told so. What was made durable goes on after a restart."""
        self._inbox_in.close()
        try:
            while True:
                item = self._inbox_out.receive_nowait()
                if isinstance(item, Wish):
                    item.done.set()
        except (trio.WouldBlock, trio.EndOfChannel):
            pass

    async def _next(self) -> Item | None:
        """The next item, or None when a timer is due: timers first, or whoever keeps the inbox full would stop them."""
        deadlines = [self._next_sync_s, self._clean_at_s, self._introduce_at_s]
        deadlines += [each for each in (self.agreement.wake_at_s, self.catching_up.wake_at_s) if each is not None]
        due = min(deadlines)
        if self.context.now_s() >= due:
            return None
        with trio.move_on_at(due):
            item = await self._inbox_out.receive()
            return self._unpacked(item) if isinstance(item, Waiting) else item
        return None

    def _unpacked(self, waiting: Waiting) -> Item:
        """What lay in the inbox; its sender may send as much again."""
        left = self._waiting[waiting.share] - ITEM_COST - waiting.item.size
        if left:
            self._waiting[waiting.share] = left
        else:
            del self._waiting[waiting.share]
        return waiting.item

    def _take(self, item: Item | None) -> None:
        match item:
            case None:
                self._tick()
            case Wish():
                self._grant(item)
            case FrameIn(peer, frame):
                self.context.hear(peer)
                self.agreement.hear(peer)
                self._guarded(peer, lambda: self._take_frame(peer, frame))
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
                    self.rescuing.pursue(at_once=True)
                    self._introduce((peer,))
                    self.agreement.eviction.connected(peer)
                    if self.holding.unconfirmed:
                        self.agreement.speak()  # who hears from us for the first time answers where it stands

    def _grant(self, wish: Wish) -> None:
        """Do what a caller wants; what it asked wrongly is its error, anything else is a bug that ends the task."""
        try:
            wish.value = wish.act()
            wish.error = None
        except (ApiError, MlsError, RuleError) as error:
            wish.error = error
        except Exception:
            wish.error = _interrupted()
            raise
        finally:
            wish.done.set()

    def _take_frame(self, peer: PeerId, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.ORDERING:
                self.agreement.receive(peer, frame.body)
                self.catching_up.notice(peer, frame.body)
            case FrameKind.CANDIDATE:
                self.agreement.receive_candidate(peer, frame.body)
            case FrameKind.EVIDENCE if peer in self.agreement.roster:
                self.agreement.eviction.take(Evidence.decode(frame.body), peer)
            case FrameKind.INTENTS:
                self.agreement.receive_offer(peer, frame.body)
            case FrameKind.MESSAGE:
                self.conversation.receive(peer, frame.body)
            case FrameKind.INTRODUCTIONS if peer in self.agreement.roster:
                members = frozenset(self.agreement.roster.others)
                if take_introductions(self.context, peer, members, Introductions.decode(frame.body)):
                    again_s = max(self.context.now_s(), self._introduced_s + INTRODUCE_PERIOD_S)
                    self._introduce_at_s = min(self._introduce_at_s, again_s)
            case FrameKind.INTRODUCTIONS | FrameKind.EVIDENCE:
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
        self.catching_up.tick(now)
        if now >= self._clean_at_s:
            self._clean()
        if now >= self._introduce_at_s:
            self._introduced_s, self._introduce_at_s = now, float("inf")
            self._introduce(self._connected_members())
        if now >= self._next_sync_s:
            self._next_sync_s = now + SYNC_PERIOD_S * self._chance.uniform(0.75, 1.25)
            self._epochs_not_compared = 0
            self.agreement.reconsider()
            self._keep_bench(now)
            self.caution.pursue()
            self.rescuing.pursue()
            connected = self._connected_members()
            if connected and not self.catching_up.is_behind:  # in turn; each epoch is drained by itself when we lag
                self._sync_turn += 1
                self.conversation.compare_with(connected[self._sync_turn % len(connected)])
            self._deliver_welcomes()

    def _clean(self) -> None:
        """Forget ciphertexts past their time, and truncate the write-ahead log: old secrets leave the disk.

        All groups share the log, so whichever of them cleans first has cleaned for what the others forgot before.
        """
        now = self.context.now_s()
        self._clean_at_s = float("inf")
        if now - self._pruned_s >= PRUNE_PERIOD_S:
            self._pruned_s = now
            self.agreement.holding = prune(self.context, self.holding)
        if self.context.cleaned_s <= self._entered_s and self.context.store.checkpoint():
            self.context.cleaned_s = now

    def _connected_members(self) -> tuple[PeerId, ...]:
        return tuple(sorted(self.context.transport.peers() & set(self.agreement.roster.others)))

    def _introduce(self, peers: tuple[PeerId, ...]) -> None:
        """Tell members where we, and those we know, can be reached."""
        for peer in peers:
            told = introduce(self.context, self.agreement.roster.others, peer)
            frame = Frame(group_tag(self.group_id), FrameKind.INTRODUCTIONS, told.encode())
            self.outward.append(Tell((peer,), frame))

    def _note_epoch(self) -> None:
        self._new_epoch = True
        self._entered_s = self.context.now_s()
        self._epochs_not_compared += 1
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
                self._opt_in_if_wanted()
                self._deliver_welcomes()
                if self._members != set(self.agreement.roster.others):
                    self._members = set(self.agreement.roster.others)
                    self._introduce(self._connected_members())
            self._clean_at_s = min(self._clean_at_s, self.context.now_s() + CLEAN_DELAY_S)
        await self._flush()

    def _opt_in_if_wanted(self) -> None:
        """An always-on node volunteers as a voter by its own commit, once it knows which group it is in."""
        group = self.holding.group
        if not self.context.config.node.always_on or self.holding.unconfirmed or group is None:
            return
        if self.holding.health in CLOSED or self.holding.is_cut_off:
            return  # its members no longer change, or we are about to come back to it
        own = group.public.leaf(group.own_leaf)
        if own is None or voter_of(own) is not None:
            return
        store = self.context.store
        asked = [intent for intent in store.intents(self.group_id) if intent.kind in (OPT_IN, OPT_OUT)]
        if asked and (asked[-1].kind == OPT_OUT or asked[-1].state == OPEN):
            return  # the user has said otherwise, or it is under way
        if len(store.open_intents(self.group_id)) < OPEN_INTENTS_MAX:
            self._submit(OPT_IN, b"")

    def _keep_bench(self, now_s: float) -> None:
        """Bench who does not come back, and come back from the bench ourselves."""
        group = self.holding.group
        if now_s < self._next_bench_s or group is None or self.holding.health != OK or self.holding.unconfirmed:
            return
        self._next_bench_s = now_s + period_s(self.context)
        waiting = [(intent.kind, intent.body) for intent in self.context.store.open_intents(self.group_id)]
        for kind, body in wishes(self.context, group, self.agreement.sleepers):
            if (kind, body) not in waiting and len(waiting) < OPEN_INTENTS_MAX:
                log.info("wanted by itself", group=short(self.group_id), kind=kind)
                self._submit(kind, body, is_new=False)

    # --- the world ---

    async def _flush(self) -> None:
        transport = self.context.transport
        while self.outward:
            match self.outward.popleft():
                case Tell(peers, frame):
                    payload = frame.encode()
                    if len(payload) > FRAME_SIZE_MAX:
                        continue  # named in our Status, and fetched by who misses it
                    for peer in peers:
                        await transport.send(peer, payload)
                case Publish(frame, epoch):
                    await self._publish(frame, epoch)
                case Ask() as ask:
                    assert self._nursery is not None
                    self._nursery.start_soon(self._ask, ask)

    async def _publish(self, frame: Frame, epoch: int) -> None:
        key = self.holding.extra.key_of(epoch)
        if key is None:
            return
        payload = seal(frame, epoch, key)
        if len(payload) <= GOSSIP_SIZE_MAX:  # what is larger is fetched by who misses it
            await self.context.transport.publish(topic_of(self.group_id), payload)

    async def _ask(self, ask: Ask) -> None:
        """Ask one peer after another; the first answer is taken in, in the session's own task."""
        connected = self.context.transport.peers()
        answer: tuple[PeerId, bytes | None] = (ask.peers[0] if ask.peers else "", None)
        for peer in ask.peers:
            if peer not in connected:
                continue
            began_s = self.context.now_s()
            try:
                reply = await self.context.transport.request(peer, ask.protocol, ask.payload, timeout_s=ask.timeout_s)
                self.context.hear(peer)
                if ask.protocol == SYNC_PROTOCOL and len(reply) <= REPLY_SIZE_MAX:
                    self.context.round_trips.note(peer, self.context.now_s() - began_s)
            except TransportError as error:
                if isinstance(error, RequestError) and error.kind is RequestFailure.TIMEOUT:
                    self.context.round_trips.note(peer, self.context.now_s() - began_s)
                log.debug("no answer", peer=peer, protocol=ask.protocol, reason=str(error))
                continue
            if ask.accepts(reply):
                answer = (peer, reply)
                break
            log.info("answer dropped", group=short(self.group_id), peer=peer, protocol=ask.protocol)
        peer, taken = answer
        await self._inbox_in.send(Answer(peer, ask, taken))

    # --- newcomers ---

    def _deliver_welcomes(self) -> None:
        """Start a delivery for each Welcome whose turn has come."""
        assert self._nursery is not None
        now_ms = self.context.now_ms()
        for row in self.context.store.outbox(self.group_id):
            if row.kind == WELCOME_KIND and row.id not in self._delivering and row.created_ms <= now_ms:
                assert row.recipient is not None
                self._delivering.add(row.id)
                expired = now_ms - row.created_ms > GIVE_UP_MS
                self._nursery.start_soon(self._deliver, row.id, row.recipient, row.payload, expired)

    async def _deliver(self, row_id: int, peer: PeerId, payload: bytes, expired: bool) -> None:
        """One attempt; the row stays until the newcomer says that it is in."""
        settled = expired
        try:
            if peer in self.context.transport.peers():
                reply = await self.context.transport.request(peer, WELCOME_PROTOCOL, payload)
                settled = settled or reply in (JOINED, ALREADY_IN)
        except RequestError as error:
            log.info("welcome not delivered", group=short(self.group_id), peer=peer, reason=str(error))
        if settled:
            with self.context.store.transaction() as transaction:
                transaction.delete_outbox([row_id])
        else:
            await trio.sleep(RETRY_MS / 1000)
        self._delivering.discard(row_id)
