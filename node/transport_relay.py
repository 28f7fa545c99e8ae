"""Being reached through others: what a node behind a NAT may ask of the network, and what a relay lends to such nodes.

A *relay* is a node that others can dial. A node that nobody can dial connects to it, asks for a *reservation*, and is
from then on reached at `<the relay's address>/p2p-circuit/p2p/<its peer id>`: the relay carries bytes between the two,
in a *circuit*, and inside it they prove to each other who they are and encrypt as on any other connection. What the
relay learns is who talks to whom, when, and how much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from node.transport import MIB, DialError, PeerId, TransportError, peer_of

CIRCUIT: Final = "/p2p-circuit"
RESERVED_S: Final = 3600.0  # how long a reservation is good for
IDLE_S: Final = 60.0  # without a byte in one direction; heartbeats go both ways every few seconds
BURST_S: Final = 1.0  # of its rate that a circuit may use at once

Admits: TypeAlias = Callable[[PeerId], bool]


class RelayError(TransportError):
    """A relay that does not do what was asked; the message says which and why."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What a relay lends at most."""

    reservations: int = 64  # nodes that are reached through it
    circuits: int = 64  # connections that it carries
    circuits_per_peer: int = 8  # of one node, at either end
    bytes_per_s: int = 1 * MIB  # of one circuit, in each direction
    duration_s: float = 3600.0  # of one circuit; who still wants one connects again


class Relays(Protocol):
    """What the transport does about relays."""

    def serve(self, limits: RelayLimits, admits: Admits) -> None:
        """Be a relay, for nodes that `admits` lets reserve. Anybody may then reach those."""
        ...

    async def reserve(self, relay: PeerId) -> float:
        """Ask a connected relay to be reached through it, or to go on being; for how many seconds that is good.

        It ends with the connection. :raises RelayError: the relay does not.
        """
        ...

    def has_place(self, relay: PeerId) -> bool:
        """Whether there is a reservation, as far as is known here."""
        ...

    @property
    def lent(self) -> tuple[int, int] | None:
        """Places and circuits that others have here now; None where this node is no relay."""
        ...

    def reached_through(self, addresses: tuple[str, ...]) -> None:
        """From now on these, which lead through relays, are among our own addresses."""
        ...


def is_relayed(address: str) -> bool:
    """Whether an address leads through a relay."""
    return f"{CIRCUIT}/" in address or address.endswith(CIRCUIT)


def through(relay_address: str, peer: PeerId) -> str:
    """Where a peer is reached that has a reservation at the relay of this address."""
    return f"{relay_address}{CIRCUIT}/p2p/{peer}"


def split_relayed(address: str) -> tuple[str, PeerId]:
    """The relay's own address, and who is reached through it.

    :raises DialError: more than one relay in a row, or an end that is no peer.
    """
    relay, _, rest = address.partition(CIRCUIT)
    if CIRCUIT in rest:
        raise DialError(f"an address leads through one relay at most: {address!r}")
    peer_of(relay)
    return relay, peer_of(address)
