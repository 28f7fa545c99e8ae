"""The running epoch of one group: its instance, and the step from a Decision to the next epoch.

Every public method is one synchronous step: compute, one transaction, then what is to go out is appended to
`outward`. Nothing here waits. The rule that carries it all: the transaction that makes a vote or a Decision durable
also holds whatever explains it, and memory is changed only after it.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from mls import Group, MlsError, PublicGroup, SignaturePrivateKey, ed25519_sign, ed25519_verify
from node import adoption, cut_off, feed
from node.adoption import Adoption, notice_row
from node.building import Built, build_plain
from node.candidacy import Candidacy, is_candidate
from node.confirmation import Confirmation
from node.context import NodeContext
from node.cut_off import NO_FINGERPRINT
from node.electorate import RuleError, Voting, voting_of
from node.eviction import Eviction, Turn
from node.evidence import attached
from node.folding import Offer
from node.holding import ABSTAINING, CLOSED, FROZEN, OK, RESCUING, SUPERSEDED, Holding
from node.identity import claimed_peer
from node.intents import ALREADY, DONE, FAILED, OPEN
from node.judgement import Epoch, Known
from node.logs import logger, short
from node.names import Names
from node.ordering_records import put_record, stored_decision, stored_guard, stored_records
from node.outward import Ask, Outward, Publish, Tell
from node.parking import Parking
from node.patience import GIVEN_UP, REFUSED, Patience
from node.peer_id import PeerId
from node.peer_messages import CANDIDATE_PROTOCOL, CandidateRequest, Frame, FrameKind, group_tag
from node.planning import Settled
from node.presence import NotNowError
from node.pursuit import Pursuit
from node.resync import Resync
from node.roster import Roster
from node.store_writes import Transaction
from ordering import (
    INTENT_ORDINAL,
    VOTES_TO_ALL_MAX,
    Abstained,
    BenchEntry,
    Broadcast,
    BuildOwn,
    BundleId,
    Candidate,
    Certificate,
    Decided,
    Decision,
    Effect,
    Entrust,
    Evidence,
    EvidenceFound,
    Fetch,
    Freeze,
    FreezeReason,
    Frozen,
    Guard,
    Heard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceState,
    Learned,
    MalformedError,
    Open,
    Persist,
    ProposalClass,
    Received,
    Record,
    Send,
    Speak,
    Status,
    Tick,
    Timing,
    create,
    decode_message,
    encode_message,
    find_fork,
    is_instance_message,
    restore,
    step,
)

DIRECT_MEMBERS_MAX: Final = 64  # up to here what concerns all members is told to each; beyond, the topic carries it
OFFERS_ASKED_MAX: Final = 32  # offered bundles asked for at once; proposed, notarized and decided ones come on top
STATUS_LABEL: Final = "Conclave Status"
RETRY_S: Final = 10.0
HEARD_AGAIN_S: Final = 1.0  # link traffic is reported to the instance at most this often per peer

FROZEN_TEXT: Final = "two contradicting certificates: the members of this group no longer change"
FRAGMENT_STEP: Final = "remove and re-add whichever of the two the others cannot read"
HOPELESS_TEXT: Final = "this copy of the node may have voted before: the group can no longer change; found a successor"

Write = Callable[[Transaction], None]
log = logger("agreement")


class Agreement:
    """One group's agreement; `holding` is replaced as a whole when an epoch ends, and says so when we were removed."""

    instance: InstanceState
    candidacy: Candidacy
    confirmation: Confirmation
    roster: Roster
    sleepers: tuple[BenchEntry, ...] = ()  # whom a change of ours would elect, and who keep it waiting
    patience: Patience
    _retry_at_s: float = float("inf")  # when intents that nobody could go along with now are tried again

    def __init__(self, context: NodeContext, holding: Holding) -> None:
        self.context = context
        self.holding = holding
        self.outward: deque[Outward] = deque()
        self.parking = Parking()
        self.on_epoch: Callable[[], None] = lambda: (
            None
        )  # called after each epoch is entered, and when we are confirmed
        self._tag = group_tag(holding.group_id)
        self._vote_key = holding.vote_key
        self._resync: Resync | None = None  # while we are cut off
        self._group_info: bytes = b""
        self.eviction = Eviction(context, holding.group_id, tell=self._tell_evidence, offer=self._offer_eviction)
        self._link_heard_s: dict[PeerId, float] = {}
        self._inputs: deque[Input] = deque()
        self.patience = Patience()
        self._unwritten: list[Write] = []  # candidates of others that nothing we said relies on yet
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

    @property
    def fragments(self) -> tuple[PeerId, ...]:
        """The members of this epoch that hold other secrets than we do."""
        return tuple(peer for peer in self.roster.others if self.roster.leaf_of(peer) in self._fragments)

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
            self._of_another_epoch(peer, message, body)
            return
        if self.is_frozen:
            return
        self._step(Received(self.context.now_s(), peer, message))
        if isinstance(message, Status):
            self._note_status(message)

    def receive_offer(self, peer: PeerId, body: bytes) -> None:
        """What a member wants others to carry along. Of another epoch: parked for the next."""
        if self.is_over or self.is_frozen:
            return
        offer = Offer.decode(body)
        if offer.instance != self.instance.config.instance:
            self.parking.park(self._share_of(peer), peer, offer.instance, FrameKind.INTENTS, body)
            return
        self.pursuit.receive(offer)

    def receive_candidate(self, peer: PeerId, body: bytes) -> None:
        """A candidate's bytes: judge, and tell the instance. Of another epoch: parked for the next."""
        if self.is_over or self.is_frozen:
            return
        candidate = Candidate.decode(body)
        if candidate.instance != self.instance.config.instance:
            self.parking.park(self._share_of(peer), peer, candidate.instance, FrameKind.CANDIDATE, body)
            return
        id = candidate.id
        if id in self.known or not (self._is_named(id) or self.candidacy.has_room(candidate)):
            return
        member = self.candidacy.author_of(candidate)
        if member is not None:
            self._take(candidate, member)
            self.pursuit.consider()

    def decide_from_log(self, peer: PeerId, body: bytes, decision: Decision) -> bool:
        """A verified Decision of the present epoch and the bundle it decided, found by catching up.

        False when the bundle came in a wrapper that is not its committer's: another peer has to give it.
        """
        if self.is_frozen:
            return False
        candidate = Candidate.decode(body)
        if candidate.id not in self.known:
            member = self.candidacy.author_of(candidate)
            if decision.instance != self.instance.config.instance or member is None:
                return False
            self._take(candidate, member)
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
            self._step(Heard(now, (voter,)))
            self.reconsider()

    def reconsider(self) -> None:
        """Look again at candidates, and at intents, that were waiting for somebody to be heard."""
        for known in self.candidacy.reconsider():
            self._learn(known)
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
        self._asking: set[BundleId] = set()  # one question at a time for each bundle, however slow those asked are
        self._seen_leaves: set[int] = set()  # whose Status was heard in this epoch
        self._fragments: set[int] = set()  # whose fingerprint is not ours
        self._cut_off: set[int] = set()  # who has said that it has none
        self.confirmation = Confirmation(voting.committee, len(self.roster), holding.extra.welcomed_by)
        own_voter = voting.committee.voter_of_leaf(own_leaf)
        if own_voter is not None and voting.committee.seats[own_voter].vote_key != self._vote_key.public:
            own_voter = None  # a key we do not hold; nothing can be signed with it
        settings, round_trips = self.context.config.ordering, self.context.round_trips
        others, quorum = self.roster.other_voters, voting.committee.quorum
        self._config = InstanceConfig(
            group_id=holding.group_id,
            epoch=holding.epoch,
            prev=holding.extra.prev,
            committee=voting.committee,
            own_voter=own_voter,
            own_leaf=own_leaf,
            sign=self._sign_vote if own_voter is not None else self._sign_status,
            verify=ed25519_verify,
            verify_member=self._verify_member,
            fingerprint=NO_FINGERPRINT if holding.is_cut_off else fingerprint(self.group),
            boot=self.context.boot,
            timing=Timing(
                delta_s=round_trips.delta_s(voting.policy.delta_ms / 1000, others, quorum),
                status_period_s=settings.status_period_ms / 1000,
                idle_period_s=settings.status_idle_period_ms / 1000,
                collect_max_s=settings.collection_window_ms / 1000 if len(self.roster) > 1 else 0.0,
            ),
            through_leader=len(others) >= VOTES_TO_ALL_MAX
            and round_trips.is_near(others, quorum, self.context.transport.nearest_s),
        )
        epoch = Epoch(public, self._config.instance, voting)
        self.candidacy = Candidacy(self.context, holding, epoch, judges=own_voter is not None)
        self._resync = self._way_back() if holding.is_cut_off else None
        able = not holding.is_cut_off and not holding.unconfirmed
        self.eviction.begin(Turn(self.epoch, own_leaf, self.group if able else None))

    def _way_back(self) -> Resync | None:
        """How we come back into the group from this epoch; resyncs made before a restart are found on the disk.

        Not in an epoch that another copy of this node began by its own: two copies would take the leaf from each other
        for ever. A lone restored backup comes back once somebody else has committed.
        """
        if self.holding.extra.last_won(self.own_leaf) >= self.holding.epoch - 1:
            return None
        rows = self.context.store.candidates(self.holding.group_id, self.holding.epoch)
        made = sum(row.successor is not None for row in rows)
        return Resync(
            self.context,
            self.epoch,
            self.own_leaf,
            self._vote_key,
            self.roster,
            made=made,
            ask=self.outward.append,
            offer=lambda built: self.offer(self.candidacy.admit_own(built)),
        )

    def _restore(self) -> None:
        """Go on where the disk says we were: own votes, own candidates, a Decision whose bytes were missing."""
        self.instance = restore(
            self._config,
            self._stored_guard(),
            stored_records(self.context.store, self.holding.group_id, self.holding.epoch),
        )
        self._step(Open(self.context.now_s()))
        for row in self.context.store.candidates(self.holding.group_id, self.holding.epoch):
            known = self.candidacy.recall(row)
            if known is not None:
                self._learn(known)
                if known.own:
                    self._announce(known)
        self._tell_if_abstaining()

    def _enter(self, *, hurried: bool) -> None:
        """The next epoch, entered live: what was heard carries over, and what came early is taken in.

        `hurried`: a commit of class 0 went first in the one before, so in this one none does.
        """
        seats = self.instance.config.committee.seats
        carried = {seats[voter].leaf: at for voter, at in self.instance.heard.items()}
        self.parking.close(self.instance.config.instance)
        voting = voting_of(self.public)
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
        for peer, kind, body in self.parking.take(self._config.instance):
            if kind is FrameKind.CANDIDATE:
                self.receive_candidate(peer, body)
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
        self._change_health(ABSTAINING, HOPELESS_TEXT if hopeless else text)

    def _of_another_epoch(self, peer: PeerId, message: InstanceMessage, body: bytes) -> None:
        """Early: park it. Late: the sender lacks a Decision of ours (R10), or shows one that contradicts ours (R9)."""
        epoch = message.epoch if isinstance(message, Status | Decision) else None
        if epoch is None or epoch > self.holding.epoch:
            self.parking.park(self._share_of(peer), peer, message.instance, FrameKind.ORDERING, body)
        elif isinstance(message, Decision):
            self._compare_with_log(message)
        elif isinstance(message, Status):
            # In our epoch, but of another instance: the group has forked, and our last Decision shows it.
            lacking = epoch if epoch < self.holding.epoch else epoch - 1
            known = (
                stored_decision(self.context.store, self.holding.group_id, lacking)
                if self.may_serve(peer, lacking)
                else None
            )
            if known is not None:
                self._tell((peer,), known)

    def _compare_with_log(self, decision: Decision) -> None:
        """R9, for an epoch we have left: a valid Decision other than ours means more than f liars. Never pick."""
        known = stored_decision(self.context.store, self.holding.group_id, decision.epoch)
        fork = None if known is None else find_fork(known, decision, ed25519_verify)
        if fork is None or self.is_frozen:
            return
        freeze = Freeze(FreezeReason.TWO_DECISIONS, (fork.first, fork.second), None)
        with self.context.store.transaction() as transaction:
            put_record(transaction, self.holding.group_id, self.holding.epoch, freeze)
        self._change_health(FROZEN, FROZEN_TEXT)

    def _share_of(self, peer: PeerId) -> str:
        """Whose room in the parking a message takes: a member has its own, all others have one together."""
        return peer if peer in self.roster else ""

    # --- candidates ---

    def _is_named(self, id: BundleId) -> bool:
        """Whether the protocol itself asks for it: proposed in this view, notarized, decided."""
        instance = self.instance
        named = {instance.proposal, *(each.bundle for each in instance.notarizations.values())}
        return id in named or (instance.decision is not None and instance.decision.id == id)

    def _take(self, candidate: Candidate, member: int) -> None:
        """Another member's candidate: durable with the first thing we say after it, a vote for it or an offer (R15)."""
        known = self.candidacy.admit(candidate, member)
        row = self.candidacy.row(known)
        self._unwritten.append(lambda transaction: transaction.put_candidate(row))
        self._learn(known)

    def _learn(self, known: Known, *writes: Write) -> None:
        self._step(Learned(self.context.now_s(), self.candidacy.facts(known)), *writes)

    def hold_back(self, error: NotNowError) -> None:
        """What we want cannot be committed now, for want of somebody; it is tried again once somebody is heard."""
        self._retry_at_s = self.context.now_s() + RETRY_S
        self.sleepers = error.sleepers

    def offer(self, known: Known) -> None:
        """Store an own candidate with the successor only we can compute, then tell everyone."""
        row = self.candidacy.row(known)
        place = len(self.outward)
        self._learn(known, lambda transaction: transaction.put_candidate(row))
        self._announce(known, place)

    def _offer_plain(self) -> None:
        """R3: the plain commit a step asked for; durable in a transaction of its own, reported as the next input.

        Of a cut-off node it is its resync, which is under way.
        """
        if self.holding.is_cut_off:
            return
        now = self.context.now_ms() // 1000
        try:
            known = self.candidacy.admit_own(build_plain(self.group, self.epoch.instance, self.context.random, now))
        except (MlsError, RuleError) as error:  # this view is lost, no more than that
            log.error("no plain commit", group=short(self.holding.group_id), reason=str(error))
            return
        with self.context.store.transaction() as transaction:
            transaction.put_candidate(self.candidacy.row(known))
        self._announce(known)
        self._inputs.append(Learned(self.context.now_s(), self.candidacy.facts(known)))

    def _offer_eviction(self, built: Built) -> bool:
        """Offer the removal of proven liars as our commit of this epoch, if there is no other."""
        is_open = self.instance.freeze is None and self.instance.decision is None and not self.is_frozen
        if is_open and not self.candidacy.has_own(INTENT_ORDINAL):
            self.offer(self.candidacy.admit_own(built))
            return True
        return False

    def _announce(self, known: Known, place: int | None = None) -> None:
        """The candidate's bytes to all members; at `place` in the queue, before votes that name it."""
        outward = self.to_members(Frame(self._tag, FrameKind.CANDIDATE, known.candidate.encode()))
        self.outward.insert(len(self.outward) if place is None else place, outward)

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
        if records or writes or ended or (speaks and self._unwritten):
            with self.context.store.transaction() as transaction:
                for write in (*self._unwritten, *writes):
                    write(transaction)
                for record in records:
                    self._persist(transaction, record)
                if ended is not None:
                    committee, rivals = self._config.committee, self.candidacy.rival_count
                    adoption.write(transaction, self.context, ended, committee, rivals, self._welcome_rank(ended))
            self._unwritten.clear()
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
        refused = self.patience.note(ended, self.candidacy, self.context.now_s(), carried=self.pursuit.carries)
        self.holding = ended.after
        self._wake_intents()
        self.context.feed.grew()
        if self.is_over:
            self._forget()
        else:
            self._enter(hurried=self.candidacy.facts(ended.known).proposal_class is ProposalClass.URGENT)
            self._give_up(refused)
        self.on_epoch()
        self.pursue_intents()

    def _give_up(self, refused: tuple[bytes, ...]) -> None:
        """End what the voters refused and will go on to refuse."""
        rows = (self.context.store.intent(intent_id) for intent_id in refused)
        ended = tuple(
            Settled(row, FAILED, REFUSED) for row in rows if row and row.state == OPEN and row.kind in GIVEN_UP
        )
        if ended:
            self.settle(ended)

    def _forget(self) -> None:
        """We were removed: the group's secrets leave the memory as they have left the disk."""
        self.candidacy.forget(self.holding)
        self.eviction.end()
        self.parking = Parking()
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
                self._broadcast(message, news=news)
            case Entrust(voter, message):
                self._tell(self.roster.voters((voter,)), message)
            case Send(peer, message):
                self._tell((peer,), message)
            case Fetch(id, holders, peers):
                self._fetch(id, (*self.roster.voters(holders), *peers))
            case BuildOwn():
                self._offer_plain()
            case Frozen():
                self._change_health(FROZEN, FROZEN_TEXT)
            case Abstained(epoch, hopeless):
                self._tell_abstaining(epoch, hopeless=hopeless)
            case EvidenceFound(evidence):
                leaf_index = self._config.committee.seats[evidence.first.voter].leaf
                self.eviction.take(attached(self.public, leaf_index, evidence), self.context.identity.peer_id)
            case Persist() | Decided():
                pass  # done in the transaction

    # --- intents and health ---

    def settle(self, settled: tuple[Settled, ...]) -> None:
        now_ms = self.context.now_ms()
        with self.context.store.transaction() as transaction:
            for each in settled:
                adoption.write_settled(transaction, self.holding, each, self.holding.epoch, now_ms)
        self._wake_intents()
        self.context.feed.grew()

    def _wake_intents(self) -> None:
        for intent_id, event in list(self.context.intent_ended.items()):
            row = self.context.store.intent(intent_id)
            if row is not None and row.state in (DONE, ALREADY, FAILED):
                event.set()

    def silence(self, holding: Holding, guard: Guard) -> None:
        """A successor was endorsed, and it is durable: from now on we say nothing in this group's ordering."""
        self.holding = holding
        self.instance = replace(self.instance, guard=guard)

    def _change_health(self, health: str, text: str, **changes: object) -> None:
        if self.holding.health in (RESCUING, SUPERSEDED):
            return  # whatever else is wrong with this group, it is over
        after = self.holding.with_changes(health=health, **changes)
        with self.context.store.transaction() as transaction:
            after.put(transaction)
            transaction.append_feed(notice_row(after, feed.HEALTH, text, self.context.now_ms()))
        self.holding = after
        self.context.feed.grew()

    def _note_status(self, status: Status) -> None:
        """A member stands where we stand, or does not; one that is new in this epoch is answered at once."""
        sender = (status.voter is not None, status.leaf if status.voter is None else status.voter)
        if self.instance.serials.get(sender) != status.serial:
            return  # the instance did not believe it
        peer = self.roster.peer_at(status.leaf)
        if peer is not None and peer != self.context.identity.peer_id:
            self.context.hear(peer)  # it may have come by the topic, from a neighbour
        if status.leaf not in self._seen_leaves:
            self._seen_leaves.add(status.leaf)
            if status.voter is None:
                self.speak()
        if status.fingerprint == NO_FINGERPRINT:
            self._note_cut_off(status.leaf)
        elif self.holding.is_cut_off:
            pass  # we have none to compare
        elif status.fingerprint != self._config.fingerprint:
            self._note_fragment(status.leaf)
        elif status.leaf in self._fragments:
            self._fragments.discard(status.leaf)  # mended
        elif self.holding.unconfirmed and self.confirmation.count(status):
            self._change_health(OK, "the group is confirmed", unconfirmed=False)
            self.on_epoch()
            self.pursue_intents()

    def _note_cut_off(self, leaf_index: int) -> None:
        """A member says that it could not open the change that began this epoch: told once in it."""
        leaf = self.public.leaf(leaf_index)
        if leaf_index in self._cut_off or leaf is None:
            return
        self._cut_off.add(leaf_index)
        text = cut_off.seen(leaf_index, Names.of(self.context).shown(claimed_peer(leaf.credential.identity)))
        with self.context.store.transaction() as transaction:
            transaction.append_feed(notice_row(self.holding, feed.HEALTH, text, self.context.now_ms()))
        self.context.feed.grew()

    def _note_fragment(self, leaf_index: int) -> None:
        """A member of this very epoch holds other secrets than we do: it, or we, cannot read what the other says."""
        if leaf_index in self._fragments:
            return
        self._fragments.add(leaf_index)
        log.error("epoch fingerprints differ", group=short(self.holding.group_id), leaf=leaf_index)
        text = (
            f"the member at leaf {leaf_index} stands in this epoch with other secrets than this node: {FRAGMENT_STEP}"
        )
        with self.context.store.transaction() as transaction:
            transaction.append_feed(notice_row(self.holding, feed.HEALTH, text, self.context.now_ms()))
        self.context.feed.grew()

    # --- sending ---

    def _broadcast(self, message: InstanceMessage, *, news: bool) -> None:
        """Votes concern the voters, Decisions the others; certificates and where we stand concern every member."""
        if isinstance(message, Decision) and not news and self.instance.freeze is None:
            self._tell_followers(message)
            return
        frame = Frame(self._tag, FrameKind.ORDERING, encode_message(message))
        if isinstance(message, Status | Decision | Certificate):
            self.outward.append(self.to_members(frame))
        else:
            self.outward.append(Tell(self.roster.other_voters, frame))

    def _tell_followers(self, decision: Decision) -> None:
        """Voters have the votes that it consists of; who lacks some says in its next Status where it stands."""
        if self.roster.followers:
            frame = Frame(self._tag, FrameKind.ORDERING, encode_message(decision))
            many = len(self.roster.followers) > DIRECT_MEMBERS_MAX
            self.outward.append(self.to_members(frame) if many else Tell(self.roster.followers, frame))

    def to_members(self, frame: Frame) -> Outward:
        peers = self.roster.others
        if len(peers) <= DIRECT_MEMBERS_MAX:
            return Tell(peers, frame)
        return Tell(self.roster.other_voters, frame) if self.holding.is_cut_off else Publish(frame, self.holding.epoch)

    def to_peer(self, peer: PeerId, frame: Frame) -> Outward:
        """A frame for one peer."""
        return Tell((peer,), frame)

    def _tell_evidence(self, peer: PeerId | None, evidence: Evidence) -> None:
        frame = Frame(self._tag, FrameKind.EVIDENCE, evidence.encode())
        self.outward.append(self.to_members(frame) if peer is None else Tell((peer,), frame))

    def _tell(self, peers: tuple[PeerId, ...], message: InstanceMessage) -> None:
        self.outward.append(Tell(peers, Frame(self._tag, FrameKind.ORDERING, encode_message(message))))

    def _fetch(self, id: BundleId, likely: tuple[PeerId, ...]) -> None:
        """Bytes that are missing: from who is likely to have them; what the protocol itself names, from anybody."""
        known = self.known.get(id)
        if known is not None:
            self._inputs.append(Learned(self.context.now_s(), self.candidacy.facts(known)))
            return
        if id in self._asking:
            return  # it goes on until somebody has it, or nobody does
        named = self._is_named(id)
        if not named and len(self._asking) >= OFFERS_ASKED_MAX:
            return  # it is offered again
        self._asking.add(id)
        voters = self.roster.other_voters
        request = CandidateRequest(self._tag, id).encode()
        everybody = (*voters, *self.roster.others) if named else ()  # what one member made up is not asked of all
        peers = tuple(dict.fromkeys((*likely, *everybody)))
        then, accepts = partial(self._fetched, id), partial(self._is_wanted, id)
        self.outward.append(Ask(peers, CANDIDATE_PROTOCOL, request, then, accepts))

    def _is_wanted(self, id: BundleId, reply: bytes) -> bool:
        if self.is_over or not is_candidate(reply, id):
            return False
        return self.candidacy.author_of(Candidate.decode(reply)) is not None

    def _fetched(self, id: BundleId, peer: PeerId, reply: bytes | None) -> None:
        self._asking.discard(id)
        if reply:
            self.receive_candidate(peer, reply)

    def _sign_vote(self, message: bytes) -> bytes:
        return ed25519_sign(self._vote_key, message)

    def _sign_status(self, message: bytes) -> bytes:
        return self.group.sign(STATUS_LABEL, message)

    def _verify_member(self, leaf_index: int, message: bytes, signature: bytes) -> bool:
        leaf = self.public.leaf(leaf_index)
        if leaf is None:
            return False
        return self.public.suite.verify_with_label(leaf.signature_key, STATUS_LABEL, message, signature)


def fingerprint(group: Group) -> bytes:
    """What two members compare to know that they are in the same epoch of the same group; 16 bytes."""
    return group.suite.hash(b"conclave/fingerprint/v1" + group.epoch_authenticator)[:16]
