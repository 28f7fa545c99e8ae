"""Addresses: to listen on, and to be told to others."""

from __future__ import annotations

import errno

import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.transport import TransportError


async def listen_on(address: str) -> list[trio.SocketListener]:
    """Without SO_REUSEPORT, which libp2p sets: two nodes on one port would share its callers."""
    try:
        target = Multiaddr(address)
        names = [protocol.name for protocol in target.protocols()]
        if len(names) != 2 or names[0] not in ("ip4", "ip6") or names[1] != "tcp":
            raise TransportError(f"cannot listen on {address}: /ip4/<address>/tcp/<port> or /ip6/… is expected")
        host, port = target.value_for_protocol(names[0]), int(target.value_for_protocol("tcp"))
        return list(await trio.open_tcp_listeners(port, host=host))
    except (ValueError, OSError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "the port is taken; name another with --network-listen, port 0 takes any free one"
        raise TransportError(f"cannot listen on {address}: {reason}") from error


def address_of(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def with_peer(address: str, peer: ID) -> str:
    return address if "/p2p/" in address else f"{address}/p2p/{peer.to_base58()}"
