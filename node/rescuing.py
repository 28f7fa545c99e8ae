"""The rescue of one group as this node takes part in it: founding, endorsing, withdrawing, moving over.

`node.rescue` says what counts; here is what is durable when, and who is told. Like `Agreement`: synchronous steps,
outward effects in a queue. The first endorsement ends our part in the old group's ordering for good: health and guard
say so in the same transaction, before the endorsement leaves.
"""

from collections import deque
from typing import Final

from msgspec.structs import replace

from mls import MlsError
from node import feed
from node.adoption import notice_row
from node.agreement import Agreement
from node.api.errors import ApiError, ErrorCode
from node.electorate import RuleError
from node.feed import NoticeBody
from node.holding import FROZEN, RESCUING, SUPERSEDED, Holding
from node.logs import logger, short
from node.names import Names
from node.outward import Outward
from node.peer_id import PeerId
from node.peer_messages import NAME_SIZE_MAX, group_tag
from node.rescue import (
    OFFERS_MAX,
    SMALL_GROUP_MAX,
    Endorsement,
    Offer,
    Recognition,
    Record,
    RescueReply,
    RescueRequest,
    check_endorsement,
    check_offer,
    check_recognition,
    endorse,
    needed,
    read_record,
    record_key,
    supporters,
)
from node.rescue_telling import RescueTelling
from node.store_rows import FeedRow, GuardRow
from node.store_writes import Transaction
from node.succession import enter_successor, found_successor, members_of, put_founded
from ordering import EPOCH_MAX, Guard, OrderingError

WAITS_TEXT: Final = "{} has founded a successor of this group ({}): to move over: group rescue GROUP --follow {}"
REFUSED: Final = (RuleError, MlsError, OrderingError)

log = logger("rescue")


