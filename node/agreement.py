"""The running epoch of one group: its instance, its candidates, and the step from a Decision to the next epoch.

Every public method is one synchronous step: compute, one transaction, then what is to go out is appended to
`outward`. Nothing here waits. The rule that carries it all: the transaction that makes a vote or a Decision durable
also holds whatever explains it, and memory is changed only after it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mls import Group, MlsError, UnopenableError, ed25519_sign, ed25519_verify
from node import feed
from node.building import Built, build_for_intents, build_plain
from node.context import NodeContext, group_config
from node.electorate import RuleError, peer_of, voter_of, voting_of
from node.feed import ChangeBody, DecisionBody, IntentBody, NoticeBody
from node.holding import (
    ABSTAINING,
    CUT_OFF,
    FROZEN,
    OK,
    REMOVED,
    UNCONFIRMED,
    Holding,
    after_decision,
    with_key,
    without_secrets,
)
from node.identity import claimed_peer
from node.intents import ALREADY, DONE, FAILED, Plan, Settled, plan
from node.judgement import HEARD_FOR_ELECTION_S, Epoch, HardValid, Known, judge_hard, judge_soft, stage
from node.logs import logger, short
from node.outward import Ask, Outward, Publish, Tell
from node.parking import Parking
from node.peer_id import PeerId
from node.peer_messages import CANDIDATE_PROTOCOL, CandidateRequest, Frame, FrameKind, group_tag
from node.sealing import gossip_key
from node.store_rows import CandidateRow, DecisionRow, FeedRow, GuardRow, IntentRow
from node.store_writes import Transaction
from node.welcoming import welcome_rows
from ordering import (
    Abstained,
    Broadcast,
    BuildOwn,
    BundleId,
    Candidate,
    Certificate,
    Decided,
    Decision,
    EvidenceFound,
    Fetch,
    Freeze,
    Frozen,
    Guard,
    Heard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceRecord,
    InstanceState,
    Learned,
    MalformedError,
    Open,
    OrderingError,
    Persist,
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
    is_instance_message,
    restore,
    step,
)

KNOWN_MAX: Final = 256  # candidates of one epoch kept here; the ordering layer bounds them per leaf as well
DIRECT_MEMBERS_MAX: Final = 64  # up to here what concerns all members is told to each; beyond, the topic carries it
STATUS_LABEL: Final = "Conclave Status"
HEARD_AGAIN_S: Final = 1.0  # link traffic is reported to the instance at most this often per peer

Write = Callable[[Transaction], None]
log = logger("agreement")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a Decision leads to, computed before its transaction."""

    decision: Decision
    known: Known
    holding: Holding  # after it
    own: Built | None
    plan: Plan | None  # our open intents in the light of the new epoch; None once removed


