"""What somebody in between may do without any key: say again, elsewhere and under another name; bend; and flood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ordering import (
    BundleId,
    Candidate,
    Decision,
    InstanceMessage,
    SignedVote,
    Vote,
    VoteKind,
    decode_message,
    encode_message,
    instance_id,
    vote_bytes,
)
from tests.sim.bundles import Bytes, Want
from tests.sim.mutate import mutate

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

MEMORY: Final = 64
FLOOD: Final = 40
SISTER: Final = b"another group of the same members, with the same keys"


class Adversary:
    """Sees all that is sent. What it sends itself arrives like everything else."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.chance = sim.world.random
        self._memory: list[object] = []
        self._flooding = False
        self.replayed = self.bent = self.flooded = 0

    def see(self, source: int, target: int, payload: object) -> bool:
        """A payload on its way; False when it got lost in here."""
        plan, chance = self.sim.plan, self.chance.random
        if self._flooding or isinstance(payload, Want):
            return True
        self._remember(payload)
        if plan.replay_chance and chance() < plan.replay_chance:
            self.replayed += 1
            self._say(target if chance() < 0.5 else self._anyone(), self._again())
        if plan.flood_chance and chance() < plan.flood_chance:
            self._flood(target)
        if plan.mutation_chance and chance() < plan.mutation_chance:
            bent = self._bend(payload)
            if bent is not None:
                self.bent += 1
                self._say(target, bent)
            return self.sim.healed or chance() < 0.5
        return True

    def _remember(self, payload: object) -> None:
        if len(self._memory) < MEMORY:
            self._memory.append(payload)
        else:  # old ones too: of earlier epochs
            self._memory[self.chance.randrange(MEMORY)] = payload

    def _anyone(self) -> int:
        return self.chance.randrange(self.sim.plan.members)

    def _say(self, target: int, payload: object) -> None:
        self._flooding = True
        self.sim.network.send(self._anyone(), target, payload)
        self._flooding = False

    # Replays

    def _again(self) -> object:
        """As it was, under the name of an instance that runs now, or out of the other group."""
        message = self._vote_in_the_other_group() if self.chance.random() < 0.3 else self._plain()
        if isinstance(message, bytes | Bytes | Decision) or self.chance.random() < 0.5:
            return message
        return msgspec.structs.replace(message, instance=self._current())  # type: ignore[type-var]

    def _plain(self) -> object:
        payload = self.chance.choice(self._memory)
        return decode_message(payload) if isinstance(payload, bytes) else payload

    def _current(self) -> bytes:
        known = list(self.sim.watch.configs)
        return known[-1]

    def _vote_in_the_other_group(self) -> SignedVote:
        """An honest vote, of a group of the same members whose vote keys are the same."""
        group, chance = self.sim.group, self.chance
        committee = group.committee(0)
        instance = instance_id(SISTER, 0, committee.descriptor, bytes(32))
        voter, kind, view = chance.randrange(committee.size), chance.choice(list(VoteKind)), chance.randrange(3)
        id = b"" if kind is VoteKind.NULLIFY else chance.choice(list(group.verdicts) or [bytes(32)])
        sign = group.keys.signer(group.vote_keys[committee.seats[voter].leaf])
        signature = sign(vote_bytes(instance, kind, view, voter, id))
        return Vote(kind, view, voter, BundleId(id), signature).signed(instance)

    # Floods and mutations

    def _flood(self, target: int) -> None:
        """Everything it knows, bent and not, at once, to one member."""
        self.flooded += 1
        for _ in range(FLOOD):
            message = self._again()
            bent = self._bend(message) if self.chance.random() < 0.5 else None
            self._say(target, message if bent is None else bent)

    def _bend(self, payload: object) -> object | None:
        if isinstance(payload, Bytes):
            candidate = mutate(self.chance, payload.candidate)
            return Bytes(payload.id, candidate) if isinstance(candidate, Candidate) else None
        message: InstanceMessage = decode_message(payload) if isinstance(payload, bytes) else payload  # type: ignore[assignment]
        bent = mutate(self.chance, message)
        if bent is None or isinstance(bent, type(message)) is False:
            return None
        return encode_message(bent) if isinstance(payload, bytes) else bent