class Rescuing:
    """The rescue of one group."""

    def __init__(self, agreement: Agreement, outward: deque[Outward]) -> None:
        self.agreement = agreement
        self.context = agreement.context
        self._group_id = agreement.holding.group_id
        self._tag = group_tag(self._group_id)
        self.telling = RescueTelling(self, outward, self._tag)
        self.record = read_record(self.context.store.meta(record_key(self._group_id)))

    # --- what it is ---

    @property
    def prev(self) -> bytes:
        """The bundle that began the epoch which is rescued."""
        return self.agreement.holding.extra.prev

    @property
    def needed(self) -> int:
        """How many endorsements our own successor takes."""
        lost = () if self.record.founded is None else self.record.founded.offer.lost
        return needed(self.agreement.public, self.agreement.epoch.voting.committee, lost)

    @property
    def endorsed_count(self) -> int:
        """How many our own successor has."""
        founded = self.record.founded
        if founded is None:
            return 0
        return len(supporters(founded.collected, founded.offer, self.agreement.public, self.prev))

    def describe(self) -> str:
        """Where it stands, in one sentence."""
        record, names = self.record, Names.of(self.context)
        if record.recognised is not None:
            return f"this group has gone on as {record.recognised.offer.successor.hex()[:8]}: new group, same people"
        if record.founded is not None:
            own = record.founded
            text = f"{self.endorsed_count} of {self.needed} members needed have endorsed the successor founded here"
            for peer, rival in own.rivals:
                text += f"; {names.shown(peer)} has endorsed another, {rival.hex()[:8]}"
            if self._is_beaten:
                text += "; it cannot get enough any more: move over with group rescue --follow"
            return text
        if record.endorsed is not None:
            return (
                f"this node has endorsed the successor {record.endorsed.successor.hex()[:8]}, which is not enough yet"
            )
        return "this node has withdrawn its endorsement, and votes no more in this group"

    @property
    def _is_beaten(self) -> bool:
        """Whether too many others have endorsed a rival for our successor to be recognised."""
        founded = self.record.founded
        if founded is None:
            return False
        leaves = len(members_of(self.agreement.public))
        return leaves - len({peer for peer, _ in founded.rivals}) < self.needed

    # --- what the user asks for ---

    def survivors(self, lost: tuple[PeerId, ...]) -> tuple[PeerId, ...]:
        """Whom a successor would be founded with; raises `ApiError` where it is not to be."""
        self._must_be_able()
        agreement, connected = self.agreement, self.context.transport.peers()
        committee = agreement.epoch.voting.committee
        if self.record.founded is not None or self.record.endorsed is not None:
            raise ApiError(ErrorCode.ALREADY_SO, self.describe(), "group rescue --withdraw takes an endorsement back")
        heard = connected.difference(lost)
        if not agreement.instance.guard.abstains(EPOCH_MAX - 1):  # else we have given up our vote here
            heard |= {self.context.identity.peer_id}
        voters = sum(seat.identity.decode() in heard for seat in committee.seats)
        if voters >= committee.quorum and agreement.holding.health != FROZEN and not self.is_dead:
            raise ApiError(
                ErrorCode.REFUSED,
                f"{voters} of {committee.size} voters are here, enough to change this group as ever",
                "name those that are here and cannot vote any more: group rescue --lost",
            )
        return tuple(peer for peer in agreement.roster.others if peer in connected and peer not in lost)

    @property
    def is_dead(self) -> bool:
        """Whether we are the only voter and may never vote again."""
        agreement = self.agreement
        config = agreement.instance.config
        is_sole_voter = config.own_voter is not None and config.committee.size == 1
        return is_sole_voter and agreement.instance.guard.abstains(config.epoch)

    def found(self, packages: tuple[bytes, ...], lost: tuple[PeerId, ...]) -> None:
        """Found a successor with those who gave a key package, endorse it, and offer it."""
        self._must_be_able()
        if self.record.founded is not None or self.record.endorsed is not None:
            raise ApiError(ErrorCode.ALREADY_SO, self.describe())
        holding = self.agreement.holding
        founded = found_successor(self.context, holding, packages, lost, holding.name)
        self._endorse(replace(self.record, founded=founded, endorsed=founded.offer.endorsement), "founded")
        self._settle()

    def follow(self, reference: str) -> None:
        """Endorse what somebody else founded, withdrawing what was endorsed before; and tell its founder."""
        self._must_be_able()
        found = [each for each in self.record.offers if each.successor.hex().startswith(reference.lower())]
        if len(found) != 1:
            listed = ", ".join(each.successor.hex()[:8] for each in self.record.offers) or "none"
            raise ApiError(
                ErrorCode.BAD_REQUEST, f"no one successor {reference!r} was offered here; there are: {listed}"
            )
        offer = found[0]
        try:
            founder = check_offer(offer, self.agreement.public, self.prev)
            enter_successor(self.context, self.agreement.group, offer, self.agreement.holding.name)
        except REFUSED as error:
            raise ApiError(ErrorCode.REFUSED, f"this successor does not check out: {error}") from error
        if self.record.endorsed is not None and self.record.endorsed.successor != offer.successor:
            self.withdraw()
        self._endorse_offer(offer)
        assert self.record.endorsed is not None
        self.telling.ask(
            founder, RescueRequest(self._tag, endorsement=self.record.endorsed), self.telling.heard_founder
        )

    def withdraw(self) -> None:
        """Take our endorsement back. The signature is out: its founder, if honest, does not count it any more."""
        self._must_be_able()
        given = self.record.endorsed
        if given is None:
            raise ApiError(ErrorCode.ALREADY_SO, "nothing is endorsed here")
        founder = self.founder_of(given.successor)
        offers = self.record.offers
        if self.record.founded is not None and given.successor == self.record.founded.offer.successor:
            founder = None
        after = replace(
            self.record, endorsed=None, founded=None, withdrawn=(*self.record.withdrawn, given), offers=offers
        )
        self._write(after, "the endorsement of a successor was withdrawn; this node votes no more in this group")
        if founder is not None:
            self.telling.ask(founder, RescueRequest(self._tag, withdrawn=given), None)

    def _must_be_able(self) -> None:
        holding = self.agreement.holding
        if holding.removed:
            raise ApiError(ErrorCode.NOT_MEMBER, "this node was removed from the group")
        if self.record.recognised is not None:
            raise ApiError(ErrorCode.ALREADY_SO, self.describe())
        if holding.is_cut_off:
            raise ApiError(ErrorCode.REFUSED, "this node has no secret of the epoch that is to be rescued")

    # --- what others say ---

    def take(self, peer: PeerId, request: RescueRequest) -> RescueReply:
        """A member says something about a rescue; what does not check out is answered with the reason."""
        holding = self.agreement.holding
        if holding.removed or holding.is_cut_off or peer not in self.agreement.roster:
            return RescueReply(text="no such group for you here")
        try:
            if request.offer is not None:
                return self._take_offer(peer, request.offer)
            if request.recognition is not None:
                return self._take_recognition(request.recognition)
            if request.endorsement is not None:
                return self._take_endorsement(peer, request.endorsement)
            if request.withdrawn is not None:
                return self._take_withdrawal(peer, request.withdrawn)
        except REFUSED as error:
            log.info("rescue refused", group=short(self._group_id), peer=peer, reason=str(error))
            return RescueReply(text=str(error)[:512])
        return RescueReply()

    def _take_offer(self, peer: PeerId, offer: Offer) -> RescueReply:
        record = self.record
        if check_offer(offer, self.agreement.public, self.prev) != peer:
            raise RuleError("a successor is offered by its founder")
        if record.recognised is not None and record.recognised.offer.successor != offer.successor:
            return RescueReply(rival=record.recognised.offer.successor)
        if record.endorsed is not None and record.endorsed.successor == offer.successor:
            return RescueReply(endorsement=record.endorsed)
        self._remember(offer, peer)
        if record.endorsed is not None:
            return RescueReply(rival=record.endorsed.successor)
        if record.withdrawn or not self._may_agree_alone:
            return RescueReply(text="its user has to agree")
        enter_successor(self.context, self.agreement.group, offer, self.agreement.holding.name)
        self._endorse_offer(offer)
        assert self.record.endorsed is not None
        return RescueReply(endorsement=self.record.endorsed)

    @property
    def _may_agree_alone(self) -> bool:
        """Whether the node itself has missed a quorum long enough to agree without its user; never in a small group."""
        committee, after_s = self.agreement.epoch.voting.committee, float(self.context.config.ordering.rescue_after_s)
        if len(self.agreement.roster) <= SMALL_GROUP_MAX:
            return False
        lost = sum(self.context.unheard_for(seat.identity.decode(), after_s) for seat in committee.seats)
        return committee.size - lost < committee.quorum

    def _take_endorsement(self, peer: PeerId, given: Endorsement) -> RescueReply:
        """For the successor founded here."""
        if self.record.recognised is not None:
            self.telling.forgotten(peer)
            return RescueReply()
        self._count(given)
        return RescueReply()

    def _take_withdrawal(self, peer: PeerId, given: Endorsement) -> RescueReply:
        """An endorsement that is not meant any more is not counted any more, unless it was enough already."""
        founded = self.record.founded
        if founded is None or given.successor != founded.offer.successor or given == founded.offer.endorsement:
            return RescueReply()
        check_endorsement(given, self.agreement.public, self.prev)
        if self.agreement.roster.leaf_of(peer) != given.leaf:
            raise RuleError("an endorsement is withdrawn by who gave it")
        kept = tuple(each for each in founded.collected if each.leaf != given.leaf)
        self._write(replace(self.record, founded=replace(founded, collected=kept)), "")
        return RescueReply()

    def _take_recognition(self, found: Recognition) -> RescueReply:
        """Enough have endorsed it. Who has endorsed it too moves over; all others are told, once."""
        record, agreement = self.record, self.agreement
        if record.recognised is not None:
            return RescueReply(text="" if record.recognised.offer.successor == found.offer.successor else "moved over")
        founder = check_recognition(found, agreement.public, self.prev, agreement.epoch.voting.committee)
        if record.endorsed is not None and record.endorsed.successor == found.offer.successor:
            self._enter(found, founder)
        elif self.context.identity.peer_id in found.offer.members:
            self._remember(found.offer, founder)
        else:
            self._tell_left_out(found, founder)
        return RescueReply()

    # --- steps ---

    def _endorse_offer(self, offer: Offer) -> None:
        holding = self.agreement.holding
        given = endorse(self.agreement.group, holding.extra.prev, offer.successor, offer.members)
        self._endorse(replace(self.record, endorsed=given), "endorsed")

    def _endorse(self, after: Record, verb: str) -> None:
        """Durable before anybody hears of it: the endorsement, and that we vote no more in this group."""
        assert after.endorsed is not None
        text = (
            f"a successor was {verb} here ({after.endorsed.successor.hex()[:8]}): this node votes no more in this group"
        )
        self._write(after, text)
        self.telling.anew()

    def _write(self, after: Record, text: str) -> None:
        agreement = self.agreement
        guard = agreement.instance.guard.abstaining(EPOCH_MAX)
        holding = agreement.holding.with_changes(health=RESCUING)
        with self.context.store.transaction() as transaction:
            self._put(transaction, after)
            transaction.put_guard(GuardRow(*(getattr(guard, name) for name in Guard.__struct_fields__)))
            holding.put(transaction)
            if text:
                transaction.append_feed(notice_row(holding, feed.HEALTH, text, self.context.now_ms()))
        self.record = after
        agreement.silence(holding, guard)
        self.context.feed.grew()

    def _put(self, transaction: Transaction, record: Record) -> None:
        transaction.put_meta(record_key(self._group_id), record.encode())

    def _remember(self, offer: Offer, founder: PeerId) -> None:
        """Keep an offer for the user to take up; the latest of each founder, told once."""
        if any(each.successor == offer.successor for each in self.record.offers):
            return
        others = tuple(each for each in self.record.offers if each.endorsement.leaf != offer.endorsement.leaf)
        is_first = len(others) == len(self.record.offers)
        id = offer.successor.hex()[:8]
        text = WAITS_TEXT.format(Names.of(self.context).shown(founder), id, id)
        after = replace(self.record, offers=(*others, offer)[-OFFERS_MAX:])
        holding = self.agreement.holding
        with self.context.store.transaction() as transaction:
            self._put(transaction, after)
            if is_first:  # whoever founds one after another is not told of each time
                transaction.append_feed(notice_row(holding, feed.GROUP, text, self.context.now_ms()))
        self.record = after
        self.context.feed.grew()

    def _count(self, given: Endorsement) -> None:
        """One more member stands behind the successor founded here."""
        founded = self.record.founded
        if founded is None or given.successor != founded.offer.successor:
            raise RuleError("an endorsement of a successor that was not founded here")
        giver = check_endorsement(given, self.agreement.public, self.prev)
        if given.members != founded.offer.endorsement.members:
            raise RuleError("an endorsement of other members")
        if any(each.leaf == given.leaf for each in founded.collected):
            return
        peer = self.agreement.peer_of_member(giver.credential.identity)
        rivals = tuple(each for each in founded.rivals if each[0] != peer)
        self._write(
            replace(self.record, founded=replace(founded, collected=(*founded.collected, given), rivals=rivals)), ""
        )
        self._settle()

    def _settle(self) -> None:
        """With enough endorsements the successor becomes a group here, and the old one is history."""
        founded = self.record.founded
        if founded is None or self.endorsed_count < self.needed:
            return
        given = supporters(founded.collected, founded.offer, self.agreement.public, self.prev)
        after = replace(self.record, founded=None, recognised=Recognition(founded.offer, tuple(given.values())))
        with self.context.store.transaction() as transaction:
            successor = put_founded(transaction, self.context, founded)
            old = self._put_moved(transaction, after, successor)
        self.context.up_to_date.add(successor.group_id)
        self._moved(after, old, successor)

    def _enter(self, found: Recognition, founder: PeerId) -> None:
        """Move over to what we have endorsed."""
        entered = enter_successor(self.context, self.agreement.group, found.offer, self.agreement.holding.name)
        after = replace(self.record, recognised=found)
        with self.context.store.transaction() as transaction:
            entered.put(transaction)
            old = self._put_moved(transaction, after, entered.holding)
        log.info("moved over", group=short(self._group_id), founder=founder)
        self._moved(after, old, entered.holding)

    def _put_moved(self, transaction: Transaction, after: Record, successor: Holding) -> Holding:
        """The two groups as they are from now on, and the news in both."""
        before, now_ms = self.agreement.holding, self.context.now_ms()
        name = f"{before.name[: NAME_SIZE_MAX - 6]} (old)"
        old = before.with_changes(health=SUPERSEDED, name=name)
        old.put(transaction)
        self._put(transaction, after)
        text = f"new group, same people: this group follows {name} from epoch {before.epoch}"
        body = NoticeBody(text).encode()
        transaction.append_feed(FeedRow(successor.group_id, feed.GROUP, successor.epoch, None, None, body, now_ms))
        text = f"this group has gone on as {successor.group_id.hex()[:8]}; what was said in it can be read"
        transaction.append_feed(notice_row(old, feed.GROUP, text, now_ms))
        return old

    def _moved(self, after: Record, old: Holding, successor: Holding) -> None:
        self.record = after
        self.agreement.silence(old, self.agreement.instance.guard)
        self.telling.anew()
        self.context.clean()
        self.context.feed.grew()
        self.context.start_group(successor.group_id)

    def _tell_left_out(self, found: Recognition, founder: PeerId) -> None:
        key = f"{record_key(self._group_id)}/{found.offer.successor.hex()}"
        if self.context.store.meta(key) is not None:
            return
        who = Names.of(self.context).shown(founder)
        text = f"the others have gone on in a successor of this group without this node: ask {who} to add it there"
        with self.context.store.transaction() as transaction:
            transaction.put_meta(key, b"told")
            transaction.append_feed(notice_row(self.agreement.holding, feed.GROUP, text, self.context.now_ms()))
        self.context.feed.grew()

    def heard_member(self, peer: PeerId, reply: RescueReply) -> None:
        """A member has endorsed our successor, or another, or says why not."""
        founded = self.record.founded
        if founded is None:
            return
        if reply.endorsement is not None:
            self._count(reply.endorsement)
        elif reply.rival and reply.rival != founded.offer.successor and (peer, reply.rival) not in founded.rivals:
            rivals = (*(each for each in founded.rivals if each[0] != peer), (peer, reply.rival))
            who = Names.of(self.context).shown(peer)
            text = f"{who} has endorsed another successor, {reply.rival.hex()[:8]}"
            self._write(replace(self.record, founded=replace(founded, rivals=rivals)), text)

    def founder_of(self, successor: bytes) -> PeerId | None:
        """Who offers a successor, as far as it is known here."""
        for offer in self.record.offers:
            if offer.successor == successor:
                leaf = self.agreement.public.leaf(offer.endorsement.leaf)
                return None if leaf is None else self.agreement.peer_of_member(leaf.credential.identity)
        return None
