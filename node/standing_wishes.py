"""What this node wants of a group by itself: a seat if it is always on, and no seat for voters that are gone."""

from typing import Protocol

from node import silence
from node.agreement import Agreement
from node.benching import period_s, wishes
from node.electorate import seats_of, voter_of
from node.holding import CLOSED, OK
from node.intents import OPEN, OPEN_INTENTS_MAX, OPT_IN, OPT_OUT
from node.logs import logger, short
from node.silence import SAVE_PERIOD_S

log = logger("standing_wishes")


class Submit(Protocol):
    """Makes an intent; unless `is_new`, it is no reason to ask at once for what the voters refused."""

    def __call__(self, kind: str, body: bytes, *, is_new: bool = True) -> object: ...


class StandingWishes:
    """Of one group."""

    def __init__(self, agreement: Agreement, submit: Submit) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self._submit = submit
        self._next_bench_s = 0.0
        self._next_save_s = self.context.now_s() + SAVE_PERIOD_S

    def opt_in(self) -> None:
        """An always-on node volunteers as a voter by its own commit, once it knows which group it is in."""
        holding = self.agreement.holding
        group = holding.group
        if not self.context.config.node.always_on or holding.unconfirmed or group is None:
            return
        if holding.health in CLOSED or holding.is_cut_off:
            return  # its members no longer change, or we are about to come back to it
        own = group.public.leaf(group.own_leaf)
        if own is None or voter_of(own) is not None:
            return
        store = self.context.store
        asked = [intent for intent in store.intents(holding.group_id) if intent.kind in (OPT_IN, OPT_OUT)]
        if asked and (asked[-1].kind == OPT_OUT or asked[-1].state == OPEN):
            return  # the user has said otherwise, or it is under way
        if len(store.open_intents(holding.group_id)) < OPEN_INTENTS_MAX:
            self._submit(OPT_IN, b"")

    def keep_silence(self, now_s: float) -> None:
        """Keep over restarts for how long voters have been missed, or a day of it would never be reached."""
        public = self.agreement.holding.public
        if now_s < self._next_save_s or public is None:
            return
        self._next_save_s = now_s + SAVE_PERIOD_S
        peers = [seat.identity.decode() for seat in seats_of(public)]
        silence.save(self.context.store, public.group_id, [(peer, self.context.silence_s(peer)) for peer in peers])

    def keep_bench(self, now_s: float) -> None:
        """Bench who does not come back, and come back from the bench ourselves."""
        holding = self.agreement.holding
        group = holding.group
        if now_s < self._next_bench_s or group is None or holding.health != OK or holding.unconfirmed:
            return
        self._next_bench_s = now_s + period_s(self.context)
        waiting = [(intent.kind, intent.body) for intent in self.context.store.open_intents(holding.group_id)]
        for kind, body in wishes(self.context, group, self.agreement.sleepers):
            if (kind, body) not in waiting and len(waiting) < OPEN_INTENTS_MAX:
                log.info("wanted by itself", group=short(holding.group_id), kind=kind)
                self._submit(kind, body, is_new=False)