class Agreement:
    """One group's agreement; `holding` is replaced as a whole when an epoch ends, and says so when we were removed."""

    instance: InstanceState
    epoch: Epoch

    def __init__(self, context: NodeContext, holding: Holding) -> None:
        self.context = context
        self.holding = holding
        self.outward: deque[Outward] = deque()
        self.known: dict[BundleId, Known] = {}
        self.own: dict[BundleId, Built] = {}
        self.parking = Parking()
        self.on_epoch: Callable[[], None] = lambda: None  # called after each epoch is entered
        self._tag = group_tag(holding.group_id)
        self._vote_key = holding.vote_key
        self._link_heard_s: dict[PeerId, float] = {}
        self._confirmed_by: set[int] = set()
        self._seen_leaves: set[int] = set()  # whose Status was heard in this epoch
        self._inputs: deque[Input] = deque()
        self._stepping = False
        self._enter(restored=True)

    # --- what it is ---

    @property
    def group(self) -> Group:
        """The group value of the certified epoch."""
        assert self.holding.group is not None, "a removed group has no agreement"
        return self.holding.group

    @property
    def is_over(self) -> bool:
        """Whether we were removed."""
        return self.holding.removed

    @property
    def wake_at_s(self) -> float | None:
        """When `tick` is due."""
        return self.instance.wake_at_s

    def peers(self) -> tuple[PeerId, ...]:
        """The other members' peers, by leaf index."""
        return tuple(peer for peer in self._leaf_peers.values() if peer != self.context.identity.peer_id)

    def leaf_of(self, peer: PeerId) -> int | None:
        """The leaf of a peer in this epoch."""
        return self._leaves.get(peer)

    def voter_peers(self, voters: Iterable[int]) -> tuple[PeerId, ...]:
        """The peers behind voter indices, our own left out."""
        seats = self.instance.config.committee.seats
        peers = (self._leaf_peers[seats[voter].leaf] for voter in voters if voter < len(seats))
        return tuple(peer for peer in peers if peer != self.context.identity.peer_id)

    # --- inputs ---

    def receive(self, peer: PeerId, body: bytes) -> None:
        """An ordering message from a peer; bytes that are none are dropped."""
        message = decode_message(body)
        if not is_instance_message(message):
            raise MalformedError("this kind of ordering message does not travel in a frame")
        assert isinstance(message, InstanceMessage)
        if message.instance != self.instance.config.instance:
            self._of_another_epoch(peer, message, body)
            return
        self._step(Received(self.context.now_s(), peer, message))
        if isinstance(message, Status):
            self._note_status(message)

    def receive_candidate(self, peer: PeerId, body: bytes) -> None:
        """A candidate's bytes: judge, make durable, tell the instance. Of another epoch: parked for the next."""
        if self.holding.removed:
            return
        candidate = Candidate.decode(body)
        if candidate.instance != self.instance.config.instance:
            self.parking.park(peer, candidate.instance, FrameKind.CANDIDATE, body)
            return
        if candidate.id in self.known or len(self.known) >= KNOWN_MAX:
            return
        self._take(candidate, body)

    def decide_from_log(self, peer: PeerId, body: bytes, decision: Decision) -> None:
        """A verified Decision of the present epoch and the bundle it decided, found by catching up."""
        if decision.instance != self.instance.config.instance:
            return
        candidate = Candidate.decode(body)
        if candidate.id not in self.known:
            self._take(candidate, body)
        self._step(Received(self.context.now_s(), peer, decision))

    def peer_of_member(self, identity: bytes) -> PeerId:
        """The peer that a credential the engine accepted belongs to."""
        return claimed_peer(identity)

    def tick(self) -> None:
        """`wake_at_s` has come."""
        self._step(Tick(self.context.now_s()))

    def hear(self, peer: PeerId) -> None:
        """Authenticated traffic of a peer on its link, whatever it was about."""
        now = self.context.now_s()
        if now - self._link_heard_s.get(peer, float("-inf")) < HEARD_AGAIN_S:
            return
        self._link_heard_s[peer] = now
        leaf = self._leaves.get(peer)
        voter = None if leaf is None else self.instance.config.committee.voter_of_leaf(leaf)
        if voter is not None:
            self._step(Heard(now, (voter,)))

    def pursue_intents(self) -> None:
        """Build a candidate for what is wanted here, unless one of ours is under way in this epoch already."""
        if self.holding.removed or self.instance.freeze is not None or self.instance.decision is not None:
            return
        if any(known.own and known.candidate.ordinal == 0 for known in self.known.values()):
            return
        intents = self.context.store.open_intents(self.holding.group_id)
        if not intents:
            return
        wanted = plan(self.group, intents, may_opt_in=not self.holding.unconfirmed)
        if wanted.settled:
            self._settle(wanted.settled)
        if wanted.intents:
            self._build(wanted)

    # --- epochs ---

    def _enter(self, *, restored: bool) -> None:
        """Open the instance of the epoch that `holding` stands in."""
        holding, group = self.holding, self.group
        now = self.context.now_s()
        carried = {} if restored else self._heard_by_leaf()
        if not restored:
            self.parking.close(self.instance.config.instance)
        self.known.clear()
        self.own.clear()
        self._confirmed_by = set()
        self._seen_leaves = set()
        voting = voting_of(group.public)
        self._leaf_peers = {leaf_index: peer_of(group.public, leaf) for leaf_index, leaf in group.public.leaves()}
        self._leaves = {peer: leaf_index for leaf_index, peer in self._leaf_peers.items()}
        own_voter = voting.committee.voter_of_leaf(group.own_leaf)
        if own_voter is not None and voting.committee.seats[own_voter].vote_key != self._vote_key.public:
            own_voter = None  # a key we do not hold; nothing can be signed with it
        ordering = self.context.config.ordering
        config = InstanceConfig(
            group_id=holding.group_id,
            epoch=group.epoch,
            prev=holding.extra.prev,
            committee=voting.committee,
            own_voter=own_voter,
            own_leaf=group.own_leaf,
            sign=self._sign_vote if own_voter is not None else self._sign_status,
            verify=ed25519_verify,
            verify_member=self._verify_member,
            fingerprint=fingerprint(group),
            boot=self.context.boot,
            timing=Timing(
                delta_s=voting.policy.delta_ms / 1000,
                status_period_s=ordering.status_period_ms / 1000,
                idle_period_s=ordering.status_idle_period_ms / 1000,
                collect_max_s=ordering.collection_window_ms / 1000,
            ),
        )
        self.epoch = Epoch(group.public, config.instance, voting)
        guard = self._stored_guard()
        if restored:
            self.instance = restore(config, guard, self._stored_records())
            self._step(Open(now))
            for row in self.context.store.candidates(holding.group_id, group.epoch):
                self._recall(row)
        else:
            heard = tuple(
                (voter, carried[seat.leaf])
                for voter, seat in enumerate(voting.committee.seats)
                if seat.leaf in carried and voter != own_voter
            )
            self.instance = create(config, guard)
            self._step(Open(now, listening_since_s=self.context.started_s, heard=heard))
        for peer, kind, body in self.parking.take(config.instance):
            if kind is FrameKind.CANDIDATE:
                self.receive_candidate(peer, body)
            else:
                self.receive(peer, body)

    def _heard_by_leaf(self) -> dict[int, float]:
        seats = self.instance.config.committee.seats
        return {seats[voter].leaf: at for voter, at in self.instance.heard.items()}

    def _of_another_epoch(self, peer: PeerId, message: InstanceMessage, body: bytes) -> None:
        """Early: park it. Late: the sender lacks a Decision of ours."""
        epoch = message.epoch if isinstance(message, Status | Decision) else None
        if epoch is not None and epoch < self.group.epoch:
            if isinstance(message, Status):
                self._answer_laggard(peer, epoch)
            return
        self.parking.park(peer, message.instance, FrameKind.ORDERING, body)

    def _answer_laggard(self, peer: PeerId, epoch: int) -> None:
        """R10, for an epoch we have left: its Decision, as far as the peer was a member of it."""
        if not self.may_serve(peer, epoch):
            return
        row = self.context.store.decision(self.holding.group_id, epoch)
        if row is not None:
            self._tell((peer,), encode_message(Decision.decode(row.decision)))

    def may_serve(self, peer: PeerId, epoch: int) -> bool:
        """Whether a peer was, as far as we know, a member in that epoch: only then is it told how it ended."""
        if peer in self._leaves:
            return True
        return any(each.peer == peer and epoch <= each.epoch for each in self.holding.extra.departed)

    # --- candidates ---

    def _take(self, candidate: Candidate, body: bytes) -> None:
        """Judge a candidate that came in, make it durable, and report it."""
        valid: HardValid | None = None
        try:
            valid = judge_hard(self.epoch, candidate)
        except (RuleError, MlsError, OrderingError) as error:
            log.info("candidate is hard-invalid", group=short(self.holding.group_id), reason=str(error))
        known = Known(candidate, candidate.id, valid, self.context.now_ms())
        self._judge_soft(known)
        row = CandidateRow(self.holding.group_id, self.group.epoch, known.id, body, ordinal=candidate.ordinal)
        self._learn(known, lambda transaction: transaction.put_candidate(row))

    def _judge_soft(self, known: Known) -> None:
        """Voters only: our own view of a valid candidate."""
        if known.valid is None or self.instance.config.own_voter is None:
            return
        try:
            known.staged = judge_soft(known.valid, self.group, self.context.now_ms() // 1000, self._heard_identity)
            known.soft = True
        except (RuleError, MlsError) as error:
            known.soft, known.soft_detail = False, str(error)
            log.info("candidate is soft-invalid", group=short(self.holding.group_id), reason=str(error))

    def _heard_identity(self, identity: bytes) -> bool:
        return self.context.heard_within(identity.decode(), HEARD_FOR_ELECTION_S)

    def _recall(self, row: CandidateRow) -> None:
        """A candidate found on our disk after a restart."""
        candidate = Candidate.decode(row.candidate)
        if candidate.id in self.known or candidate.instance != self.epoch.instance:
            return
        valid = judge_hard(self.epoch, candidate)  # it was judged before; a failure is a bug of ours
        known = Known(candidate, candidate.id, valid, self.context.now_ms())
        if row.successor is not None:
            known.own = known.soft = True
            successor = Group.from_bytes(row.successor, group_config(self.context.config))
            self.own[known.id] = Built(candidate, known.id, successor, row.intent_ids)
        else:
            self._judge_soft(known)
        self._learn(known)
        if known.own:
            self._announce(known)

    def _learn(self, known: Known, *writes: Write) -> None:
        self.known[known.id] = known
        facts = known.facts(self.holding.extra.last_won(known.candidate.author))
        self._step(Learned(self.context.now_s(), facts), *writes)

    def _build(self, wanted: Plan) -> None:
        """Our candidate for a plan. Intents that cannot be committed at all are failed one by one."""
        now = self.context.now_ms() // 1000
        try:
            built = build_for_intents(self.group, self.epoch.instance, wanted, self._vote_key, self.context.random, now)
        except (MlsError, RuleError) as error:
            if len(wanted.intents) == 1:
                self._settle((Settled(wanted.intents[0], FAILED, str(error)),))
                return
            for intent in wanted.intents:
                alone = plan(self.group, (intent,), may_opt_in=not self.holding.unconfirmed)
                if alone.intents:
                    self._build(alone)
                    if self.own:
                        return
            return
        self._offer(built)

    def _offer(self, built: Built) -> None:
        """Store an own candidate with the successor only we can compute, then tell everyone."""
        body = built.candidate.encode()
        valid = judge_hard(self.epoch, built.candidate)  # a sender runs the receivers' checks
        known = Known(built.candidate, built.id, valid, self.context.now_ms(), soft=True, own=True)
        row = CandidateRow(
            self.holding.group_id,
            self.group.epoch,
            built.id,
            body,
            built.successor.to_bytes(),
            built.intent_ids,
            built.candidate.ordinal,
        )
        self.own[built.id] = built
        place = len(self.outward)
        self._learn(known, lambda transaction: transaction.put_candidate(row))
        self._announce(known, place)

    def _announce(self, known: Known, place: int | None = None) -> None:
        """The candidate's bytes to all members; at `place` in the queue, before votes that name it."""
        frame = Frame(self._tag, FrameKind.CANDIDATE, known.candidate.encode())
        outward = self._to_members(frame)
        if place is None:
            self.outward.append(outward)
        else:
            self.outward.insert(place, outward)

    # --- the machine ---

    def _step(self, event: Input, *writes: Write) -> None:
        """Feed one input, carry out what it asks; inputs that arise meanwhile are taken afterwards, in order."""
        self._inputs.append(event)
        if self._stepping:
            assert not writes, "a nested step has no writes of its own"
            return
        self._stepping = True
        try:
            while self._inputs:
                self._step_once(self._inputs.popleft(), writes)
                writes = ()
        finally:
            self._stepping = False
            self._inputs.clear()

    def _step_once(self, event: Input, writes: tuple[Write, ...]) -> None:
        transition = step(self.instance, event)
        persists = [effect.record for effect in transition.effects if isinstance(effect, Persist)]
        decided = next((effect for effect in transition.effects if isinstance(effect, Decided)), None)
        adoption = None if decided is None else self._prepare(decided.decision)
        if persists or writes or adoption:
            with self.context.store.transaction() as transaction:
                for write in writes:
                    write(transaction)
                for record in persists:
                    self._persist(transaction, record)
                if adoption is not None:
                    self._write_adoption(transaction, adoption)
        self.instance = transition.state
        for effect in transition.effects:
            self._perform(effect)
        if adoption is not None:
            self._adopt(adoption)

    def _persist(self, transaction: Transaction, record: Record) -> None:
        group_id, epoch = self.holding.group_id, self.group.epoch
        match record:
            case Guard():
                transaction.put_guard(GuardRow(*(getattr(record, name) for name in Guard.__struct_fields__)))
            case InstanceRecord():
                transaction.put_ordering_record(group_id, epoch, "instance", record.encode())
            case Freeze():
                transaction.put_ordering_record(group_id, epoch, "freeze", record.encode())
                self.holding.with_changes(health=FROZEN).put(transaction)
            case Decision():
                known = self.known.get(record.id)
                candidate = None if known is None else known.candidate.encode()
                transaction.put_decision(DecisionRow(group_id, epoch, record.id, record.encode(), candidate))

    def _stored_guard(self) -> Guard:
        row = self.context.store.guard(self.holding.group_id)
        if row is None:
            return Guard.fresh(self.holding.group_id)
        return Guard(*(getattr(row, name) for name in Guard.__struct_fields__))

    def _stored_records(self) -> tuple[Record, ...]:
        group_id, epoch = self.holding.group_id, self.group.epoch
        kinds: dict[str, type[InstanceRecord] | type[Freeze]] = {"instance": InstanceRecord, "freeze": Freeze}
        records: list[Record] = [
            kinds[key].decode(body) for key, body in self.context.store.ordering_records(group_id, epoch)
        ]
        row = self.context.store.decision(group_id, epoch)
        if row is not None:  # decided, its bundle not here yet when we stopped
            records.append(Decision.decode(row.decision))
        return tuple(records)

    def _perform(self, effect: object) -> None:
        match effect:
            case Broadcast(message):
                self._broadcast(message)
            case Send(peer, message):
                self._tell((peer,), encode_message(message))
            case Fetch(id, holders):
                self._fetch(id, holders)
            case BuildOwn():
                built = build_plain(self.group, self.epoch.instance, self.context.random, self.context.now_ms() // 1000)
                self._offer_later(built)
            case Frozen():
                self._notice(FROZEN, "two contradicting certificates: the members of this group no longer change")
            case Abstained(epoch, hopeless):
                text = (
                    "this copy of the node may have voted before: the group can no longer change; found a successor"
                    if hopeless
                    else f"this copy of the node may have voted in epoch {epoch} before: it does not vote in it again"
                )
                self._notice(ABSTAINING, text)
            case EvidenceFound(evidence):
                log.warning(
                    "a voter contradicted itself", group=short(self.holding.group_id), voter=evidence.first.voter
                )
            case _:
                pass

    def _offer_later(self, built: Built) -> None:
        """An own candidate that a step asked for: durable in a transaction of its own, reported as the next input."""
        body = built.candidate.encode()
        valid = judge_hard(self.epoch, built.candidate)
        known = Known(built.candidate, built.id, valid, self.context.now_ms(), soft=True, own=True)
        with self.context.store.transaction() as transaction:
            transaction.put_candidate(
                CandidateRow(
                    self.holding.group_id,
                    self.group.epoch,
                    built.id,
                    body,
                    built.successor.to_bytes(),
                    built.intent_ids,
                    built.candidate.ordinal,
                )
            )
        self.own[built.id] = built
        self.known[built.id] = known
        self._announce(known)
        self._inputs.append(
            Learned(self.context.now_s(), known.facts(self.holding.extra.last_won(built.candidate.author)))
        )

    # --- from a Decision to the next epoch ---

    def _prepare(self, decision: Decision) -> Adoption:
        """The group after a decided bundle. Pure: nothing of ours changes."""
        known = self.known[decision.id]
        assert known.valid is not None, "only hard-valid bundles are handed over"
        staged = known.valid.staged
        own = self.own.get(decision.id)
        holding = self.holding
        gone = tuple(self._leaf_peers[leaf] for leaf in staged.removes)
        extra = after_decision(
            holding.extra, decided=decision.id, committer=staged.committer, epoch=decision.epoch, gone=gone
        )
        if own is not None:
            successor: Group | None = own.successor.following(self.group)
        else:
            try:
                result = known.staged or stage(known.valid, self.group, self.context.now_ms() // 1000)
            except UnopenableError as error:
                log.error("cut off", group=short(holding.group_id), epoch=decision.epoch, reason=str(error))
                return Adoption(decision, known, holding.with_changes(health=CUT_OFF), None, None)
            successor = None if result.successor is None else result.successor.following(self.group)
        if successor is None:
            after = holding.with_changes(group=None, extra=without_secrets(extra), health=REMOVED, removed=True)
            return Adoption(decision, known, after, own, None)
        extra = with_key(extra, successor.epoch, gossip_key(successor))
        health = UNCONFIRMED if holding.unconfirmed else OK
        after = holding.with_changes(group=successor, epoch=successor.epoch, extra=extra, health=health)
        done = () if own is None else own.intent_ids
        left = [i for i in self.context.store.open_intents(holding.group_id) if i.intent_id not in done]
        return Adoption(decision, known, after, own, plan(successor, left, may_opt_in=not holding.unconfirmed))

    def _write_adoption(self, transaction: Transaction, adoption: Adoption) -> None:
        holding, decision = adoption.holding, adoption.decision
        holding.put(transaction)
        if holding.health == CUT_OFF:
            transaction.append_feed(self._feed_row(feed.HEALTH, holding.epoch, None, _notice(_CUT_OFF_TEXT)))
            return
        epoch = decision.epoch + 1
        known = adoption.known
        transaction.put_decision(
            DecisionRow(holding.group_id, decision.epoch, decision.id, decision.encode(), known.candidate.encode())
        )
        transaction.drop_candidates(holding.group_id, epoch)
        transaction.drop_ordering_records(holding.group_id, epoch)
        transaction.append_feed(self._decision_row(adoption))
        if adoption.own is not None:
            for intent_id in adoption.own.intent_ids:
                intent = transaction.intent(intent_id)
                if intent is not None:
                    self._write_end(transaction, intent, DONE, epoch, decision.id)
        if adoption.plan is None:
            transaction.append_feed(self._feed_row(feed.GROUP, epoch, None, _notice(_REMOVED_TEXT)))
            for intent in transaction.open_intents(holding.group_id):
                self._write_end(transaction, intent, FAILED, None, b"", "we were removed from the group")
            return
        for settled in adoption.plan.settled:
            self._write_end(transaction, settled.intent, settled.state, epoch, b"", settled.error)
        assert known.valid is not None
        for row in welcome_rows(
            self.holding,
            decision,
            known.candidate,
            known.valid.staged,
            self._welcome_rank(known),
            self.context.now_ms(),
        ):
            transaction.put_outbox(row)

    def _welcome_rank(self, known: Known) -> int | None:
        """When it is our turn to deliver the Welcome: at once for the committer, then the voters in order."""
        if known.own:
            return 0
        voter = self.instance.config.own_voter
        return None if voter is None else voter + 1

    def _adopt(self, adoption: Adoption) -> None:
        """Memory follows the disk; then the next epoch opens and what lost is built again."""
        self.holding = adoption.holding
        self._wake_intents()
        self.context.feed.grew()
        self._inputs.clear()
        if self.holding.removed or self.holding.health == CUT_OFF:
            self.on_epoch()
            return
        self._stepping = False
        self._enter(restored=False)
        self.on_epoch()
        self.pursue_intents()
        self._stepping = True

    def _decision_row(self, adoption: Adoption) -> FeedRow:
        decision, known = adoption.decision, adoption.known
        assert known.valid is not None
        committer = self._leaf_peers[known.candidate.author]
        voters = (voter for voter, _ in decision.certificate.signatures)
        seats = self.instance.config.committee.seats
        body = DecisionBody(
            candidate_id=decision.id,
            committer_leaf=known.candidate.author,
            committer=committer,
            is_own=known.own,
            changes=self._changes(known.valid),
            view=decision.view,
            voters=tuple(self._leaf_peers[seats[voter].leaf] for voter in voters),
            quorum=self.instance.config.quorum,
            committee_size=len(seats),
            latency_ms=self.context.now_ms() - known.first_heard_ms,
            rivals=sum(1 for each in self.known.values() if each.valid is not None and each.candidate.ordinal == 0),
        )
        return self._feed_row(feed.DECISION, decision.epoch + 1, committer, body.encode())

    def _changes(self, valid: HardValid) -> tuple[ChangeBody, ...]:
        """What the commit did, in the feed's words."""
        staged = valid.staged
        after = staged.successor
        changes = [ChangeBody("add", each.leaf_index, peer_of(after, each.leaf)) for each in staged.adds]
        changes += [ChangeBody("remove", leaf, self._leaf_peers[leaf]) for leaf in staged.removes]
        committer = staged.committer
        before, now = self.group.public.leaf(committer), after.leaf(committer)
        if before is not None and now is not None:
            was, willing = voter_of(before) is not None, voter_of(now) is not None
            if was != willing:
                changes.append(ChangeBody("opt_in" if willing else "opt_out", committer, self._leaf_peers[committer]))
        if not changes:
            changes.append(ChangeBody("update", committer, self._leaf_peers[committer]))
        return tuple(changes)

    # --- intents ---

    def _settle(self, settled: tuple[Settled, ...]) -> None:
        with self.context.store.transaction() as transaction:
            for each in settled:
                self._write_end(transaction, each.intent, each.state, self.holding.epoch, b"", each.error)
        self._wake_intents()
        self.context.feed.grew()

    def _write_end(
        self,
        transaction: Transaction,
        intent: IntentRow,
        state: str,
        epoch: int | None,
        candidate_id: bytes,
        error: str | None = None,
    ) -> None:
        transaction.update_intent(intent.intent_id, state, epoch if state in (DONE, ALREADY) else None, error)
        body = IntentBody(
            intent_id=intent.intent_id,
            kind=intent.kind,
            state=state,
            peer="",
            epoch=epoch,
            candidate_id=candidate_id,
            error=error or "",
            latency_ms=self.context.now_ms() - intent.created_ms,
        )
        transaction.append_feed(self._feed_row(feed.INTENT, epoch or self.holding.epoch, None, body.encode()))

    def _wake_intents(self) -> None:
        for intent_id, event in list(self.context.intent_ended.items()):
            row = self.context.store.intent(intent_id)
            if row is not None and row.state in (DONE, ALREADY, FAILED):
                event.set()

    # --- confirmation ---

    def _note_status(self, status: Status) -> None:
        """A member stands where we stand, or does not; one that is new in this epoch is answered at once."""
        sender = (False, status.leaf) if status.voter is None else (True, status.voter)
        if self.instance.serials.get(sender) != status.serial:
            return  # the instance did not believe it
        if status.leaf not in self._seen_leaves:
            self._seen_leaves.add(status.leaf)
            if status.voter is None:
                self._step(Speak(self.context.now_s()))
        self._note_fingerprint(status)

    def _note_fingerprint(self, status: Status) -> None:
        """Unconfirmed → confirmed, when enough members that we elected ourselves stand where we stand."""
        if status.fingerprint != self.instance.config.fingerprint:
            log.error("epoch fingerprints differ", group=short(self.holding.group_id), leaf=status.leaf)
            return
        if not self.holding.unconfirmed:
            return
        committee = self.instance.config.committee
        members = len(self._leaf_peers)
        by_signer = status.leaf == self.holding.extra.welcomed_by
        if by_signer and members > 2:
            return
        if committee.size > 3 and status.voter is None:
            return
        self._confirmed_by.add(status.leaf)
        needed = committee.faults + 1 if committee.size > 3 else 1
        if len(self._confirmed_by) >= needed:
            after = self.holding.with_changes(unconfirmed=False, health=OK)
            with self.context.store.transaction() as transaction:
                after.put(transaction)
                transaction.append_feed(
                    self._feed_row(feed.HEALTH, after.epoch, None, _notice("the group is confirmed"))
                )
            self.holding = after
            self.context.feed.grew()
            self.on_epoch()
            self.pursue_intents()

    # --- sending ---

    def _broadcast(self, message: InstanceMessage) -> None:
        """Votes concern the voters; Decisions, certificates and where we stand concern every member."""
        frame = Frame(self._tag, FrameKind.ORDERING, encode_message(message))
        if isinstance(message, Status | Decision | Certificate):
            self.outward.append(self._to_members(frame))
        else:
            self.outward.append(Tell(self.voter_peers(range(self.instance.config.committee.size)), frame))

    def _to_members(self, frame: Frame) -> Outward:
        peers = self.peers()
        if len(peers) <= DIRECT_MEMBERS_MAX:
            return Tell(peers, frame)
        return Publish(frame, self.group.epoch)

    def _tell(self, peers: tuple[PeerId, ...], body: bytes) -> None:
        self.outward.append(Tell(peers, Frame(self._tag, FrameKind.ORDERING, body)))

    def _fetch(self, id: BundleId, holders: tuple[int, ...]) -> None:
        """Bytes that are missing: from who is likely to have them, then from any voter, then from anybody."""
        known = self.known.get(id)
        if known is not None:
            self._inputs.append(
                Learned(self.context.now_s(), known.facts(self.holding.extra.last_won(known.candidate.author)))
            )
            return
        voters = self.voter_peers((*holders, *range(self.instance.config.committee.size)))
        request = CandidateRequest(self._tag, id)
        self.outward.append(
            Ask(tuple(dict.fromkeys((*voters, *self.peers()))), CANDIDATE_PROTOCOL, request.encode(), self._fetched)
        )

    def _fetched(self, peer: PeerId, reply: bytes | None) -> None:
        if reply:
            self.receive_candidate(peer, reply)

    def _sign_vote(self, message: bytes) -> bytes:
        return ed25519_sign(self._vote_key, message)

    def _sign_status(self, message: bytes) -> bytes:
        return self.group.sign(STATUS_LABEL, message)

    def _verify_member(self, leaf_index: int, message: bytes, signature: bytes) -> bool:
        leaf = self.group.public.leaf(leaf_index)
        if leaf is None:
            return False
        return self.group.suite.verify_with_label(leaf.signature_key, STATUS_LABEL, message, signature)

    # --- rows ---

    def _notice(self, health: str, text: str) -> None:
        after = self.holding.with_changes(health=health)
        with self.context.store.transaction() as transaction:
            after.put(transaction)
            transaction.append_feed(self._feed_row(feed.HEALTH, after.epoch, None, _notice(text)))
        self.holding = after
        self.context.feed.grew()

    def _feed_row(self, kind: str, epoch: int, sender: PeerId | None, body: bytes) -> FeedRow:
        return FeedRow(self.holding.group_id, kind, epoch, sender, None, body, self.context.now_ms())


def fingerprint(group: Group) -> bytes:
    """What two members compare to know that they are in the same epoch of the same group; 16 bytes."""
    return group.suite.hash(b"conclave/fingerprint/v1" + group.epoch_authenticator)[:16]


def _notice(text: str) -> bytes:
    return NoticeBody(text).encode()


_CUT_OFF_TEXT: Final = "the last change could not be opened by this node; another member has to remove and re-add it"
_REMOVED_TEXT: Final = "this node was removed from the group; what was received can still be read"
