"""Voters that lie, with their real keys: silent, choosy, two-faced, and those that sign anything."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from ordering import (
    INTENT_ORDINAL,
    BundleId,
    Certificate,
    Decision,
    InstanceConfig,
    InstanceMessage,
    Justification,
    Propose,
    SignedVote,
    Status,
    Vote,
    VoteKind,
    decode_message,
    vote_bytes,
)
from ordering.justification import justify
from ordering.messages import propose_bytes
from tests.sim.bundles import Bytes, Want
from tests.sim.node import Node, Post
from tests.sim.plan import Lie

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

ACTS_MAX: Final = 60
ACT_PERIOD_S: Final = 0.08
MEMORY: Final = 40
COLLUSION_S: Final = 0.01
ENDLESS_SERIAL: Final = 2**40

Sides = tuple[tuple[int, ...], tuple[int, ...]]
"""Whom a two-faced liar shows its one face, and whom the other."""


class Liar(Protocol):
    """A member outside the protocol."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Be silent from now on."""


def liar(sim: Simulation, member: int, lie: Lie) -> Liar:
    """A liar of this kind."""
    match lie:
        case Lie.SILENT:
            return Silent()
        case Lie.PICKY:
            return Picky(sim, member)
        case Lie.TWINS:
            return Twins(sim, member)
        case Lie.MISCHIEF:
            return Mischief(sim, member)
        case Lie.GRUDGING:
            return Grudging(sim, member)


