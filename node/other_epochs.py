"""Messages of epochs that are not the present one: too early, too late, or of another decided chain."""

from typing import TYPE_CHECKING, Final

from mls import ed25519_verify
from node.culprits import contradictions
from node.holding import FROZEN
from node.ordering_records import put_record, stored_decision
from node.parking import Parking
from node.peer_id import PeerId
from node.peer_messages import FrameKind
from ordering import Decision, Freeze, FreezeReason, InstanceMessage, Status, find_fork

if TYPE_CHECKING:
    from node.agreement import Agreement

FROZEN_TEXT: Final = "two contradicting certificates: the members of this group no longer change"


class OtherEpochs:
    """Belongs to the group's `Agreement`."""

    def __init__(self, agreement: "Agreement") -> None:
        self._agreement = agreement
        self.parking = Parking()

    def park(self, peer: PeerId, instance: bytes, kind: FrameKind, body: bytes) -> None:
        """Keep it for the epoch it is of. A member has room of its own there, all others have one share together."""
        share = peer if peer in self._agreement.roster else ""
        self.parking.park(share, peer, instance, kind, body)

    def receive(self, peer: PeerId, message: InstanceMessage, body: bytes) -> None:
        """Early: park it. Late: the sender lacks a Decision of ours (R10), or shows one that contradicts ours (R9)."""
        agreement, holding = self._agreement, self._agreement.holding
        epoch = message.epoch if isinstance(message, Status | Decision) else None
        if epoch is None or epoch > holding.epoch:
            self.park(peer, message.instance, FrameKind.ORDERING, body)
        elif isinstance(message, Decision):
            self._compare_with_log(message)
        elif isinstance(message, Status):
            # In our epoch, but of another instance: the group has forked, and our last Decision shows it.
            lacking = epoch if epoch < holding.epoch else epoch - 1
            known = (
                stored_decision(agreement.context.store, holding.group_id, lacking)
                if agreement.may_serve(peer, lacking)
                else None
            )
            if known is not None:
                agreement.telling.message((peer,), known)

    def _compare_with_log(self, decision: Decision) -> None:
        """R9, for an epoch we have left: a valid Decision other than ours means more than f liars. Never pick."""
        agreement, holding = self._agreement, self._agreement.holding
        known = stored_decision(agreement.context.store, holding.group_id, decision.epoch)
        fork = None if known is None else find_fork(known, decision, ed25519_verify)
        if fork is None:
            return
        own_key, finder = agreement.vote_key.public, agreement.context.identity.peer_id
        for evidence in contradictions(agreement.context.store, agreement.public, fork, own_key):
            agreement.eviction.take(evidence, finder)
        if agreement.is_frozen:
            return
        freeze = Freeze(FreezeReason.TWO_DECISIONS, (fork.first, fork.second), None)
        with agreement.context.store.transaction() as transaction:
            put_record(transaction, holding.group_id, holding.epoch, freeze)
        agreement.change_health(FROZEN, FROZEN_TEXT)
