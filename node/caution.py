"""Caution after a start: no message key is used before we know that no newer copy of this node has used it.

A data directory may be an older copy of itself (a restored backup). Its ratchet then stands where the node once stood,
and what it seals would take keys that were used after the copy was made: receivers would drop the new message as a
copy of the old one. Nothing on the disk tells. So a started node seals nothing in a group until it has asked every
connected member what was said in the epoch it stands in, has pulled what it lacks (its own messages among it, which
move its ratchet on), and found nobody further ahead; and the first message after that passes over some more keys, for
messages that none of those asked has. How many is drawn: the copy that went on has skipped too, from the same place.
Until then messages wait, unsealed and durable: with no other member there,
nobody could have received them.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from node.catching_up import CatchingUp
from node.conversation import Conversation
from node.draining import Drained
from node.peer_id import PeerId

SKIPPED_MIN: Final = 32
SKIPPED_SPREAD: Final = 256
COMPANY_S: Final = 2.0
"""How long we wait for more than one member to be connected, once one is."""
BOASTS_MAX: Final = 5
"""How often a member may claim a later epoch, and show nothing that leads there, before it is passed over."""


class Caution:
    """Of one group, from a start until it is over."""

    def __init__(self, conversation: Conversation, catching_up: CatchingUp) -> None:
        self.conversation = conversation
        self.catching_up = catching_up
        self.over = trio.Event()
        self._is_asking = False
        self._company_since_s: float | None = None
        self._boasts: dict[PeerId, int] = {}
        if conversation.agreement.holding.group_id in conversation.context.up_to_date:
            self.over.set()

    @property
    def is_over(self) -> bool:
        """Whether messages may be sealed."""
        return self.over.is_set()

    def pursue(self) -> None:
        """Compare with everybody who is there, if that is still to be done: on a connection, an epoch, a tick."""
        agreement, context = self.conversation.agreement, self.conversation.context
        if self.is_over or self._is_asking or agreement.is_over or agreement.holding.is_cut_off:
            return
        if self.catching_up.is_behind or self.catching_up.is_stranded:
            return
        others = agreement.roster.others
        if not others:
            self._end()
            return
        connected = context.transport.peers().intersection(others)
        if not connected:
            self._company_since_s = None
            return
        now_s = context.now_s()
        if self._company_since_s is None:
            self._company_since_s = now_s
        if len(connected) < min(len(others), 2) and now_s - self._company_since_s < COMPANY_S:
            return
        self._is_asking = True
        epoch = agreement.holding.epoch
        self.conversation.drain(others, epoch, partial(self._compared, epoch))

    def vouched(self, epoch: int) -> None:
        """Mailboxes hold nothing more of this epoch, and no later one; no member is here to be asked."""
        agreement = self.conversation.agreement
        if self.is_over or self._is_asking or agreement.is_over or agreement.holding.is_cut_off:
            return
        if agreement.holding.epoch == epoch and not self.catching_up.is_behind:
            self._end()

    def _compared(self, epoch: int, drained: Drained) -> None:
        self._is_asking = False
        holding = self.conversation.agreement.holding
        if holding.removed or holding.is_cut_off or holding.epoch != epoch:
            return
        ahead = {peer: at for peer, at in drained.answered.items() if at > epoch}
        for peer, at in ahead.items():
            self.catching_up.peer_ahead(peer, at)
            self._boasts[peer] = self._boasts.get(peer, 0) + 1
        if self.conversation.agreement.is_frozen and drained.answered:
            ahead = {}  # we stay in this epoch, and what is said here can still be read there
        if any(self._boasts[peer] <= BOASTS_MAX for peer in ahead) or drained.answered.keys() <= ahead.keys():
            return
        self._end()

    def _end(self) -> None:
        context, conversation = self.conversation.context, self.conversation
        context.up_to_date.add(conversation.agreement.holding.group_id)
        conversation.skip_generations = generations_to_skip(context.random)
        self.over.set()
        conversation.send_drafts()


def generations_to_skip(random: Callable[[int], bytes]) -> int:
    """How many keys of ours are passed over, for messages that only members hold who are not here."""
    return SKIPPED_MIN + int.from_bytes(random(2), "big") % SKIPPED_SPREAD
