"""Groups in virtual time: the ordering machine itself at every member, the links as slow and as lossy as asked for.

What a node does around the machine is here in a few lines: bundles travel once and are then fetched, messages of a
later epoch wait, a Status of an earlier one is answered with the Decision it lacks. Nothing takes time but the links,
signatures are keyed hashes, and nobody crashes but for ever: what is measured are message delays and timers.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Any

from ordering import (
    INTENT_ORDINAL,
    PARKED_MESSAGES_PER_PEER_MAX,
    RULES_VERSION,
    Anchor,
    Broadcast,
    BuildOwn,
    Bundle,
    BundleId,
    Candidate,
    CandidateFacts,
    Certificate,
    Committee,
    Decided,
    Decision,
    Entrust,
    Fetch,
    Frozen,
    Guard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceState,
    Learned,
    Model,
    Open,
    ProposalClass,
    Received,
    Seat,
    Send,
    Status,
    Tick,
    Timing,
    candidate_bytes,
    create,
    step,
)

GROUP_ID = b"benchmark"
ASK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Links:
    """Every link: one-way delay uniform between two bounds, and the share of messages that are lost."""

    delay_s: tuple[float, float]
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the bytes of a bundle."""

    id: BundleId


@dataclass(slots=True)
class Ended:
    """How an epoch went: when its first commit was made, when each member entered the next, by which bundle."""

    began_s: float
    entered_s: dict[int, float] = field(default_factory=dict)
    decided: dict[int, BundleId] = field(default_factory=dict)
    view: int = 0

    @property
    def is_fork(self) -> bool:
        return len(set(self.decided.values())) > 1


class Group:
    """Members 0…m−1, the first n of them seated, and the network between them."""

    def __init__(self, members: int, seated: int, links: Links, seed: int = 0, timing: Timing | None = None) -> None:
        self.links, self.timing = links, timing or Timing()
        self.random = Random(seed)
        self.now_s = 0.0
        self.ended: list[Ended] = []
        self.frozen = False
        self.dead: set[int] = set()
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0
        self._secrets = {_public(member): blake2b(b"%d" % member, digest_size=32).digest() for member in range(members)}
        seats = tuple(Seat(member, b"%d" % member, _public(member), member) for member in range(seated))
        self.committee = Committee(seats, Model.BYZANTINE, RULES_VERSION)
        self.prev = Anchor.genesis(GROUP_ID, bytes(32), self.committee.descriptor).prev
        self.members = [Member(self, number) for number in range(members)]
        for each in self.members:
            each.open(0, self.prev, Guard(GROUP_ID), {})

    # --- time ---

    def at(self, when_s: float, act: Callable[..., None], *arguments: Any) -> None:
        self._serial += 1
        heappush(self._agenda, (max(when_s, self.now_s), self._serial, act, arguments))

    def run(self, limit_s: float, done: Callable[[], bool]) -> bool:
        """Let time pass until it is done; False when it was not within the limit."""
        end_s = self.now_s + limit_s
        while not done():
            if not self._agenda or self._agenda[0][0] > end_s:
                self.now_s = end_s
                return False
            self.now_s, _, act, arguments = heappop(self._agenda)
            act(*arguments)
        return True

    def carry(self, source: int, target: int, payload: object) -> None:
        """One message on its way, or lost."""
        if source in self.dead or target in self.dead:
            return
        if self.links.loss and self.random.random() < self.links.loss:
            return
        delay_s = self.random.uniform(*self.links.delay_s)
        self.at(self.now_s + delay_s, self.members[target].deliver, source, payload)

    # --- what members do ---

    def commit(self, member: int) -> None:
        """Have a member make a commit of the epoch it stands in, and tell everyone."""
        if member not in self.dead:
            self.members[member].offer()

    def in_epoch(self, epoch: int) -> bool:
        """Whether every living member has got there."""
        return all(each.epoch >= epoch for each in self.members if each.number not in self.dead)

    def epoch_of(self, number: int) -> Ended:
        """What is noted of an epoch; made when its first commit is."""
        while len(self.ended) <= number:
            self.ended.append(Ended(self.now_s))
        return self.ended[number]

    def sign(self, member: int, message: bytes) -> bytes:
        return blake2b(message, key=self._secrets[_public(member)], digest_size=64).digest()

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        secret = self._secrets.get(public)
        return secret is not None and blake2b(message, key=secret, digest_size=64).digest() == signature


