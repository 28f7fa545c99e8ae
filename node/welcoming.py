"""Bringing newcomers in: the Welcome leaves only with its Decision, and any holder can deliver it.

The committer delivers at once. The voters hold it too, each with a later turn, so that a committer that crashed after
the Decision strands nobody; a newcomer that is in already says so, and the row is dropped.
"""

from collections.abc import Callable, Iterator
from typing import Final

from mls import PublicStaged
from node.electorate import peer_of
from node.holding import Holding
from node.peer_id import PeerId
from node.peer_messages import WelcomeDelivery
from node.store_rows import OutboxRow
from ordering import Candidate, Decision, JoinProof

WELCOME_KIND: Final = "welcome"
TURN_MS: Final = 3_000
"""How long a holder waits for the one before it."""
RETRY_MS: Final = 2_000
GIVE_UP_MS: Final = 14 * 24 * 3600 * 1000
"""After two weeks the newcomer has to be added again."""

WAITING_RETRY_MS: Final = 10_000
"""How often it is asked again of a newcomer whose user has not accepted yet."""

JOINED: Final = b"joined"
ALREADY_IN: Final = b"already"
WAITING: Final = b"waiting"  # it checks out, and the newcomer's user has to accept it
DECLINED: Final = b"declined"
NO_KEYS: Final = b"no keys"  # it is for a key package that the newcomer does not have any more: it is of no use


def welcome_rows(
    before: Holding,
    decision: Decision,
    candidate: Candidate,
    staged: PublicStaged,
    turn: Callable[[PeerId], int | None],
    now_ms: int,
) -> Iterator[OutboxRow]:
    """One delivery for each newcomer; `turn` is ours to deliver to it, None when it is not our business.

    `before` is the group in the epoch that ended: its interim transcript hash is part of the proof.
    """
    if before.public is None:
        return
    turns = {peer: turn(peer) for peer in (peer_of(staged.successor, each.leaf) for each in staged.adds)}
    if all(place is None for place in turns.values()):
        return
    proof = JoinProof(decision, candidate, before.public.interim_transcript_hash)
    payload = WelcomeDelivery(proof.encode(), before.name).encode()
    for peer, place in turns.items():
        if place is not None:
            yield OutboxRow(
                group_id=before.group_id,
                kind=WELCOME_KIND,
                epoch=decision.epoch + 1,
                recipient=peer,
                payload=payload,
                created_ms=now_ms + place * TURN_MS,
            )
