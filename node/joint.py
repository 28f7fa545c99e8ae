"""Steps of several groups with one wait for the disk.

Each group has a task of its own, and what a step made durable has to be so before anything of it leaves. With many
groups a node would mostly wait for the disk, once for each. So the task that takes frames in also takes in those that
lie in the inboxes of other groups, whose tasks sleep between two of their steps: all in one block without an `await`,
in which nobody else can look at anything, and which ends when all of it is on the disk. Then those tasks are woken,
and do what follows from their own steps, as if they had taken them.

An error in one group's step is that group's: its task is woken to end of it. When the disk fails, all of them end: what
they hold in memory is then ahead of the disk, so nobody may ask them anything either (`Session.is_sound`).
"""

from collections.abc import Callable
from typing import Final, Protocol

from node.store import Store

GROUPS_MAX: Final = 16  # with one wait for the disk, so that none of them waits for long


class Sleeper(Protocol):
    """A group's task, as seen by the one that steps for it."""

    def step(self) -> bool:
        """Take in what lies here; False when that was nothing. Errors of its own are kept for its task."""
        ...

    def fail(self, error: BaseException) -> None:
        """What it took in just now is not on the disk: its task is to end of it."""
        ...


class Joint:
    """Of all groups of a node."""

    def __init__(self) -> None:
        self._ready: dict[Sleeper, None] = {}  # with frames in their inboxes, the longest waiting first

    def offer(self, sleeper: Sleeper) -> None:
        """This group's task sleeps and has frames; whoever writes next may take them in for it."""
        self._ready.setdefault(sleeper)

    def withdraw(self, sleeper: Sleeper) -> None:
        """Its task is awake."""
        self._ready.pop(sleeper, None)

    def run(self, store: Store, act: Callable[[], None]) -> None:
        """Do what the caller's task wants, and what waits in other groups; all of it is durable at the end."""
        stepped: list[Sleeper] = []
        try:
            with store.together():
                act()
                while self._ready and len(stepped) < GROUPS_MAX - 1:
                    sleeper = next(iter(self._ready))
                    del self._ready[sleeper]
                    if sleeper.step():
                        stepped.append(sleeper)
        except BaseException as error:
            for sleeper in stepped:
                sleeper.fail(error)
            raise
