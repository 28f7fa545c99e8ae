"""Many signatures at once, where a group is joined or many members are added: the costly part of both.

Verifying needs no order and no shared state, and the library lets other threads run meanwhile. So `over_cores` is the
default: threads that live as long as the call, where there are enough signatures to be worth it. Whoever has a pool of
its own passes that one's `map` (`GroupConfig.map_signatures`), and who wants no threads the built-in one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from mls.crypto import CipherSuite

BATCH_SIZE = 16
"""Signatures verified in one go: long enough to outweigh handing them to a thread, short enough to share evenly."""
THREADS: Final = 4
"""More than there are cores cost little, and asking how many there are is not for this room."""
THREADED_BATCHES_MIN: Final = 8
"""Fewer are verified before threads have started."""


class Signed(NamedTuple):
    """Something signed with a label, its signature not yet verified."""

    suite: CipherSuite
    signature_key: bytes
    label: str
    content: bytes
    signature: bytes

    @property
    def verifies(self) -> bool:
        return self.suite.verify_with_label(self.signature_key, self.label, self.content, self.signature)


Batch = Sequence[Signed]
Map = Callable[[Callable[[Batch], int | None], Iterable[Batch]], Iterable[int | None]]
"""As the built-in `map`: applies a function to each batch, in whatever thread, and gives the results in order."""


def over_cores(work: Callable[[Batch], int | None], batches: Iterable[Batch]) -> Iterator[int | None]:
    """As the built-in `map`, with many batches over four threads."""
    listed = list(batches)
    if len(listed) < THREADED_BATCHES_MIN:
        return map(work, listed)
    with ThreadPoolExecutor(THREADS, "signatures") as pool:
        return iter(list(pool.map(work, listed)))


def first_forged(signed: Batch, map_signatures: Map = over_cores) -> int | None:
    """The position of the first signature that does not verify."""
    batches = [signed[start : start + BATCH_SIZE] for start in range(0, len(signed), BATCH_SIZE)]
    if len(batches) < 2:
        return _first_forged(signed)
    for number, found in enumerate(map_signatures(_first_forged, batches)):
        if found is not None:
            return number * BATCH_SIZE + found
    return None


def _first_forged(batch: Batch) -> int | None:
    return next((position for position, each in enumerate(batch) if not each.verifies), None)
