"""Who has what of one group's messages, as far as there is word of it. Nothing is asked for it.

Members compare the sets that they hold anyway (`node.comparing`, `node.draining`): who holds what we hold has our
messages; whose list names a message has it. Who never meets us says it in a mark (`node.receipts.marks`). In each case
it is the member's own word, over a link or under a signature that proves who it is, and counts for that member alone.
Who was no member of the epoch that a message was sealed in is not counted for it.

What was learnt is written a moment later, many words at once: when a crash takes it, it is learnt again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from mls import sha256
from node.agreement import Agreement
from node.context import NodeContext
from node.feed import MessageBody
from node.logs import logger, short
from node.mailbox.sealing import ItemKind, Topic, TopicKeys, item_id
from node.mailbox.tables import DepositRow
from node.peer_id import PeerId, peer_id_of
from node.receipts.marks import MARK_SIZE_MAX, SECTIONS_MAX, Mark, SealedSection, open_section, seal_section
from node.receipts.ranges import Ranges, of, union, within
from node.receipts.tables import SpokenRow
from node.retention import DAY_MS
from node.store_rows import EPOCH_MAX
from node.store_writes import Transaction
from ordering import MalformedError

LISTED_MAX: Final = 512  # messages of ours in an epoch, the newest, that are looked for in a member's list
REMEMBERED_MAX: Final = 4096  # words about who has what of an epoch that are in memory; the others are on the disk
MARKS_KNOWN_MAX: Final = 4096  # marks of others in one epoch's topic that are remembered, so as not to be fetched again
MARK_ROOM: Final = MARK_SIZE_MAX - 256  # for what a mark tells
MARK_GAP_MIN_S: Final = 10.0  # between two marks of ours, from a start on; then twice that,
MARK_GAP_MAX_S: Final = 3600.0  # and so on up to this

Opened = tuple[int, int, int, bool]
"""A message that has come: epoch, leaf, generation, and whether it is one of ours."""

log = logger("receipts")


class Receipts:
    """Of one group. Only the group's own tasks use it; no step of it waits."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._group_id = agreement.holding.group_id
        self._told: dict[tuple[int, PeerId], Ranges] = {}  # on the disk
        self._learnt: dict[tuple[int, PeerId], Ranges] = {}  # not yet
        self._stands: dict[PeerId, int] = {}  # not on the disk yet
        self._audiences: dict[bytes, frozenset[PeerId]] = {}  # by digest, the latest used
        self._members = frozenset(agreement.roster.others)
        self._marked_s = float("-inf")
        self._mark_gap_s = MARK_GAP_MIN_S

    @property
    def _context(self) -> NodeContext:
        return self._agreement.context

    # --- with the messages, in their transactions ---

    def note_own(self, transaction: Transaction, epoch: int, leaf: int, generations: Iterable[int]) -> None:
        """There are messages of ours in an epoch; who is to read them is known if it is the present one."""
        rows = transaction.spoken(self._group_id, epoch, epoch)
        if rows:
            row = replace(rows[0], generations=union(rows[0].generations, of(generations)))
        elif epoch == self._agreement.holding.epoch:
            peers = " ".join(sorted(self._agreement.roster.others))
            row = SpokenRow(epoch, leaf, of(generations), sha256(peers.encode()))
            transaction.put_audience(self._group_id, row.audience, peers)
        else:
            return
        transaction.put_spoken(self._group_id, row)

    def note_opened(self, transaction: Transaction, opened: Iterable[Opened]) -> None:
        """Messages have come: of others, which we have not told anybody yet; or ours, which an older copy forgot."""
        found: dict[tuple[int, int, bool], list[int]] = {}
        for epoch, leaf, generation, is_own in opened:
            found.setdefault((epoch, leaf, is_own), []).append(generation)
        for (epoch, leaf, is_own), generations in found.items():
            if is_own:
                self.note_own(transaction, epoch, leaf, generations)
            elif self._group_id in self._context.with_mailboxes:
                known = transaction.heard_of(self._group_id, epoch, leaf)
                transaction.put_heard(self._group_id, epoch, leaf, union(known, of(generations)))

    # --- from other members ---

    def stands(self, peer: PeerId, epoch: int) -> None:
        """A member says that it is in an epoch, which it may have been for long."""
        if peer in self._agreement.roster and epoch <= self._agreement.holding.epoch:
            self._stands[peer] = max(epoch, self._stands.get(peer, epoch))

    def holds_the_same(self, peer: PeerId, first: int, last: int) -> None:
        """A member holds what we hold of these epochs, both included."""
        for row in self._context.store.spoken(self._group_id, first, min(last, EPOCH_MAX)):
            if self._is_kept(row):
                self._learn(row, peer, row.generations)

    def _is_kept(self, row: SpokenRow) -> bool:
        """Whether all our messages of an epoch are here still: holding the same says nothing of what is forgotten."""
        kept = self._context.store.own_kept_count(self._group_id, row.epoch, self._context.identity.peer_id)
        return kept >= sum(last - first + 1 for first, last in row.generations)

    def lists(self, peer: PeerId, epoch: int, ids: Sequence[bytes]) -> None:
        """A member names messages of an epoch that it holds."""
        rows = self._context.store.spoken(self._group_id, epoch, epoch)
        if not rows or not ids or peer not in self._audience(rows[0].audience):
            return
        own, named = self._context.identity.peer_id, set(ids)
        listed = self._context.store.own_messages(self._group_id, epoch, own, LISTED_MAX)
        self._learn(rows[0], peer, of(MessageBody.decode(body).generation for id, body in listed if id in named))

    def _learn(self, row: SpokenRow, peer: PeerId, generations: Ranges) -> None:
        key = (row.epoch, peer)
        known = self._learnt.get(key) or self._known(key)
        after = union(known, within(generations, row.generations))
        if after != known and peer in self._audience(row.audience):
            self._learnt[key] = after

    def _known(self, key: tuple[int, PeerId]) -> Ranges:
        if key not in self._told:
            self._told[key] = self._context.store.delivery(self._group_id, *key)
            if len(self._told) > REMEMBERED_MAX:
                del self._told[next(iter(self._told))]
        return self._told[key]

    def _audience(self, digest: bytes) -> frozenset[PeerId]:
        peers = self._audiences.pop(digest, None)
        if peers is None:
            peers = self._context.store.audience(self._group_id, digest)
        self._audiences[digest] = peers
        if len(self._audiences) > 8:
            del self._audiences[next(iter(self._audiences))]
        return peers

    def keep(self) -> None:
        """Make durable what was learnt."""
        if self._agreement.is_over:
            self._stands.clear()
        if not self._learnt and not self._stands:
            return
        learnt, stands = dict(self._learnt), self._moved()
        if learnt or stands:
            with self._context.store.transaction() as transaction:
                for (epoch, peer), generations in learnt.items():
                    transaction.put_delivery(self._group_id, epoch, peer, generations)
                for peer, epoch in stands.items():
                    transaction.put_standing(self._group_id, peer, epoch)
                for peer in self._strangers():
                    transaction.drop_standing(self._group_id, peer)
        self._told.update({key: ranges for key, ranges in learnt.items() if key in self._told})
        self._learnt.clear()
        self._stands.clear()

    def _moved(self) -> dict[PeerId, int]:
        known = self._context.store.standings(self._group_id)
        return {peer: epoch for peer, epoch in self._stands.items() if epoch > known.get(peer, -1)}

    def _strangers(self) -> set[PeerId]:
        """Whose standing is of no use any more."""
        roster, departed = self._agreement.roster, self._agreement.holding.extra.departed
        known = {*roster.others, *(each.peer for each in departed), self._context.identity.peer_id}
        return set(self._context.store.standings(self._group_id)).difference(known)

    # --- marks ---

    @property
    def _is_mark_due(self) -> bool:
        """Whether there is something to say, to somebody who is not here."""
        agreement, now_s = self._agreement, self._context.now_s()
        if agreement.is_over or agreement.holding.is_cut_off or now_s < self._marked_s + self._mark_gap_s:
            return False
        others = agreement.roster.others
        if len(self._context.connected(others)) == len(others):
            return False
        own = self._context.identity.peer_id
        stood = self._context.store.standings(self._group_id).get(own, -1)
        return stood < agreement.holding.epoch or bool(self._context.store.unmarked_epochs(self._group_id, 1))

    def mark(self) -> bool:
        """Say what we have that we have not said yet, in the present epoch's topic; whether there was something.

        What does not fit is said by the next one.
        """
        if not self._is_mark_due:
            return False
        now_s, store, group_id = self._context.now_s(), self._context.store, self._group_id
        epoch = self._agreement.holding.epoch
        keys = store.topic_keys(group_id, epoch)
        if keys is None:
            return False
        sections: list[SealedSection] = []
        told: list[int] = []
        size = 0
        for each in store.unmarked_epochs(group_id, SECTIONS_MAX):
            section = self._section(each)
            added = 0 if section is None else len(section.sealed) + 16
            if sections and size + added > MARK_ROOM:
                break
            told.append(each)
            if section is not None and added <= MARK_ROOM:  # else there are so many senders that no mark tells of them
                sections.append(section)
                size += added
        body = Mark.sign(self._context.identity, group_id, epoch, tuple(sections)).encode()
        item, ref = item_id(Topic(TopicKeys(keys.seed, keys.seal_key)).seal(ItemKind.MARK, body)), sha256(body)
        with store.transaction() as transaction:
            transaction.put_mark(group_id, epoch, item, ref, body, MARKS_KNOWN_MAX)
            transaction.put_deposit(DepositRow(group_id, ref, epoch, ItemKind.MARK))
            transaction.put_standing(group_id, self._context.identity.peer_id, epoch)
            for each in told:
                transaction.mark_heard(group_id, each)
        is_long_ago = now_s - self._marked_s > MARK_GAP_MAX_S
        self._mark_gap_s = MARK_GAP_MIN_S if is_long_ago else min(MARK_GAP_MAX_S, 2 * self._mark_gap_s)
        self._marked_s = now_s
        return True

    def _section(self, epoch: int) -> SealedSection | None:
        keys = self._context.store.topic_keys(self._group_id, epoch)
        if keys is None:
            return None
        held = self._context.store.heard(self._group_id, epoch)
        return seal_section(keys.seal_key, self._group_id, epoch, self._context.identity.public_key, held)

    def take_marks(self, epoch: int, marks: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
        """Marks of other members, by their ids at a mailbox, from an epoch's topic; those that are none."""
        junk: list[bytes] = []
        known: list[tuple[bytes, bytes]] = []
        for item, body in marks:
            try:
                self._take_mark(epoch, Mark.decode(body))
                known.append((item, sha256(body)))
            except MalformedError as error:
                log.info("mark dropped", group=short(self._group_id), reason=str(error))
                junk.append(item)
        if known:
            self.keep()  # first: what is remembered as known is not fetched again
            with self._context.store.transaction() as transaction:
                for item, ref in known:
                    transaction.put_mark(self._group_id, epoch, item, ref, None, MARKS_KNOWN_MAX)
        return tuple(junk)

    def _take_mark(self, epoch: int, mark: Mark) -> None:
        if not mark.is_signed(self._group_id, epoch):
            raise MalformedError("a mark that its member has not signed")
        peer = peer_id_of(mark.member)
        if not self._agreement.may_serve(peer, epoch):
            raise MalformedError("a mark of who is no member")
        if peer == self._context.identity.peer_id:
            return  # of an older copy of this node
        self.stands(peer, epoch)
        for section in mark.sections:
            rows = self._context.store.spoken(self._group_id, section.epoch, section.epoch)
            keys = self._context.store.topic_keys(self._group_id, section.epoch)
            if rows and keys is not None and peer in self._audience(rows[0].audience):
                held = open_section(keys.seal_key, self._group_id, section, mark.member)
                self._learn(rows[0], peer, held.get(rows[0].leaf, ()))

    # --- released epochs ---

    def entered(self) -> None:
        """The group stands in another epoch. Who has come with it needs nothing of what was before."""
        if self._agreement.is_over:
            return
        before, self._members = self._members, frozenset(self._agreement.roster.others)
        for peer in self._members.difference(before):
            self._stands[peer] = self._agreement.holding.epoch

    @property
    def passed(self) -> int:
        """Every member is past the epochs below this one, and needs nothing of them but what was said late in them.

        Who was removed lately and may not know it yet counts too: what leads it to its removal is kept for it.
        """
        agreement, store = self._agreement, self._context.store
        stands = {**store.standings(self._group_id), **self._stands}
        passed = min((stands.get(peer, 0) for peer in agreement.roster.others), default=agreement.holding.epoch)
        lately_ms = self._context.now_ms() - self._context.config.retention.decisions_days * DAY_MS
        for gone in agreement.holding.extra.departed:
            stood = stands.get(gone.peer, 0)
            if gone.peer in agreement.roster or not stood <= gone.epoch or stood >= passed:
                continue
            removal = store.decision(self._group_id, gone.epoch)
            if removal is not None and removal.at_ms >= lately_ms:
                passed = stood
        return passed
