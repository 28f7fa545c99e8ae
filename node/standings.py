"""Where the members of the epoch say they stand: with our secrets, with others, or with none."""

from typing import TYPE_CHECKING, Final

from node import cut_off, feed
from node.adoption import notice_row
from node.confirmation import Confirmation
from node.cut_off import NO_FINGERPRINT
from node.electorate import Voting
from node.holding import OK
from node.identity import claimed_peer
from node.logs import logger, short
from node.names import Names
from node.peer_id import PeerId
from ordering import Status

if TYPE_CHECKING:
    from node.agreement import Agreement

ANSWER_GAP_S: Final = 0.25  # between two answers to members that are new in the epoch; who misses one says so again
FRAGMENT_STEP: Final = "remove and re-add whichever of the two the others cannot read"

log = logger("standings")


class Standings:
    """In one epoch, from when it was entered here. Belongs to the group's `Agreement`."""

    def __init__(self, agreement: "Agreement", voting: Voting) -> None:
        self._agreement = agreement
        self._context = agreement.context
        self._seen_leaves: set[int] = set()  # whose Status was heard
        self._answered_s = float("-inf")  # when one was last answered
        self._fragments: set[int] = set()  # whose fingerprint is not ours
        self._cut_off: set[int] = set()  # who has said that it has none
        roster, welcomed_by = agreement.roster, agreement.holding.extra.welcomed_by
        self._confirmation = Confirmation(voting.committee, len(roster), welcomed_by)

    @property
    def fragments(self) -> tuple[PeerId, ...]:
        """The members of this epoch that hold other secrets than we do."""
        roster = self._agreement.roster
        return tuple(peer for peer in roster.others if roster.leaf_of(peer) in self._fragments)

    def note(self, status: Status) -> None:
        """A member stands where we stand, or does not; one that is new in this epoch is answered at once."""
        agreement = self._agreement
        sender = (status.voter is not None, status.leaf if status.voter is None else status.voter)
        if agreement.instance.serials.get(sender) != status.serial:
            return  # the instance did not believe it
        peer = agreement.roster.peer_at(status.leaf)
        if peer is not None and peer != self._context.identity.peer_id:
            self._context.hear(peer)  # it may have come by the topic, from a neighbour
            agreement.arrived[peer] = agreement.holding.epoch
        if status.leaf not in self._seen_leaves:
            if status.voter is not None:
                self._seen_leaves.add(status.leaf)
            elif self._context.now_s() - self._answered_s >= ANSWER_GAP_S:  # what we said last was for all
                self._seen_leaves.add(status.leaf)
                self._answered_s = self._context.now_s()
                agreement.speak()
        if status.fingerprint == NO_FINGERPRINT:
            self._note_cut_off(status.leaf)
        elif agreement.holding.is_cut_off:
            pass  # we have none to compare
        elif status.fingerprint != agreement.instance.config.fingerprint:
            self._note_fragment(status.leaf)
        elif status.leaf in self._fragments:
            self._fragments.discard(status.leaf)  # mended
        elif agreement.holding.unconfirmed and self._confirmation.count(status):
            agreement.change_health(OK, "the group is confirmed", unconfirmed=False)
            agreement.on_epoch()
            agreement.pursue_intents()

    def _note_cut_off(self, leaf_index: int) -> None:
        """A member says that it could not open the change that began this epoch: told once in it."""
        leaf = self._agreement.public.leaf(leaf_index)
        if leaf_index in self._cut_off or leaf is None:
            return
        self._cut_off.add(leaf_index)
        text = cut_off.seen(leaf_index, Names.of(self._context).shown(claimed_peer(leaf.credential.identity)))
        self._notice(text)

    def _note_fragment(self, leaf_index: int) -> None:
        """A member of this very epoch holds other secrets than we do: it, or we, cannot read what the other says."""
        if leaf_index in self._fragments:
            return
        self._fragments.add(leaf_index)
        log.error("epoch fingerprints differ", group=short(self._agreement.holding.group_id), leaf=leaf_index)
        text = (
            f"the member at leaf {leaf_index} stands in this epoch with other secrets than this node: {FRAGMENT_STEP}"
        )
        self._notice(text)

    def _notice(self, text: str) -> None:
        """Tell the user."""
        with self._context.store.transaction() as transaction:
            transaction.append_feed(notice_row(self._agreement.holding, feed.HEALTH, text, self._context.now_ms()))
        self._context.feed.grew()
