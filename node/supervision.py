"""One task per group, and its supervisor: a task that dies is started again from the disk.

Later and later if it keeps failing; the other groups do not notice.
"""

from functools import partial
from typing import Final, Protocol

import trio

from node.context import NodeContext, group_config
from node.holding import Holding
from node.logs import logger, short
from node.peer_id import PeerId
from node.peer_messages import group_tag
from node.rule_versions import OtherRulesError, check_rules
from node.session import Session
from node.store_rows import GroupRow
from node.transport import RefusedError

RESTART_MIN_S: Final = 0.5
RESTART_MAX_S: Final = 60.0
STEADY_S: Final = 60.0  # a group's task that ran this long starts with a clean record

log = logger("supervision")


class Started(Protocol):
    """What `nursery.start` hands to a task, to be told that it is under way."""

    def started(self) -> None: ...


class Supervisor:
    """Of all groups of a running node; once `nursery` is there, they can be started."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self.nursery: trio.Nursery | None = None
        self.sessions: dict[bytes, Session] = {}
        self._by_tag: dict[bytes, bytes] = {}
        self._scopes: dict[bytes, trio.CancelScope] = {}

    async def start(self, group_id: bytes) -> None:
        """Start a group's task, in place of an earlier one; returns when it runs, or has failed for the first time."""
        assert self.nursery is not None, "the node is not running"
        if group_id in self._scopes:
            self._scopes.pop(group_id).cancel()
        if group_id in self.sessions:
            self.sessions[group_id].retire()
        self._by_tag[group_tag(group_id)] = group_id
        await self.nursery.start(partial(self._supervise, group_id))

    async def _supervise(self, group_id: bytes, *, task_status: Started = trio.TASK_STATUS_IGNORED) -> None:
        """Run a group's task; after an error of our own, again from the disk."""
        pause_s = RESTART_MIN_S
        scope = self._scopes[group_id] = trio.CancelScope()
        with scope:
            while True:
                row = self._context.store.group(group_id)
                assert row is not None, "a group that was started is in the store"
                if row.removed:
                    return
                began_s = self._context.now_s()
                try:
                    session = self._opened(row)
                    self.sessions[group_id] = session
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await session.run()
                    return
                except OtherRulesError as error:
                    log.error("group not opened", group=short(group_id), reason=str(error))
                    self._context.refused_groups[group_id] = str(error)
                    task_status.started()
                    return
                except Exception:
                    # The supervisor's whole purpose: whatever a group's task dies of, it is logged and restarted.
                    log.exception("group task failed", group=short(group_id))
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                if self._context.now_s() - began_s > STEADY_S:
                    pause_s = RESTART_MIN_S
                await trio.sleep(pause_s)
                pause_s = min(RESTART_MAX_S, 2 * pause_s)

    def _opened(self, row: GroupRow) -> Session:
        """A group as the disk has it. What it was then is kept by nobody else: its secrets leave the memory with it."""
        holding = Holding.load(self._context.store, row, group_config(self._context.config))
        if holding.public is not None:
            check_rules(holding.public)
        return Session(self._context, holding)

    def of_tag(self, tag: bytes) -> Session | None:
        """The group that a frame is about."""
        return self.sessions.get(self._by_tag.get(tag, b""))

    def serving(self, tag: bytes, peer: PeerId) -> Session:
        """The group of a tag, for who is or was a member; `RefusedError`, in the same words, for all others."""
        session = self.of_tag(tag)
        if session is None or not session.is_sound:
            raise RefusedError("no such group for you here")
        if session.agreement.is_over or not session.agreement.may_serve(peer, 0):
            raise RefusedError("no such group for you here")
        return session
