"""A small world: one committee, its voters' states, and a network that delivers what the test lets it deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from ordering import (
    Broadcast,
    BuildOwn,
    BundleId,
    CandidateFacts,
    Certificate,
    Committee,
    Decided,
    Decision,
    Effect,
    Fetch,
    Guard,
    Input,
    InstanceConfig,
    InstanceMessage,
    InstanceState,
    Justification,
    Learned,
    Model,
    Open,
    Persist,
    ProposalClass,
    Propose,
    Received,
    Record,
    Seat,
    Send,
    SignedVote,
    Status,
    Tick,
    Timing,
    VoteKind,
    create,
    decode_message,
    encode_message,
    restore,
    step,
    vote_bytes,
)
from ordering.certificate import certify
from ordering.messages import propose_bytes
from ordering.naming import genesis_prev
from ordering.policy import RULES_VERSION
from ordering.votes import NO_ID, Verify, Vote
from tests.ordering.keys import Key, verify

GROUP = b"group"
PREV = genesis_prev(GROUP, b"tree")
TIMING = Timing(delta_s=1.0, status_period_s=1.0, idle_period_s=5.0, collect_max_s=0.05)


def key(voter: int) -> Key:
    return Key.of(str(voter))


def value(name: str) -> BundleId:
    """An opaque value by name."""
    return BundleId(sha256(name.encode()).digest())


def committee(size: int, model: Model = Model.BYZANTINE) -> Committee:
    """Voter i sits on leaf 10 + i."""
    seats = tuple(Seat(10 + i, f"member {i}".encode(), key(i).public, 0) for i in range(size))
    return Committee(seats, model, RULES_VERSION)


def config(
    size: int,
    voter: int | None,
    *,
    epoch: int = 0,
    boot: int = 0,
    check: Verify = verify,
    model: Model = Model.BYZANTINE,
) -> InstanceConfig:
    """Of one voter, or of a follower on leaf 99."""
    signer = key(99 if voter is None else voter)
    leaf = 99 if voter is None else 10 + voter
    seats = committee(size, model)
    return InstanceConfig(
        GROUP, epoch, PREV, seats, voter, leaf, signer.sign, check, boot=boot, timing=TIMING, fingerprint=b"f" * 32
    )


def facts(
    name: str,
    *,
    committer: int = 50,
    ordinal: int = 0,
    urgent: bool = False,
    last_won: int = -1,
    hard: bool = True,
    soft: bool | None = True,
    available: bool = True,
    resync: bool = False,
) -> CandidateFacts:
    kind = ProposalClass.URGENT if urgent else ProposalClass.ORDINARY
    return CandidateFacts(value(name), committer, ordinal, kind, last_won, hard, soft, available, resync)


class Liar:
    """Makes any message a set of voters could sign."""

    def __init__(self, size: int, epoch: int = 0, model: Model = Model.BYZANTINE) -> None:
        self.config = config(size, None, epoch=epoch, model=model)
        self.instance = self.config.instance

    def vote(self, kind: VoteKind, view: int, voter: int, id: BundleId = NO_ID) -> SignedVote:
        signature = key(voter).sign(vote_bytes(self.instance, kind, view, voter, id))
        return SignedVote(self.instance, kind, view, voter, id, signature)

    def certificate(self, kind: VoteKind, view: int, voters: Iterable[int], id: BundleId = NO_ID) -> Certificate:
        signed = [self.vote(kind, view, voter, id) for voter in voters]
        votes = [Vote(v.kind, v.view, v.voter, BundleId(v.id), v.signature) for v in signed]
        return certify(self.instance, votes, self.config.quorum)

    def decision(self, view: int, voters: Iterable[int], id: BundleId) -> Decision:
        c = self.config
        certificate = self.certificate(VoteKind.FINALIZE, view, voters, id)
        return Decision(c.group_id, c.epoch, c.prev, c.descriptor, certificate)

    def justification(
        self, view: int, notarization: Certificate | None = None, nullifications: Iterable[Certificate] = ()
    ) -> Justification:
        return Justification(self.instance, view, notarization, tuple(nullifications))

    def propose(self, view: int, id: BundleId, justification: Justification | None = None) -> Propose:
        leader = self.config.committee.leader(self.config.epoch, view)
        j = justification if justification is not None else self.justification(view)
        notarize = self.vote(VoteKind.NOTARIZE, view, leader, id).signature
        signature = key(leader).sign(propose_bytes(self.instance, leader, view, id, j.hash))
        return Propose(self.instance, view, leader, id, j, notarize, signature)

    def status(self, voter: int, serial: int, *, view: int = 0, candidates: tuple[BundleId, ...] = ()) -> Status:
        c = self.config
        leaf = c.committee.seats[voter].leaf
        unsigned = Status(self.instance, c.epoch, view, voter, leaf, serial, candidates, b"f" * 32, b"")
        signature = key(voter).sign(unsigned.signed_bytes)
        return Status(self.instance, c.epoch, view, voter, leaf, serial, candidates, b"f" * 32, signature)


class Node:
    """One member: its state, what it stored, and everything it asked for, in order."""

    def __init__(self, config: InstanceConfig, guard: Guard | None = None) -> None:
        self.config = config
        self.guard = guard if guard is not None else Guard.fresh(GROUP)
        self.state: InstanceState = create(config, self.guard)
        self.disk: dict[type[Record], Record] = {}
        self.effects: list[Effect] = []
        self.now_s = 0.0

    def give(self, event: Input) -> list[Effect]:
        """One input; its effects."""
        transition = step(self.state, event)
        self.state = transition.state
        self.now_s = max(self.now_s, event.now_s)
        for effect in transition.effects:
            if isinstance(effect, Persist):
                self.disk[type(effect.record)] = effect.record
        self.effects += transition.effects
        return list(transition.effects)

    def open(self, heard: Iterable[int] = ()) -> list[Effect]:
        others = tuple((voter, self.now_s) for voter in heard)
        return self.give(Open(self.now_s, heard=others))

    def receive(self, *messages: InstanceMessage, source: str = "peer") -> list[Effect]:
        effects: list[Effect] = []
        for message in messages:
            effects += self.give(Received(self.now_s, source, message))
        return effects

    def learn(self, *candidates: CandidateFacts) -> list[Effect]:
        effects: list[Effect] = []
        for known in candidates:
            effects += self.give(Learned(self.now_s, known))
        return effects

    def pass_time(self, seconds: float) -> list[Effect]:
        """Let time go by, with every tick asked for on the way."""
        effects: list[Effect] = []
        end = self.now_s + seconds
        while self.state.wake_at_s is not None and self.state.wake_at_s <= end:
            effects += self.give(Tick(self.state.wake_at_s))
        return effects + self.give(Tick(end))

    def crash_and_restart(self) -> None:
        """Everything but the disk is gone."""
        guard = self.disk.get(Guard, self.guard)
        assert isinstance(guard, Guard)
        self.guard = guard
        self.config = replace_boot(self.config)
        self.state = restore(self.config, guard, self.disk.values())


def replace_boot(old: InstanceConfig) -> InstanceConfig:
    return InstanceConfig(
        old.group_id,
        old.epoch,
        old.prev,
        old.committee,
        old.own_voter,
        old.own_leaf,
        old.sign,
        old.verify,
        old.verify_member,
        old.fingerprint,
        old.boot + 1,
        old.timing,
    )


def votes(effects: Iterable[Effect], kind: VoteKind | None = None) -> list[SignedVote]:
    """The votes cast, those inside a Propose included."""
    cast: list[SignedVote] = []
    for message in broadcasts(effects):
        if isinstance(message, Propose):
            cast.append(message.vote)
        elif isinstance(message, SignedVote):
            cast.append(message)
    return [vote for vote in cast if kind is None or vote.kind is kind]


def broadcasts(effects: Iterable[Effect]) -> list[InstanceMessage]:
    return [effect.message for effect in effects if isinstance(effect, Broadcast)]


T = TypeVar("T")


def of_type(effects: Iterable[object], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Cluster:
    """Voters 0..n-1 on a perfect network, unless a link says otherwise. Voters that are not `up` do nothing."""

    def __init__(self, size: int, *, up: Iterable[int] | None = None, epoch: int = 0, followers: int = 0) -> None:
        self.nodes = {i: Node(config(size, i, epoch=epoch)) for i in (range(size) if up is None else up)}
        for i in range(followers):
            self.nodes[100 + i] = Node(config(size, None, epoch=epoch))
        self.link: Callable[[int, int, InstanceMessage], bool] = lambda sender, receiver, message: True
        self.knows: Callable[[int, BundleId], CandidateFacts | None] = lambda node, id: None
        self.plain: Callable[[int], CandidateFacts | None] = lambda node: facts(
            f"plain {node}", committer=10 + node, ordinal=1
        )
        self.library: dict[BundleId, CandidateFacts] = {}
        self.queue: list[tuple[int, Input]] = []
        self.now_s = 0.0
        self.log: list[tuple[int, Effect]] = []

    def open(self) -> None:
        everyone = [i for i in self.nodes if i < 100]
        for i, node in self.nodes.items():
            node.now_s = self.now_s
            self.perform(i, node.open(heard=[j for j in everyone if j != i]))
        self.run()

    def perform(self, sender: int, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.log.append((sender, effect))
            match effect:
                case Broadcast(message):
                    for receiver in self.nodes:
                        self.post(sender, receiver, message)
                case Send(peer, message):
                    self.post(sender, int(peer), message)
                case Fetch(id, _):
                    found = self.knows(sender, id) or self.library.get(id)
                    if found is not None:
                        self.queue.append((sender, Learned(self.now_s, found)))
                case BuildOwn():
                    own = self.plain(sender)
                    if own is not None:
                        self.library[own.id] = own
                        self.queue.append((sender, Learned(self.now_s, own)))
                case _:
                    pass

    def post(self, sender: int, receiver: int, message: InstanceMessage) -> None:
        if receiver != sender and receiver in self.nodes and self.link(sender, receiver, message):
            decoded = decode_message(encode_message(message))
            self.queue.append((receiver, Received(self.now_s, str(sender), decoded)))  # type: ignore[arg-type]

    def run(self) -> None:
        """Deliver everything in flight, at this moment."""
        while self.queue:
            receiver, event = self.queue.pop(0)
            if receiver in self.nodes:
                self.perform(receiver, self.nodes[receiver].give(replace(event, now_s=self.now_s)))

    def learn(self, known: CandidateFacts, *nodes: int) -> None:
        self.library[known.id] = known
        for i in nodes or tuple(self.nodes):
            self.queue.append((i, Learned(self.now_s, known)))
        self.run()

    def pass_time(self, seconds: float) -> None:
        end = self.now_s + seconds
        while True:
            due = [(node.state.wake_at_s, i) for i, node in self.nodes.items() if node.state.wake_at_s is not None]
            at, i = min(due, default=(end + 1, -1))
            if at > end:
                break
            self.now_s = max(self.now_s, at)
            self.perform(i, self.nodes[i].give(Tick(self.now_s)))
            self.run()
        self.now_s = end

    def restart(self, *nodes: int) -> None:
        for i in nodes:
            node = self.nodes[i]
            node.crash_and_restart()
            node.now_s = self.now_s
            self.perform(i, node.give(Open(self.now_s)))
            for known in self.library.values():
                self.queue.append((i, Learned(self.now_s, known)))

    def decisions(self) -> dict[int, BundleId]:
        return {i: node.state.decision.id for i, node in self.nodes.items() if node.state.decision is not None}

    def handed(self) -> dict[int, BundleId]:
        return {i: effect.decision.id for i, effect in self.log if isinstance(effect, Decided)}
