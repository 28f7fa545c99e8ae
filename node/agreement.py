"""The running epoch of one group: its instance, and the step from a Decision to the next epoch.

Every public method is one synchronous step: compute, one transaction, then what is to go out is appended to
`outward`. Nothing here waits. The rule that carries it all: the transaction that makes a vote or a Decision durable
also holds whatever explains it, and memory is changed only after it.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from mls import Group, PublicGroup, SignaturePrivateKey
from node import adoption, feed
from node.adoption import Adoption, notice_row
from node.candidacy import Candidacy
from node.context import NodeContext
from node.electorate import Voting, voting_of
from node.eviction import Eviction, Turn
from node.evidence import attached
from node.folding import Offer
from node.holding import ABSTAINING, CLOSED, FROZEN, OK, RESCUING, SUPERSEDED, Holding
from node.identity import claimed_peer
from node.instance_setup import instance_config
from node.judgement import Epoch, Known
from node.nominations import Nominations
from node.ordering_records import put_record, stored_guard, stored_records, was_hurried
from node.other_epochs import FROZEN_TEXT, OtherEpochs
from node.outward import Outward
from node.patience import Patience
from node.peer_id import PeerId
from node.peer_messages import FrameKind
from node.presence import NotNowError
from node.pursuit import Pursuit
from node.resync import Resync, way_back
from node.roster import Roster
from node.settling import give_up, wake
from node.standings import Standings
from node.store_writes import Transaction, Write
from node.telling import Telling
from ordering import (
    INTENT_ORDINAL,
    Abstained,
    BenchEntry,
    Broadcast,
    BuildOwn,
    BundleId,
    Candidate,
    Decided,
    Decision,
    Effect,
    Entrust,
    EvidenceFound,
    Fetch,
    Frozen,
    Guard,
    Heard,
    Input,
    InstanceMessage,
    InstanceState,
    MalformedError,
    Open,
    Persist,
    Received,
    Record,
    Send,
    Speak,
    Status,
    Tick,
    create,
    decode_message,
    is_instance_message,
    restore,
    step,
)

RETRY_S: Final = 10.0
HEARD_AGAIN_S: Final = 1.0  # link traffic is reported to the instance at most this often per peer

HOPELESS_TEXT: Final = "this copy of the node may have voted before: the group can no longer change; found a successor"


class Agreement:
    """One group's agreement; `holding` is replaced as a whole when an epoch ends, and says so when we were removed."""

    instance: InstanceState
    candidacy: Candidacy
    standings: Standings
    roster: Roster
    sleepers: tuple[BenchEntry, ...] = ()  # whom a change of ours would elect, and who keep it waiting
    patience: Patience
    _retry_at_s: float = float("inf")  # when intents that nobody could go along with now are tried again

    def __init__(self, context: NodeContext, holding: Holding) -> None:
        self.context = context
        self.holding = holding
        self.outward: deque[Outward] = deque()
        self.telling = Telling(self, self.outward)
        self.nominations = Nominations(self, self.outward, self._step)
        self.others = OtherEpochs(self)
        self.on_epoch: Callable[[], None] = _nothing  # after each epoch is entered, and when we are confirmed
        self.on_turn: Callable[[], None] = _nothing  # when it is this group's turn to commit
        self._vote_key = holding.vote_key
        self._resync: Resync | None = None  # while we are cut off
        self._group_info: bytes = b""
        self.eviction = Eviction(
            context, holding.group_id, tell=self.telling.evidence, offer=self.nominations.offer_eviction
        )
        self.arrived: dict[PeerId, int] = {}  # members who have spoken as such, and in which epoch last
        self._link_heard_s: dict[PeerId, float] = {}
        self._inputs: deque[Input] = deque()
        self.patience = Patience()
        self._stepping = False
        self._begin(voting_of(self.public))
        self.pursuit = Pursuit(self)
        self._restore()

    # --- what it is ---

    @property
    def group(self) -> Group:
        """The group value of the certified epoch; while cut off that of the last one we could open."""
        assert self.holding.group is not None, "a removed group has no agreement"
        return self.holding.group

    @property
    def public(self) -> PublicGroup:
        """The certified epoch as the public sees it."""
        assert self.holding.public is not None, "a removed group has no agreement"
        return self.holding.public

    @property
    def own_leaf(self) -> int:
        """Where we stand in the tree of this epoch."""
        return self._config.own_leaf

    @property
    def group_info(self) -> bytes:
        """For a member that lost the secrets of this epoch; made once."""
        if not self._group_info:
            self._group_info = self.group.group_info(inline_tree=False, external_pub=True)
        return self._group_info

    @property
    def is_over(self) -> bool:
        """Whether we were removed."""
        return self.holding.removed

    @property
    def is_frozen(self) -> bool:
        """Whether contradicting certificates were seen (R9), or a successor was endorsed: from then on nothing is voted
        for, built or adopted."""
        return self.holding.health in CLOSED

    @property
    def may_build(self) -> bool:
        """Whether a candidate of ours can still matter in this epoch."""
        if self.is_over or self.is_frozen or self.holding.is_cut_off:
            return False  # cut off, what we can commit brings us back, and intents wait
        return self.instance.freeze is None and self.instance.decision is None

    @property
    def vote_key(self) -> SignaturePrivateKey:
        """Our vote key in this group."""
        return self._vote_key

    @property
    def wake_at_s(self) -> float | None:
        """When `tick` is due."""
        if self.is_frozen:
            return None
        due = [] if self._resync is None else [self._resync.next_round_s]
        due += [] if self.eviction.due_at_s is None else [self.eviction.due_at_s]
        due += [at for at in (self.instance.wake_at_s, self.pursuit.wake_at_s) if at is not None]
        return min(due, default=None)

    @property
    def epoch(self) -> Epoch:
        """The epoch as the public sees it."""
        return self.candidacy.epoch

    @property
    def known(self) -> dict[BundleId, Known]:
        """The candidates of this epoch."""
        return self.candidacy.known

    def peer_of_member(self, identity: bytes) -> PeerId:
        """The peer that a credential the engine accepted belongs to."""
        return claimed_peer(identity)

    def may_serve(self, peer: PeerId, epoch: int) -> bool:
        """Whether a peer was, as far as we know, a member in that epoch: only then is it told how it ended."""
        if peer in self.roster:
            return True
        return any(each.peer == peer and epoch <= each.epoch for each in self.holding.extra.departed)

    def epoch_told(self, peer: PeerId) -> int:
        """The epoch a peer is told we stand in: who was removed learns that it was, and nothing of what came after."""
        if peer in self.roster:
            return self.holding.epoch
        last = max((each.epoch for each in self.holding.extra.departed if each.peer == peer), default=-1)
        return min(self.holding.epoch, last + 1)

    # --- inputs ---

    def receive(self, peer: PeerId, body: bytes) -> None:
        """An ordering message from a peer; raises `OrderingError` for bytes that are none."""
        if self.is_over:
            return
        message = decode_message(body)
        if not is_instance_message(message):
            raise MalformedError("this kind of ordering message does not travel in a frame")
        assert isinstance(message, InstanceMessage)
        if message.instance != self.instance.config.instance:
            self.others.receive(peer, message, body)
            return
        if self.is_frozen:
            return
        self._step(Received(self.context.now_s(), peer, message))
        if isinstance(message, Status):
            self.standings.note(message)

    def receive_offer(self, peer: PeerId, body: bytes) -> None:
        """What a member wants others to carry along. Of another epoch: parked for the next."""
        if self.is_over or self.is_frozen:
            return
        offer = Offer.decode(body)
        if offer.instance != self.instance.config.instance:
            self.others.park(peer, offer.instance, FrameKind.INTENTS, body)
            return
        self.pursuit.receive(offer)

    def decide_from_log(self, peer: PeerId, body: bytes, decision: Decision) -> bool:
        """A verified Decision of the present epoch and the bundle it decided, found by catching up.

        False when the bundle came in a wrapper that is not its committer's: another peer has to give it.
        """
        if self.is_frozen or not self.nominations.take_decided(Candidate.decode(body), decision):
            return False
        self._step(Received(self.context.now_s(), peer, decision))
        return True

    def tick(self) -> None:
        """`wake_at_s` has come."""
        if self._resync is not None:
            self._resync.tick()
        self.eviction.tick()
        self._step(Tick(self.context.now_s()))
        if self.pursuit.wake_at_s is not None and self.context.now_s() >= self.pursuit.wake_at_s:
            self.pursuit.consider()

    def speak(self) -> None:
        """Say where we stand, before its turn."""
        self._step(Speak(self.context.now_s()))

    def hear(self, peer: PeerId) -> None:
        """Authenticated traffic of a peer on its link, whatever it was about."""
        now = self.context.now_s()
        if self.is_over or now - self._link_heard_s.get(peer, float("-inf")) < HEARD_AGAIN_S:
            return
        if peer not in self.roster:
            return
        self._link_heard_s[peer] = now
        voter = self.roster.voter_of(peer)
        if voter is not None:
            if now - self.instance.heard.get(voter, float("-inf")) >= HEARD_AGAIN_S:
                self._step(Heard(now, (voter,)))
            self.reconsider()

    def reconsider(self) -> None:
        """Look again at candidates, and at intents, that were waiting for somebody to be heard."""
        self.nominations.reconsider()
        if self.context.now_s() >= self._retry_at_s:
            self._retry_at_s = float("inf")
            self.sleepers = ()
            self.pursue_intents()

    def pursue_intents(self, *, is_new: bool = False) -> None:
        """Build a candidate for what is wanted here when it is time, and hear what others want.

        `is_new`: something new is wanted, so that what was refused before is no reason to wait.
        """
        if not self.may_build:
            return
        if is_new:
            self.patience.until_s = float("-inf")
        if self.context.now_s() < self.patience.until_s:
            self._retry_at_s = min(self._retry_at_s, self.patience.until_s)
            return
        if not self.candidacy.has_own(INTENT_ORDINAL):
            self.eviction.tick()
        self.pursuit.pursue()

    def hold_back(self, error: NotNowError) -> None:
        """What we want cannot be committed now, for want of somebody; it is tried again once somebody is heard."""
        self._retry_at_s = self.context.now_s() + RETRY_S
        self.sleepers = error.sleepers

    # --- epochs ---

    def _begin(self, voting: Voting) -> None:
        """Set up the epoch that `holding` stands in; its instance is opened by the caller."""
        holding, public = self.holding, self.public
        self.roster = Roster(self.context.identity.peer_id, public, voting.committee)
        self._group_info = b""  # made when somebody asks
        if self._resync is not None:
            self._resync.end()
        own_leaf: int | None = self.group.own_leaf
        if holding.is_cut_off:
            own_leaf = self.roster.leaf_of(self.context.identity.peer_id)
        assert own_leaf is not None, "who has no leaf any more is removed, not cut off"
        self.nominations.begin()
        self.standings = Standings(self, voting)
        self.arrived = {peer: epoch for peer, epoch in self.arrived.items() if peer in self.roster}
        self._config = instance_config(self, voting, own_leaf)
        epoch = Epoch(public, self._config.instance, voting)
        self.candidacy = Candidacy(self.context, holding, epoch, judges=self._config.own_voter is not None)
        self._resync = way_back(self) if holding.is_cut_off else None
        able = not holding.is_cut_off and not holding.unconfirmed
        self.eviction.begin(Turn(self.epoch, own_leaf, self.group if able else None))

    def _restore(self) -> None:
        """Go on where the disk says we were: own votes, own candidates, a Decision whose bytes were missing."""
        self.instance = restore(
            self._config,
            self._stored_guard(),
            stored_records(self.context.store, self.holding.group_id, self.holding.epoch),
        )
        self.candidacy.may_hurry = not was_hurried(self.context.store, self.holding.group_id, self.holding.epoch)
        self._step(Open(self.context.now_s()))
        self.nominations.restore()
        self._tell_if_abstaining()

    def _enter(self, voting: Voting, *, hurried: bool) -> None:
        """The next epoch, entered live: what was heard carries over, and what came early is taken in.

        `voting` is its policy and committee; `hurried`: a commit of class 0 went first in the one before, so in this
        one none does.
        """
        seats = self.instance.config.committee.seats
        carried = {seats[voter].leaf: at for voter, at in self.instance.heard.items()}
        self.others.parking.close(self.instance.config.instance)
        self._begin(voting)
        self.candidacy.may_hurry = not hurried
        self.pursuit.begin()
        heard = tuple(
            (voter, carried[seat.leaf])
            for voter, seat in enumerate(voting.committee.seats)
            if seat.leaf in carried and voter != self._config.own_voter
        )
        self.instance = create(self._config, self._stored_guard())
        self._tell_if_abstaining()
        self._step(Open(self.context.now_s(), listening_since_s=self.context.started_s, heard=heard))
        for peer, kind, body in self.others.parking.take(self._config.instance):
            if kind is FrameKind.CANDIDATE:
                self.nominations.receive(peer, body)
            elif kind is FrameKind.INTENTS:
                self.receive_offer(peer, body)
            else:
                self.receive(peer, body)

    def _tell_if_abstaining(self) -> None:
        """Whether our seat is empty in this epoch: the guard forbids every vote, or was lost with what it knew."""
        seated = self._config.own_voter is not None
        if seated and self.holding.health == OK and self.instance.guard.abstains(self._config.epoch):
            self._tell_abstaining(self._config.epoch, hopeless=self._config.committee.size == 1)

    def _tell_abstaining(self, epoch: int, *, hopeless: bool) -> None:
        text = f"this copy of the node may have voted in epoch {epoch} before: it does not vote in it again"
        self.change_health(ABSTAINING, HOPELESS_TEXT if hopeless else text)

    # --- the machine ---

    def _step(self, event: Input, *writes: Write) -> None:
        """Feed one input, carry out what it asks; inputs that arise meanwhile are taken afterwards, in order."""
        if self._stepping:
            assert not writes, "a nested step has no writes of its own"
            self._inputs.append(event)
            return
        self._stepping = True
        ended: Adoption | None = None
        try:
            self._inputs.append(event)
            while self._inputs and ended is None:
                ended = self._step_once(self._inputs.popleft(), writes)
                writes = ()
        finally:
            self._stepping = False
            self._inputs.clear()
        if ended is not None:
            self._adopt(ended)

    def _step_once(self, event: Input, writes: tuple[Write, ...]) -> Adoption | None:
        """One input through the machine; what it led to when it ended the epoch."""
        transition = step(self.instance, event)
        records = [effect.record for effect in transition.effects if isinstance(effect, Persist)]
        decided = next((effect for effect in transition.effects if isinstance(effect, Decided)), None)
        ended = None
        if decided is not None:
            ended = adoption.prepare(self.context, self.holding, self.candidacy, decided.decision)
        speaks = any(isinstance(effect, Broadcast | Entrust | Send) for effect in transition.effects)
        if records or writes or ended or (speaks and self.nominations.unwritten):
            with self.context.store.transaction() as transaction:
                for write in (*self.nominations.unwritten, *writes):
                    write(transaction)
                for record in records:
                    self._persist(transaction, record)
                if ended is not None:
                    committee, rivals = self._config.committee, self.candidacy.rival_count
                    adoption.write(transaction, self.context, ended, committee, rivals, self._welcome_rank(ended))
            self.nominations.unwritten.clear()
        self.instance = transition.state
        for effect in transition.effects:
            self._perform(effect)
        return ended

    def _welcome_rank(self, ended: Adoption) -> int | None:
        """When it is our turn to deliver the Welcome: at once for the committer, then the voters in order."""
        if ended.known.own:
            return 0
        return None if self._config.own_voter is None else self._config.own_voter + 1

    def _adopt(self, ended: Adoption) -> None:
        """Memory follows the disk; then the next epoch opens and what lost is built again."""
        if self._config.own_voter is not None and self.instance.view == 0 and self.instance.clock_s > 0:
            self.context.pace.note(self.instance.clock_s)
        refused = self.patience.note(ended, self.candidacy, self.context.now_s(), carried=self.pursuit.carries)
        self.holding = ended.after
        self.telling.sparing.entered()
        wake(self.context, self.holding.group_id)
        self.context.feed.grew()
        if self.is_over:
            self._forget()
        else:
            self._enter(ended.valid.voting, hurried=ended.is_hurried)
            give_up(self.context, self.holding, refused)
        self.on_epoch()
        self.pursue_intents()

    def _forget(self) -> None:
        """We were removed: the group's secrets leave the memory as they have left the disk."""
        self.candidacy.forget(self.holding)
        self.eviction.end()
        self.others = OtherEpochs(self)
        del self._vote_key

    def _persist(self, transaction: Transaction, record: Record) -> None:
        known = self.known.get(record.id) if isinstance(record, Decision) else None
        candidate = None if known is None else known.candidate.encode()
        at_ms = self.context.now_ms()
        put_record(transaction, self.holding.group_id, self.holding.epoch, record, candidate, at_ms)

    def _stored_guard(self) -> Guard:
        return stored_guard(self.context.store, self.holding.group_id, self.holding.epoch)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Broadcast(message, news):
                self.telling.broadcast(message, news=news)
            case Entrust(voter, message):
                self.telling.message(self.roster.voters((voter,)), message)
            case Send(peer, message):
                self.telling.message((peer,), message)
            case Fetch(id, holders, peers):
                self.nominations.fetch(id, (*self.roster.voters(holders), *peers))
            case BuildOwn():
                self.nominations.offer_plain()
            case Frozen():
                self.change_health(FROZEN, FROZEN_TEXT)
            case Abstained(epoch, hopeless):
                self._tell_abstaining(epoch, hopeless=hopeless)
            case EvidenceFound(evidence):
                leaf_index = self._config.committee.seats[evidence.first.voter].leaf
                self.eviction.take(attached(self.public, leaf_index, evidence), self.context.identity.peer_id)
            case Persist() | Decided():
                pass  # done in the transaction

    # --- health ---

    def silence(self, holding: Holding, guard: Guard) -> None:
        """A successor was endorsed, and it is durable: from now on we say nothing in this group's ordering."""
        self.holding = holding
        self.instance = replace(self.instance, guard=guard)

    def change_health(self, health: str, text: str, **changes: object) -> None:
        if self.holding.health in (RESCUING, SUPERSEDED):
            return  # whatever else is wrong with this group, it is over
        after = self.holding.with_changes(health=health, **changes)
        with self.context.store.transaction() as transaction:
            after.put(transaction)
            transaction.append_feed(notice_row(after, feed.HEALTH, text, self.context.now_ms()))
        self.holding = after
        self.context.feed.grew()


def _nothing() -> None:
    """Nobody wants to know."""
