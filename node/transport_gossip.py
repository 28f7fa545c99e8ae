"""What the transport adapters share of `publish`: who is subscribed, what was seen, who gets a copy."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from node.transport import SEEN_HINTS_MAX, SEEN_WINDOW_S, PeerId


def content_id(topic: str, payload: bytes) -> bytes:
    """SHA-256 over topic and payload: the same words on the same topic are the same hint, whoever says them."""
    name = topic.encode()
    return hashlib.sha256(len(name).to_bytes(2, "big") + name + payload).digest()


class SeenWindow:
    """Contents seen during the last `window_s` seconds, at most `hints_max` of them, oldest forgotten first."""

    def __init__(self, window_s: float = SEEN_WINDOW_S, hints_max: int = SEEN_HINTS_MAX) -> None:
        self._window_s = window_s
        self._hints_max = hints_max
        self._seen_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen_at)

    def has(self, key: bytes, now_s: float) -> bool:
        while self._seen_at:
            oldest, at_s = next(iter(self._seen_at.items()))
            if at_s + self._window_s > now_s:
                break
            del self._seen_at[oldest]
        return key in self._seen_at

    def first(self, key: bytes, now_s: float) -> bool:
        """Note `key`; True when it was not in the window."""
        if self.has(key, now_s):
            return False
        self._seen_at[key] = now_s
        if len(self._seen_at) > self._hints_max:
            self._seen_at.popitem(last=False)
        return True


class Audience:
    """Who listens to which topic, and who is connected to whom, as far as our neighbours told us.

    A hint that arrives is passed on to those subscribed neighbours that its sender is not connected
    to. Where everybody is connected to everybody nothing is passed on; along a chain everything is.
    """

    def __init__(self) -> None:
        self._topics: dict[PeerId, frozenset[str]] = {}
        self._neighbours: dict[PeerId, frozenset[PeerId]] = {}

    def announced(self, peer: PeerId, topics: Iterable[str], neighbours: Iterable[PeerId]) -> None:
        """Replace what `peer` had announced before."""
        self._topics[peer] = frozenset(topics)
        self._neighbours[peer] = frozenset(neighbours)

    def gone(self, peer: PeerId) -> None:
        self._topics.pop(peer, None)
        self._neighbours.pop(peer, None)

    def subscribed(self, topic: str) -> frozenset[PeerId]:
        return frozenset(peer for peer, topics in self._topics.items() if topic in topics)

    def passed_on_to(self, topic: str, sender: PeerId) -> frozenset[PeerId]:
        """Subscribed neighbours that `sender` cannot have told itself."""
        return self.subscribed(topic) - self._neighbours.get(sender, frozenset()) - {sender}