class Silent:
    """Hears nothing, says nothing."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


class Picky:
    """An honest machine whose words reach a part of the others only, anew for each: nothing it does is evidence."""

    def __init__(self, sim: Simulation, member: int) -> None:
        self.sim = sim
        self.member = member
        self.face = Node(sim, member, self._post, honest=False)

    def _post(self, target: int, payload: object, extra_s: float) -> None:
        if self.sim.world.random.random() < 0.5:
            self.sim.network.send(self.member, target, payload, extra_s)

    def start(self) -> None:
        self.sim.network.attach(self.member, self.face.deliver)
        self.face.start()

    def stop(self) -> None:
        self.sim.network.detach(self.member)
        self.face.crash()


class Grudging(Picky):
    """An honest machine that everybody hears, but for certificates and Decisions: worst where votes go through it."""

    def _post(self, target: int, payload: object, extra_s: float) -> None:
        if isinstance(payload, bytes):
            payload = decode_message(payload)
        if not isinstance(payload, Certificate | Decision | Justification):
            self.sim.network.send(self.member, target, payload, extra_s)


class Twins:
    """Two honest machines that share a key and do not know of each other; each is shown to some of the others.

    The strongest equivocation there is within the protocol: everything either of them says is well justified.
    """

    def __init__(self, sim: Simulation, member: int, sides: Sides | None = None) -> None:
        self.sim = sim
        self.member = member
        if sides is None:
            others = [other for other in range(sim.plan.members) if other != member]
            left = tuple(other for other in others if sim.world.random.random() < 0.5)
            sides = (left, tuple(other for other in others if other not in left))
        self.sides = sides
        self.faces = tuple(
            Node(sim, member, self._post(index), honest=False, face="ab"[index]) for index in range(len(sides))
        )

    def _post(self, index: int) -> Post:
        """A face speaks to its side, and to the same face of other two-faced liars: they are in it together."""

        def post(target: int, payload: object, extra_s: float) -> None:
            other = self.sim.liars.get(target)
            if isinstance(other, Twins):
                self.sim.world.after(COLLUSION_S + extra_s, other.faces[index].deliver, self.member, payload)
            elif target in self.sides[index]:
                self.sim.network.send(self.member, target, payload, extra_s)

        return post

    def start(self) -> None:
        self.sim.network.attach(self.member, self.deliver)
        for face in self.faces:
            face.start()

    def stop(self) -> None:
        self.sim.network.detach(self.member)
        for face in self.faces:
            face.crash()

    def deliver(self, source: int, payload: object) -> None:
        """To the face that is shown to the sender."""
        for face, side in zip(self.faces, self.sides, strict=True):
            if source in side:
                face.deliver(source, payload)


class Mischief:
    """Answers what it hears with whatever may do harm: contradictory votes and proposals, forgeries, replays."""

    def __init__(self, sim: Simulation, member: int) -> None:
        self.sim = sim
        self.member = member
        self.stopped = False
        self._memory: deque[InstanceMessage] = deque(maxlen=MEMORY)
        self._ids: dict[bytes, list[BundleId]] = {}  # by instance
        self._notarizations: dict[bytes, dict[int, Certificate]] = {}
        self._nullifications: dict[bytes, dict[int, Certificate]] = {}
        self._acts = 0
        self._next_s = 0.0
        self._serial = ENDLESS_SERIAL

    def start(self) -> None:
        self.sim.network.attach(self.member, self.deliver)

    def stop(self) -> None:
        self.stopped = True

    def deliver(self, source: int, payload: object) -> None:
        """Listen, remember, and now and then act."""
        if isinstance(payload, Want):
            self._serve(source, payload.id)
            return
        if isinstance(payload, Bytes | bytes) or self.stopped:
            return
        message: InstanceMessage = payload  # type: ignore[assignment]
        self._remember(message)
        now_s = self.sim.world.now_s
        if now_s < self._next_s or self._acts >= ACTS_MAX:
            return
        self._next_s = now_s + ACT_PERIOD_S * self.sim.world.random.uniform(0.2, 2.0)
        self._acts += 1
        config = self.sim.watch.configs.get(message.instance)
        if config is None:
            return
        voter = config.committee.voter_of_leaf(self.member)
        if voter is not None:
            self._act(config, voter, message)

    def _remember(self, message: InstanceMessage) -> None:
        self._memory.append(message)
        instance = message.instance
        certificates: list[Certificate] = []
        ids = self._ids.setdefault(instance, [])
        match message:
            case SignedVote() | Propose():
                if message.id and message.id not in ids:
                    ids.append(BundleId(message.id))
                if isinstance(message, Propose):
                    certificates += message.justification.certificates()
            case Certificate():
                certificates.append(message)
            case Justification():
                certificates += message.certificates()
            case Status():
                ids += [BundleId(id) for id in message.candidates if id not in ids]
            case _:
                pass
        for certificate in certificates:
            if certificate.kind is VoteKind.NOTARIZE:
                self._notarizations.setdefault(instance, {})[certificate.view] = certificate
            elif certificate.kind is VoteKind.NULLIFY:
                self._nullifications.setdefault(instance, {})[certificate.view] = certificate

    # Acts

    def _act(self, config: InstanceConfig, voter: int, message: InstanceMessage) -> None:
        chance = self.sim.world.random
        view = max(0, getattr(message, "view", 0) + chance.choice((-1, 0, 0, 0, 0, 1, 2)))
        act = chance.choice(
            (
                self._vote_both,
                self._vote_both,
                self._nullify_and_more,
                self._propose,
                self._replay,
                self._forge,
                self._offer,
                self._lie_about_status,
            )
        )
        act(config, voter, view)
        leading = config.committee.leader(config.epoch, view) == voter
        if leading and chance.random() < 0.7:
            self._propose(config, voter, view)

    def _send(self, message: InstanceMessage, targets: list[int] | None = None) -> None:
        others = [member for member in range(self.sim.plan.members) if member != self.member]
        for target in others if targets is None else targets:
            self.sim.network.send(self.member, target, message)

    def _halves(self) -> tuple[list[int], list[int]]:
        others = [member for member in range(self.sim.plan.members) if member != self.member]
        left = [member for member in others if self.sim.world.random.random() < 0.5]
        return left, [member for member in others if member not in left]

    def _vote(self, config: InstanceConfig, voter: int, kind: VoteKind, view: int, id: bytes) -> SignedVote:
        signature = config_sign(self.sim, self.member, vote_bytes(config.instance, kind, view, voter, id))
        return Vote(kind, view, voter, BundleId(id), signature).signed(config.instance)

    def _two_ids(self, config: InstanceConfig) -> tuple[bytes, bytes]:
        ids = self._ids.get(config.instance, [])
        if not ids:
            return bytes(32), b"\x01" * 32
        return self.sim.world.random.choice(ids), self.sim.world.random.choice(ids)

    def _vote_both(self, config: InstanceConfig, voter: int, view: int) -> None:
        kind = self.sim.world.random.choice((VoteKind.NOTARIZE, VoteKind.FINALIZE))
        for id, half in zip(self._two_ids(config), self._halves(), strict=True):
            self._send(self._vote(config, voter, kind, view, id), half)

    def _nullify_and_more(self, config: InstanceConfig, voter: int, view: int) -> None:
        left, right = self._halves()
        self._send(self._vote(config, voter, VoteKind.NULLIFY, view, b""), left)
        self._send(self._vote(config, voter, VoteKind.FINALIZE, view, self._two_ids(config)[0]), right)

    def _propose(self, config: InstanceConfig, voter: int, view: int) -> None:
        """Two proposals for two halves; their justification true, or an empty one where that is a lie."""
        instance = config.instance
        proof = justify(instance, view, self._notarizations.get(instance, {}), self._nullifications.get(instance, {}))
        if proof is None or self.sim.world.random.random() < 0.2:
            proof = Justification(instance, 0, None, ())
        for id, half in zip(self._two_ids(config), self._halves(), strict=True):
            notarize = self._vote(config, voter, VoteKind.NOTARIZE, view, id)
            signature = config_sign(self.sim, self.member, propose_bytes(instance, voter, view, id, proof.hash))
            self.sim.watch.proposed.setdefault(id, self.member)
            self._send(Propose(instance, view, voter, id, proof, notarize.signature, signature), half)

    def _replay(self, config: InstanceConfig, voter: int, view: int) -> None:
        for _ in range(3):
            self._send(self.sim.world.random.choice(self._memory), self._halves()[0])

    def _forge(self, config: InstanceConfig, voter: int, view: int) -> None:
        """In the name of another: a vote, and a certificate made of one true signature repeated as if by others."""
        victim = self.sim.world.random.randrange(config.committee.size)
        id = self._two_ids(config)[0]
        kind = self.sim.world.random.choice((VoteKind.NOTARIZE, VoteKind.FINALIZE))
        mine = self._vote(config, voter, kind, view, id)
        self._send(SignedVote(config.instance, kind, view, victim, id, mine.signature))
        signatures = tuple((index, mine.signature) for index in range(config.quorum))
        self._send(Certificate(config.instance, kind, view, id, signatures))

    def _offer(self, config: InstanceConfig, voter: int, view: int) -> None:
        """A commit that is garbage, or opens for some; more than one of the same leaf and ordinal."""
        chance = self.sim.world.random
        candidate = self.sim.group.make(
            config.instance,
            config.epoch,
            self.member,
            INTENT_ORDINAL,
            nonce=f"m{self._acts}",
            hard=chance.random() < 0.6,
            opens_for=tuple(member for member in range(self.sim.plan.members) if chance.random() < 0.5),
        )
        self._ids.setdefault(config.instance, []).append(candidate.id)
        self._lie_about_status(config, voter, view)

    def _lie_about_status(self, config: InstanceConfig, voter: int, view: int) -> None:
        self._serial += 1
        ids = (*self._ids.get(config.instance, [])[-6:], bytes([self._acts % 256]) * 32)
        unsigned = Status(config.instance, config.epoch, view, voter, self.member, self._serial, ids, b"", b"")
        signature = config_sign(self.sim, self.member, unsigned.signed_bytes)
        self._send(msgspec.structs.replace(unsigned, signature=signature))

    def _serve(self, source: int, id: BundleId) -> None:
        """Some get the bytes, some do not, for good."""
        verdict = self.sim.group.verdicts.get(id)
        if verdict is not None and not self.stopped and (source + id[0]) % 3:
            self.sim.network.send(self.member, source, Bytes(id, verdict.candidate), verdict.bytes_s)


def config_sign(sim: Simulation, member: int, message: bytes) -> bytes:
    """With the member's own vote key, whatever it may be."""
    return sim.group.keys.signer(sim.group.vote_keys[member])(message)
