"""One agreement: which bundle ends this epoch."""

from __future__ import annotations

from collections.abc import Iterable

from ordering.events import Input
from ordering.guard import Guard
from ordering.records import Record
from ordering.state import InstanceConfig, InstanceState, Transition, Work


def create(config: InstanceConfig, guard: Guard) -> InstanceState:
    """An instance of an epoch just entered; asleep, and to be given `Open` first."""
    return InstanceState(config, guard)


def restore(config: InstanceConfig, guard: Guard, records: Iterable[Record]) -> InstanceState:
    """The instance as its records left it; to be given `Open` first, and the facts of all stored candidates.

    Records of other instances are passed over. Own records are trusted: no signature is checked again.
    """
    return InstanceState(config, guard)


def step(state: InstanceState, event: Input) -> Transition:
    """Apply one input: same state, same input, same transition.

    An input that no rule matches changes nothing; late and early messages are normal.
    """
    work = Work(state)
    return work.transition()
