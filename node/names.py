"""What peers are called here: the names this node's user gave them, its own, and a short form of every id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from node.context import NodeContext
from node.peer_id import PeerId

SHORT_MAX = 16


@dataclass(frozen=True, slots=True)
class Names:
    """Petnames by peer, which stay on this device; behind a `~` what somebody without one calls themselves."""

    own: PeerId
    petnames: Mapping[PeerId, str] = field(repr=False)

    @classmethod
    def of(cls, context: NodeContext) -> Self:
        """Those of this node, its own included."""
        known = {peer.peer_id: peer.name for peer in context.store.peers() if peer.name}
        known.update(context.store.petnames())
        for peer, claimed in context.store.claimed_names().items():
            known.setdefault(peer, f"~{claimed}")
        if context.config.node.name:
            known[context.identity.peer_id] = context.config.node.name
        return cls(context.identity.peer_id, known)

    def of_peer(self, peer: PeerId) -> str:
        """The name, or nothing."""
        return self.petnames.get(peer, "")

    def shown(self, peer: PeerId) -> str:
        """The name, or a short form of the id; its end can be used to mean the peer."""
        if name := self.petnames.get(peer):
            return name
        if peer == self.own:
            return "this node"
        return peer if len(peer) <= SHORT_MAX else f"{peer[:4]}…{peer[-6:]}"
