"""How a group is doing, in one word, one sentence, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.api.schema import Health
from node.api.words import count
from node.context import NodeContext
from node.holding import ABSTAINING, CUT_OFF, FROZEN, RESCUING, SUPERSEDED
from node.peer_id import PeerId
from ordering import Committee


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known about a group that its health depends on. Names are as this node's user knows them."""

    stored: str  # the health in the group's row
    epoch: int
    is_removed: bool
    is_unconfirmed: bool
    is_behind: bool  # something decided is known and not here
    committee_size: int
    quorum: int
    silent: Sequence[str] = ()  # the voters who were not heard lately
    own: str = ""  # how others name this node
    has_left: bool = False  # removed by our own wish
    welcomed_by: str = ""  # who says that this is the group
    proven: Sequence[str] = ()  # members that signed contradicting votes
    rescue: str = ""  # where its rescue stands
    gap: tuple[int, int] | None = None  # nobody keeps what leads from the one epoch to the other
    fragments: Sequence[str] = ()  # members of this epoch that hold other secrets
    is_dead: bool = False  # we are its only voter and may not vote


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer; `next_step` is empty when there is nothing to do."""

    state: Health
    text: str
    next_step: str = ""


def diagnose(now: Condition) -> Diagnosis:
    """The first of these that holds, worst first."""
    heard = now.committee_size - len(now.silent)
    if now.is_removed:
        return Diagnosis(
            "removed",
            f"this node {'left' if now.has_left else 'was removed from'} the group; "
            "what was received can still be read",
            f"to come back, ask a member to add {now.own}",
        )
    if now.stored == SUPERSEDED:
        return Diagnosis("superseded", now.rescue, "go on in the successor")
    if now.stored == RESCUING:
        return Diagnosis(
            "rescuing", now.rescue, "stay online; another's successor is taken up with group rescue --follow"
        )
    if now.stored == FROZEN:
        return Diagnosis(
            "frozen",
            "contradicting certificates were seen: more voters lie than the group tolerates; nobody joins or leaves "
            f"any more, messages still flow{_named(now.proven)}",
            "go on in a successor: group rescue; `conclave log verify` tells what was seen",
        )
    if now.is_dead:
        return abstaining(now)
    if now.stored == CUT_OFF:
        return Diagnosis(
            "cut_off",
            "this node could not open the last change of the group: it votes on, and comes back by itself",
            "stay online; if this lasts, its voters are away, or lie: see who is silent",
        )
    if now.gap is not None:
        return Diagnosis(
            "needs_rejoin",
            f"the group has gone on from epoch {now.gap[0]}; nobody keeps what leads from there to {now.gap[1]}",
            f"ask any member to add this node again: group readd, with {now.own}",
        )
    if now.fragments:
        return Diagnosis(
            "fragmented",
            f"{listed(now.fragments)} in this epoch holds other secrets than this node: neither reads the other",
            "see whose fingerprint the others have (group show); whoever differs is added anew: group readd",
        )
    if now.is_behind:
        return Diagnosis(
            "catching_up",
            f"the group has gone on from epoch {now.epoch}; what was decided is being fetched",
            "stay online; any member that has it can give it",
        )
    if heard < now.quorum:
        return Diagnosis(
            "no_quorum",
            f"{heard} of {count(now.committee_size, 'voter')} heard, {now.quorum} must agree: messages flow, changes "
            "wait and lose nothing",
            f"bring back {some(now.silent, len(now.silent) - (now.committee_size - now.quorum))}",
        )
    if now.is_unconfirmed:
        return Diagnosis(
            "unconfirmed",
            f"{now.welcomed_by or 'a member'} says this is the group; its voters have not answered yet",
            "stay online until another member answers; until then this node does not vote",
        )
    if now.stored == ABSTAINING:
        return abstaining(now)
    if now.proven:
        text = f"{answered(heard, now)}; {listed(now.proven)} signed votes that contradict each other"
        return Diagnosis("ok", text, f"remove {listed(now.proven)}, if the voters do not do so by themselves")
    return Diagnosis("ok", answered(heard, now))


def _named(proven: Sequence[str]) -> str:
    return f"; {listed(proven)} signed votes that contradict each other" if proven else ""


def abstaining(now: Condition) -> Diagnosis:
    """Our guard is older than our votes: a backup was restored, or there are two of us."""
    if now.committee_size == 1:
        return Diagnosis(
            "abstaining",
            "this copy of the node may have voted before and is the only voter: the group can change no more",
            "found a successor: group rescue, or if that is refused, at another member with --lost and this node",
        )
    return Diagnosis(
        "abstaining",
        f"this copy of the node may have voted in epoch {now.epoch} before: it reads and sends, and does not vote",
        "it votes again once the others have gone on; never run two copies of one node",
    )


def answered(heard: int, now: Condition) -> str:
    """Who answers, when enough do."""
    if heard == now.committee_size:
        return "the only voter answers" if heard == 1 else f"all {heard} voters answer"
    return f"{heard} of {count(now.committee_size, 'voter')} heard, {now.quorum} needed; silent: {listed(now.silent)}"


def some(names: Sequence[str], needed: int) -> str:
    """'a', 'a and b', 'any 2 of a, b, c'."""
    return listed(names) if needed >= len(names) else f"any {'one' if needed == 1 else needed} of {', '.join(names)}"


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def silent_voters(context: NodeContext, committee: Committee) -> Iterable[PeerId]:
    """Voters we have no link to, in committee order. A link that is open but dead is cut within seconds."""
    connected = context.transport.peers() | {context.identity.peer_id}
    for seat in committee.seats:
        peer = seat.identity.decode()
        if peer not in connected:
            yield peer
