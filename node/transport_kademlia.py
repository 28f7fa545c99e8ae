"""A table of values spread over many nodes (Kademlia): what the rest of the node may ask of it.

Each key is kept by the nodes whose ids are nearest to it, and found by asking nodes that are nearer and nearer. What a
key and a value are is the caller's business: it gives a *rank*, by which both who asks and who keeps judge a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from node.transport import KIB, TransportError

Rank: TypeAlias = Callable[[str, bytes], int | None]
"""(key, value): how good, the higher the better; None when the value does not belong there, or no longer."""

NAMESPACE: Final = "conclave"
KEY_SIZE_MAX: Final = 50  # characters, with `/conclave/` before it: what libp2p takes for the id of a peer
VALUE_SIZE_MAX: Final = 8 * KIB

LOOK_UP_S: Final = 12.0  # after which what has been found by then is the answer
TOLD_S: Final = 20.0  # for a value to be handed to those who are to keep it
DIALS_MAX: Final = 48  # that one look-up may cause
ENTRIES_MAX: Final = 4  # nodes that a look-up begins with
QUORUM: Final = 3  # nodes that have a value, after which nobody else is asked


class KademliaError(TransportError):
    """No node of the table could be asked."""


@dataclass(frozen=True, slots=True)
class KademliaLimits:
    """What a node of the table keeps and does for others at most."""

    records: int = 4096
    asks_per_s: float = 5.0  # of one peer
    asks_burst: int = 60  # of one peer, before the rate counts
    puts_per_s: float = 20.0  # of all together
    puts_burst: int = 200


class Kademlia(Protocol):
    """One table. Asked and told under a throw-away identity each time; kept under our own."""

    async def get(self, key: str) -> bytes | None:
        """The best value that was found.

        :raises KademliaError: nobody could be asked.
        """
        ...

    async def put(self, key: str, value: bytes) -> int:
        """Hand a value to the nodes that are to keep it for a day; how many took it.

        :raises KademliaError: nobody could be asked.
        :raises ValueError: by its rank it does not belong there.
        """
        ...

    async def serve(self, limits: KademliaLimits, addresses: Callable[[], Sequence[str]]) -> None:
        """Be a node of the table, reached at these addresses, for as long as this runs."""
        ...

    @property
    def record_count(self) -> int:
        """Values kept for others."""
        ...


OpenTable: TypeAlias = Callable[[Sequence[str], Rank, Callable[[int], bytes]], Kademlia]
"""(addresses of nodes that serve it, rank, random bytes): our part in a table."""


def path_of(key: str) -> str:
    """The key as it is said on the wire."""
    return f"/{NAMESPACE}/{key}"
