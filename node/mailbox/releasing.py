"""Telling mailboxes that an epoch is over for all: every member is past it, as each of them has said itself.

What a mailbox holds of a released epoch goes first when it needs room, and its decision no later than all else. Only
who has a seat in the committee tells it: they are few, and one of them is enough.
"""

from typing import Final

from node.conversation import Conversation
from node.mailbox.judging import Judge
from node.mailbox.messages import Deposit
from node.mailbox.shelf import Shelf
from node.mailbox.visiting import Visit

RELEASED_PER_ROUND_MAX: Final = 32  # epochs that one mailbox is told of in one round


class Releasing:
    """Of one group."""

    def __init__(self, conversation: Conversation, shelf: Shelf, judge: Judge) -> None:
        self._conversation = conversation
        self._context = conversation.context
        self._shelf = shelf
        self._judge = judge

    async def tell(self, visits: list[Visit]) -> None:
        """Tell each mailbox what it does not know yet."""
        agreement = self._conversation.agreement
        if agreement.is_over or agreement.instance.config.own_voter is None:
            return
        passed = self._conversation.receipts.passed
        for visit in visits:
            with self._judge.judging(visit, []):
                await self._tell(visit, passed)

    async def _tell(self, visit: Visit, passed: int) -> None:
        """Only of epochs that it has spoken of: nothing begins to be kept for being released."""
        store, group_id = self._context.store, self._conversation.agreement.holding.group_id
        told = store.released(group_id, visit.mailbox)
        known = [epoch for epoch in store.stated_epochs(group_id, visit.mailbox) if told < epoch < passed]
        for epoch in known[:RELEASED_PER_ROUND_MAX]:
            topic = self._shelf.topic(epoch)
            if topic is not None:
                _, receipt = await visit.deposit(topic, Deposit((), is_released=True))
                self._judge.hold_to_its_word(visit.mailbox, epoch, receipt)
            with store.transaction() as transaction:
                transaction.put_released(group_id, visit.mailbox, epoch)
