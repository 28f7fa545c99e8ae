"""The discovery port: what every way of finding peers does, and what it may say.

A *kind* (static, mdns, rendezvous, ...) says where peers may be. Whatever it says is a hint: the one caller, `Finding`,
decides who is looked for, counts what each kind says against a quota, dials within a budget, and the handshake of the
dial proves who answers. So a kind that lies costs a few dials. A kind bounds what it keeps and what it sends by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, Self

from node.discovery.signposts import Signpost
from node.errors import NodeError
from node.peer_id import PeerId
from node.transport import DialError, peer_of

FOUND_ADDRESSES_MAX: Final = 8  # of one peer in one answer
FOUND_ADDRESS_SIZE_MAX: Final = 256
LOOK_UP_TIMEOUT_S: Final = 20.0
"""After that a look-up is given up."""


class DiscoveryError(NodeError):
    """A way of finding peers did not work just now; the message is shown to our user."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a peer may be. Made by `at` or `by`, which leave out what cannot be meant."""

    peer: PeerId
    addresses: tuple[str, ...]  # each ends in /p2p/<peer>; any of them may be a lie
    signpost: Signpost | None = None  # verified: the peer itself has signed it

    @classmethod
    def at(cls, peer: PeerId, addresses: Iterable[str]) -> Self:
        """Somebody says so; addresses that name another peer or are no address are left out."""
        usable = (address for address in addresses if _is_of(address, peer))
        return cls(peer, tuple(dict.fromkeys(usable))[:FOUND_ADDRESSES_MAX])

    @classmethod
    def by(cls, signpost: Signpost) -> Self:
        """The peer says so, by a signpost that was verified (`open_signpost`)."""
        return cls(signpost.peer_id, signpost.dial, signpost)


class Discovery(Protocol):
    """One kind. `run` runs for as long as the node does; the others are called while it runs.

    All that goes wrong at others is a `DiscoveryError`, or counted; nothing else is raised.
    """

    @property
    def name(self) -> str:
        """As in the settings and in `conclave status`."""
        ...

    @property
    def counters(self) -> Counter[str]:
        """What was refused, dropped or failed, by name; for `conclave status`."""
        ...

    async def run(self, found: Callable[[Found], None]) -> None:
        """Serve others, and tell what is seen without having been asked for. `found` does not wait."""
        ...

    async def look_up(self, peer: PeerId) -> Found | None:
        """Where this peer may be; None when this kind does not know. Cancelled after `LOOK_UP_TIMEOUT_S`.

        :raises DiscoveryError: nobody could be asked.
        """
        ...

    async def announce(self, signpost: Signpost) -> None:
        """Tell where we are: called at the start, when it has changed, and again in good time before it expires.

        :raises DiscoveryError: nobody could be told.
        """
        ...


def _is_of(address: str, peer: PeerId) -> bool:
    if len(address) > FOUND_ADDRESS_SIZE_MAX or not address.startswith("/") or not address.isascii():
        return False
    try:
        return peer_of(address) == peer and address.isprintable() and " " not in address
    except DialError:
        return False
