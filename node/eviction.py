"""What a node does about proven liars: it keeps the evidence, passes it on, tells its user, and removes them.

Evidence is a fact about a peer in a group, so it is kept for good, within bounds: one piece for each instance, few of
one peer, and a bounded number in all. It spreads once: whoever finds or first hears of a contradiction tells everyone
(voters only, where it came from elsewhere), and who connects is told what concerns present members.

A voter removes who is convicted by a commit of its own, class 0, with the evidence inside: at once when it leads the
epoch, else after a while of its own, so that not all come together. Only where somebody is left to elect; and where
`ordering.evict_proven` is off, it is left to people.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import Group, LeafNode, MlsError, PublicGroup
from node import feed
from node.benching import share
from node.building import Built, build_eviction
from node.context import NodeContext
from node.electorate import RuleError, can_go_on, leaf_of_peer
from node.evidence import accused
from node.feed import NoticeBody
from node.identity import BindingError, claimed_peer
from node.judgement import Epoch
from node.logs import logger, short
from node.names import Names
from node.peer_id import PeerId
from node.presence import NotNowError
from node.store_reads import StoreReads
from node.store_rows import FeedRow
from ordering import Evidence, Wire

KEPT_MAX: Final = 64  # pieces of evidence in a group
KEPT_OF_ONE_MAX: Final = 4  # of one peer: one convicts it
TOLD_MAX: Final = 8  # pieces told to who connects
REFUSED_MAX: Final = 16  # false ones of one peer, until nothing more of this kind is taken from it
AT_ONCE_MAX: Final = 8  # members removed by one eviction
EVICT_AFTER_S: Final = 2.0
EVICT_SPREAD_S: Final = 8.0
AGAIN_S: Final = 10.0  # when too few of the voters it elects were heard
BOOK_SIZE_MAX: Final = KEPT_MAX * (Evidence.SIZE_MAX + 256)

log = logger("eviction")


class Piece(Wire, frozen=True):
    """One piece of evidence, whom it convicts, and the epoch in which we learnt of it."""

    SIZE_MAX: ClassVar[int] = Evidence.SIZE_MAX + 256

    peer: Annotated[str, Meta(max_length=128)]
    epoch: int
    evidence: Evidence
    is_spent: bool = False  # it has left or was removed since: who adds it again means to


class Book(Wire, frozen=True):
    """All evidence that is kept of a group, oldest first."""

    SIZE_MAX: ClassVar[int] = BOOK_SIZE_MAX

    pieces: Annotated[tuple[Piece, ...], Meta(max_length=KEPT_MAX)] = ()

    def holds(self, peer: PeerId, instance: bytes) -> bool:
        """Whether it is known already."""
        return any(each.peer == peer and each.evidence.first.instance == instance for each in self.pieces)

    def has_room(self, peer: PeerId) -> bool:
        """Whether another piece is kept."""
        return sum(each.peer == peer for each in self.pieces) < KEPT_OF_ONE_MAX

    def adding(self, piece: Piece, public: PublicGroup) -> "Book | None":
        """With another piece; at the bound the oldest against somebody who is no member any more gives way."""
        pieces = self.pieces
        if len(pieces) >= KEPT_MAX:
            gone = next((each for each in pieces if leaf_of_peer(public, each.peer) is None), None)
            pieces = tuple(each for each in pieces if each is not gone)
        return Book((*pieces, piece)) if len(pieces) < KEPT_MAX else None

    def convicting(self, public: PublicGroup) -> dict[int, Piece]:
        """The first piece against each present member, by its leaf."""
        found: dict[int, Piece] = {}
        for piece in self.pieces:
            leaf_index = None if piece.is_spent else leaf_of_peer(public, piece.peer)
            if leaf_index is not None:
                found.setdefault(leaf_index, piece)
        return found


def stored_book(store: StoreReads, group_id: bytes) -> Book:
    """The evidence of a group as it was stored."""
    data = store.meta(_book_key(group_id))
    return Book() if data is None else Book.decode(data)


@dataclass(frozen=True, slots=True)
class Turn:
    """One epoch, as far as removing the convicted is concerned."""

    epoch: Epoch
    own_leaf: int
    group: Group | None = field(repr=False)  # None: we cannot commit in it, being cut off or unconfirmed

    @property
    def public(self) -> PublicGroup:
        return self.epoch.public


class Eviction:
    """The evidence of one group, and the commit that follows from it."""

    def __init__(
        self,
        context: NodeContext,
        group_id: bytes,
        *,
        tell: Callable[[PeerId | None, Evidence], None],
        offer: Callable[[Built], bool],
    ) -> None:
        """`tell` one peer, or all members. `offer` a commit of ours in the epoch; False when there is one already."""
        self.context = context
        self.group_id = group_id
        self.book = stored_book(context.store, group_id)
        self.due_at_s: float | None = None  # when it is our turn to remove the convicted, if nobody has by then
        self._tell = tell
        self._offer = offer
        self._refused: dict[PeerId, int] = {}
        self._known_since_s: dict[PeerId, float] = {}  # by whom it convicts

    def begin(self, turn: Turn) -> None:
        """An epoch is entered, or the evidence has grown."""
        self.turn = turn
        self._spend()
        self.due_at_s = self._our_turn_s()

    def end(self) -> None:
        """We are no member any more: nothing is to be done, and no value of the group kept."""
        self.turn, self.due_at_s = replace(self.turn, group=None), None

    # --- evidence ---

    def take(self, evidence: Evidence, source: PeerId) -> None:
        """Check evidence that a peer, or we ourselves, found; what is news is kept, told to the user, and passed on.

        What is false is held against `source`. What we find against somebody who has gone is for our user alone.
        """
        turn = self.turn
        if self._refused.get(source, 0) >= REFUSED_MAX:
            return
        try:
            claimed = claimed_peer(LeafNode.decode(evidence.leaf_node).credential.identity)
            if self.book.holds(claimed, evidence.first.instance) or not self.book.has_room(claimed):
                return  # before any signature
            peer = accused(turn.public, evidence)
            is_member = leaf_of_peer(turn.public, peer) is not None
            if not is_member and source != self.context.identity.peer_id:
                raise RuleError("evidence against somebody who is no member")
        except (RuleError, MlsError, BindingError) as error:
            self._refused[source] = self._refused.get(source, 0) + 1
            log.info("evidence refused", group=short(self.group_id), peer=source, reason=str(error))
            return
        if not self._keep(peer, evidence):
            return
        seated = turn.epoch.voting.committee.voter_of_leaf(turn.own_leaf) is not None
        if is_member and (seated or source == self.context.identity.peer_id):
            self._tell(None, evidence)
        self.begin(turn)

    def connected(self, peer: PeerId) -> None:
        """A member has connected: it is told what convicts present members."""
        for piece in list(self.book.convicting(self.turn.public).values())[:TOLD_MAX]:
            self._tell(peer, piece.evidence)

    def _spend(self) -> None:
        """What convicted somebody who is gone has served its purpose."""
        gone = {each.peer for each in self.book.pieces if leaf_of_peer(self.turn.public, each.peer) is None}
        if any(each.peer in gone and not each.is_spent for each in self.book.pieces):
            pieces = (
                Piece(each.peer, each.epoch, each.evidence, each.is_spent or each.peer in gone)
                for each in self.book.pieces
            )
            self.book = Book(tuple(pieces))
            with self.context.store.transaction() as transaction:
                transaction.put_meta(_book_key(self.group_id), self.book.encode())

    def _keep(self, peer: PeerId, evidence: Evidence) -> bool:
        epoch = self.turn.public.epoch
        book = self.book.adding(Piece(peer, epoch, evidence), self.turn.public)
        if book is None:
            return False
        name = Names.of(self.context).shown(peer)
        text = f"{name} signed two votes that contradict each other (seen in epoch {epoch}): it lies, or runs twice"
        row = FeedRow(self.group_id, feed.HEALTH, epoch, peer, None, NoticeBody(text).encode(), self.context.now_ms())
        with self.context.store.transaction() as transaction:
            transaction.put_meta(_book_key(self.group_id), book.encode())
            transaction.append_feed(row)
        self.book = book
        self.context.feed.grew()
        log.error("contradicting votes", group=short(self.group_id), accused=peer)
        return True

    # --- removing the convicted ---

    def tick(self) -> None:
        """When `due_at_s` has come: the commit, unless another of ours is under way. The next epoch looks again."""
        if self.due_at_s is None or self.context.now_s() < self.due_at_s or self.turn.group is None:
            return
        self.due_at_s = None
        wanted = list(self.book.convicting(self.turn.public).items())[:AT_ONCE_MAX]
        why = {leaf_index: piece.evidence for leaf_index, piece in wanted}
        now = self.context.now_ms() // 1000
        try:
            if self._offer(build_eviction(self.turn.group, self.turn.epoch.instance, why, self.context.random, now)):
                log.info("eviction offered", group=short(self.group_id), epoch=self.turn.public.epoch)
        except NotNowError:
            self.due_at_s = self.context.now_s() + AGAIN_S
        except (MlsError, RuleError) as error:
            log.error("no eviction", group=short(self.group_id), reason=str(error))

    def _our_turn_s(self) -> float | None:
        turn = self.turn
        convicted = self.book.convicting(turn.public)
        own = turn.epoch.voting.committee.voter_of_leaf(turn.own_leaf)
        if not convicted or not self.context.config.ordering.evict_proven:
            return None
        if own is None or turn.group is None or turn.own_leaf in convicted:
            return None
        if not can_go_on(turn.public, turn.epoch.voting, frozenset(convicted)):
            return None
        leads = turn.epoch.voting.committee.leader(turn.public.epoch, 0) == own
        return min(self._due_s(piece.peer, leads=leads) for piece in convicted.values())

    def _due_s(self, peer: PeerId, *, leads: bool) -> float:
        since = self._known_since_s.setdefault(peer, self.context.now_s())
        return since if leads else since + EVICT_AFTER_S + EVICT_SPREAD_S * share(self.context.identity.peer_id, peer)


def _book_key(group_id: bytes) -> str:
    return f"evidence/{group_id.hex()}"
