"""For how long each voter has been missed, counted in time in which this node ran and listened; over restarts.

Benching and rescues ask for a day, or an hour, of silence. A node that is restarted every evening would never have
listened for a day on end, so what it has missed is kept: per voter, in seconds of listening, whatever the clock on the
wall says. A voter's silence ends when it is heard. What it may have said while this node was not running nobody here
knows; so nothing of what was kept counts before the node has listened for `LISTEN_AGAIN_S`, in which a voter that is
there would be heard.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from node.peer_id import PeerId
from node.store import Store
from node.store_reads import StoreReads
from ordering import Wire

LISTEN_AGAIN_S: Final = 600.0
SHORT_S: Final = 60.0  # who was silent for less is there
SAVE_PERIOD_S: Final = 600.0  # what a crash may forget
KEPT_MAX: Final = 16_384  # peers in memory; identities cost a stranger nothing
MISSED_MAX: Final = 256  # willing members of one group whose silence is kept


class _Missed(Wire, frozen=True):
    """Who of one group had not been heard when this was written, and for how many seconds."""

    SIZE_MAX: ClassVar[int] = MISSED_MAX * 160

    peers: Annotated[tuple[tuple[Annotated[str, Meta(max_length=128)], int], ...], Meta(max_length=MISSED_MAX)]


class Silence:
    """The silence of before: what was kept by an earlier process, or before this one was stopped for a while."""

    def __init__(self) -> None:
        self._kept_s: dict[PeerId, float] = {}

    def before_s(self, peer: PeerId) -> float:
        """How long a peer had been missed before we listened this time."""
        return self._kept_s.get(peer, 0.0)

    def heard(self, peer: PeerId) -> None:
        """It has ended."""
        if self._kept_s:
            self._kept_s.pop(peer, None)

    def stopped(self, heard_s: Mapping[PeerId, float], began_s: float, ended_s: float) -> None:
        """We listened from `began_s` to `ended_s`, and then did not; of whom nothing is kept that time is forgotten."""
        for peer in {*self._kept_s, *heard_s}:
            if peer not in self._kept_s and len(self._kept_s) >= KEPT_MAX:
                continue
            since_s = max(began_s, heard_s.get(peer, began_s))
            self._kept_s[peer] = self.before_s(peer) + max(0.0, ended_s - since_s)

    def restore(self, store: StoreReads, group_id: bytes) -> None:
        """At the start of the process: what it had missed of a group's voters."""
        data = store.meta(_key(group_id))
        for peer, seconds in () if data is None else _Missed.decode(data).peers:
            self._kept_s[peer] = max(self._kept_s.get(peer, 0.0), float(seconds))


def save(store: Store, group_id: bytes, silence_s: Iterable[tuple[PeerId, float]]) -> None:
    """Keep for how long the willing members of a group have been missed; one small transaction, if that has changed."""
    missed = [(peer, int(seconds)) for peer, seconds in silence_s if seconds >= SHORT_S]
    data, key = _Missed(tuple(missed[:MISSED_MAX])).encode(), _key(group_id)
    if data != (store.meta(key) or _Missed(()).encode()):
        with store.transaction() as transaction:
            transaction.put_meta(key, data)


def _key(group_id: bytes) -> str:
    return f"silence/{group_id.hex()}"
