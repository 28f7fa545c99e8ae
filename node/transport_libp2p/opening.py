"""Being on the network, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio

from node.transport import TransportConfig
from node.transport_libp2p.faults import quiet_libp2p
from node.transport_libp2p.wire import Libp2pWire
from node.transport_scope import open_background
from node.transport_streams import StreamTransport
from node.transport_unnamed import Personas

SHUTDOWN_TIMEOUT_S = 1.5


@asynccontextmanager
async def open_libp2p(config: TransportConfig, key_seed: bytes) -> AsyncIterator[StreamTransport]:
    """A node on the network for as long as the block lasts; leaving it takes less than two seconds.

    :param key_seed: the 32 secret bytes of the node's Ed25519 key, which decides its peer id.
    :raises TransportError: an address to listen on is malformed, not TCP, or taken.
    """
    quiet_libp2p()
    async with open_background() as nursery:
        wire = Libp2pWire(config, key_seed, nursery)
        await wire.start()
        transport = wire.transport
        dialling = replace(config, listen=(), announce=())
        transport.personas = Personas(partial(open_libp2p, dialling), nursery.start_soon)
        transport.open_table = partial(wire.open_table, partial(open_libp2p, dialling))
        try:
            yield transport
        finally:
            with trio.move_on_after(SHUTDOWN_TIMEOUT_S) as scope:
                scope.shield = True
                transport.close()
                await wire.stop()
