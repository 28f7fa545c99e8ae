"""Reading what a group has seen: its messages, its decided chain, and what happens, as pages of rows.

Nothing of it needs the group's task: rows are durable before anybody is told of them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from node import chain_file, feed, feed_views, views
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.holding import Extra
from node.names import Names
from node.one_order import Place, PlaceError, messages_after
from node.receipts.showing import Receipts
from node.store_reads import PAGE_SIZE_MAX
from node.store_rows import FeedRow, GroupRow
from node.trimming import events_cut
from ordering import OrderingError

if TYPE_CHECKING:
    from node.daemon import Node


class Reading:
    """In the store of a running node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._context = node.context
        self._store = node.context.store

    def messages(self, group_id: bytes, request: schema.GroupReadRequest) -> schema.MessagePage:
        """Messages, oldest first; what was read here does not count as unread any more.

        There is no checkpoint between the questions, and nobody else writes: they are of one moment.
        """
        if request.order == "shared":
            return self._in_one_order(group_id, request)
        rows = self._store.feed_of_kind(group_id, feed.MESSAGE, request.after_seq, min(request.limit, PAGE_SIZE_MAX))
        more = self._store.feed_of_kind(group_id, feed.MESSAGE, rows[-1].seq, 1) if rows else ()
        last_seq = rows[-1].seq if more else max(self._store.feed_head(), request.after_seq)
        if rows and rows[-1].seq > views.read_to(self._context, group_id):
            with self._store.transaction() as transaction:
                transaction.put_meta(views.read_mark(group_id), str(rows[-1].seq).encode())
        return schema.MessagePage(messages=self._shown(group_id, rows), last_seq=last_seq, has_more=bool(more))

    def _in_one_order(self, group_id: bytes, request: schema.GroupReadRequest) -> schema.MessagePage:
        try:
            place = Place.from_text(request.after_place) if request.after_place else None
        except PlaceError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, str(error)) from error
        limit = min(request.limit, PAGE_SIZE_MAX)
        found = messages_after(self._store, group_id, place, limit + 1)
        rows = found[:limit]
        return schema.MessagePage(
            messages=self._shown(group_id, rows),
            last_seq=max((row.seq for row in rows), default=request.after_seq),
            has_more=len(found) > limit,
            last_place=Place.of(rows[-1]).to_text() if rows else request.after_place,
        )

    def _shown(self, group_id: bytes, rows: Sequence[FeedRow]) -> tuple[schema.MessageItem, ...]:
        """Messages, with what has become of ours."""
        names, receipts = Names.of(self._context), Receipts(self._context, self._node.sessions.get(group_id))
        return tuple(feed_views.message_item(row, names, receipts.of(row)) for row in rows)

    def log(self, group_id: bytes, request: schema.GroupLogRequest) -> schema.LogPage:
        """Decisions, oldest first, as the feed tells them; what is decided and not entered yet is told in brief."""
        rows = self._store.decisions(group_id, request.after_epoch, request.limit)
        if not rows:
            return schema.LogPage(group_id=group_id.hex(), entries=(), has_more=False)
        first, last = rows[0].epoch + 1, rows[-1].epoch + 1
        told = {row.epoch: row for row in self._store.feed_of_epochs(group_id, feed.DECISION, first, last)}
        names = Names.of(self._context)
        entries = tuple(
            feed_views.log_entry(told[row.epoch + 1], names)
            if row.epoch + 1 in told
            else feed_views.bare_log_entry(row)
            for row in rows
        )
        more = bool(self._store.decisions(group_id, last, 1))
        return schema.LogPage(group_id=group_id.hex(), entries=entries, has_more=more)

    def chain(self, row: GroupRow) -> schema.LogExport:
        """The chain with its certificates, from where our knowledge of it begins."""
        try:
            anchor = Extra.decode(row.extra).anchor
            exported = chain_file.read_chain(self._store, anchor)
        except OrderingError as error:
            raise ApiError(
                ErrorCode.REFUSED, f"the stored chain cannot be read: {error}", "look with: conclave log verify"
            ) from error
        return schema.LogExport(
            version=chain_file.FILE_VERSION,
            group_id=row.group_id.hex(),
            first_epoch=anchor.epoch + min(1, len(exported.entries)),
            last_epoch=anchor.epoch + len(exported.entries),
            chain=exported.encode(),
        )

    async def events(self, group_id: bytes | None, request: schema.EventsRequest) -> schema.EventBatch:
        """What happened above a feed number; waits for the first of it."""
        after = request.since
        if after is None:
            return schema.EventBatch(events=(), last_seq=self._store.feed_head())
        if after > (head := self._store.feed_head()):
            return self._truncated(head, f"there is no event {after} here, this may be another store: read it again")
        if after < (cut := events_cut(self._store)):
            return self._truncated(cut, f"events up to {cut} are no longer kept: read the state again")
        rows: tuple[FeedRow, ...] = ()
        deadline_s = self._context.now_s() + request.wait_s
        while True:
            rows = self._store.feed(after, request.limit, group_id)
            if rows:
                break
            after = max(after, self._store.feed_head())  # other groups' entries are behind us
            left_s = deadline_s - self._context.now_s()
            if left_s <= 0:
                break
            await self._context.feed.wait(after, left_s)
        more = bool(rows) and bool(self._store.feed(rows[-1].seq, 1, group_id))
        last_seq = rows[-1].seq if more else max(after, self._store.feed_head())
        names, sessions = Names.of(self._context), self._node.sessions
        happened = tuple(feed_views.event(self._context, row, sessions.get(row.group_id), names) for row in rows)
        return schema.EventBatch(events=happened, last_seq=last_seq)

    def _truncated(self, seq: int, text: str) -> schema.EventBatch:
        """What a reader is told that cannot go on where it was; the next batch goes on above `seq`."""
        event = schema.Event(seq=seq, kind="truncated", at=self._context.now_ms() / 1000, text=text)
        return schema.EventBatch(events=(event,), last_seq=seq)
