"""A nursery for background work whose owner's own exceptions pass through unwrapped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block ends.

    An exception raised in the block arrives outside as itself and not inside an `ExceptionGroup`, so
    that `pytest.raises` and `except DialError` around the block mean what they say. A background task
    that raises cancels the block and does arrive in a group: it is a bug, and its traceback matters.
    """
    raised: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except Exception as error:
                raised = error
                raise
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if raised is not None and _only(group, raised):
            raise raised from raised.__cause__
        raise


def _only(group: BaseExceptionGroup[BaseException], wanted: Exception) -> bool:
    return group.split(lambda error: error is wanted)[1] is None


def shielded_for(seconds: float) -> trio.CancelScope:
    """For what has to be tidied up whatever happens, but not at any price."""
    return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)
