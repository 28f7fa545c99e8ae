"""Pursuing what is wanted: when this node makes a commit, what of others' it carries along, and what it asks of them.

Everybody who wants something could commit at once, and all but one would have worked for nothing. So a member whose
commit has a rival *offers* its intents to all (`node.folding`), and who expects to lose waits for its turn: the order
in which a leader would prefer the commits is known to all beforehand. Waiting is bounded, and costs nothing but time:
whoever is expected to commit and does not is passed by after `Δ₀`, and what is wanted is offered again until it is so.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from mls import MlsError, self_remove
from node.building import Built, build_for_intents
from node.commit_effects import Effects, effects_of, is_done_by
from node.electorate import RuleError, can_go_on, seats_of
from node.folding import INTENTS_LABEL, Book, Offer, SharedIntent, Wanted, offered
from node.intent_rules import KINDS
from node.intents import ADD, FAILED, LEAVE, READD, AddBody
from node.logs import logger, short
from node.outward import Tell
from node.peer_id import PeerId
from node.peer_messages import Frame, FrameKind, group_tag
from node.planning import Plan, Settled, plan
from node.presence import NotNowError, is_given_up
from node.settling import settle
from node.store_rows import IntentRow
from ordering import INTENT_ORDINAL, BundleId, OrderingError, ProposalClass, permutation

if TYPE_CHECKING:
    from node.agreement import Agreement

TURNS_MAX: Final = 2  # turns given to others before we commit what we want ourselves
COVERED_TURNS: Final = 2  # as long as a leader may take to propose what carries it already
LEAVE_WAIT_S: Final = 0.05  # at most, for the proposal of who wants to leave: each epoch needs a new one
LEAVE_EPOCHS: Final = 8  # and in so many epochs
SILENT_EPOCHS: Final = 8  # how long nobody waits again for who let its turn pass
OFFER_GAP_S: Final = 0.05  # between two different offers of ours in one epoch; doubled each time
REOFFER_S: Final = 2.0  # until what is still wanted is offered again; doubled each time
REOFFER_MAX_S: Final = 60.0
ALONE_AFTER_S: Final = 5.0  # until a commit of ours that is not decided gets another beside it, for the rest we want
OWN_RIVALS_MAX: Final = 2  # of these in an epoch
TRIES_MAX: Final = 24  # commits made to find out whose wish it is that cannot be committed
SERIAL_BITS: Final = 24  # of an offer's number within one run of the node

Key = tuple[int, int, bytes]
"""What of the order key is known before there is a candidate: class, last epoch won, permutation."""

log = logger("pursuit")


class Pursuit:
    """What is wanted in one group, by us and by others, and when we commit it. Belongs to the group's `Agreement`."""

    def __init__(self, agreement: "Agreement") -> None:
        self._agreement = agreement
        self.book = Book()
        self.wake_at_s: float | None = None
        self._serial = 0
        self._seen: dict[bytes, int] = {}  # our open intents -> the epoch in which they were first wanted
        self._silent: dict[int, int] = {}  # leaf -> the epoch in which it let its turn pass
        self.begin()

    def begin(self) -> None:
        """A new epoch. Nothing is built before `pursue`: what came early has to be heard first."""
        public, context = self._agreement.public, self._agreement.context
        context.turns.end(public.group_id, context.now_s())
        self.book.turn(public)
        self.wake_at_s = None
        self._awake = self._is_held_back = False
        self._since_s: float | None = None  # when the first thing was wanted in this epoch
        self._effects: dict[BundleId, Effects] = {}
        self._frame: Frame | None = None  # our latest offer
        self._offered: tuple[SharedIntent, ...] = ()
        self._offer_at_s = 0.0
        self._offer_after_s = REOFFER_S
        self._offer_next_s = 0.0
        self._offer_gap_s = OFFER_GAP_S
        self._leave: bytes | None = None
        self.carries = False  # whether our commit of this epoch is for others too
        self._built_at_s: float | None = None
        self._rivals_made = 0
        self._silent = {leaf: at for leaf, at in self._silent.items() if at > public.epoch - SILENT_EPOCHS}

    # --- what comes in ---

    def pursue(self) -> None:
        """From now on in this epoch: build what is wanted when it is time."""
        self._awake, self._is_held_back = True, False
        self.consider()

    def receive(self, offer: Offer) -> None:
        """What another member wants, in the present instance."""
        if offer.author != self._agreement.own_leaf and self.book.take(self._agreement.public, offer):
            self.consider()

    def tell(self, peer: PeerId) -> None:
        """A member has connected: it may have missed what we offered."""
        if self._frame is not None and peer in self._agreement.roster:
            self._agreement.outward.append(Tell((peer,), self._frame))

    def consider(self) -> None:
        """Look at everything that is wanted; build now, or know when to look again."""
        agreement = self._agreement
        self.wake_at_s = None
        if not self._awake or not agreement.may_build:
            return
        own = agreement.context.store.open_intents(agreement.holding.group_id)
        if agreement.candidacy.has_own(INTENT_ORDINAL) or self._is_held_back:
            self._offer(own)
            self._go_alone(own)
            return
        is_alone = own and agreement.patience.is_alone
        others = () if is_alone else self.book.wanted(agreement.holding.group_id)
        if not own and not others:
            agreement.context.turns.end(agreement.holding.group_id, agreement.context.now_s())
            return
        wanted = self._plan(own, others)
        if wanted.settled:
            settle(agreement.context, agreement.holding, wanted.settled)
            own = agreement.context.store.open_intents(agreement.holding.group_id)
        self._offer(own)
        if wanted.is_empty:
            return
        now = agreement.context.now_s()
        self._since_s = now if self._since_s is None else self._since_s
        due = self._due(wanted)
        turns, group_id = agreement.context.turns, agreement.holding.group_id
        if due is not None and now >= due:
            if wanted.is_urgent or turns.take(group_id, now, agreement.on_turn):
                self._build(own, wanted)
            else:
                self._wake(turns.due_s)
        elif due is not None:
            self._wake(due)

    def _plan(self, own: Sequence[IntentRow], others: Sequence[Wanted]) -> Plan:
        agreement = self._agreement
        return plan(
            agreement.group,
            own,
            may_opt_in=not agreement.holding.unconfirmed,
            others=others,
            may_hurry=agreement.candidacy.may_hurry,
        )

    def _wake(self, at_s: float) -> None:
        self.wake_at_s = at_s if self.wake_at_s is None else min(self.wake_at_s, at_s)

    # --- when ---

    def _due(self, wanted: Plan) -> float | None:
        """When it is our turn to commit this; None for never, unless something changes."""
        agreement = self._agreement
        assert self._since_s is not None
        turn_s = agreement.instance.config.timing.delta_s
        if wanted.intents and agreement.instance.view > 0:
            return self._since_s  # what was offered first has failed once
        rivals = self._rivals()
        winner = min(rivals, key=lambda each: rivals[each]) if rivals else None
        is_covered = winner is not None and self._covers(winner, wanted)
        if wanted.intents:
            turns = COVERED_TURNS if is_covered else min(TURNS_MAX, self._ahead(wanted, rivals))
            is_awaiting = self.book.is_awaiting(LEAVE, LEAVE_EPOCHS)
            return self._since_s + max(turns * turn_s, min(turn_s / 4, LEAVE_WAIT_S) if is_awaiting else 0.0)
        place = self._place_to_help(wanted)
        if place is None:
            return None
        return self._since_s + (place + (COVERED_TURNS if is_covered else 0)) * turn_s

    def _rivals(self) -> dict[BundleId, Key]:
        """Others' candidates that a leader could still propose, and how they are ordered."""
        agreement = self._agreement
        view, proposed = agreement.instance.view, agreement.instance.proposed
        rivals: dict[BundleId, Key] = {}
        for known in agreement.known.values():
            facts = agreement.candidacy.facts(known)
            is_tried = proposed.get(known.id, view) < view
            if facts.hard and facts.soft is not False and facts.ordinal == INTENT_ORDINAL and not is_tried:
                place = permutation(agreement.holding.group_id, agreement.group.epoch, facts.committer)
                rivals[known.id] = (facts.proposal_class, facts.last_won, place)
        return rivals

    def _key(self, proposal_class: int, leaf: int) -> Key:
        holding, epoch = self._agreement.holding, self._agreement.group.epoch
        return (proposal_class, holding.extra.last_won(leaf), permutation(holding.group_id, epoch, leaf))

    def _covers(self, winner: BundleId, wanted: Plan) -> bool:
        """Whether the candidate that would be proposed does all that we would do."""
        known, own_leaf = self._agreement.known[winner], self._agreement.group.own_leaf
        assert known.valid is not None, "only hard-valid candidates are rivals"
        effects = self._effects.get(winner)
        if effects is None:
            effects = self._effects[winner] = effects_of(self._agreement.group.public, known.valid)
        return all(is_done_by(effects, each.kind, each.body, own_leaf) for each in wanted.intents) and all(
            is_done_by(effects, each.kind, each.body, each.author) for each in wanted.folded
        )

    def _ahead(self, wanted: Plan, rivals: dict[BundleId, Key]) -> int:
        """How many members' commits would be preferred to ours: those here, and those to be expected."""
        own_class = ProposalClass.URGENT if wanted.is_urgent else ProposalClass.ORDINARY
        ours = self._key(own_class, self._agreement.group.own_leaf)
        here = {self._agreement.known[id].candidate.author: key for id, key in rivals.items()}
        able = {each.author for each in wanted.folded if each.kind != LEAVE} - self._silent.keys()
        expected = [self._key(own_class, leaf) for leaf in able if not self._has_built(leaf)]
        return sum(each < ours for each in (*here.values(), *expected))

    def _has_built(self, leaf: int) -> bool:
        """Whether this member has made its commit, for better or worse."""
        known = self._agreement.known.values()
        return any(each.candidate.author == leaf and each.candidate.ordinal == INTENT_ORDINAL for each in known)

    def _place_to_help(self, wanted: Plan) -> int | None:
        """Our place among those who commit for who leaves: the voters as they lead, then who else is willing.

        Whoever wants anything else can commit it itself: nobody else needs to.
        """
        agreement = self._agreement
        committee, epoch = agreement.instance.config.committee, agreement.group.epoch
        leaving = {each.author for each in wanted.folded if each.kind == LEAVE}
        if not leaving:
            return None
        seated = [committee.seats[(epoch + place) % committee.size].leaf for place in range(committee.size)]
        willing = [seat.leaf for seat in seats_of(agreement.group.public) if seat.eligible and seat.leaf not in seated]
        helpers = [leaf for leaf in (*seated, *willing) if leaf not in leaving]
        own_leaf = agreement.group.own_leaf
        return helpers.index(own_leaf) if own_leaf in helpers else None

    # --- building ---

    def _build(self, own: Sequence[IntentRow], wanted: Plan) -> None:
        """Our candidate. What cannot be committed whole is committed without whoever's wishes are in the way."""
        self._note_silent(wanted)
        agreement = self._agreement
        try:
            known = agreement.candidacy.admit_own(self._made(wanted))
        except (MlsError, OrderingError, RuleError) as error:
            if wanted.folded:
                self._build_without_the_bad(own, wanted)
            elif len(wanted.intents) == 1 and is_given_up(wanted.intents[0].kind, error):
                failed = Settled(wanted.intents[0], FAILED, str(error))
                settle(agreement.context, agreement.holding, (failed,))
            elif len(wanted.intents) == 1 and isinstance(error, NotNowError):
                self._hold_back(error)
                rest = [each for each in own if each not in wanted.intents]
                if not (
                    possible := self._plan(rest, ())
                ).is_empty:  # what waits for somebody keeps nothing else waiting
                    self._build(rest, possible)
            elif not self._build_without_the_spoilt(wanted.intents):
                self._build_one_of(wanted.intents)
            return
        self.carries, self._built_at_s = bool(wanted.folded), agreement.context.now_s()
        self._wake(self._built_at_s + ALONE_AFTER_S)
        agreement.nominations.offer(known)

    def _go_alone(self, own: Sequence[IntentRow]) -> None:
        """Our commit is not decided: perhaps for what it carries, of others' wishes or ours. Then one without it."""
        agreement, now = self._agreement, self._agreement.context.now_s()
        tried = {intent_id for built in agreement.candidacy.own.values() for intent_id in built.intent_ids}
        rest = own if self.carries else [each for each in own if each.intent_id not in tried]
        if not rest or self._is_held_back or self._rivals_made >= OWN_RIVALS_MAX:
            return
        if self._built_at_s is None:  # it was made before a restart, or evicts somebody
            self._built_at_s = now
        if now < self._built_at_s + ALONE_AFTER_S:
            self._wake(self._built_at_s + ALONE_AFTER_S)
            return
        self.carries, self._built_at_s, self._rivals_made = False, now, self._rivals_made + 1
        alone = self._plan(rest, ())
        if alone.intents:
            self._build(rest, alone)

    def _build_one_of(self, intents: Sequence[IntentRow]) -> None:
        """They cannot be committed together: the first that can be alone, the others after it."""
        for intent in intents:
            alone = self._plan((intent,), ())
            if alone.intents and not self._agreement.candidacy.has_own(INTENT_ORDINAL):
                self._build((intent,), alone)

    def _build_without_the_spoilt(self, intents: Sequence[IntentRow]) -> bool:
        """Find the adds that cannot be committed, by halves: they end, and the rest goes together, or waits.

        False when none of them is to blame.
        """
        parts: list[list[IntentRow]] = [[each for each in intents if each.kind in (ADD, READD)]]
        good = [each for each in intents if each not in parts[0]]
        if len(parts[0]) < 2 or (good and self._fault_of(self._plan(good, ())) is not None):
            return False
        bad: list[Settled] = []
        tries = 0
        while parts and tries < TRIES_MAX:
            part, tries = parts.pop(), tries + 1
            fault = self._fault_of(self._plan((*good, *part), ()))
            if fault is None:
                good += part
            elif len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif not isinstance(fault, NotNowError):
                bad.append(Settled(part[0], FAILED, str(fault)))
        if not bad:
            return False
        settle(self._agreement.context, self._agreement.holding, tuple(bad))
        if not (possible := self._plan(good, ())).is_empty:
            self._build(good, possible)
        return True

    def _build_without_the_bad(self, own: Sequence[IntentRow], wanted: Plan) -> None:
        """Find the members whose wishes spoil the commit, by halves; nothing is carried for them for a while."""
        good: list[Wanted] = []
        parts, tries = [list(dict.fromkeys(each.author for each in wanted.folded))], 0
        alone = self._plan(own, ())
        fault = None if alone.is_empty else self._fault_of(alone)
        while fault is None and parts and tries < TRIES_MAX:
            part, tries = parts.pop(), tries + 1
            chosen = [each for each in wanted.folded if each.author in part]
            theirs = self._fault_of(self._plan(own, (*good, *chosen)))
            if theirs is None:
                good += chosen
            elif len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif self._fault_of(self._plan(own, chosen)) is None:
                pass  # it contradicts another's, taken before: nobody's fault, and for a later epoch
            elif not isinstance(theirs, NotNowError):
                group = short(self._agreement.holding.group_id)
                log.warning("a wish spoils our commit", group=group, leaf=part[0], reason=str(theirs))
                self.book.distrust(part[0])
            elif alone.is_empty and not good:
                self._hold_back(theirs)
        if not (possible := self._plan(own, good)).is_empty:
            self._build(own, possible)

    def _hold_back(self, error: NotNowError) -> None:
        """What is wanted waits for somebody to be heard."""
        self._is_held_back = True
        self._agreement.hold_back(error)

    def _made(self, wanted: Plan) -> Built:
        agreement, now = self._agreement, self._agreement.context.now_ms() // 1000
        instance, random = agreement.epoch.instance, agreement.context.random
        return build_for_intents(agreement.group, instance, wanted, agreement.vote_key, random, now)

    def _fault_of(self, wanted: Plan) -> Exception | None:
        """Why this cannot be committed; None when it can."""
        try:
            self._agreement.candidacy.judge_own(self._made(wanted))
        except (MlsError, OrderingError, RuleError) as error:
            return error
        return None

    def _note_silent(self, wanted: Plan) -> None:
        """Who would have been preferred, and left us waiting for nothing, is not waited for again soon."""
        agreement = self._agreement
        if self._rivals():
            return
        ours = self._key(ProposalClass.ORDINARY, agreement.group.own_leaf)
        for leaf in {each.author for each in wanted.folded if each.kind != LEAVE}:
            if not self._has_built(leaf) and self._key(ProposalClass.ORDINARY, leaf) < ours:
                self._silent[leaf] = agreement.group.epoch

    # --- asking others ---

    def _offer(self, own: Sequence[IntentRow]) -> None:
        """Say to all what we want, once a rival may get in our way; again while it is wanted."""
        agreement = self._agreement
        epoch, now = agreement.group.epoch, agreement.context.now_s()
        self._seen = {each.intent_id: self._seen.get(each.intent_id, epoch) for each in own}
        shared = [each for each in own if each.kind in KINDS and KINDS[each.kind].is_shared]
        has_lost = any(self._seen[each.intent_id] < epoch for each in shared)
        if not shared or not (has_lost or self._has_rival() or any(each.kind == LEAVE for each in shared)):
            return
        wishes = offered(self._shareable(shared))
        due = self._offer_at_s if wishes == self._offered else self._offer_next_s
        if now < due:
            self._wake(due)
            return
        if wishes != self._offered:
            self._offer_after_s = REOFFER_S
            self._offer_next_s, self._offer_gap_s = now + self._offer_gap_s, min(REOFFER_S, 2 * self._offer_gap_s)
        self._offered, self._offer_at_s = wishes, now + self._offer_after_s
        self._offer_after_s = min(REOFFER_MAX_S, 2 * self._offer_after_s)
        self._wake(self._offer_at_s)
        self._tell_all(wishes)

    def _has_rival(self) -> bool:
        own_leaf = self._agreement.group.own_leaf
        known = self._agreement.known.values()
        return any(each.valid is not None and each.candidate.author != own_leaf for each in known)

    def _shareable(self, shared: Iterable[IntentRow]) -> Iterable[SharedIntent]:
        for each in shared:
            body = self._leaving() if each.kind == LEAVE else each.body
            is_claiming = each.kind in (ADD, READD) and not AddBody.decode(each.body).key_package
            if body is not None and not is_claiming:
                yield SharedIntent(each.intent_id, each.kind, body)

    def _leaving(self) -> bytes | None:
        """Our proposal to leave, of this epoch. It is public, so no state of ours depends on it."""
        agreement = self._agreement
        if not can_go_on(agreement.public, agreement.epoch.voting, frozenset((agreement.own_leaf,))):
            return None
        if self._leave is None:
            now = agreement.context.now_ms() // 1000
            try:
                _, self._leave = agreement.group.propose(self_remove(), agreement.context.random, now)
            except MlsError as error:
                log.error("no leave", group=short(agreement.holding.group_id), reason=str(error))
        return self._leave

    def _tell_all(self, wishes: tuple[SharedIntent, ...]) -> None:
        agreement = self._agreement
        self._serial += 1
        serial = (agreement.context.boot << SERIAL_BITS) + self._serial
        offer = Offer(agreement.epoch.instance, agreement.group.own_leaf, serial, wishes)
        signature = agreement.group.sign(INTENTS_LABEL, offer.signed_bytes)
        offer = Offer(offer.instance, offer.author, offer.serial, offer.intents, signature)
        self._frame = Frame(group_tag(agreement.holding.group_id), FrameKind.INTENTS, offer.encode())
        agreement.outward.append(agreement.telling.to_members(self._frame))
