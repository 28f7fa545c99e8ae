"""What waits for one group's task: frames, hints, answers and the wishes of local callers, in one bounded line.

Nobody fills the line for the others: of one peer only so much lies in it at a time, and whatever comes on top is
dropped, since all of it is repeated.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, cast

import trio

from mls import MlsError
from node.api.errors import ApiError, ErrorCode
from node.electorate import RuleError
from node.logs import logger, short
from node.outward import Ask
from node.peer_id import PeerId
from node.peer_messages import Frame, Sealed
from node.roster import Roster
from node.transport import KIB, MIB

INBOX_MAX: Final = 4096
WAITING_PER_PEER_MAX: Final = 4 * MIB  # of one peer in the inbox; all who are no members have one such share together
ITEM_COST: Final = 8 * KIB  # what even an empty frame counts for

T = TypeVar("T")
log = logger("inbox")


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


@dataclass(frozen=True, slots=True)
class Stepped:
    """Frames from here were taken in while the group's task slept (`node.joint`): what follows from that is due."""


@dataclass(slots=True)
class Wish:
    """Something a local caller wants done in the session's task."""

    act: Callable[[], Any]
    done: trio.Event
    value: Any = None
    error: Exception | None = None

    def grant(self) -> None:
        """Do it; what the caller asked wrongly is its error, anything else is a bug that ends the task."""
        try:
            self.value = self.act()
            self.error = None
        except (ApiError, MlsError, RuleError) as error:
            self.error = error
        except Exception:
            self.error = interrupted()
            raise
        finally:
            self.done.set()


Item = FrameIn | HintIn | PeerIn | Answer | Wish


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something from the network in the inbox, and in whose share of it."""

    item: FrameIn | HintIn | PeerIn
    share: PeerId


class Inbox:
    """Of one group's task; `members` says who has a share of their own just now."""

    def __init__(self, group_id: bytes, members: Callable[[], Roster]) -> None:
        self.group_id = group_id
        self._members = members
        self._in, self._out = trio.open_memory_channel[Item | Waiting](INBOX_MAX)
        self._waiting: dict[PeerId, int] = {}  # what of each peer lies here, in bytes
        self._sleeper = trio.lowlevel.ParkingLot()
        self._has_stepped = False
        self.is_resting = False  # the task waits in `next`, between two steps and with nothing left to do

    def __len__(self) -> int:
        return self._in.statistics().current_buffer_used

    def post(self, item: FrameIn | HintIn | PeerIn) -> None:
        """Something from the network; dropped when there is no room for it."""
        self._sleeper.unpark_all()
        share = item.peer if item.peer in self._members() else ""
        after = self._waiting.get(share, 0) + ITEM_COST + item.size
        if after > WAITING_PER_PEER_MAX:
            return
        try:
            self._in.send_nowait(Waiting(item, share))
            self._waiting[share] = after
        except trio.WouldBlock:
            log.warning("inbox full", group=short(self.group_id))
        except trio.ClosedResourceError:
            log.debug("group task has ended", group=short(self.group_id))

    async def answer(self, answer: Answer) -> None:
        """The end of a question of ours; waits for room."""
        await self._send(answer)

    async def wish(self, act: Callable[[], T]) -> T:
        """Have something done in the session's task, between two of its steps; raises what it raised."""
        wish = Wish(act, trio.Event(), error=interrupted())
        try:
            await self._send(wish)
        except trio.ClosedResourceError:
            raise interrupted() from None
        await wish.done.wait()
        if wish.error is not None:
            raise wish.error
        return cast(T, wish.value)

    async def _send(self, item: Answer | Wish) -> None:
        self._sleeper.unpark_all()
        await self._in.send(item)

    def stepped(self) -> None:
        """Frames were taken from here on behalf of the task, which sleeps: wake it, before it takes anything else."""
        self._has_stepped, self.is_resting = True, False
        self._sleeper.unpark_all()

    async def next(self, due_s: float) -> Item | Stepped | None:
        """The next item, or None when a timer is due: timers first, or whoever keeps the inbox full would stop them."""
        if trio.current_time() >= due_s:
            return None
        self.is_resting = True
        try:
            if len(self):
                await trio.lowlevel.checkpoint()
            else:
                with trio.move_on_at(due_s):
                    while not len(self) and not self._has_stepped:
                        await self._sleeper.park()
        finally:
            self.is_resting = False
        if self._has_stepped:
            self._has_stepped = False
            return Stepped()
        return self.at_once()

    def at_once(self) -> Item | None:
        """The next item if one lies here."""
        try:
            return self._unpacked(self._out.receive_nowait())
        except trio.WouldBlock:
            return None

    async def wishes(self) -> AsyncIterator[Wish]:
        """What local callers still ask; everything else is dropped."""
        async for item in self._out:
            if isinstance(item, Wish):
                yield item

    def close(self) -> None:
        """The task ends: whoever still waits for it is told so. What was made durable goes on after a restart."""
        self._in.close()
        try:
            while True:
                item = self._out.receive_nowait()
                if isinstance(item, Wish):
                    item.done.set()
        except (trio.WouldBlock, trio.EndOfChannel):
            pass

    def _unpacked(self, item: Item | Waiting) -> Item:
        """What lay here; who sent it may send as much again."""
        if not isinstance(item, Waiting):
            return item
        left = self._waiting[item.share] - ITEM_COST - item.item.size
        if left:
            self._waiting[item.share] = left
        else:
            del self._waiting[item.share]
        return item.item


def interrupted() -> ApiError:
    """What is answered to a wish that the end of the task cut short."""
    return ApiError(
        ErrorCode.BUSY,
        "the group's task was interrupted while it was at this",
        "look what became of it, then try again",
    )
