"""Which ways of finding a node uses: its settings say so."""

from node.contacts.book import Contacts
from node.context import NodeContext
from node.discovery.finding import Finding
from node.discovery.kademlia import KademliaFinding
from node.discovery.port import Discovery
from node.discovery.relay import Relayed, serve_as_relay
from node.discovery.rendezvous import Rendezvous
from node.discovery.rendezvous_point import RendezvousPoint
from node.discovery.static import Static


def kinds_of(context: NodeContext, finding: Finding) -> tuple[Discovery, ...]:
    """Those that are switched on."""
    settings = context.config.discovery
    kinds: list[Discovery] = [Static(context)]
    if settings.mdns:
        from node.discovery.mdns import Mdns  # zeroconf is imported only where it is used

        kinds.append(Mdns(context, finding.wanted))
    if settings.rendezvous:
        kinds.append(Rendezvous(context))
    relays, open_table = context.transport.relays, context.transport.open_table
    if settings.relays and relays is not None:
        kinds.append(Relayed(context, relays))
    if (settings.kademlia or settings.kademlia_serve) and open_table is not None:
        kinds.append(KademliaFinding(context, open_table))
    return tuple(kinds)


def relay_for_others(context: NodeContext, contacts: Contacts) -> None:
    """Be a relay, if this node is to be one."""
    if context.transport.relays is not None:
        serve_as_relay(context, context.transport.relays, contacts.is_contact)


def point_of(context: NodeContext, contacts: Contacts) -> RendezvousPoint | None:
    """What this node is for others' rendezvous, if anything."""
    settings = context.config.discovery
    if settings.rendezvous_serve == "no":
        return None
    return RendezvousPoint(
        quota=settings.rendezvous_quota,
        admits_all=settings.rendezvous_serve == "anyone",
        is_contact=contacts.is_contact,
        now_ms=context.now_ms,
    )
