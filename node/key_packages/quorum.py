"""How many replicas have to grant a key package for it to be handed out, and why nobody else gets it then.

An owner gives each of its one-time packages to one *set* of R replicas, and to no other set ever. Let f be the greatest
number with 2f + 1 <= R, and let at most f of the R lie (where R is 2f + 1, the other f + 1 are honest). An honest
replica grants a package to one claimer at most, and has that on its disk before it answers, so that neither a crash nor
the claimer's asking again makes it two. A claim counts with grants of the same package from

    q = (R + f) // 2 + 1

different replicas, the least number with 2q - R >= f + 1; where R is 2f + 1, that is R - f // 2.

*Two claims never count for one package.* The q replicas that granted it to one claimer and the q that granted it to
another are all among the same R, so at least 2q - R >= f + 1 of them are in both. At most f of those lie; one is
honest, and it would have granted the package to two claimers, which it does not.

*Nothing less is enough.* With q - 1, the two may have only f replicas in common, and if just those lie, both claims
count.

The price: a claim needs q replicas that are awake, of 3 all three, of 4 three, of 5 four. With fewer, the owner is
asked itself, whose own packages are never at a replica, or the last resort is used, which anybody may use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mls import sha256
from node.contacts.cards import Card, Place
from node.peer_id import PeerId
from ordering import framed


def faults_of(size: int) -> int:
    """f: how many of so many replicas may lie."""
    return (size - 1) // 2


def quorum_of(size: int) -> int:
    """q: how many of them have to grant a package."""
    return (size + faults_of(size)) // 2 + 1


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """Who holds an owner's one-time packages."""

    places: tuple[Place, ...]

    @property
    def id(self) -> bytes:
        """Of these replicas in whatever order; a package is published under one id, and never under another."""
        keys = sorted(place.public_key for place in self.places)
        return sha256(framed("conclave/key-package-replicas/v1", len(keys), *keys))

    @property
    def quorum(self) -> int:
        return quorum_of(len(self.places))


def replicas_of(card: Card) -> ReplicaSet | None:
    """Those that a card names; None for nobody. Not its mailboxes: they know of nobody who uses them."""
    return replica_set(card.peer_id, card.replicas)


def replica_set(owner: PeerId, places: Sequence[Place]) -> ReplicaSet | None:
    """The replicas among these, the same at owner and claimer. The owner is none of its own.

    Of two, the first alone: two would stand no more lies than one, and stop when either is away.
    """
    others = tuple(place for place in places if place.peer_id != owner and place.addresses)
    chosen = others[:1] if len(others) == 2 else others
    return ReplicaSet(chosen) if chosen else None