class Member:
    """One member: its machine, and what a node does around it."""

    state: InstanceState
    epoch: int

    def __init__(self, group: Group, number: int) -> None:
        self.group = group
        self.number = number
        self.bundles: dict[BundleId, Candidate] = {}
        self.decisions: list[Decision] = []
        self._parked: dict[int, deque[object]] = {}
        self._asking: set[BundleId] = set()
        self._inputs: deque[Input] = deque()
        self._stepping = False
        self._alarm_s = float("inf")
        self._won: dict[int, int] = {}  # the last epoch that each member's commit ended

    @property
    def _voter(self) -> int | None:
        return self.number if self.number < self.group.committee.size else None

    def open(self, epoch: int, prev: bytes, guard: Guard, heard: dict[int, float]) -> None:
        """Enter an epoch."""
        group = self.group
        config = InstanceConfig(
            GROUP_ID,
            epoch,
            prev,
            group.committee,
            self._voter,
            self.number,
            lambda message: group.sign(self.number, message),
            group.verify,
            lambda leaf, message, signature: group.verify(_public(leaf), message, signature),
            timing=group.timing,
        )
        self.epoch = epoch
        self.state = create(config, guard)
        self._asking.clear()
        others = {voter: when_s for voter, when_s in heard.items() if voter != self._voter}
        self._step(Open(group.now_s, None if epoch == 0 else 0.0, tuple(others.items())))
        for source, waiting in list(self._parked.items()):
            del self._parked[source]
            for payload in waiting:
                self.deliver(source, payload)

    def offer(self, ordinal: int = INTENT_ORDINAL) -> None:
        """Make a commit of the present epoch."""
        group, instance = self.group, self.state.config.instance
        group.epoch_of(self.epoch)
        bundle = Bundle(b"%d.%d@%d" % (self.number, ordinal, self.epoch), (), b"", group.committee.descriptor)
        signature = group.sign(self.number, candidate_bytes(bundle.id(instance), ordinal))
        candidate = Candidate(instance, self.number, ordinal, bundle, signature)
        for target in range(len(group.members)):
            if target != self.number:
                group.carry(self.number, target, candidate)
        self._learn(candidate)

    def deliver(self, source: int, payload: object) -> None:
        """Something came."""
        match payload:
            case Want(id):
                held = self.bundles.get(id)
                if held is not None:
                    self.group.carry(self.number, source, held)
            case Candidate():
                if payload.instance == self.state.config.instance:
                    self._learn(payload)
                elif payload.id not in self.bundles:
                    self._park(source, payload)
            case _:
                self._receive(source, payload)

    def tick(self, when_s: float) -> None:
        if when_s == self._alarm_s:
            self._alarm_s = float("inf")
            self._step(Tick(self.group.now_s))

    def _receive(self, source: int, message: Any) -> None:
        if message.instance == self.state.config.instance:
            self._step(Received(self.group.now_s, str(source), message))
        elif isinstance(message, Status) and message.epoch < self.epoch:
            self.group.carry(self.number, source, self.decisions[message.epoch])
        elif not isinstance(message, Decision) or message.epoch > self.epoch:
            self._park(source, message)

    def _park(self, source: int, payload: object) -> None:
        self._parked.setdefault(source, deque(maxlen=PARKED_MESSAGES_PER_PEER_MAX)).append(payload)

    def _learn(self, candidate: Candidate) -> None:
        self.bundles[candidate.id] = candidate
        author, ordinal = candidate.author, candidate.ordinal
        won = self._won.get(author, -1)
        facts = CandidateFacts(candidate.id, author, ordinal, ProposalClass.ORDINARY, won, True, True, True)
        self._step(Learned(self.group.now_s, facts))

    def _step(self, event: Input) -> None:
        self._inputs.append(event)
        if self._stepping:
            return
        self._stepping = True
        ended: Decision | None = None
        while self._inputs and ended is None:
            transition = step(self.state, self._inputs.popleft())
            self.state = transition.state
            for effect in transition.effects:
                ended = self._perform(effect) or ended
        self._stepping = False
        self._inputs.clear()
        if ended is not None:
            self._enter_next(ended)
        elif self.state.wake_at_s is not None and self.state.wake_at_s < self._alarm_s:
            self._alarm_s = self.state.wake_at_s
            self.group.at(self._alarm_s, self.tick, self._alarm_s)

    def _perform(self, effect: object) -> Decision | None:
        match effect:
            case Broadcast(message, news):
                self._broadcast(message, news=news)
            case Entrust(voter, message):
                self.group.carry(self.number, voter, message)
            case Send(peer, message):
                self.group.carry(self.number, int(peer), message)
            case Fetch(id, holders, peers):
                self._fetch(id, holders, peers)
            case BuildOwn(ordinal):
                self.group.at(self.group.now_s, self._build, self.epoch, ordinal)
            case Decided(decision):
                return decision
            case Frozen():
                self.group.frozen = True
        return None

    def _build(self, epoch: int, ordinal: int) -> None:
        if epoch == self.epoch:
            self.offer(ordinal)

    def _broadcast(self, message: InstanceMessage, *, news: bool) -> None:
        """To whom a node tells it: votes to voters, a Decision that is no news to others, the rest to all."""
        group, everyone = self.group, range(len(self.group.members))
        targets: Iterable[int] = range(group.committee.size)
        if isinstance(message, Decision) and not news:
            targets = everyone[group.committee.size :]
        elif isinstance(message, Status | Certificate):
            targets = everyone
        for target in targets:
            if target != self.number:
                group.carry(self.number, target, message)

    def _fetch(self, id: BundleId, holders: tuple[int, ...], peers: tuple[str, ...]) -> None:
        """As a node asks: one after another, whoever is likely to have it, then everyone, until it is here."""
        held = self.bundles.get(id)
        if held is not None:
            self._learn(held)
        elif id not in self._asking:
            self._asking.add(id)
            likely = dict.fromkeys((*holders, *map(int, peers), *range(len(self.group.members))))
            self._ask(self.epoch, id, deque(each for each in likely if each != self.number))

    def _ask(self, epoch: int, id: BundleId, left: deque[int]) -> None:
        if id in self.bundles or epoch != self.epoch or not left:
            self._asking.discard(id)
            return
        self.group.carry(self.number, left.popleft(), Want(id))
        self.group.at(self.group.now_s + ASK_TIMEOUT_S, self._ask, epoch, id, left)

    def _enter_next(self, decision: Decision) -> None:
        ended = self.group.epoch_of(decision.epoch)
        ended.entered_s[self.number] = self.group.now_s
        ended.decided[self.number] = decision.id
        ended.view = max(ended.view, decision.view)
        self.decisions.append(decision)
        self._won[self.bundles[decision.id].author] = decision.epoch
        self.open(decision.epoch + 1, decision.id, self.state.guard, dict(self.state.heard))


def _public(member: int) -> bytes:
    return blake2b(b"public %d" % member, digest_size=32).digest()
