"""What a step wants done in the world once its transaction is durable: values, carried out in order by the session."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.peer_id import PeerId
from node.peer_messages import Frame

ASK_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Tell:
    """A frame on the kept streams of these peers; those who are not connected miss it."""

    peers: tuple[PeerId, ...]
    frame: Frame


@dataclass(frozen=True, slots=True)
class Publish:
    """A frame to everyone on the group's topic, sealed under the key of this epoch."""

    frame: Frame
    epoch: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to these peers, best first, until one gives a good answer; few are asked at once (`node.hedging`).

    The answer comes back to `then` in the session's task, or None when nobody gave one that `accepts` takes.
    """

    peers: tuple[PeerId, ...]
    protocol: str
    payload: bytes = field(repr=False)
    then: Callable[[PeerId, bytes | None], object] = field(repr=False)
    accepts: Callable[[bytes], bool] = field(default=bool, repr=False)
    timeout_s: float = ASK_TIMEOUT_S  # for each of them


Outward = Tell | Publish | Ask
