"""The dial manager: addresses we want to stay connected to, each redialled with jittered backoff."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from node.transport import KEPT_ADDRESSES_MAX, DialError, PeerId, TransportConfig, peer_of
from node.transport_relay import is_relayed

RELAYED_LATER_S = 1.0
"""A way through a relay is tried so much later, so that a peer that answers directly is reached directly."""


class DialManager:
    """One task per kept address: dial until connected, wait until disconnected, again.

    The wait between two failed dials doubles from `redial_min_s` to `redial_max_s`, each time drawn
    from the upper half of its range, so that many nodes that lost the same peer do not return at once.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[PeerId]],
        is_connected: Callable[[PeerId], bool],
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        config: TransportConfig,
        rng: random.Random,
    ) -> None:
        self._connect = connect
        self._is_connected = is_connected
        self._spawn = spawn
        self._config = config
        self._rng = rng
        self._kept: dict[str, trio.CancelScope] = {}
        self._changed = trio.Event()

    def keep(self, address: str) -> None:
        """Start keeping `address`; keeping it twice is keeping it once.

        :raises DialError: the address names no peer, or `KEPT_ADDRESSES_MAX` are kept already.
        """
        peer = peer_of(address)
        if address in self._kept:
            return
        if len(self._kept) >= KEPT_ADDRESSES_MAX:
            raise DialError(f"{KEPT_ADDRESSES_MAX} addresses are kept already")
        scope = self._kept[address] = trio.CancelScope()
        self._spawn(partial(self._stay_connected, address, peer, scope))

    def forget(self, address: str) -> None:
        if scope := self._kept.pop(address, None):
            scope.cancel()

    def peers_changed(self) -> None:
        """To be called whenever a peer has come or gone."""
        self._changed.set()
        self._changed = trio.Event()

    async def _stay_connected(self, address: str, peer: PeerId, scope: trio.CancelScope) -> None:
        wait_s = self._config.redial_min_s
        later_s = RELAYED_LATER_S if is_relayed(address) else 0.0
        with scope:
            while True:
                if later_s and not self._is_connected(peer):
                    await trio.sleep(later_s)
                if not self._is_connected(peer):
                    try:
                        await self._connect(address)
                    except DialError:
                        await trio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
                        wait_s = min(wait_s * 2, self._config.redial_max_s)
                        continue
                wait_s = self._config.redial_min_s
                while self._is_connected(peer):
                    await self._changed.wait()
                await trio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
