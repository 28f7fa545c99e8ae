"""What a commit does to a group, and whether that carries out what somebody wanted."""

from dataclasses import dataclass
from typing import Final

from mls import PublicGroup
from node.electorate import RuleError, peer_of
from node.intents import AddBody, RemoveBody
from node.judgement import HardValid
from node.peer_id import PeerId
from node.policies import PolicyBody, amended
from ordering import OrderingError, Policy


@dataclass(frozen=True, slots=True)
class Effects:
    """What a commit does to the members."""

    added: frozenset[PeerId]
    removed: frozenset[PeerId]
    leaving: frozenset[int]  # leaf indices among the removed
    policy: Policy | None  # the ordering policy after it


NO_EFFECTS: Final = Effects(frozenset(), frozenset(), frozenset(), None)


def effects_of(before: PublicGroup, valid: HardValid) -> Effects:
    """What a hard-valid candidate would do to the members."""
    staged = valid.staged
    added = frozenset(peer_of(staged.successor, each.leaf) for each in staged.adds)
    removed = frozenset(peer_of(before, leaf) for index, leaf in before.leaves() if index in staged.removes)
    return Effects(added, removed, frozenset(staged.removes), valid.voting.policy)


def is_done_by(effects: Effects, kind: str, body: bytes, author: int) -> bool:
    """Whether a commit that does this carries an intent out, whoever it was made for."""
    try:
        match kind:
            case "add":
                return AddBody.decode(body).peer in effects.added
            case "readd":
                peer = AddBody.decode(body).peer
                return peer in effects.added and peer in effects.removed
            case "remove":
                return RemoveBody.decode(body).peer in effects.removed
            case "leave":
                return author in effects.leaving
            case "policy" if effects.policy is not None:
                return amended(effects.policy, PolicyBody.decode(body)) == effects.policy
            case _:
                return False
    except (OrderingError, RuleError):
        return False
