"""Intents: what somebody wants changed. They survive lost races and restarts; commits do not.

An intent is durable before its caller hears of it. It is looked at anew in every epoch: already so, no longer
possible, or still wanted; what is wanted goes into this node's next candidate (`node.planning`). When another commit
wins, the intent stays and is built again.
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from ordering import Wire

KEY_PACKAGE_SIZE_MAX: Final = 64 * 1024
OPEN_INTENTS_MAX: Final = 256
"""Most intents of one group that may wait here; a caller that asks for more is told to come back."""

ADD: Final = "add"
READD: Final = "readd"
REMOVE: Final = "remove"
UPDATE: Final = "update"
OPT_IN: Final = "opt_in"
OPT_OUT: Final = "opt_out"
POLICY: Final = "policy"
BENCH: Final = "bench"
LEAVE: Final = "leave"

OPEN: Final = "open"
DONE: Final = "done"  # our own commit carried it
ALREADY: Final = "already"  # somebody else's did, or it was so before
FAILED: Final = "failed"


class AddBody(Wire, frozen=True):
    """Whom to add, by the key package it gave us."""

    SIZE_MAX: ClassVar[int] = KEY_PACKAGE_SIZE_MAX + 256

    peer: Annotated[str, Meta(max_length=128)]
    key_package: Annotated[bytes, Meta(max_length=KEY_PACKAGE_SIZE_MAX)]


class RemoveBody(Wire, frozen=True):
    """Whom to remove."""

    SIZE_MAX: ClassVar[int] = 256

    peer: Annotated[str, Meta(max_length=128)]
